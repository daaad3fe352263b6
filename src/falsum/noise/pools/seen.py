"""Entities that were seen where the question is open."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Size
from falsum.noise.pools.base import Pool, Provider, Sets


@dataclass(frozen=True)
class Seen(Pool):
    """Entities that fill the open slot of the relation in training: pseudo-types (Socher et al. 2013), the local closed
    world of Krompass et al. 2015.
    """

    def bind(self, graph: Graph, device: torch.device) -> Provider:
        return Fillers(graph, device)

    def state_bytes(self, size: Size) -> int:
        """At most: every triple gives each slot a filler of its own, but no slot has one twice."""
        return 8 * (2 * size.relations + 1 + 2 * min(size.triples, size.relations * size.entities))


class Fillers(Sets):
    """Row: open slot and relation, tails first."""

    def __init__(self, graph: Graph, device: torch.device) -> None:
        self.num_base_relations = graph.num_base_relations
        head, relation, tail = graph.splits["train"].unbind(1)
        row = torch.cat([relation, relation + graph.num_base_relations])
        super().__init__(row, torch.cat([tail, head]), 2 * graph.num_base_relations, graph.num_entities, device)

    def rows(self, query: Query) -> Tensor:
        base = query.relation % self.num_base_relations
        return base if query.slot is Side.TAIL else base + self.num_base_relations
