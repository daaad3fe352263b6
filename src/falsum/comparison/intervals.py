"""Intervals of the difference of two losses over triples and seeds. Those over triples alone: `evaluation.questions`.

x[s, t] is the value of triple t under the model of seed s, the mean of its two sides: a reciprocal rank, or whether the
rank is at most k. Models of different losses are independent: no two trainings share what is random in them. Shapes: S
seeds, T triples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from falsum.evaluation.metrics import HITS, Tie, with_rank
from falsum.evaluation.questions import Array, Interval, Questions, combined, student
from falsum.graph.graph import BOTH_SIDES


def triple_values(frame: pl.DataFrame, tie: Tie = "realistic") -> dict[str, Array]:
    """Metric -> (T,) values of the triples of a rank frame in the order of their ids, both sides averaged.

    Their means are the metrics of `metrics.metrics`. A triple that stands in the split twice counts as two.
    """
    ranked = with_rank(frame, tie).sort("head", "relation", "tail")
    sides = [ranked.filter(pl.col("side") == side.value)["rank"].to_numpy() for side in BOTH_SIDES]
    ranks = np.stack([side for side in sides if len(side)])
    return {"mrr": (1 / ranks).mean(0), **{f"hits@{k}": (ranks <= k).mean(0) for k in HITS}}


def triple_questions(frame: pl.DataFrame) -> Questions:
    """The questions of the triples of a rank frame, in the order of `triple_values`."""
    triples = frame.filter(pl.col("side") == frame["side"][0]).select("head", "relation", "tail")
    return Questions.of(triples.sort("head", "relation", "tail").to_numpy())


def loss_interval(first: Array, second: Array, level: float, questions: Questions) -> Interval:
    """Interval of the expected difference of two losses, (S, T) and (S', T) values, over seeds and triples.

    It holds for the losses, not for these models. Seeds and triples are crossed random effects, x[s, t] = mean + seed_s
    + triple_t + rest_st, where the losses share the triples and have their own seeds. What triples and rests of one
    question have in common is allowed for, see `evaluation.questions`. Three variances of the difference are estimated:

        seeds    of the mean over seeds of the means per seed, for each loss, summed;
        triples  of the mean over triples of the difference of the means per triple, questions allowed for;
        rest     of the mean of the residuals of each loss, questions allowed for, summed; both others contain it.

    Var(difference) = E seeds + E triples - E rest. Few seeds show little of their spread, so each part gets its own
    quantile of Student's t, and squares are added (recovery of variance estimates, Zou & Donner 2008):

        half width^2 = max(u^2 seeds, v^2 rest) + v^2 max(triples - rest, 0)

    v has the degrees of freedom of the questions and u those of Welch 1947, rounded down, between S - 1 and 2 S - 2.
    Where seeds alone vary it is Welch's interval of the means per seed; it is never narrower than that of the means per
    triple; in between it covers more than `level` (docs/comparison.md). A bootstrap over few seeds covers less where
    they matter.

    Raises ValueError with fewer than two seeds, or where all triples share a question of a kind.
    """
    freedom = questions.freedom
    if min(len(first), len(second), freedom + 1) < 2:
        raise ValueError("an interval over seeds and questions needs two of each")
    of_seeds = [float(values.mean(1).var(ddof=1)) / len(values) for values in (first, second)]
    per_triple = first.mean(0) - second.mean(0)
    rows = np.concatenate([_left(first), _left(second), per_triple[None]])
    own, others, both = np.split(questions.parts(rows), [len(first), len(first) + len(second)], axis=1)
    rest, of_triples = _of_rests(own) + _of_rests(others), float(combined(both)[0])
    u = student(level, welch(of_seeds, [len(first), len(second)]))
    v = student(level, freedom)
    half = math.sqrt(max(u**2 * sum(of_seeds), v**2 * rest) + v**2 * max(of_triples - rest, 0.0))
    mean = float(first.mean() - second.mean())
    return Interval(mean - half, mean + half)


def rest_variance(values: Array, questions: Questions) -> float:
    """Variance of the mean of what is left of an (S, T) table without the means of its rows and columns.

    Seeds are independent. S rows of which the mean row is taken have S - 1 degrees of freedom.
    """
    return _of_rests(questions.parts(_left(values)))


def _left(values: Array) -> Array:
    """(S, T) without the means of rows and columns."""
    return values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + values.mean()


def _of_rests(parts: Array) -> float:
    """`rest_variance` from the (3, S) variances of what is left of each row."""
    seeds = parts.shape[1]
    return float(combined(parts.sum(1, keepdims=True))[0]) / (seeds * (seeds - 1))


def welch(variances: Sequence[float], sizes: Sequence[int]) -> int:
    """Degrees of freedom of the sum of estimated variances of means over samples of these sizes, rounded down."""
    below = sum(variance**2 / (size - 1) for variance, size in zip(variances, sizes, strict=True))
    return int(sum(variances) ** 2 / below + 1e-9) if below else sum(sizes) - len(sizes)
