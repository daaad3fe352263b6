"""Entities that the graph itself states to be wrong answers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Size
from falsum.noise.pools.base import Pool, Provider, Sets


@dataclass(frozen=True)
class StatedFalse(Pool):
    """Entities e for which (h, r, e), or (e, r, t), is stated to be false with the training split.

    Explicit negatives, as in Sousa & Paulheim 2025. What is stated with validation or test is never read. Most
    questions have none: `Even` then draws from all entities.
    """

    def bind(self, graph: Graph, device: torch.device) -> Provider:
        return Stated(graph, device)

    def state_bytes(self, size: Size) -> int:
        """At most: every false triple asks two questions of its own."""
        return 8 * (2 + 6 * size.false)


class Stated(Sets):
    """Row: the questions that false triples answer, by open slot, anchor and relation; the last is empty."""

    def __init__(self, graph: Graph, device: torch.device) -> None:
        self.num_base_relations, self.num_entities = graph.num_base_relations, graph.num_entities
        head, relation, tail = graph.false.get("train", torch.zeros(0, 3, dtype=torch.int64)).unbind(1)
        keys = torch.cat([self._keys(head, relation, Side.TAIL), self._keys(tail, relation, Side.HEAD)])
        questions, row = torch.unique(keys, return_inverse=True)
        super().__init__(row, torch.cat([tail, head]), len(questions) + 1, graph.num_entities, device)
        self.register_buffer("question", questions.to(device), persistent=False)

    def _keys(self, anchor: Tensor, relation: Tensor, slot: Side) -> Tensor:
        place = 0 if slot is Side.TAIL else self.num_entities
        return (place + anchor) * self.num_base_relations + relation % self.num_base_relations

    def rows(self, query: Query) -> Tensor:
        question = self.get_buffer("question")
        key = self._keys(query.anchor, query.relation, query.slot)
        at = torch.searchsorted(question, key)
        if len(question) == 0:
            return at
        return torch.where(question[at.clamp(max=len(question) - 1)] == key, at, len(question))
