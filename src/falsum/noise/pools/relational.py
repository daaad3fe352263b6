"""Entities seen beside the other relations of the anchor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.graph.graph import BOTH_SIDES, Graph, Query, Side
from falsum.noise.base import Size
from falsum.noise.lists import Lists
from falsum.noise.pools.base import Pool, Provider
from falsum.noise.pools.typed import placed
from falsum.noise.pools.worked import Worked, kept_bytes
from falsum.noise.typings import slots_of


@dataclass(frozen=True)
class Relational(Pool):
    """With the tail open, all tails of the other relations that the head is a head of in training; with the head open,
    all heads of the other relations that the tail is a tail of ("relational" of Kotnis & Nastase 2017, as released).

    The opposite of a type constraint: what answers other questions about the anchor. The sets are large (2,800 entities
    of FB15k-237 on average, 1 GB of them), so there they are worked out for each batch.
    """

    def bind(self, graph: Graph, device: torch.device) -> Provider:
        return OfOthers(graph, device)

    def state_bytes(self, size: Size) -> int:
        lists = Lists.bytes(2 * size.entities, 2 * size.triples) + Lists.bytes(2 * size.relations, 2 * size.triples)
        return lists + kept_bytes(size.questions, size.entities)


class OfOthers(Worked):
    """Key: a question, (anchor, base relation); those with the head open come after all others.

    slots: anchor, or E + anchor where the head is open -> slots that are open beside it. fillers: slot -> entities.
    """

    def __init__(self, graph: Graph, device: torch.device) -> None:
        super().__init__(graph.num_entities)
        self.num_base_relations = graph.num_base_relations
        head, _, tail = graph.splits["train"].unbind(1)
        filler, slot, num_slots = slots_of(graph)
        anchor = torch.cat([head, tail + graph.num_entities])
        self.slots = Lists(anchor, slot, 2 * graph.num_entities, num_slots, device)
        self.fillers = Lists(slot, filler, num_slots, graph.num_entities, device)
        train = graph.splits["train"]
        self.keep(torch.cat([self.key(graph.queries(train, side, grouped=True).to(device)) for side in BOTH_SIDES]))

    def key(self, query: Query) -> Tensor:
        anchor = query.anchor if query.slot is Side.TAIL else query.anchor + self.num_entities
        return anchor * self.num_base_relations + query.relation % self.num_base_relations

    def work(self, key: Tensor) -> Tensor:
        anchor, relation = key // self.num_base_relations, key % self.num_base_relations
        found = self.slots.follow(placed(anchor, self.slots.num_rows))
        place, slot = found // self.slots.size, found % self.slots.size
        return self.fillers.follow(found[slot % self.num_base_relations != relation[place]])
