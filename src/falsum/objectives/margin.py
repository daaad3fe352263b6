"""Pairwise losses: each negative is held against the target of its query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from falsum.objectives.base import Objective, State, counted, kept, mean


@dataclass(frozen=True)
class MarginRanking(Objective):
    """sum_i max(0, margin + s_i - s+) (Bordes et al. 2013), or the mean over the negatives."""

    margin: float = 1.0
    reduction: Literal["sum", "mean"] = "sum"

    includes_target: ClassVar[bool] = False
    rows: ClassVar = "single"

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        return counted(torch.relu(self.margin + scores - positive[:, None]), weight), kept(scores, weight)

    def merge(self, a: State, b: State) -> State:
        return a[0] + b[0], a[1] + b[1]

    def finish(self, positive: Tensor, row: Tensor, state: State) -> Tensor:
        return _reduce(state, row, self.reduction)


@dataclass(frozen=True)
class SoftMargin(Objective):
    """sum_i log(1 + e^(margin + s_i - s+)), or the mean: the smooth form of `MarginRanking`."""

    margin: float = 0.0
    reduction: Literal["sum", "mean"] = "sum"

    includes_target: ClassVar[bool] = False
    rows: ClassVar = "single"

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        return counted(softplus(self.margin + scores - positive[:, None]), weight), kept(scores, weight)

    def merge(self, a: State, b: State) -> State:
        return a[0] + b[0], a[1] + b[1]

    def finish(self, positive: Tensor, row: Tensor, state: State) -> Tensor:
        return _reduce(state, row, self.reduction)


def _reduce(state: State, row: Tensor, reduction: str) -> Tensor:
    total, count = state
    return (mean(total, count) if reduction == "mean" else total)[row]
