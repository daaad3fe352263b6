"""Counts: how many of its draws a question takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from falsum.errors import in_range


class Count(ABC):
    """How many of `num` draws count for a question."""

    @abstractmethod
    def of(self, num: int, frequency: Tensor) -> Tensor | None:
        """(b,) int64 in [1, num], from how many training triples each question has, (b,); None: all of them."""


@dataclass(frozen=True)
class Same(Count):
    """As many for every question."""

    def of(self, num: int, frequency: Tensor) -> None:
        return None


@dataclass(frozen=True)
class Rarer(Count):
    """num / frequency^exponent, at least `least`: a question with many answers takes fewer draws for each of them.

    At exponent 1 every question meets the same number of negatives in an epoch, however many triples it has. After the
    idea of ERDNS (Yao et al. 2023), whose exact form could not be had: a reconstruction.
    """

    exponent: float = 0.5
    least: int = 1

    def __post_init__(self) -> None:
        in_range("[0, 10]", exponent=self.exponent)
        in_range("[1, 1e7]", least=self.least)

    def of(self, num: int, frequency: Tensor) -> Tensor:
        return (num * frequency.clamp(min=1).double().pow(-self.exponent)).round().long().clamp(self.least, num)


COUNTS: dict[str, type[Count]] = {"same": Same, "rarer": Rarer}
