"""A few test questions with the model's answers: what the numbers look like in the graph's own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from falsum.evaluation.metrics import with_rank
from falsum.graph.graph import Graph
from falsum.run.run import Run

# (what the filtered rank says, lowest, highest): each band gives some examples, so that none shows only successes.
RANK_BANDS = (("found first", 1, 1), ("among the first ten", 1.5, 10), ("further down", 10.5, np.inf))


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of a list of answers. place: in the list of all entities. known: its split, or None.

    right: whether it is the answer that the question was made from.
    """

    place: int
    label: str
    score: float
    known: str | None
    right: bool


@dataclass(frozen=True, slots=True)
class Example:
    """A question: two labels and None for the open slot, in the order of the triple. rank: filtered."""

    head: str | None
    relation: str
    tail: str | None
    band: str
    rank: float
    right: str
    answers: Sequence[Answer]


def examples(run: Run, frame: pl.DataFrame, *, per_band: int = 2, top_k: int = 5, seed: int = 0) -> list[Example]:
    """Questions drawn from a rank frame annotated by `slices.annotate`, up to `per_band` from each band of ranks.

    The draw depends on seed alone; another relation is preferred each time.
    """
    ranked = with_rank(frame).with_columns(place=pl.int_range(pl.len()))
    order = np.random.default_rng(seed).permutation(len(ranked))
    used: set[int] = set()
    found = []
    for band, low, high in RANK_BANDS:
        inside = ranked.filter(pl.col("rank").is_between(low, high))
        rows = sorted(inside.iter_rows(named=True), key=lambda row: order[row["place"]])
        for _ in range(min(per_band, len(rows))):
            row = next((row for row in rows if row["relation"] not in used), rows[0])
            rows.remove(row)
            used.add(row["relation"])
            found.append(_example(run, row, band, top_k))
    return found


def _example(run: Run, row: dict, band: str, top_k: int) -> Example:
    graph: Graph = run.graph
    asks_tail = row["side"] == "tail"
    head, tail = graph.entities[row["head"]], graph.entities[row["tail"]]
    question = {"head": head} if asks_tail else {"tail": tail}
    right = tail if asks_tail else head
    listed = run.predict(relation=row["relation_label"], top_k=graph.num_entities, **question)
    shown = pl.concat([listed.head(top_k), listed[top_k:].filter(pl.col("label") == right)])
    answers = [
        Answer(a["rank"], a["label"], a["score"], a["known"], a["label"] == right) for a in shown.iter_rows(named=True)
    ]
    ends = (head, None) if asks_tail else (None, tail)
    return Example(ends[0], row["relation_label"], ends[1], band, row["rank"], right, answers)
