"""Chooses the device that computes and its precision, and reports that its memory is full."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stemsplit.choices import PrecisionName
from stemsplit.errors import DeviceError
from stemsplit.fast.cpu.int8 import native_int8

PRECISIONS: dict[str, torch.dtype] = {
    PrecisionName.fp32: torch.float32,
    PrecisionName.bf16: torch.bfloat16,
    PrecisionName.fp16: torch.float16,
    PrecisionName.int8: torch.int8,
}


OUT_OF_MEMORY = re.compile(
    r"DefaultCPUAllocator: (can't allocate|not enough) memory|unable to mmap .*: Cannot allocate memory"
    r"|^(CUDA error: out of memory|MPS backend out of memory|.*_STATUS_ALLOC_FAILED)",
    re.MULTILINE,
)
"""What PyTorch says when memory ran out: its allocator on the CPU, the mapping of a file, a device's own library."""


def native_bfloat16() -> bool:
    """Return whether this CPU has instructions for bfloat16; without them, it is slower than float32."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def dtype_of(name: str, device: torch.device, *, bfloat16: bool = False, compiled: bool = False) -> torch.dtype:
    """Return the type of a network's large products for a precision.

    "auto" is float16 on CUDA devices that are faster in it, bfloat16 on some CPUs for some networks (see below), else
    float32. As long as no number gets too large for it, float16 is more exact than bfloat16.

    Args:
        name: "auto", "fp32", "bf16", "fp16" or "int8".
        device: a device of this machine.
        bfloat16: whether the network's stems are as good in bfloat16, so that "auto" is that on CPUs with instructions
            for it.
        compiled: whether PyTorch compiles the network; bfloat16 may be less exact then, and has to be asked for.

    Raises:
        DeviceError: the precision does not exist, or the device cannot compute in it, or only more slowly.
    """
    if name not in (*PRECISIONS, "auto"):
        raise DeviceError(f"no precision {name!r}; there are auto, {', '.join(PRECISIONS)}")
    if name == "int8":
        check_int8(device)
    elif device.type == "cuda":
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
    elif name == "auto" and bfloat16 and not compiled and device.type == "cpu" and native_bfloat16():
        return torch.bfloat16
    return PRECISIONS.get(name, torch.float32)


def check_int8(device: torch.device) -> None:
    """Raise DeviceError if a device has no products of integers, or another precision that is as fast."""
    if device.type != "cpu":
        raise DeviceError(f"int8 is for CPUs, not for {device.type}; try auto")
    if native_bfloat16():
        raise DeviceError("int8 is hardly faster than bf16 on this CPU, and less exact; try bf16")
    if not native_int8():
        raise DeviceError("this CPU has no fast products of integers (AVX512-VNNI); try fp32")


def or_bfloat16(device: torch.device) -> str:
    """Return the end of an advice to try fp32: " or bf16" where that is possible."""
    return " or bf16" if device.type == "cpu" and native_bfloat16() else ""


def pick_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is the first CUDA device, else Apple's, else the CPU.

    Raises:
        DeviceError: this machine does not have the device, or its memory is full.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    advice = "try --device auto or --device cpu"
    if name.partition(":")[0] not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"no device {name!r}; there are auto, cpu, cuda, cuda:1 and so on, mps")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (torch.OutOfMemoryError, RuntimeError, AssertionError) as error:
        if is_out_of_memory(error):
            raise DeviceError(f"the memory of {name} is full; {advice}") from error
        if "forked subprocess" in str(error):
            remedy = "start processes with the method 'spawn', or try --device cpu"
            raise DeviceError(f"CUDA does not work in a process forked from one that used it; {remedy}") from error
        raise DeviceError(f"no device {name!r} on this machine; {advice}") from error
    return device


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a device or in the machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # Other errors of PyTorch have no type of their own; only these words tell them from others.
    return isinstance(error, RuntimeError) and bool(OUT_OF_MEMORY.search(str(error)))


@contextmanager
def memory_errors(what: str, advice: str) -> Iterator[None]:
    """Turn the error of a device, or of the machine, that ran out of memory into a DeviceError.

    Args:
        what: what was being done, for the message: "loading MODEL on DEVICE".
        advice: what to try, for the message.

    Raises:
        DeviceError: memory ran out. Other errors are passed on.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(f"ran out of memory {what}; {advice}") from error
