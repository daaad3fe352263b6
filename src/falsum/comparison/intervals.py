"""Differences of two losses with intervals: over test triples for the trained models, and over triples and seeds.

x[s, t] is the value of triple t under the model of seed s, the mean of its two sides: a reciprocal rank, or whether the
rank is at most k. Models of different losses are independent: no two trainings share what is random in them. Shapes: S
seeds, T triples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

from falsum.evaluation.metrics import HITS, Tie, with_rank
from falsum.graph.graph import BOTH_SIDES

# Of the bootstrap: how many, and how many at a time.
SAMPLES, CHUNK = 4000, 100

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Interval:
    """Both ends belong to it."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def triple_values(frame: pl.DataFrame, tie: Tie = "realistic") -> dict[str, Array]:
    """Metric -> (T,) values of the triples of a rank frame in the order of their ids, both sides averaged.

    Their means are the metrics of `metrics.metrics`. A triple that stands in the split twice counts as two.
    """
    ranked = with_rank(frame, tie).sort("head", "relation", "tail")
    sides = [ranked.filter(pl.col("side") == side.value)["rank"].to_numpy() for side in BOTH_SIDES]
    ranks = np.stack([side for side in sides if len(side)])
    return {"mrr": (1 / ranks).mean(0), **{f"hits@{k}": (ranks <= k).mean(0) for k in HITS}}


def query_intervals(differences: Array, level: float, *, samples: int = SAMPLES, seed: int = 0) -> list[Interval]:
    """Percentile bootstrap intervals of the means of (k, T) paired differences of losses, averaged over seeds before.

    Every column is a triple, resampled as a whole: both sides, both losses and all rows together. The interval holds
    for the trained models at hand, if test triples are a random sample; it says nothing about other seeds.
    """
    rows, triples = differences.shape
    random = np.random.default_rng(seed)
    means = np.empty((samples, rows))
    for start in range(0, samples, CHUNK):
        times = random.multinomial(triples, np.full(triples, 1 / triples), size=min(CHUNK, samples - start))
        means[start : start + CHUNK] = times @ differences.T / triples
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def loss_interval(first: Array, second: Array, level: float) -> Interval:
    """Interval of the expected difference of two losses, (S, T) and (S', T) values, over seeds and triples.

    It holds for the losses, not for these models. Seeds and triples are crossed random effects, x[s, t] = mean + seed_s
    + triple_t + rest_st, where the losses share the triples and have their own seeds. Three variances of the difference
    are estimated, each a mean over seeds and triples:

        seeds    the means per seed, for each loss, over their number, summed;
        triples  the difference of the means per triple, over their number;
        rest     the residuals of each loss, over the number of cells, summed; both others contain it.

    Var(difference) = E seeds + E triples - E rest. Few seeds show little of their spread, so each part gets its own
    quantile of Student's t, and squares are added (recovery of variance estimates, Zou & Donner 2008):

        half width^2 = max(u^2 seeds, v^2 rest) + v^2 max(triples - rest, 0)

    v has T - 1 degrees of freedom and u those of Welch 1947, rounded down, between S - 1 and 2 S - 2. Where seeds alone
    vary it is Welch's interval of the means per seed; it is never narrower than that of the means per triple; in
    between it covers more than `level` (docs/comparison.md). A bootstrap over few seeds covers less where they matter.

    Raises ValueError with fewer than two seeds or triples.
    """
    if min(*first.shape, *second.shape) < 2:
        raise ValueError("an interval over seeds and triples needs two of each")
    of_seeds = [float(values.mean(1).var(ddof=1)) / len(values) for values in (first, second)]
    rest = sum(residual(values) / values.size for values in (first, second))
    per_triple = first.mean(0) - second.mean(0)
    of_triples = float(per_triple.var(ddof=1)) / len(per_triple)
    u = student(level, welch(of_seeds, [len(first), len(second)]))
    v = student(level, len(per_triple) - 1)
    half = math.sqrt(max(u**2 * sum(of_seeds), v**2 * rest) + v**2 * max(of_triples - rest, 0.0))
    mean = float(first.mean() - second.mean())
    return Interval(mean - half, mean + half)


def residual(values: Array) -> float:
    """Mean square of what is left of an (S, T) table without the means of its rows and columns."""
    left = values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + values.mean()
    return float((left**2).sum()) / ((len(values) - 1) * (values.shape[1] - 1))


def welch(variances: Sequence[float], sizes: Sequence[int]) -> int:
    """Degrees of freedom of the sum of estimated variances of means over samples of these sizes, rounded down."""
    below = sum(variance**2 / (size - 1) for variance, size in zip(variances, sizes, strict=True))
    return int(sum(variances) ** 2 / below + 1e-9) if below else sum(sizes) - len(sizes)


@cache
def student(level: float, freedom: int) -> float:
    """The t with P(|T| <= t) = level for Student's t with `freedom` degrees, by bisection."""
    low, high = 0.0, 1.0
    while _inside(high, freedom) < level:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, freedom) < level else (low, middle)
    return high


def _inside(t: float, freedom: int) -> float:
    """P(|T| <= t), the finite sums of Abramowitz & Stegun 26.7.3 (odd degrees) and 26.7.4 (even)."""
    angle = np.arctan(t / np.sqrt(freedom))
    square = np.cos(angle) ** 2
    if freedom % 2:
        k = np.arange(1, (freedom - 1) // 2)
        series = 1 + np.cumprod(2 * k / (2 * k + 1) * square).sum()
        return float(2 / np.pi * (angle + (np.sin(angle) * np.cos(angle) * series if freedom > 1 else 0)))
    k = np.arange(1, freedom // 2)
    return float(np.sin(angle) * (1 + np.cumprod((2 * k - 1) / (2 * k) * square).sum()))
