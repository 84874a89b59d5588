"""Which device computes, in which number format, and what to say when its memory is full."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stemsplit.choices import PrecisionName
from stemsplit.errors import DeviceError

PRECISIONS: dict[str, torch.dtype] = {
    PrecisionName.fp32: torch.float32,
    PrecisionName.bf16: torch.bfloat16,
    PrecisionName.fp16: torch.float16,
}


def native_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; others would take longer than in float32."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """The type of a network's large products.

    Args:
        name: "fp32", "bf16", "fp16", or "auto": float32 on a CPU and where half precision is not faster, else float16,
            which is nearer to float32 than bfloat16 is as long as no number gets too large for it.
        device: which is there.

    Raises:
        DeviceError: there is no such precision, or the device is slower in it, or cannot do it at all.
    """
    if name not in (*PRECISIONS, "auto"):
        raise DeviceError(f"no precision {name!r}; there are auto, {', '.join(PRECISIONS)}")
    if device.type == "cuda":
        # Tensor cores for half precision came with 7.0, for bfloat16 with 8.0.
        major, _ = torch.cuda.get_device_capability(device)
        if name == "bf16" and major < 8:
            raise DeviceError(f"{torch.cuda.get_device_name(device)} has no bfloat16; try fp16 or fp32")
        if name == "auto":
            return torch.float16 if major >= 7 else torch.float32
    elif name == "fp16":
        raise DeviceError(f"fp16 is for CUDA devices, not for {device.type}; try fp32{or_bfloat16(device)}")
    elif name == "bf16" and device.type != "cpu":
        raise DeviceError(f"bf16 is not for {device.type}; try fp32")
    elif name == "bf16" and not native_bfloat16():
        raise DeviceError("this CPU has no instructions for bfloat16, and would be slower than in fp32")
    return PRECISIONS.get(name, torch.float32)


def or_bfloat16(device: torch.device) -> str:
    """What to try besides fp32."""
    return " or bf16" if device.type == "cpu" and native_bfloat16() else ""


def pick_device(name: str) -> torch.device:
    """The device of that name; "auto" is the first CUDA device, else Apple's, else the CPU.

    Raises:
        DeviceError: this machine has none of that name.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    advice = "try --device auto or --device cpu"
    if name.partition(":")[0] not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"no device {name!r}; there are auto, cpu, cuda, cuda:1 and so on, mps")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except torch.OutOfMemoryError as error:
        raise DeviceError(f"the memory of {name} is full; {advice}") from error
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"no device {name!r} on this machine; {advice}") from error
    return device


@contextmanager
def memory_errors(what: str, advice: str) -> Iterator[None]:
    """Tell a device, or the machine, that ran out of memory from other errors.

    Raises:
        DeviceError: it did.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # On the CPU, PyTorch has no type of its own for it, only these words.
        own_type = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not own_type and not re.search("allocate memory|not enough memory", str(error)):
            raise
        raise DeviceError(f"ran out of memory {what}; {advice}") from error
