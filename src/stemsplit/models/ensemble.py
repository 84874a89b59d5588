"""Ensemble: several networks whose estimates are averaged, which is better than each where they err differently."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stemsplit import models
from stemsplit.models.wiener import filtered

IGNORED: frozenset[str] = frozenset()
"""Every keyword has an effect."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the networks.

    Args:
        architecture: key of `models.ARCHITECTURES`.
        config: its hyperparameters.
        places: of its estimates among the ensemble's stems; a single stem that it has no estimate of is what the others
            leave of the mixture.
        share: weight of its estimates.
        mid_side: whether it hears, and estimates, mid and side instead of left and right: what is in the middle of a
            mixture is then in one of the channels alone.
    """

    architecture: str
    config: Mapping[str, Any]
    places: tuple[int, ...]
    share: float = 1.0
    mid_side: bool = False


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which networks.

    Args:
        num_stems: estimates.
        members: the networks, each a table with the fields of `Member`.
        wiener: share of the result that has gone through `wiener.filtered`.
        wiener_n_fft: size of that filter's Fourier transform, in samples.

    Raises:
        ValueError: there are none, or they do not go together.
    """

    num_stems: int
    members: tuple[Mapping[str, Any], ...]
    wiener: float = 0.0
    wiener_n_fft: int = 8_192

    def __post_init__(self) -> None:
        if self.num_stems < 1 or not isinstance(self.members, list | tuple) or not self.members:
            raise ValueError("an ensemble has at least one stem and a list of at least one member")
        if not 0 <= self.wiener <= 1 or self.wiener_n_fft < 4 or self.wiener_n_fft % 4:
            raise ValueError("wiener is a share, from 0 to 1, and wiener_n_fft a multiple of 4")
        if any(member.architecture == "ensemble" for member in self.read):
            raise ValueError("a member of an ensemble cannot be one itself")
        channels = self.channels
        for member in self.read:
            made = models.hyperparameters(member.architecture, member.config)
            places = {place for place in member.places if type(place) is int}
            if len(places) < len(member.places) or not places <= set(range(self.num_stems)):
                raise ValueError(f"places must be different numbers below {self.num_stems}, not {member.places}")
            if made.outputs != len(places) or len(places) < self.num_stems - 1:
                raise ValueError(f"a member with {made.outputs} stems cannot have the places {member.places}")
            if channels % made.channels:
                raise ValueError("members take different numbers of channels together")
            if type(member.share) not in (int, float) or not 0 < member.share < math.inf:
                raise ValueError(f"a share must be above 0 and finite, not {member.share}")
            if type(member.mid_side) is not bool or (member.mid_side and channels % 2):
                raise ValueError(f"mid_side is true, of pairs of channels, or false, not {member.mid_side!r}")

    @property
    def read(self) -> list[Member]:
        """The members."""
        try:
            return [Member(**{**member, "places": tuple(member["places"])}) for member in self.members]
        except (TypeError, KeyError) as error:
            raise ValueError(f"a member has architecture, config, places and share: {error}") from error

    @property
    def outputs(self) -> int:
        """Estimates."""
        return self.num_stems

    @property
    def channels(self) -> int:
        """Taken together; always two by the filter, which tells sources by them, and for mid and side."""
        least = 2 if self.wiener or any(member.mid_side for member in self.read) else 1
        return max(
            least, *(models.hyperparameters(member.architecture, member.config).channels for member in self.read)
        )


def mid_side(x: Tensor) -> Tensor:
    """Left and right -> mid and side, in every pair of channels; and back, as it is its own inverse.

    Args:
        x: (..., c, t).
    """
    left, right = x[..., ::2, :], x[..., 1::2, :]
    return torch.stack([left + right, left - right], -2).flatten(-3, -2) * math.sqrt(0.5)


class Ensemble(nn.Module):
    """Averages the estimates of networks, and filters the mean.

    Args:
        config: which.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.described, self.together = config, config.read, config.channels
        self.members = nn.ModuleList(models.build(member.architecture, member.config) for member in self.described)
        # Silent mixtures have silent estimates if every member keeps to that.
        self.keeps_silence = all(getattr(member, "keeps_silence", False) for member in self.members)

    def averaged(self, mixture: Tensor, members: Iterable[Callable[[Tensor], Tensor]]) -> Tensor:
        """The mean of the members' estimates, by their shares, filtered.

        Args:
            mixture: (b, c, t).
            members: what computes each, (b, c, t) -> (b, its stems, c, t).

        Returns:
            (b, n, c, t).
        """
        whole = sum(member.share for member in self.described)
        mean = mixture.new_zeros(mixture.shape[0], self.config.num_stems, *mixture.shape[1:])
        for member, compute in zip(self.described, members, strict=True):
            share = member.share / whole
            estimate = compute(mid_side(mixture) if member.mid_side else mixture).to(mixture.dtype)
            estimate = mid_side(estimate) if member.mid_side else estimate
            mean[:, list(member.places)] += share * estimate
            for left in set(range(self.config.num_stems)) - set(member.places):
                mean[:, left] += share * (mixture - estimate.sum(1))
        if not self.config.wiener:
            return mean
        pairs = zip(mixture.split(self.together, 1), mean.split(self.together, 2), strict=True)
        again = torch.cat([filtered(*pair, self.config.wiener_n_fft) for pair in pairs], 2)
        return mean.lerp(again, self.config.wiener)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the stems.

        Args:
            mixture: (b, c, t), c a multiple of the channels taken together.

        Returns:
            (b, n, c, t).

        Raises:
            ValueError: the channels do not divide into groups of those taken together.
        """
        return self.averaged(mixture, self.members)


def infer(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Nothing: an ensemble's weights do not tell which stem is whose.

    Raises:
        ValueError: they are of an ensemble.
    """
    if all(key.startswith("members.") for key in shapes):
        raise ValueError("it is an ensemble, which only its registry entry can describe")


def build(config: Config) -> nn.Module:
    """The networks, with fresh weights."""
    return Ensemble(config)
