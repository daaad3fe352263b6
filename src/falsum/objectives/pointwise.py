"""Variants of negative sampling: what a target or a candidate counts. z = s + offset, sp(x) = log(1 + e^x)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from falsum.errors import in_range
from falsum.objectives.base import Objective, Rivals, against, mean, reduced, rivals_total
from falsum.objectives.summaries import FocalSum, SoftplusSum, UnsureSum, focal, unsure


@dataclass(frozen=True)
class GeneralisedBCE(Objective):
    """-log sigma(z+)^beta + sum_i sp(z_i), beta = 1 - t (1 - a) (gBCE; Petrov & Macdonald 2023, gSASRec).

    a is the sampling rate K / (E - 1) and t the `calibration`; written out, beta = a (t (1 - 1/a) + 1/a). With t = 0 it
    is negative sampling, whose sigma(z) is too high for draws of a few entities; with t = 1 sigma(z) is a probability.

    K is how often the candidates of a question count, weights included and filtered ones left out, and E the number of
    entities that they came from: no setting can contradict the noise, and against all entities beta is 1.
    """

    calibration: float = 0.75
    offset: float = 0.0

    grouping: ClassVar = "free"
    separable: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[0, 1]", calibration=self.calibration)
        in_range("[-1e6, 1e6]", offset=self.offset)

    @property
    def summary(self) -> SoftplusSum:
        return SoftplusSum(self.offset)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        z = positive + self.offset
        total, count = rivals_total(softplus(z), row, rivals)
        rate = (count / max(1, rivals.num_entities - 1)).clamp(max=1)
        beta = 1 - self.calibration * (1 - rate)
        return beta * softplus(-z) + against(rivals, total)


@dataclass(frozen=True)
class TunableMass(Objective):
    """sp(-z+) + K^rho mean_i sp(z_i), K how often the candidates count: between mean (rho = 0) and sum (rho = 1).

    Our own. At the optimum z = log(p / p_n) - rho log K, so rho moves all scores of a question alike; before it, rho
    says how much a target is outvoted. rho may lie outside of [0, 1].
    """

    rho: float = 0.5
    offset: float = 0.0

    grouping: ClassVar = "free"
    separable: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[-1, 2]", rho=self.rho)
        in_range("[-1e6, 1e6]", offset=self.offset)

    @property
    def summary(self) -> SoftplusSum:
        return SoftplusSum(self.offset)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        z = positive + self.offset
        total, count = rivals_total(softplus(z), row, rivals)
        mass = torch.where(count > 0, count, 1) ** self.rho
        return softplus(-z) + against(rivals, mass * mean(total, count))


@dataclass(frozen=True)
class Focal(Objective):
    """alpha sigma(-z+)^gamma sp(-z+) + (1 - alpha) sum_i sigma(z_i)^gamma sp(z_i), or the mean (Lin et al. 2017).

    What is classified well counts little. gamma = 0 is negative sampling. alpha: None leaves both factors out.
    """

    gamma: float = 2.0
    alpha: float | None = None
    offset: float = 0.0
    reduction: Literal["sum", "mean"] = "sum"

    grouping: ClassVar = "free"
    separable: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[0, 100]", gamma=self.gamma)
        in_range("(0, 1)", alpha=self.alpha)
        in_range("[-1e6, 1e6]", offset=self.offset)

    @property
    def summary(self) -> FocalSum:
        return FocalSum(self.gamma, self.offset)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        z = positive + self.offset
        total, count = rivals_total(focal(z, self.gamma), row, rivals)
        true, false = (1.0, 1.0) if self.alpha is None else (self.alpha, 1 - self.alpha)
        return true * focal(-z, self.gamma) + against(rivals, false * reduced(total, count, self.reduction))


@dataclass(frozen=True)
class FalseNegativeAware(Objective):
    """sp(-z+) + beta sum_i p_i (1 - p_i) sp(z_i), p = sigma(z) held constant, or the mean (FNA; Pan et al. 2021, CET).

    A candidate that is surely false is learned already, and one that looks true may be true: both count little. The
    gradient by z_i is beta p_i^2 (1 - p_i), largest at p = 2/3. CET takes the mean over all negative labels.
    """

    beta: float = 2.0
    offset: float = 0.0
    reduction: Literal["sum", "mean"] = "sum"

    grouping: ClassVar = "free"
    separable: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[0, 1e6]", beta=self.beta)
        in_range("[-1e6, 1e6]", offset=self.offset)

    @property
    def summary(self) -> UnsureSum:
        return UnsureSum(self.offset)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        z = positive + self.offset
        total, count = rivals_total(unsure(z), row, rivals)
        return softplus(-z) + against(rivals, self.beta * reduced(total, count, self.reduction))


@dataclass(frozen=True)
class PositiveUnlabelled(Objective):
    """prior sp(-z+) + max(0, mean_i sp(z_i) - prior sp(z+)) (nnPU with the logistic loss; Kiryo et al. 2017).

    Candidates are not false but unlabelled: a share `prior` of them is true, and what these are expected to cost is
    taken back. Where that would be more than all of it, the candidates count nothing.

    Deviations: the maximum is taken for each target and not for the batch, so that a loss is a function of one
    question; and below 0 there is no gradient, where Algorithm 1 of the paper goes back along it.
    """

    prior: float = 0.1
    offset: float = 0.0

    grouping: ClassVar = "free"

    def __post_init__(self) -> None:
        in_range("(0, 1)", prior=self.prior)
        in_range("[-1e6, 1e6]", offset=self.offset)

    @property
    def summary(self) -> SoftplusSum:
        return SoftplusSum(self.offset)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        z = positive + self.offset
        false = mean(*rivals_total(softplus(z), row, rivals)) - self.prior * softplus(z)
        return self.prior * softplus(-z) + torch.relu(false)
