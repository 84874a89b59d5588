"""What moves the weights: one or two of PyTorch's optimizers, as one."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

OPTIMIZERS = ("adamw", "muon")

_LAYERS = re.compile(r"(members\.\d+\.)?(layers|sm|bottleneck|mask_net)\.")
"""Where RoFormers and SuDoRM-RF have the matrices that Muon is made for."""


def matrices(network: nn.Module) -> set[str]:
    """Keys of the parameters that Muon is made for: matrices, some of which are convolutions of length 1."""
    return {
        key
        for key, parameter in network.named_parameters()
        if _LAYERS.match(key) and parameter.ndim >= 2 and parameter.shape[1] == parameter[0].numel() > 1
    }


class Optimizers:
    """AdamW; or Muon (Jordan et al. 2024) for the matrices between layers, and AdamW for the rest.

    Muon makes the step of a matrix orthogonal, which suits what lies between layers; not what goes in or comes out,
    such as filters, the split into bands and a RoFormer's masks.

    Args:
        name: one of `OPTIMIZERS`.
        network: whose parameters to move.
        weight_decay: of both.

    Raises:
        ValueError: there is no such optimizer, or nothing for it in the network.
    """

    def __init__(self, name: str, network: nn.Module, weight_decay: float) -> None:
        if name not in OPTIMIZERS:
            raise ValueError(f"no optimizer {name!r}; there are {', '.join(OPTIMIZERS)}")
        moved = [(key, parameter) for key, parameter in network.named_parameters() if parameter.requires_grad]
        inner = matrices(network) if name == "muon" else set()
        if name == "muon" and not inner:
            raise ValueError("muon moves matrices between layers, of which this network has none; take adamw")
        rest = [parameter for key, parameter in moved if key not in inner]
        self.between = [parameter for key, parameter in moved if key in inner]
        # PyTorch's Muon takes nothing but matrices: these are the same numbers, seen as such.
        self.flat = [nn.Parameter(parameter.detach().flatten(1)) for parameter in self.between]
        self.all: list[torch.optim.Optimizer] = []
        if rest:
            self.all.append(torch.optim.AdamW(rest, betas=(0.9, 0.99), weight_decay=weight_decay))
        if self.flat:
            # Its steps as large as AdamW's usually are, so that one learning rate suits both.
            muon = torch.optim.Muon(self.flat, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            self.all.append(muon)

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next step."""
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for optimizer in self.all:
            optimizer.zero_grad()
        for parameter in self.between:
            parameter.grad = None

    def take_gradients(self) -> None:
        """Look at the gradients that there are now; whatever is done to them until the step is done to these."""
        for parameter, flat in zip(self.between, self.flat, strict=True):
            flat.grad = None if parameter.grad is None else parameter.grad.flatten(1)

    def state_dict(self) -> list[dict[str, Any]]:
        """Of each."""
        return [optimizer.state_dict() for optimizer in self.all]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """What `state_dict` gave."""
        for optimizer, state in zip(self.all, states, strict=True):
            optimizer.load_state_dict(state)
