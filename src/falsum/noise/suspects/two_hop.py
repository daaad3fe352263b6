"""Suspicion by structure: candidates that stand near the anchor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Query, expand
from falsum.noise.base import Live, Size
from falsum.noise.lists import Lists, neighbours
from falsum.noise.suspects.base import Detector, Suspects

# Neighbours that are looked up at once.
PIECE = 1 << 21


@dataclass(frozen=True)
class TwoHop(Suspects):
    """Candidates at most two training triples away from the anchor, in either direction by any relation, are doubted by
    `share`: a short path makes a triple likelier to be true (HaSa: Zhang et al. 2024, which takes such entities for the
    false negatives of its loss; here they count less, in any loss).

    Found by looking up the fewer neighbours of anchor and candidate among those of the other: no set of near entities
    is kept or made.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        in_range("[0, 1]", share=self.share)

    def bind(self, graph: Graph, device: torch.device) -> Detector:
        return Close(self.share, graph, device)

    def state_bytes(self, size: Size) -> int:
        return Lists.bytes(size.entities, 2 * size.triples) + 16 * size.triples


class Close(Detector):
    """The neighbours of every entity, and the keys entity * E + neighbour of all, ascending."""

    edges: Tensor

    def __init__(self, share: float, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.share, self.num_entities = share, graph.num_entities
        self.neighbours = neighbours(graph, device)
        count = self.neighbours.start.diff()
        row = torch.repeat_interleave(torch.arange(graph.num_entities, device=device), count)
        self.register_buffer("edges", row * graph.num_entities + self.neighbours.member, persistent=False)

    def doubt(self, query: Query, ids: Tensor, live: Live) -> Tensor:
        served = torch.arange(len(query), device=ids.device) // -(-len(query) // max(1, len(ids)))
        candidate = ids[served]
        anchor = query.anchor[:, None].expand_as(candidate)
        return self.share * self.within(anchor.flatten(), candidate.flatten()).float().view_as(candidate)

    def within(self, one: Tensor, other: Tensor) -> Tensor:
        """(p,) bool: whether pairs of entities are at most two hops apart."""
        close = (one == other) | self.linked(one, other)
        start = self.neighbours.start
        degrees = start[one + 1] - start[one], start[other + 1] - start[other]
        swap = degrees[0] > degrees[1]
        few, many = torch.where(swap, other, one), torch.where(swap, one, other)
        open_ = (~close).nonzero().flatten()
        count = torch.minimum(*degrees)[open_]
        sizes = torch.unique_consecutive((count.cumsum(0) - count) // PIECE, return_counts=True)[1].tolist()
        for part, each in zip(open_.split(sizes), count.split(sizes), strict=True):
            take, which = expand(start[few[part]], each)
            met = self.linked(many[part][which], self.neighbours.member[take])
            close[part[which[met]]] = True
        return close

    def linked(self, one: Tensor, other: Tensor) -> Tensor:
        """(p,) bool: whether pairs of entities are neighbours."""
        if len(self.edges) == 0:
            return torch.zeros_like(one, dtype=torch.bool)
        key = one * self.num_entities + other
        at = torch.searchsorted(self.edges, key).clamp_(max=len(self.edges) - 1)
        return self.edges[at] == key
