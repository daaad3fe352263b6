"""Ratios over questions with intervals, and quantiles of draws that count unequally."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.seeds import generator

RESAMPLES = 1000
# Two-sided 95 %.
LEVEL, NORMAL = 0.95, 1.959964


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def ratio(part: Tensor, whole: Tensor, seed: int) -> Estimate | None:
    """sum(part) / sum(whole) of b questions, (b,) each; the percentile bootstrap draws questions anew.

    Draws of one question are hits together or not at all, so questions and not draws are taken as independent. None
    where the whole is 0.
    """
    part, whole = part.double().cpu(), whole.double().cpu()
    if not whole.sum() > 0:
        return None
    again = torch.randint(len(part), (RESAMPLES, len(part)), generator=generator(seed))
    tops, bottoms = part[again].sum(1), whole[again].sum(1)
    values = tops[bottoms > 0] / bottoms[bottoms > 0]
    low, high = values.quantile(torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)).tolist()
    return Estimate(float(part.sum() / whole.sum()), low, high)


def wilson(share: float, count: float) -> tuple[float, float]:
    """The score interval of a share seen in `count` independent draws (Wilson 1927)."""
    square = NORMAL**2 / count
    middle = share + square / 2
    half = NORMAL * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def enrichment(hits: Tensor, expected: Tensor, counted: Tensor, squares: float, seed: int) -> Estimate | None:
    """How many times as often as expected something was drawn: sum(hits) / sum(expected) of b questions.

    hits, counted: (b,) how much was hit, and drawn; expected: (b,) what another noise hits in `counted`. squares: the
    sum of squared weights of the draws, which says how many equal draws they are worth. The interval is the wider, at
    each end, of the bootstrap over questions (`ratio`: dependence) and Wilson's of the draws (few hits, or none).
    """
    over_questions, total = ratio(hits, expected, seed), float(counted.sum())
    if over_questions is None:
        return None
    base = float(expected.sum()) / total
    low, high = wilson(min(1.0, float(hits.sum()) / total), total**2 / squares)
    return Estimate(over_questions.value, min(over_questions.low, low / base), max(over_questions.high, high / base))


def quantiles(values: Tensor, weight: Tensor, at: tuple[float, ...]) -> tuple[float, ...]:
    """The smallest values (n,) below or at which each share of the weight (n,) lies. NaN where nothing counts."""
    values, weight = values[weight > 0], weight[weight > 0].double()
    if len(values) == 0:
        return (math.nan,) * len(at)
    values, order = values.sort()
    share = weight[order].cumsum(0)
    where = torch.searchsorted(share, share[-1] * torch.tensor(at, device=share.device, dtype=share.dtype))
    return tuple(values[where.clamp(max=len(values) - 1)].tolist())


def mean(values: Tensor, weight: Tensor) -> float:
    """The mean of values, each counted by its weight; NaN where nothing counts."""
    total = float(weight.double().sum())
    return float((values.double() * weight).sum()) / total if total > 0 else math.nan
