"""Metrics from rank counts: any tie rule, any slice, with percentile bootstrap intervals on request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl

Tie = Literal["realistic", "optimistic", "pessimistic", "rounded"]

HITS = (1, 3, 10)


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
    return frame.with_columns(rank=(1 + pl.col("greater") + above).cast(pl.Float64))


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


def bootstrap(
    frame: pl.DataFrame, tie: Tie = "realistic", *, level: float = 0.95, samples: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of the metrics over triples (both sides of a triple are resampled together).

    An empty frame gives NaN.
    """
    if not len(frame):
        return dict.fromkeys(metrics(frame), (float("nan"), float("nan")))
    ranked = with_rank(frame, tie)
    rank, chance = ranked["rank"].to_numpy(), (ranked["candidates"].to_numpy() + 1) / 2
    values = {"mrr": 1 / rank, **{f"hits@{k}": (rank <= k).astype(float) for k in HITS}, "mr": rank, "_chance": chance}
    _, triple = np.unique(ranked.select("head", "relation", "tail").to_numpy(), axis=0, return_inverse=True)
    triple = triple.ravel()
    size = np.bincount(triple).astype(float)
    sums = {name: np.bincount(triple, weights=value) for name, value in values.items()}
    random = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {name: [] for name in [*values, "amri"]}
    for _ in range(samples):
        times = random.multinomial(len(size), np.full(len(size), 1 / len(size)))
        total = times @ size
        means = {name: float(times @ part / total) for name, part in sums.items()}
        means["amri"] = 1 - (means["mr"] - 1) / max(means["_chance"] - 1, 1e-12)
        for name, value in means.items():
            draws[name].append(value)
    tails = 100 * (1 - level) / 2
    return {
        name: (float(np.percentile(v, tails)), float(np.percentile(v, 100 - tails)))
        for name, v in draws.items()
        if name != "_chance"
    }
