"""Curves: settings that change while a model trains, as a function of the epoch or by what is seen of the training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from falsum.errors import in_range


class Curve(ABC):
    """The value of a setting after `epoch` epochs."""

    @abstractmethod
    def at(self, epoch: float) -> float:
        """epoch: fractional, from 0 on."""

    @property
    @abstractmethod
    def ends(self) -> tuple[float, float]:
        """The least and the largest value that it ever takes, so that a setting can refuse it when it is read."""


@dataclass(frozen=True)
class Constant(Curve):
    """The same value at all times. A plain number in a recipe stands for it."""

    value: float = 1.0

    def at(self, epoch: float) -> float:
        return self.value

    @property
    def ends(self) -> tuple[float, float]:
        return self.value, self.value


@dataclass(frozen=True)
class Ramp(Curve):
    """From `start` to `stop` over `epochs` epochs after the first `wait`, then `stop`.

    shape: "linear"; "cosine", slow at both ends; "step", all at once when the epochs are over.
    """

    start: float = 0.0
    stop: float = 1.0
    epochs: float = 20.0
    wait: float = 0.0
    shape: Literal["linear", "cosine", "step"] = "linear"

    def __post_init__(self) -> None:
        in_range("(0, 1e9]", epochs=self.epochs)
        in_range("[0, 1e9]", wait=self.wait)

    def at(self, epoch: float) -> float:
        done = min(1.0, max(0.0, (epoch - self.wait) / self.epochs))
        if self.shape == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        if self.shape == "step":
            done = math.floor(done)
        return self.start + done * (self.stop - self.start)

    @property
    def ends(self) -> tuple[float, float]:
        return min(self.start, self.stop), max(self.start, self.stop)


@dataclass(frozen=True)
class RiseFall(Curve):
    """`low`, then linearly up to `high` over `rise` epochs after the first `wait`, and down again over `fall`.

    The schedule of KMAS (2026) for the share of hard negatives: rising after a warm-up, then falling, since what is
    hard to a good model is often true.
    """

    low: float = 0.0
    high: float = 0.5
    wait: float = 5.0
    rise: float = 10.0
    fall: float = 20.0

    def __post_init__(self) -> None:
        in_range("[0, 1e9]", wait=self.wait)
        in_range("(0, 1e9]", rise=self.rise, fall=self.fall)

    def at(self, epoch: float) -> float:
        up = (epoch - self.wait) / self.rise
        down = (self.wait + self.rise + self.fall - epoch) / self.fall
        return self.low + min(1.0, max(0.0, min(up, down))) * (self.high - self.low)

    @property
    def ends(self) -> tuple[float, float]:
        return min(self.low, self.high), max(self.low, self.high)


CURVES: dict[str, type[Curve]] = {"constant": Constant, "ramp": Ramp, "rise-fall": RiseFall}
