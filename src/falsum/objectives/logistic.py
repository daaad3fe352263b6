"""Logistic losses: negative sampling, its self-adversarial form, binary cross-entropy. sp(x) = log(1 + e^x)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from falsum.errors import in_range
from falsum.objectives.base import Objective, Rivals, against, mean, reduced, rivals_total, row_sum
from falsum.objectives.summaries import LogitSums, SoftplusSum, TiltedSoftplus


def _tilted(z: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
    """(t,): sp(-z) of the targets and the weighted mean over their rivals, the state of `TiltedSoftplus`."""
    _, mass, weighted = (part[row] for part in rivals.state)
    return softplus(-z) + against(rivals, mean(weighted, mass))


@dataclass(frozen=True)
class NegativeSampling(Objective):
    """sp(-z+) + sum_i sp(z_i) with z = s + offset (NS; Mikolov et al. 2013, Kamigaito & Hayashi 2021 Eq. 3).

    reduction: "sum" over the negatives, or "mean" (the RotatE code). offset is the gamma of distance models. Other
    answers of the query are negatives unless the noise filters them.
    """

    offset: float = 0.0
    reduction: Literal["sum", "mean"] = "sum"

    grouping: ClassVar = "free"
    separable: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[-1e6, 1e6]", offset=self.offset)

    @property
    def summary(self) -> SoftplusSum:
        return SoftplusSum(self.offset)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        z = positive + self.offset
        total, count = rivals_total(softplus(z), row, rivals)
        return softplus(-z) + against(rivals, reduced(total, count, self.reduction))


@dataclass(frozen=True)
class SelfAdversarial(Objective):
    """sp(-z+) + sum_i w_i sp(z_i), w = softmax_i(inverse_temperature z_i) held constant (Sun et al. 2019 Eq. 6).

    The factor 1/2 of the released codes is left out.
    """

    inverse_temperature: float = 1.0
    offset: float = 0.0

    grouping: ClassVar = "never"
    separable: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[0, 1e6]", inverse_temperature=self.inverse_temperature)
        in_range("[-1e6, 1e6]", offset=self.offset)

    @property
    def summary(self) -> TiltedSoftplus:
        return TiltedSoftplus(self.inverse_temperature, self.offset)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        return _tilted(positive + self.offset, row, rivals)


@dataclass(frozen=True)
class SoftNegatives(Objective):
    """sp(-z+) + sum_i w_i (sp(z_i) - label z_i), w = softmax_i(inverse_temperature s_i) held constant, z = s + offset.

    The binary cross-entropy of candidates whose label is not 0: `label`, in [0, 1], is how true each is taken to be. At
    its optimum a candidate scores logit(label): the logistic partner of `UnboundedLabelSmoothing` for mutated
    candidates (Takamoto et al. 2025, appendix O, where NBFNet has it). inverse_temperature 0 is the mean over
    candidates; label 0 is `SelfAdversarial`.
    """

    label: float = 0.25
    inverse_temperature: float = 0.0
    offset: float = 0.0

    grouping: ClassVar = "never"
    separable: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[0, 1]", label=self.label)
        in_range("[0, 1e6]", inverse_temperature=self.inverse_temperature)
        in_range("[-1e6, 1e6]", offset=self.offset)

    @property
    def summary(self) -> TiltedSoftplus:
        return TiltedSoftplus(self.inverse_temperature, self.offset, self.label)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        return _tilted(positive + self.offset, row, rivals)


@dataclass(frozen=True)
class BinaryCrossEntropy(Objective):
    """Mean binary cross-entropy over the labels of a query: its targets are true, its candidates false.

    With noise "all" this is the KvsAll loss of ConvE and TuckER. The value of a query is shared out equally over its
    targets. label_smoothing e moves labels y to (1 - e) y + e / n with n labels.
    """

    label_smoothing: float = 0.0
    offset: float = 0.0

    grouping: ClassVar = "always"

    def __post_init__(self) -> None:
        in_range("[0, 1)", label_smoothing=self.label_smoothing)
        in_range("[-1e6, 1e6]", offset=self.offset)

    @property
    def summary(self) -> LogitSums:
        return LogitSums(self.offset)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        z = positive + self.offset
        false, total, count = rivals.state
        targets = row_sum(torch.ones_like(z), row, len(count))
        labels = count + targets
        # BCE with label y is sp(z) - y z, and the labels are 1 - e + e/n (targets) or e/n (candidates).
        smooth = self.label_smoothing / labels
        true = softplus(z) - (1 - self.label_smoothing + smooth[row]) * z
        loss = false - smooth * total + row_sum(true, row, len(count))
        return (loss / labels / targets.clamp(min=1))[row]
