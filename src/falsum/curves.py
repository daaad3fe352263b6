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


State = tuple[float, ...]
Watched = Literal["logistic", "softmax", "known"]


class Steered(Curve):
    """A curve that is steered by what is seen of the draws (a closed loop): a pure law of motion of a few numbers.

    watched: what is counted at every step, as a part of a whole. "logistic", "softmax": draws whose gradient is alive,
    of all draws. "known": draws that are known training answers, of as many as even draws would hit on average.
    offset: is added to scores before "logistic" counts them. `at` says what it is while nothing was seen.
    """

    offset: float = 0.0
    start: State

    @property
    @abstractmethod
    def watched(self) -> Watched:
        """What it is steered by."""

    def at(self, epoch: float) -> float:
        return self.value(epoch, self.start)

    @abstractmethod
    def value(self, epoch: float, state: State) -> float:
        """The value in a state."""

    @abstractmethod
    def step(self, epoch: float, state: State, part: float, whole: float) -> State:
        """The state after part of a whole was seen."""


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


@dataclass(frozen=True)
class LiveGradient(Steered):
    """Between `easy` and `hard`, so that a share of the draws in [low, high] has a gradient to speak of (PI control).

    The hardness x in [0, 1], with the value easy + x (hard - easy), is `integral` times the summed errors plus
    `proportional` times the last one; the error is how far the share lies below `low`, or minus how far above `high`.
    The sum stays in [0, 1], so nothing winds up. It moves at every batch of either side.

    gradient: "logistic", sigma(score + offset) > 0.05; "softmax", a draw weighs more than 5 % of the heaviest of its
    question. A reconstruction: no paper gives the gains.
    """

    easy: float = 0.0
    hard: float = 1.0
    low: float = 0.2
    high: float = 0.5
    proportional: float = 0.1
    integral: float = 0.02
    gradient: Literal["logistic", "softmax"] = "logistic"
    offset: float = 0.0

    start = (0.0, 0.0)

    def __post_init__(self) -> None:
        in_range("[0, 1]", low=self.low, high=self.high)
        in_range("[0, 1e6]", proportional=self.proportional, integral=self.integral)
        in_range("[-1e6, 1e6]", offset=self.offset)
        if self.low > self.high:
            raise ValueError(f"low must not lie above high, got low = {self.low}, high = {self.high}")

    @property
    def watched(self) -> Watched:
        return self.gradient

    def value(self, epoch: float, state: State) -> float:
        total, error = state
        return self.easy + min(1.0, max(0.0, total + self.proportional * error)) * (self.hard - self.easy)

    def step(self, epoch: float, state: State, part: float, whole: float) -> State:
        share = part / whole
        error = max(0.0, self.low - share) - max(0.0, share - self.high)
        return min(1.0, max(0.0, state[0] + self.integral * error)), error

    @property
    def ends(self) -> tuple[float, float]:
        return min(self.easy, self.hard), max(self.easy, self.hard)


@dataclass(frozen=True)
class Guarded(Steered):
    """`curve`, whose time stands still where it would harden while too many draws are known answers.

    Too many: `limit` times as many as even draws would hit, over the last steps (each counts `memory` times the next).
    Known training answers stand for the unknown ones: held-out truths would be the right thing to count, and a training
    run must not see them. They are counted in draws without a filter, whatever the noise leaves out. hard: which values
    of the setting are hard.
    """

    curve: Curve = RiseFall(0.0, 0.5)
    limit: float = 2.0
    memory: float = 0.9
    hard: Literal["high", "low"] = "high"

    start = (0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        in_range("[0, 1e9]", limit=self.limit)
        in_range("[0, 1)", memory=self.memory)
        if isinstance(self.curve, Steered):
            raise ValueError("the guarded curve must be one that is not steered itself, such as ramp or rise-fall")

    @property
    def watched(self) -> Watched:
        return "known"

    def value(self, epoch: float, state: State) -> float:
        return self.curve.at(state[0])

    def step(self, epoch: float, state: State, part: float, whole: float) -> State:
        """state: the time of the curve, the epoch when it was last set, the two running sums."""
        clock, last, hits, even = state
        hits, even = self.memory * hits + part, self.memory * even + whole
        later = clock + epoch - last
        harder = (self.curve.at(later) - self.curve.at(clock)) * (1 if self.hard == "high" else -1) > 0
        return (clock if harder and hits > self.limit * even else later), epoch, hits, even

    @property
    def ends(self) -> tuple[float, float]:
        return self.curve.ends


CURVES: dict[str, type[Curve]] = {
    "constant": Constant,
    "ramp": Ramp,
    "rise-fall": RiseFall,
    "live-gradient": LiveGradient,
    "guarded": Guarded,
}
