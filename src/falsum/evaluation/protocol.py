"""Protocols: the rules behind a ranking number, as data, and the rules of other libraries beside ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
import torch

from falsum.evaluation.metrics import Tie, metrics
from falsum.evaluation.ranks import rank, unseen
from falsum.graph.graph import BOTH_SIDES, Graph, Side
from falsum.scan.scoring import Scorer


@dataclass(frozen=True)
class Protocol:
    """What decides a rank besides the scores.

    tie: see `metrics.with_rank`. tolerance: (relative, absolute) distance at which scores tie. filtered: whether other
    known answers are no rivals. filter_test_in_valid: whether test answers are filtered when ranking validation.
    unseen: "keep" ranks triples with an entity or a relation that training never saw, and has such entities as rivals;
    "drop" does neither. distinct: repeated triples count once. why: where the rules were read.
    """

    name: str
    tie: Tie = "realistic"
    tolerance: tuple[float, float] = (0.0, 0.0)
    filtered: bool = True
    filter_test_in_valid: bool = False
    unseen: str = "keep"
    distinct: bool = False
    why: str = ""


PROTOCOLS = {
    p.name: p
    for p in (
        Protocol("falsum", why="mean rank over ties, every entity a candidate, every triple ranked"),
        Protocol("raw", filtered=False, why="as falsum, with known answers as rivals"),
        Protocol(
            "pykeen",
            unseen="drop",
            distinct=True,
            why="PyKEEN 1.11 maps triples through the ids of the training factory: others are dropped with a warning",
        ),
        Protocol(
            "libkge",
            tie="rounded",
            tolerance=(1e-4, 1e-5),
            filter_test_in_valid=True,
            why="LibKGE counts scores within 1e-5 + 1e-4 |s| as ties and rounds the mean rank down",
        ),
        Protocol("kbc", tie="pessimistic", why="kbc counts rivals with score >= the answer's"),
        Protocol(
            "rotate",
            tie="realistic",
            filter_test_in_valid=True,
            why="the RotatE code sorts scores, so ties fall in arbitrary order: their mean is shown",
        ),
    )
}


@dataclass(frozen=True)
class Evaluation:
    """Ranks and the protocol that they were made under. frame: see `ranks.Ranks`, plus a `split` column."""

    frame: pl.DataFrame
    card: dict[str, Any]

    def metrics(self, tie: Tie | None = None) -> dict[str, float]:
        """Pooled metrics under the protocol's tie rule, or another."""
        return metrics(self.frame, tie or self.card["tie"])


def evaluate(
    scoring: Scorer,
    graph: Graph,
    split: str,
    protocol: Protocol,
    *,
    sides: Sequence[Side] = BOTH_SIDES,
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Rank a split under a protocol."""
    triples = graph.splits[split]
    dropped = 0
    if protocol.distinct:
        triples = torch.unique(triples, dim=0)
    if protocol.unseen == "drop":
        keep = _learnt(graph, triples)
        dropped, triples = int((~keep).sum()), triples[keep]
    filters = ["train", "valid", "test"] if split == "test" or protocol.filter_test_in_valid else ["train", "valid"]
    filters = [s for s in filters if s in graph.splits] if protocol.filtered else []
    scoring.model.eval()
    ranks = rank(
        scoring,
        graph,
        triples,
        sides=sides,
        filter_splits=filters,
        seen_only=protocol.unseen == "drop",
        tolerance=protocol.tolerance,
        progress=progress,
    )
    card = {
        **asdict(protocol),
        "split": split,
        "sides": [side.value for side in sides],
        "filter_splits": filters,
        "candidates": "entities seen in training" if protocol.unseen == "drop" else "all entities",
        "triples": len(triples),
        "dropped_triples": dropped,
        "graph": graph.name,
        "graph_sha256": graph.sha256,
        "inverse_relations": graph.has_inverses,
        "precision": "fp32",
    }
    return Evaluation(ranks.frame.with_columns(split=pl.lit(split)), card)


def _learnt(graph: Graph, triples: torch.Tensor) -> torch.Tensor:
    """(m,) bool: which triples (m, 3) have only entities and relations that stand in training triples."""
    relations = torch.isin(triples[:, 1], graph.splits["train"][:, 1])
    return relations & ~unseen(graph)[triples[:, [0, 2]]].any(1)
