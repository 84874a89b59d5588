"""What moves the weights: one or two of PyTorch's optimizers, as one."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

OPTIMIZERS = ("adamw", "muon")

_LAYERS = re.compile(r"(members\.\d+\.)?layers\.")


def matrices(network: nn.Module) -> set[str]:
    """Keys of the parameters that Muon is made for."""
    return {key for key, parameter in network.named_parameters() if _LAYERS.match(key) and parameter.ndim == 2}


class Optimizers:
    """AdamW; or Muon (Jordan et al. 2024) for the matrices between layers of the same width, and AdamW for the rest.

    Muon makes the step of a matrix orthogonal, which suits a transformer's layers; not what goes in or comes out, such
    as filters, the split into bands and masks.

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
            raise ValueError("muon moves matrices of transformers, of which this network has none; take adamw")
        rest = [parameter for key, parameter in moved if key not in inner]
        between = [parameter for key, parameter in moved if key in inner]
        self.all: list[torch.optim.Optimizer] = []
        if rest:
            self.all.append(torch.optim.AdamW(rest, betas=(0.9, 0.99), weight_decay=weight_decay))
        if between:
            # Its steps as large as AdamW's usually are, so that one learning rate suits both.
            muon = torch.optim.Muon(between, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
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

    def state_dict(self) -> list[dict[str, Any]]:
        """Of each."""
        return [optimizer.state_dict() for optimizer in self.all]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """What `state_dict` gave."""
        for optimizer, state in zip(self.all, states, strict=True):
            optimizer.load_state_dict(state)
