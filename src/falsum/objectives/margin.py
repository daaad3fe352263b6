"""Losses by margins: each negative held against the target of its query, or both against levels of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.objectives.base import Objective, Rivals, against, reduced, rivals_total
from falsum.objectives.summaries import ExcessSum, HingeSum, SoftHingeSum, Summary


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
        total, count = rivals.state
        return reduced(total, count, self.reduction)[row]


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
        total, count = rivals.state
        return reduced(total, count, self.reduction)[row]


@dataclass(frozen=True)
class DoubleMargin(Objective):
    """max(0, at_least - s+) + balance sum_i max(0, s_i - at_most), or the mean (Zhou et al. 2017: limit-based scoring).

    Levels are absolute, so nothing is gained once every answer scores `at_least` and every candidate `at_most`: scores
    mean the same for every question. Zhou et al. put the limits on distances and add the pairwise margin loss to the
    first part; PyKEEN's DoubleMarginLoss is this one, with negative_margin = -at_most. `at_most` may lie above
    `at_least`, though there is no reason to.
    """

    at_least: float = 1.0
    at_most: float = 0.0
    balance: float = 1.0
    reduction: Literal["sum", "mean"] = "sum"

    grouping: ClassVar = "free"
    separable: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[-1e6, 1e6]", at_least=self.at_least, at_most=self.at_most)
        in_range("[0, 1e6]", balance=self.balance)

    @property
    def summary(self) -> Summary:
        return ExcessSum(self.at_most)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        total, count = rivals_total(torch.relu(positive - self.at_most), row, rivals)
        rest = self.balance * reduced(total, count, self.reduction)
        return torch.relu(self.at_least - positive) + against(rivals, rest)
