"""Questions that values share, and intervals of their means that allow for it.

Ranks are no independent sample. Triples of one question, (h, r, ?) or (?, r, t), meet the same query vector and the
same answers, and are hard together; each triple belongs to one question of either kind. Two-way clustering allows for
any dependence within questions (Cameron, Gelbach & Miller 2011): the variance of a mean is

    V(tail questions) + V(head questions) - V(triples)

and never less than the first or the second alone. Each V is the jackknife over its groups, which is less biased than
sums of residuals where groups are few or uneven (MacKinnon, Nielsen & Webb 2024, "Jackknife inference with two-way
clustering"). Shapes: T values, one per triple or per rank, k rows of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Interval:
    """Both ends belong to it."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Questions:
    """What T values are about: (T,) int64 numbers of their questions (h, r, ?) and (?, r, t), and of their triples."""

    tail: Array
    head: Array
    triple: Array

    @classmethod
    def of(cls, triples: Array) -> Questions:
        """The questions of triples (T, 3), T > 0, columns head, relation, tail."""
        head, relation, tail = triples.T
        relations, entities = int(relation.max()) + 1, int(tail.max()) + 1
        asks_tail, asks_head = _numbered(head * relations + relation), _numbered(tail * relations + relation)
        return cls(asks_tail, asks_head, _numbered(asks_tail * entities + tail))

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the variance, 0 where it is unknown: all values belong to one question of a kind.

        The number of questions less one, counted as questions of equal size would be: T^2 / (sum of squared sizes), of
        the two kinds the fewer (Carter, Schnepel & Steigerwald 2017, for values that agree within a question).
        """
        sizes = [np.bincount(group).astype(float) for group in (self.tail, self.head)]
        if min(map(len, sizes)) < 2:
            return 0
        return max(1, int(min(len(self.tail) ** 2 / (size**2).sum() for size in sizes) - 1 + 1e-9))

    def variance(self, rows: Array) -> Array:
        """(k,) estimated variances of the means of (k, T) values; infinite where nothing tells."""
        return combined(self.parts(rows)) if self.freedom else np.full(len(rows), np.inf)

    def parts(self, rows: Array) -> Array:
        """(3, k) variances of the means of (k, T) values by tail questions, by head questions, and by triples."""
        left = rows.mean(1, keepdims=True) - rows
        return np.stack([_jackknife(left, group) for group in (self.tail, self.head, self.triple)])

    def intervals(self, rows: Array, level: float) -> list[Interval]:
        """Intervals of the k means of (k, T) values, by Student's t.

        They hold with probability `level` if the questions are a random sample.
        """
        if not self.freedom:
            return [Interval(-math.inf, math.inf)] * len(rows)
        half = student(level, self.freedom) * np.sqrt(self.variance(rows))
        return [Interval(float(mean - h), float(mean + h)) for mean, h in zip(rows.mean(1), half, strict=True)]


def combined(parts: Array) -> Array:
    """(3, k) variances by tail questions, head questions and triples -> (k,), see the module."""
    tail, head, triple = parts
    return np.maximum(np.maximum(tail, head), tail + head - triple)


def _numbered(key: Array) -> Array:
    return np.unique(key, return_inverse=True)[1]


def _jackknife(left: Array, group: Array) -> Array:
    """(k,) variances of the means of rows, (G - 1) / G times the squares by which leaving a group out moves them.

    left: (k, T) mean - value. Without one group of m values the mean moves by the group's sum of it, over T - m.
    """
    size = np.bincount(group)
    moved = np.stack([np.bincount(group, weights=row) for row in left]) / (len(group) - size)
    return np.asarray((len(size) - 1) / len(size) * (moved**2).sum(1))


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
