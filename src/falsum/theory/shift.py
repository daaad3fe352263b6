"""How far the answers of test questions lie from those of training: what Figure 2 of Kamigaito & Hayashi 2021 shows.

The figure's definition cannot be recovered from paper or code. This one is our own: for a question (anchor, relation)
P(y) = p(y | relation) / 2 + p(y | anchor) / 2 from training counts of the open slot, Q(y) the same from test counts,
both normalised over the answers that both know, and D(P || Q) in nats for every distinct test question.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from falsum.graph.graph import BOTH_SIDES, Answers, Graph, Side
from falsum.seeds import derive, generator


class Counts:
    """Occurrences of answers given one column of the triples: key -> (answers, shares)."""

    def __init__(self, keys: Tensor, answers: Tensor) -> None:
        pairs, times = torch.unique(torch.stack([keys, answers], 1), dim=0, return_counts=True)
        key, start = torch.unique_consecutive(pairs[:, 0], return_counts=True)
        self.entries = Answers(key, torch.cat([torch.zeros(1, dtype=torch.int64), start.cumsum(0)]), pairs[:, 1], 1)
        self.times = times.double().numpy()
        self.place = {int(k): i for i, k in enumerate(key)}

    def add(self, key: int, into: np.ndarray) -> np.ndarray:
        """into[answers of key] += share / 2; the answers."""
        if key not in self.place:
            return np.zeros(0, dtype=np.int64)
        i = self.place[key]
        span = slice(int(self.entries.start[i]), int(self.entries.start[i + 1]))
        answers, times = self.entries.entity[span].numpy(), self.times[span]
        into[answers] += times / times.sum() / 2
        return answers


def shift(graph: Graph, *, queries: int = 1000, seed: int = 0) -> np.ndarray:
    """D(P || Q) in nats of up to `queries` distinct test questions per side, those without a common answer left out.

    Raises KeyError for a graph without a test split.
    """
    values = [value for side in BOTH_SIDES for value in _side(graph, side, queries, seed)]
    return np.array(values)


def single_answers(graph: Graph, side: Side) -> float:
    """The share of training triples that are the only answer to their question with `side` open."""
    query = graph.queries(graph.splits["train"], side, grouped=True)
    return float((torch.bincount(query.row) == 1).sum()) / len(graph.splits["train"])


def _side(graph: Graph, side: Side, queries: int, seed: int) -> Iterator[float]:
    known = {split: _counts(graph, split, side) for split in ("train", "test")}
    head, relation, tail = graph.splits["test"].unbind(1)
    anchor = head if side is Side.TAIL else tail
    asked = torch.unique(torch.stack([anchor, relation], 1), dim=0)
    order = torch.randperm(len(asked), generator=generator(derive(seed, "shift", side.value)))
    p, q = np.zeros(graph.num_entities), np.zeros(graph.num_entities)
    for anchor_id, relation_id in asked[order[:queries]].tolist():
        touched = [
            counts.add(key, into)
            for split, into in (("train", p), ("test", q))
            for counts, key in zip(known[split], (relation_id, anchor_id), strict=True)
        ]
        support = np.unique(np.concatenate(touched))
        support = support[(p[support] > 0) & (q[support] > 0)]
        if len(support):
            a, b = p[support] / p[support].sum(), q[support] / q[support].sum()
            yield float((a * np.log(a / b)).sum())
        for answers in touched:
            p[answers] = q[answers] = 0


def _counts(graph: Graph, split: str, side: Side) -> tuple[Counts, Counts]:
    head, relation, tail = graph.splits[split].unbind(1)
    anchor, answer = (head, tail) if side is Side.TAIL else (tail, head)
    return Counts(relation, answer), Counts(anchor, answer)
