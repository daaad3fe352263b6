"""The squared loss, which needs no negatives drawn: its sum over all entities is a form of their Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.objectives.base import Objective, Rivals, against, row_sum
from falsum.objectives.summaries import SquareSum


@dataclass(frozen=True)
class Squared(Objective):
    """Per question: positive sum over its targets of (s+ - true_score)^2 + negative sum_i (s_i - false_score)^2
    (NS-KGE; Li et al. 2021).

    The targets of a question share its second part equally. With noise "all", filtered, and inner products this is the
    non-sampling loss, and costs width^2 a question instead of a score per entity. true_score, false_score: what is
    wanted; distances, which are never above 0, need both below.

    Deviation: NS-KGE also has the questions that no fact answers; here a question is one of training.
    """

    positive: float = 1.0
    negative: float = 0.001
    true_score: float = 1.0
    false_score: float = 0.0

    grouping: ClassVar = "always"
    separable: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[0, 1e6]", positive=self.positive, negative=self.negative)
        in_range("[-1e6, 1e6]", true_score=self.true_score, false_score=self.false_score)

    @property
    def summary(self) -> SquareSum:
        return SquareSum(self.false_score)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        (total,) = rivals.state
        targets = row_sum(torch.ones_like(positive), row, len(total))
        rest = (self.negative * total / targets.clamp(min=1))[row]
        return self.positive * (positive - self.true_score).square() + against(rivals, rest)
