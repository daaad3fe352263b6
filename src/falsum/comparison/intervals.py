"""Differences of two losses with intervals: over test triples for the trained models, and over triples and seeds.

x[s, t] is the value of triple t under the model of seed s, the mean of its two sides: a reciprocal rank, or whether the
rank is at most k. d[s, t] is the difference of two losses, each with its own model of seed s. S seeds, T triples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

from falsum.graph.graph import BOTH_SIDES
from falsum.metrics import HITS, Tie, with_rank

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
    """Percentile bootstrap intervals of the means of (k, T) paired differences, averaged over seeds before.

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


def loss_interval(differences: Array, level: float) -> Interval:
    """Interval of the expected difference (S, T) over seeds and triples: what holds for the losses, not these models.

    Seeds and triples are crossed random effects: d[s, t] = mean + seed_s + triple_t + rest_st. With the mean squares of
    the two-way analysis of variance, MS_seeds, MS_triples and MS_rest, Var(mean) = (E MS_seeds + E MS_triples -
    E MS_rest) / (S T). MS_seeds has only S - 1 degrees of freedom, so each part gets its own quantile of Student's t
    (after the recovery of variance estimates of Zou & Donner 2008):

        half width^2 = (max(u^2 MS_seeds, v^2 MS_rest) + v^2 max(MS_triples - MS_rest, 0)) / (S T),

    u = t(S - 1), v = t(T - 1). It is the t interval of the means per seed where seeds alone vary, and never narrower
    than that of the means per triple. In between it covers more than `level`: see docs/comparison.md. A percentile
    bootstrap over 3 to 5 seeds covers too little, since so few seeds show too little of their spread.

    Raises ValueError with fewer than two seeds or triples.
    """
    seeds, triples = differences.shape
    if min(seeds, triples) < 2:
        raise ValueError("an interval over seeds and triples needs two of each")
    of_seeds, of_triples, rest = mean_squares(differences)
    u, v = student(level, seeds - 1), student(level, triples - 1)
    square = max(u**2 * of_seeds, v**2 * rest) + v**2 * max(of_triples - rest, 0.0)
    mean, half = float(differences.mean()), float(np.sqrt(square / (seeds * triples)))
    return Interval(mean - half, mean + half)


def mean_squares(values: Array) -> tuple[float, float, float]:
    """(of rows, of columns, of the rest) of an (S, T) table with one value per cell."""
    seeds, triples = values.shape
    mean, row, column = values.mean(), values.mean(1, keepdims=True), values.mean(0, keepdims=True)
    of_rows = triples * ((row - mean) ** 2).sum() / (seeds - 1)
    of_columns = seeds * ((column - mean) ** 2).sum() / (triples - 1)
    rest = ((values - row - column + mean) ** 2).sum() / ((seeds - 1) * (triples - 1))
    return float(of_rows), float(of_columns), float(rest)


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
