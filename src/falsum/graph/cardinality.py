"""Cardinality of relations: how many fillers their slots have, and how many relations are of which kind."""

from __future__ import annotations

import torch
from torch import Tensor

from falsum.graph.graph import Graph
from falsum.graph.keys import distinct

KINDS = ("1-1", "1-N", "N-1", "N-N")


def cardinalities(graph: Graph) -> tuple[Tensor, Tensor]:
    """(R,) float64 each: mean tails per head and mean heads per tail of distinct training triples; 1 where none is."""
    triples = distinct(graph.splits["train"])[0]
    num = graph.num_base_relations
    count = torch.bincount(triples[:, 1], minlength=num).double()
    means = []
    for column in (0, 2):
        pairs = torch.unique(triples[:, 1] * graph.num_entities + triples[:, column])
        ends = torch.bincount(torch.div(pairs, graph.num_entities, rounding_mode="floor"), minlength=num)
        means.append(torch.where(count > 0, count / ends.clamp(min=1), 1.0))
    return means[0], means[1]


def largest_cardinalities(graph: Graph) -> tuple[Tensor, Tensor]:
    """(R,) float64 each: the most tails of any head, and the most heads of any tail, of distinct training triples.

    1 where a relation has none. A side is functional where that is 1, whatever its average.
    """
    triples = distinct(graph.splits["train"])[0]
    most = []
    for column in (0, 2):
        pair, count = torch.unique(triples[:, 1] * graph.num_entities + triples[:, column], return_counts=True)
        ones = torch.ones(graph.num_base_relations, dtype=torch.int64)
        most.append(ones.scatter_reduce(0, pair // graph.num_entities, count, "amax").double())
    return most[0], most[1]


def kinds(tails_per_head: Tensor, heads_per_tail: Tensor, threshold: float = 1.5) -> dict[str, int]:
    """How many relations are "1-1", "1-N", "N-1", "N-N", head side first: "N" from the threshold on.

    tails_per_head, heads_per_tail: (R,) averages (`cardinalities`) or largest numbers.
    """
    kind = 2 * (heads_per_tail >= threshold).long() + (tails_per_head >= threshold).long()
    return dict(zip(KINDS, torch.bincount(kind, minlength=4).tolist(), strict=True))
