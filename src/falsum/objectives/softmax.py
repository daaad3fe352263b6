"""Softmax cross-entropy and its label smoothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from falsum.objectives.base import Objective, State, counted, kept


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Objective):
    """-log softmax(s / temperature)_y over the candidates and the target y (SCE; 1-vs-all with noise "all").

    label_smoothing: the mass taken from the target, in [0, 1). spread: who receives it: "others", lambda / (n - 1) to
    each candidate but the target (LibKGE and the released code of Kamigaito & Hayashi 2021), or "all", lambda / n to
    each candidate, target included (their Eq. 17). others(lambda) = all(lambda n / (n - 1)). anneal_epochs: lambda
    grows linearly from 0 to label_smoothing over the first so many epochs; 0: it is constant.

    temperature: at the optimum softmax(s) is p^temperature, normalised, where p are the labels' shares. 1 / (1 + a) is
    the exact partner of self-adversarial sampling with inverse temperature a: see docs/unified-view.md.
    """

    label_smoothing: float = 0.0
    spread: Literal["others", "all"] = "others"
    temperature: float = 1.0
    anneal_epochs: float = 0.0

    includes_target: ClassVar[bool] = True
    rows: ClassVar = "either"

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must lie in [0, 1), got {self.label_smoothing}")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if self.anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must not be negative, got {self.anneal_epochs}")

    def at(self, epoch: float) -> SoftmaxCrossEntropy:
        if not self.anneal_epochs:
            return self
        share = min(1.0, epoch / self.anneal_epochs)
        return replace(self, label_smoothing=share * self.label_smoothing, anneal_epochs=0.0)

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        scores = scores / self.temperature
        smooth = self.label_smoothing
        total = counted(scores.masked_fill(scores == -torch.inf, 0), weight) if smooth else scores[:, 0] * 0
        return torch.logsumexp(scores if weight is None else scores + weight.log(), -1), total, kept(scores, weight)

    def merge(self, a: State, b: State) -> State:
        return torch.logaddexp(a[0], b[0]), a[1] + b[1], a[2] + b[2]

    def finish(self, positive: Tensor, row: Tensor, state: State) -> Tensor:
        logsumexp, total, count = (part[row] for part in state)
        positive = positive / self.temperature
        if not self.label_smoothing:
            return logsumexp - positive
        if self.spread == "others":
            others = count - 1
            smooth = torch.where(others > 0, (total - positive) / torch.where(others > 0, others, 1), 0)
        else:
            smooth = total / count
        return logsumexp - (1 - self.label_smoothing) * positive - self.label_smoothing * smooth
