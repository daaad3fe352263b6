"""Pairwise losses: each negative is held against the target of its query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from falsum.errors import in_range
from falsum.objectives.base import Objective, Rivals, mean
from falsum.objectives.summaries import HingeSum, SoftHingeSum, Summary


@dataclass(frozen=True)
class MarginRanking(Objective):
    """sum_i max(0, margin + s_i - s+) (Bordes et al. 2013), or the mean over the negatives."""

    margin: float = 1.0
    reduction: Literal["sum", "mean"] = "sum"

    grouping: ClassVar = "never"

    def __post_init__(self) -> None:
        in_range("[-1e6, 1e6]", margin=self.margin)

    @property
    def summary(self) -> Summary:
        return HingeSum(self.margin)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        return _reduced(rivals, row, self.reduction)


@dataclass(frozen=True)
class SoftMargin(Objective):
    """sum_i log(1 + e^(margin + s_i - s+)), or the mean: the smooth form of `MarginRanking`."""

    margin: float = 0.0
    reduction: Literal["sum", "mean"] = "sum"

    grouping: ClassVar = "never"

    def __post_init__(self) -> None:
        in_range("[-1e6, 1e6]", margin=self.margin)

    @property
    def summary(self) -> Summary:
        return SoftHingeSum(self.margin)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        return _reduced(rivals, row, self.reduction)


def _reduced(rivals: Rivals, row: Tensor, reduction: str) -> Tensor:
    total, count = rivals.state
    return (mean(total, count) if reduction == "mean" else total)[row]
