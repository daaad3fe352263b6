"""Learning-rate schedules: pure functions of where training stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from falsum.errors import in_range


class Schedule(ABC):
    """A factor on the learning rate: a pure function of where training stands, so it has no state to lose."""

    warmup: int

    def __post_init__(self) -> None:
        in_range("[0, 1e9]", warmup=self.warmup)

    @abstractmethod
    def factor(self, step: int, epoch: float, history: Sequence[float]) -> float:
        """The factor at `step` (from 0), `epoch` (fractional) and after validations with metrics `history`."""


@dataclass(frozen=True)
class Constant(Schedule):
    """No change after a linear warm-up over `warmup` steps."""

    warmup: int = 0

    def factor(self, step: int, epoch: float, history: Sequence[float]) -> float:
        return _warm(step, self.warmup)


@dataclass(frozen=True)
class Plateau(Schedule):
    """Multiply by `decay` after more than `patience` validations in a row without a relative gain above `threshold`.

    As torch's ReduceLROnPlateau(mode="max", threshold_mode="rel"); patience counts validations, not epochs.
    """

    decay: float = 0.95
    patience: int = 5
    threshold: float = 1e-4
    warmup: int = 0

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        in_range("(0, 1]", decay=self.decay)
        in_range("[0, 1e9]", patience=self.patience)
        in_range("[0, 1]", threshold=self.threshold)

    def factor(self, step: int, epoch: float, history: Sequence[float]) -> float:
        best, bad, factor = float("-inf"), 0, 1.0
        for metric in history:
            gained = best == float("-inf") or metric > best * (1 + self.threshold)
            best, bad = (metric, 0) if gained else (best, bad + 1)
            if bad > self.patience:
                factor, bad = factor * self.decay, 0
        return factor * _warm(step, self.warmup)


@dataclass(frozen=True)
class Steps(Schedule):
    """Multiply by `decay` after every `every` epochs."""

    every: int = 50
    decay: float = 0.5
    warmup: int = 0

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        in_range("[1, 1e9]", every=self.every)
        in_range("(0, 1]", decay=self.decay)

    def factor(self, step: int, epoch: float, history: Sequence[float]) -> float:
        return float(self.decay ** int(epoch // self.every)) * _warm(step, self.warmup)


@dataclass(frozen=True)
class Linear(Schedule):
    """Fall linearly from 1 to `last` over `epochs` epochs, then stay."""

    epochs: int = 100
    last: float = 0.0
    warmup: int = 0

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        in_range("[1, 1e9]", epochs=self.epochs)
        in_range("[0, 1]", last=self.last)

    def factor(self, step: int, epoch: float, history: Sequence[float]) -> float:
        return (1 - min(1.0, epoch / self.epochs) * (1 - self.last)) * _warm(step, self.warmup)


def _warm(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) if warmup else 1.0


SCHEDULES: dict[str, type[Schedule]] = {"constant": Constant, "plateau": Plateau, "step": Steps, "linear": Linear}
