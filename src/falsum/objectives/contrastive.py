"""The softmax over draws with what is known of false negatives: debiased, tilted towards hard candidates, or both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from falsum.errors import in_range
from falsum.objectives.base import Objective, Rivals
from falsum.objectives.summaries import TiltedExponentials


@dataclass(frozen=True)
class HardContrastive(Objective):
    """log(1 + N g e^(-z+)), z = s / temperature, N candidates, g = max((M - tau_plus e^(z+)) / (1 - tau_plus), floor).

    M is the mean of e^(z_i) in proportion to e^(beta z_i). beta = 0: debiased (DCL; Chuang et al. 2020);
    beta > 0: also hard (HCL; Robinson et al. 2021). beta = tau_plus = 0 is the softmax cross-entropy.

    tau_plus: the share of candidates that are expected to be true, which would score like the target. detach: whether
    the weights of the mean are held constant, as importance weights are; HCL's public code lets the gradient through,
    which pulls low candidates up. lowest: the least score that there is, -1 for cosines, as both papers have it; None:
    the least one among the candidates of the question, for scores without a bound, since the mean over the true
    negatives is no less than the least of them. At the floor no gradient flows to the candidates, or to the floor.
    """

    temperature: float = 1.0
    beta: float = 1.0
    tau_plus: float = 0.0
    detach: bool = True
    lowest: float | None = None

    grouping: ClassVar = "never"

    def __post_init__(self) -> None:
        in_range("(0, 1e6]", temperature=self.temperature)
        in_range("[0, 1e6]", beta=self.beta)
        in_range("[0, 1)", tau_plus=self.tau_plus)
        in_range("[-1e6, 1e6]", lowest=self.lowest)

    @property
    def summary(self) -> TiltedExponentials:
        return TiltedExponentials(self.temperature, self.beta, self.detach)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        z = positive / self.temperature
        tilted, tilt, count, least = (part[row] for part in rivals.state)
        found = count > 0
        negative = tilted - torch.where(found, tilt, 0)  # log M, -inf where nothing is counted
        if self.tau_plus:
            floor = least if self.lowest is None else torch.full_like(z, self.lowest / self.temperature)
            negative = _debiased(negative, z, self.tau_plus, floor)
        logarithm = torch.where(found, count, 1).log() + torch.where(found, negative, -torch.inf)
        return softplus(logarithm - z)


def _debiased(negative: Tensor, z: Tensor, tau_plus: float, floor: Tensor) -> Tensor:
    """log max((e^negative - tau_plus e^z) / (1 - tau_plus), e^floor)."""
    taken = math.log(tau_plus) + z - negative
    some = taken < 0  # something is left; where not, the logarithm below would be NaN in value and gradient
    rest = negative + torch.log(-torch.expm1(torch.where(some, taken, -1))) - math.log1p(-tau_plus)
    return torch.where(some & (rest >= floor), rest, floor)
