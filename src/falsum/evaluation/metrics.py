"""Metrics from rank counts: any tie rule, any slice, with intervals on request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl

from falsum.evaluation.questions import Interval, Questions

Tie = Literal["realistic", "optimistic", "pessimistic", "rounded"]

HITS = (1, 3, 10)
# The metrics that papers report and that decide a comparison.
METRICS = ("mrr", *(f"hits@{k}" for k in HITS))


def with_rank(frame: pl.DataFrame, tie: Tie = "realistic") -> pl.DataFrame:
    """The rank frame with a `rank` column: 1 + greater + {equal / 2, 0, equal, floor((equal + 1) / 2)}.

    realistic: the mean rank over the orders of ties. rounded: LibKGE's integer form of it, in which the answer counts
    among its ties.
    """
    equal = pl.col("equal")
    above = {
        "realistic": equal / 2,
        "optimistic": equal * 0,
        "pessimistic": equal,
        "rounded": (equal + 1) // 2,
    }[tie]
    # In one piece: polars sums floats piece by piece, so that rounding would depend on where the frame came from.
    return frame.rechunk().with_columns(rank=(1 + pl.col("greater") + above).cast(pl.Float64))


def metrics(frame: pl.DataFrame, tie: Tie = "realistic") -> dict[str, float]:
    """mrr, hits@1/3/10, mr, amri of a rank frame, all rows pooled. An empty frame gives NaN.

    The same to the last bit for equal frames, however polars holds their rows: it sums chunk by chunk.

    amri: adjusted mean rank index (Berrendorf et al. 2020), 1 - (MR - 1) / (E[MR] - 1), 0 for chance, 1 for perfect.
    """
    row = with_rank(frame, tie).rechunk().select(**_expressions()).row(0, named=True)
    return {name: float("nan") if value is None else float(value) for name, value in row.items()}


def sliced(frame: pl.DataFrame, by: str | Sequence[str], tie: Tie = "realistic") -> pl.DataFrame:
    """One row per value of the column(s) `by`: the metrics of that slice and its `count`."""
    return with_rank(frame, tie).group_by(by).agg(count=pl.len(), **_expressions()).sort(by)


def macro(frame: pl.DataFrame, by: str, tie: Tie = "realistic") -> dict[str, float]:
    """Metrics averaged over slices, each slice counting the same."""
    means = sliced(frame, by, tie).select(pl.exclude(by, "count").mean()).row(0, named=True)
    return {name: float(value) for name, value in means.items()}


def _expressions() -> dict[str, pl.Expr]:
    rank, chance = pl.col("rank"), (pl.col("candidates") + 1) / 2
    return {
        "mrr": (1 / rank).mean(),
        **{f"hits@{k}": (rank <= k).mean() for k in HITS},
        "mr": rank.mean(),
        "amri": 1 - (rank - 1).mean() / (chance - 1).mean(),
    }


def metric_intervals(frame: pl.DataFrame, tie: Tie = "realistic", *, level: float = 0.95) -> dict[str, Interval]:
    """Intervals of the metrics, which hold with probability `level` if the test questions are a random sample.

    They allow for ranks of one question that depend on each other (see `questions`), and end where a metric does. Where
    all ranks are about one question, they hold all values of the metric. They say nothing about other seeds of
    training. An empty frame gives NaN.
    """
    found = metrics(frame, tie)
    if not len(frame):
        return dict.fromkeys(found, Interval(float("nan"), float("nan")))
    ranked = with_rank(frame, tie)
    rank, candidates = (ranked[name].to_numpy().astype(float) for name in ("rank", "candidates"))
    above, chance = rank - 1, (candidates - 1) / 2
    values = {"mrr": 1 / rank, **{f"hits@{k}": (rank <= k).astype(float) for k in HITS}, "mr": rank}
    with np.errstate(invalid="ignore", divide="ignore"):  # no answer has a rival: NaN, as the metric
        # A ratio of means moves, to first order, as the mean of these.
        values["amri"] = found["amri"] - (above - (1 - found["amri"]) * chance) / chance.mean()
    questions = Questions.of(ranked.select("head", "relation", "tail").to_numpy())
    legal = {"mr": (1.0, float(candidates.max())), "amri": (-1.0, 1.0)}
    between = zip(found, questions.intervals(np.stack([values[name] for name in found]), level), strict=True)
    return {name: _within(interval, *legal.get(name, (0.0, 1.0))) for name, interval in between}


def _within(interval: Interval, least: float, most: float) -> Interval:
    return Interval(max(least, interval.low), min(most, interval.high))
