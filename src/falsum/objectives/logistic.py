"""Logistic losses: negative sampling, its self-adversarial form, binary cross-entropy. sp(x) = log(1 + e^x)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from falsum.objectives.base import Objective, State, counted, kept, mean, row_sum


@dataclass(frozen=True)
class NegativeSampling(Objective):
    """sp(-z+) + sum_i sp(z_i) with z = s + offset (NS; Mikolov et al. 2013, Kamigaito & Hayashi 2021 Eq. 3).

    reduction: "sum" over the negatives, or "mean" (the RotatE code). offset is the gamma of distance models. Other
    answers of the query are negatives unless the noise filters them.
    """

    offset: float = 0.0
    reduction: Literal["sum", "mean"] = "sum"

    includes_target: ClassVar[bool] = False
    rows: ClassVar = "either"

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        return counted(softplus(scores + self.offset), weight), kept(scores, weight)

    def merge(self, a: State, b: State) -> State:
        return a[0] + b[0], a[1] + b[1]

    def finish(self, positive: Tensor, row: Tensor, state: State) -> Tensor:
        total, count = state
        # Targets of one query are negatives of each other, exactly as with one row per triple.
        rivals = softplus(positive + self.offset)
        total = (total + row_sum(rivals, row, len(total)))[row] - rivals
        count = (count + row_sum(torch.ones_like(positive), row, len(count)))[row] - 1
        negative = mean(total, count) if self.reduction == "mean" else total
        return softplus(-positive - self.offset) + negative


@dataclass(frozen=True)
class SelfAdversarial(Objective):
    """sp(-z+) + sum_i w_i sp(z_i), w = softmax_i(inverse_temperature z_i) held constant (Sun et al. 2019 Eq. 6).

    The weights are folded as an online softmax. The factor 1/2 of the released codes is left out.
    """

    inverse_temperature: float = 1.0
    offset: float = 0.0

    includes_target: ClassVar[bool] = False
    rows: ClassVar = "single"

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        # Masked after the product: 0 * -inf is NaN.
        tilt = (self.inverse_temperature * scores.detach()).masked_fill(scores == -torch.inf, -torch.inf)
        peak = tilt.amax(-1).clamp(min=torch.finfo(tilt.dtype).min)  # a query without candidates has peak -inf
        share = torch.exp(tilt - peak[:, None]).masked_fill(scores == -torch.inf, 0)
        loss = softplus(scores + self.offset)
        return peak, counted(share, weight), counted(share * loss, weight)

    def merge(self, a: State, b: State) -> State:
        peak = torch.maximum(a[0], b[0])
        from_a, from_b = torch.exp(a[0] - peak), torch.exp(b[0] - peak)
        return peak, a[1] * from_a + b[1] * from_b, a[2] * from_a + b[2] * from_b

    def finish(self, positive: Tensor, row: Tensor, state: State) -> Tensor:
        _, mass, weighted = (part[row] for part in state)
        negative = mean(weighted, mass)
        return softplus(-positive - self.offset) + negative


@dataclass(frozen=True)
class BinaryCrossEntropy(Objective):
    """Mean binary cross-entropy over the labels of a query: its targets are true, its candidates false.

    With noise "all" this is the KvsAll loss of ConvE and TuckER. The value of a query is shared out equally over its
    targets. label_smoothing e moves labels y to (1 - e) y + e / n with n labels.
    """

    label_smoothing: float = 0.0
    offset: float = 0.0

    includes_target: ClassVar[bool] = False
    rows: ClassVar = "grouped"

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        total = counted((scores + self.offset).masked_fill(scores == -torch.inf, 0), weight)
        return counted(softplus(scores + self.offset), weight), total, kept(scores, weight)

    def merge(self, a: State, b: State) -> State:
        return a[0] + b[0], a[1] + b[1], a[2] + b[2]

    def finish(self, positive: Tensor, row: Tensor, state: State) -> Tensor:
        z = positive + self.offset
        false, total, count = state
        targets = row_sum(torch.ones_like(z), row, len(count))
        labels = count + targets
        # BCE with label y is sp(z) - y z, and the labels are 1 - e + e/n (targets) or e/n (candidates).
        smooth = self.label_smoothing / labels
        true = softplus(z) - (1 - self.label_smoothing + smooth[row]) * z
        loss = false - smooth * total + row_sum(true, row, len(count))
        return (loss / labels / targets.clamp(min=1))[row]
