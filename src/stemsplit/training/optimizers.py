"""Combines PyTorch's optimizers: AdamW alone, or Muon for some of the weights and AdamW for the rest."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from stemsplit.training.plan import OPTIMIZER_NAMES, check_name

_LAYERS = re.compile(r"(members\.\d+\.)?(layers|sm|bottleneck|mask_net)\.")
"""Matches the keys of layers in RoFormers and SuDoRM-RF that hold matrices for Muon."""


def matrices(network: nn.Module) -> set[str]:
    """Return the keys of the parameters that suit Muon: matrices, among them convolutions of length 1."""
    return {
        key
        for key, parameter in network.named_parameters()
        if _LAYERS.match(key) and parameter.ndim >= 2 and parameter.shape[1] == parameter[0].numel() > 1
    }


class Optimizers:
    """AdamW; or Muon (Jordan et al. 2024) for the matrices between layers, and AdamW for the rest.

    Muon makes the update of a matrix orthogonal. That suits matrices between hidden layers, but not the first and last
    layers: filters, the split into bands, a RoFormer's masks.

    Args:
        name: one of `OPTIMIZER_NAMES`.
        network: the network to train.
        weight_decay: weight decay of both optimizers.

    Attributes:
        all: PyTorch's optimizers.

    Raises:
        ValueError: the optimizer does not exist, or the network has no parameters for it.
    """

    def __init__(self, name: str, network: nn.Module, weight_decay: float) -> None:
        check_name("optimizer", name, OPTIMIZER_NAMES)
        trained = [(key, parameter) for key, parameter in network.named_parameters() if parameter.requires_grad]
        hidden = matrices(network) if name == "muon" else set()
        if name == "muon" and not hidden:
            raise ValueError("muon is for matrices between hidden layers, and this network has none; use adamw")
        rest = [parameter for key, parameter in trained if key not in hidden]
        self.matrices = [parameter for key, parameter in trained if key in hidden]
        # PyTorch's Muon accepts only matrices; these are views of the same memory.
        self.flat = [nn.Parameter(parameter.detach().flatten(1)) for parameter in self.matrices]
        self.all: list[torch.optim.Optimizer] = []
        if rest:
            self.all.append(torch.optim.AdamW(rest, betas=(0.9, 0.99), weight_decay=weight_decay))
        if self.flat:
            # This option makes its updates about as large as AdamW's, so that one learning rate suits both.
            muon = torch.optim.Muon(self.flat, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            self.all.append(muon)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the next step."""
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for optimizer in self.all:
            optimizer.zero_grad()
        for parameter in self.matrices:
            parameter.grad = None

    def share_gradients(self) -> None:
        """Make Muon's parameters share the current gradients, so that unscaling and clipping reach both."""
        for parameter, flat in zip(self.matrices, self.flat, strict=True):
            flat.grad = None if parameter.grad is None else parameter.grad.flatten(1)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the states of all optimizers."""
        return [optimizer.state_dict() for optimizer in self.all]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """Restore what `state_dict` returned."""
        for optimizer, state in zip(self.all, states, strict=True):
            optimizer.load_state_dict(state)
