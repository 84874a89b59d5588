"""Maps values to places on an axis, and chooses its ticks."""

import math
from collections.abc import Iterable

LARGEST = 1e30
"""Larger values are not drawn: figures in files may be anything, and differences of larger ones may overflow."""


def drawable(values: Iterable[float]) -> list[float]:
    """Return the values that can be drawn."""
    return [value for value in values if abs(value) < LARGEST]


def step_of(low: float, high: float, most: int = 6) -> float:
    """Return the distance of ticks: 1, 2 or 5 times a power of ten, such that there are about `most` of them."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.99 * rough)


def number(value: float, step: float) -> str:
    """Return a tick's value, with as many decimals as ticks that are `step` apart need."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3g}"
    decimals = max(-math.floor(math.log10(step) + 1e-9), 0)
    return f"{value:,.{min(decimals, 8)}f}"


class Scale:
    """Maps values to places on an axis.

    Args:
        values: values that must have a place; those that cannot be drawn are ignored.
        start: place of the lowest value.
        end: place of the highest.
        log: whether the axis is logarithmic; values up to 0 have no place then.
        zero: whether 0 must have a place.
        most: about how many ticks there may be.
        least: smallest span of the axis, so that small differences do not look large.
    """

    def __init__(
        self,
        values: Iterable[float],
        start: float,
        end: float,
        *,
        log: bool = False,
        zero: bool = False,
        most: int = 6,
        least: float = 0.0,
    ) -> None:
        known = [value for value in drawable(values) if value > 0 or not log]
        known += [0.0] if zero else []
        self.start, self.end, self.log = start, end, log
        low, high = min(known, default=1.0 if log else 0.0), max(known, default=10.0 if log else 1.0)
        if log:
            self._decades(low, high)
            return
        if high - low <= 1e-9 * max(abs(low), abs(high)):  # all are equal
            around = abs(high) / 10 or 1.0
            low, high = (0.0, 1.0) if zero else (low - around, high + around)
        if high - low < least:
            low, high = (low + high - least) / 2, (low + high + least) / 2
        step = step_of(low, high, most)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        self.low, self.high = first * step, last * step
        self.ticks = [(index * step, number(index * step, step)) for index in range(first, last + 1)]

    def _decades(self, low: float, high: float) -> None:
        low, high = (low, high) if high > 1.001 * low else (low / 2, high * 2)
        # If there are few decades, powers of ten alone are too few ticks.
        factors = (1, 2, 5) if high < 300 * low else (1,)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        all_ = [factor * 10.0**power for power in powers for factor in factors]
        low = max([value for value in all_ if value <= 1.001 * low], default=low)
        high = min([value for value in all_ if value >= 0.999 * high], default=high)
        inside = [value for value in all_ if 0.999 * low <= value <= 1.001 * high]
        every = -(-len(inside) // 8)
        self.low, self.high = math.log10(low), math.log10(high)
        self.ticks = [(value, f"{value:g}") for value in inside[::every]]

    def has(self, value: float) -> bool:
        """Return whether a value has a place."""
        return abs(value) < LARGEST and (value > 0 or not self.log)

    def place(self, value: float) -> float:
        """Return the place of a value."""
        value = math.log10(value) if self.log else value
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)
