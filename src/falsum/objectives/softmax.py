"""Softmax cross-entropy and its label smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from falsum.objectives.base import Objective, State, kept


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Objective):
    """-log softmax(s)_y over the candidates and the target y (SCE; 1-vs-all with noise "all").

    label_smoothing: the mass taken from the target, in [0, 1). spread: who receives it: "others", lambda / (n - 1) to
    each candidate but the target (LibKGE and the released code of Kamigaito & Hayashi 2021), or "all", lambda / n to
    each candidate, target included (their Eq. 17). others(lambda) = all(lambda n / (n - 1)).
    """

    label_smoothing: float = 0.0
    spread: Literal["others", "all"] = "others"

    includes_target: ClassVar[bool] = True
    rows: ClassVar = "either"

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must lie in [0, 1), got {self.label_smoothing}")

    def fold(self, scores: Tensor, positive: Tensor) -> State:
        total = scores.masked_fill(scores == -torch.inf, 0).sum(-1) if self.label_smoothing else scores[:, 0] * 0
        return torch.logsumexp(scores, -1), total, kept(scores)

    def merge(self, a: State, b: State) -> State:
        return torch.logaddexp(a[0], b[0]), a[1] + b[1], a[2] + b[2]

    def finish(self, positive: Tensor, row: Tensor, state: State) -> Tensor:
        logsumexp, total, count = (part[row] for part in state)
        if not self.label_smoothing:
            return logsumexp - positive
        others = self.spread == "others"
        smooth = (total - positive) / (count - 1).clamp(min=1) if others else total / count
        return logsumexp - (1 - self.label_smoothing) * positive - self.label_smoothing * smooth
