"""Builds networks without numbers, for weights that will take their place."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

MAKERS: frozenset[Callable[..., Any]] = frozenset({torch.empty, torch.ones, torch.zeros, torch.rand, torch.randn})
"""Functions that layers make their weights with. What others make has numbers, as usual."""

FILLERS: frozenset[Callable[..., Any]] = frozenset(
    {Tensor.uniform_, Tensor.normal_, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_}
)
"""Functions that fill weights with random numbers. PyTorch takes as long for them as for building the layers."""


class Shapes(TorchFunctionMode):
    """Makes weights on the meta device, in the current thread: `with Shapes(): network = build()`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of PyTorch, or return its first argument if it would fill nothing."""
        named = dict(kwargs or {})
        if func in MAKERS and named.get("device") is None:
            named["device"] = "meta"
        elif func in FILLERS and (given := args[0] if args else named.get("tensor")) is not None and given.is_meta:
            return given
        return func(*args, **named)
