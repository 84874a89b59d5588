"""Ensemble: averages the estimates of several networks, which beats each of them where their errors differ."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stemsplit import models
from stemsplit.models.bounded import bounded
from stemsplit.models.network import Network
from stemsplit.models.wiener import filtered

IGNORED: frozenset[str] = frozenset()
"""Published keywords without effect on inference: an ensemble has none."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One network of an ensemble.

    Args:
        architecture: a key of `models.ARCHITECTURES`.
        config: the network's hyperparameters.
        places: indices of its estimates among the ensemble's stems. A stem that it does not estimate, at most one, is
            the mixture minus its estimates.
        share: weight of its estimates in the mean, relative to the other members' weights.
        mid_side: whether it is given, and estimates, mid and side instead of left and right. Whatever is in the middle
            of a mixture is then in one channel alone.
    """

    architecture: str
    config: Mapping[str, Any]
    places: tuple[int, ...]
    share: float = 1.0
    mid_side: bool = False


@dataclass(frozen=True, kw_only=True)
class Config:
    """An ensemble's members and how their estimates are combined.

    Args:
        num_stems: number of stems.
        members: the networks, each a table with the fields of `Member`.
        wiener: weight of the estimates filtered by `wiener.filtered` in the result, from 0 to 1; the rest is
            unfiltered. With the filter, the stems have to add up to the mixture, and are `bounded.bounded`.
        wiener_n_fft: STFT size of that filter, in samples.

    Raises:
        ValueError: there is no member, or the members do not fit together.
    """

    num_stems: int
    members: tuple[Mapping[str, Any], ...]
    wiener: float = 0.0
    wiener_n_fft: int = 8_192

    def __post_init__(self) -> None:
        if self.num_stems < 1 or not isinstance(self.members, list | tuple) or not self.members:
            raise ValueError("an ensemble needs at least one stem and a list of at least one member")
        if not 0 <= self.wiener <= 1 or self.wiener_n_fft < 4 or self.wiener_n_fft % 4:
            raise ValueError("wiener must be from 0 to 1, and wiener_n_fft a multiple of 4")
        if any(models.canonical(member.architecture) == "ensemble" for member in self.parsed):
            raise ValueError("a member of an ensemble cannot be an ensemble itself")
        channels = self.channels
        for member in self.parsed:
            config = models.hyperparameters(member.architecture, member.config)
            indices = {index for index in member.places if type(index) is int}
            if len(indices) < len(member.places) or not indices <= set(range(self.num_stems)):
                raise ValueError(f"places must be different numbers below {self.num_stems}, not {member.places}")
            if config.outputs != len(indices) or len(indices) < self.num_stems - 1:
                raise ValueError(f"the places of a member with {config.outputs} stems cannot be {member.places}")
            if channels % config.channels:
                raise ValueError(f"a member takes {config.channels} channels at once, which does not divide {channels}")
            if type(member.share) not in (int, float) or not 0 < member.share < math.inf:
                raise ValueError(f"share must be above 0 and finite, not {member.share}")
            if type(member.mid_side) is not bool:
                raise ValueError(f"mid_side must be true or false, not {member.mid_side!r}")
            if member.mid_side and channels % 2:
                raise ValueError(f"mid_side needs pairs of channels, not {channels} channels")

    @property
    def parsed(self) -> list[Member]:
        """The members, parsed from their tables."""
        try:
            return [Member(**{**member, "places": tuple(member["places"])}) for member in self.members]
        except (TypeError, KeyError) as error:
            raise ValueError(f"a member needs architecture, config and places: {error}") from error

    @property
    def outputs(self) -> int:
        """Number of estimates."""
        return self.num_stems

    @property
    def channels(self) -> int:
        """Number of channels taken at once; at least two for mid and side, and for the filter, which compares them."""
        least = 2 if self.wiener or any(member.mid_side for member in self.parsed) else 1
        return max(
            least, *(models.hyperparameters(member.architecture, member.config).channels for member in self.parsed)
        )


def mid_side(x: Tensor) -> Tensor:
    """Turn left and right into mid and side in every pair of channels. The function is its own inverse.

    Args:
        x: (..., c, t).
    """
    left, right = x[..., ::2, :], x[..., 1::2, :]
    return torch.stack([left + right, left - right], -2).flatten(-3, -2) * math.sqrt(0.5)


class Ensemble(Network):
    """Averages the estimates of several networks, and filters the mean if asked.

    Args:
        config: the members, and how to combine them.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.descriptions, self.channels = config, config.parsed, config.channels
        networks = [models.build(member.architecture, member.config) for member in self.descriptions]
        self.members = nn.ModuleList(networks)
        self.keeps_silence = all(network.keeps_silence for network in networks)

    def averaged(self, mixture: Tensor, members: Iterable[Callable[[Tensor], Tensor]]) -> Tensor:
        """Return the weighted mean of the members' estimates, filtered and bounded if the config says so.

        Args:
            mixture: (b, c, t).
            members: one callable for each member, (b, c, t) -> (b, its stems, c, t).

        Returns:
            (b, n, c, t).
        """
        total = sum(member.share for member in self.descriptions)
        mean = mixture.new_zeros(mixture.shape[0], self.config.num_stems, *mixture.shape[1:])
        for member, compute in zip(self.descriptions, members, strict=True):
            share = member.share / total
            estimate = compute(mid_side(mixture) if member.mid_side else mixture).to(mixture.dtype)
            estimate = mid_side(estimate) if member.mid_side else estimate
            mean[:, list(member.places)] += share * estimate
            for missing in set(range(self.config.num_stems)) - set(member.places):
                mean[:, missing] += share * (mixture - estimate.sum(1))
        if not self.config.wiener:
            return mean
        pairs = zip(mixture.split(self.channels, 1), mean.split(self.channels, 2), strict=True)
        refined = [
            bounded(mixed, own.lerp(filtered(mixed, own, self.config.wiener_n_fft), self.config.wiener))
            for mixed, own in pairs
        ]
        return torch.cat(refined, 2)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the stems.

        Args:
            mixture: (b, c, t), c a multiple of the channels taken at once.

        Returns:
            (b, n, c, t).

        Raises:
            ValueError: the channels do not divide into groups of those taken at once.
        """
        return self.averaged(mixture, self.members)


def infer(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Infer nothing: an ensemble's weights do not show which member estimates which stem.

    Raises:
        ValueError: the weights are of an ensemble.
    """
    if all(key.startswith("members.") for key in shapes):
        raise ValueError("it is an ensemble, which only a registry entry can describe")


def build(config: Config) -> Network:
    """Build the networks with fresh weights."""
    return Ensemble(config)
