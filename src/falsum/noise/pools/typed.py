"""Pools by type: entities that a slot admits, that are of the target's kind, and one or the other by cardinality."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.cardinality import cardinalities
from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Size
from falsum.noise.lists import without
from falsum.noise.pools.base import Pool, Provider
from falsum.noise.pools.worked import Worked, kept_bytes
from falsum.noise.typings import Typing, first_targets, slot_of


@dataclass(frozen=True)
class Admitted(Pool):
    """Entities of a type that the open slot of the relation admits: one of a type seen there in training (type
    constraints: Krompass et al. 2015). types: see `Typing`. Wider than `Seen`, whose entities with a type it holds.
    """

    types: str = ""

    def bind(self, graph: Graph, device: torch.device) -> Provider:
        return OfSlots(graph, self.types, device)

    def state_bytes(self, size: Size) -> int:
        return Typing.bytes(size, self.types) + kept_bytes(2 * size.relations, size.entities)


@dataclass(frozen=True)
class SameType(Pool):
    """Entities that share a type with the target ("typed" in Kotnis & Nastase 2017), the target among them.

    types: see `Typing`. A question with several targets takes its first; a target without a type has nobody.
    """

    types: str = ""

    def bind(self, graph: Graph, device: torch.device) -> Provider:
        return OfGroups(graph, self.types, device)

    def state_bytes(self, size: Size) -> int:
        groups = size.entities if self.types else min(size.entities, 2 * size.relations + 1)
        return Typing.bytes(size, self.types) + kept_bytes(groups, size.entities)


@dataclass(frozen=True)
class ByConcept(Pool):
    """Where the slot has one filler, entities that share a type with the target: hard, and false since the target is
    the one. Where it has many, entities of the other types that the slot admits, since those of the target's own types
    may be true (CAKE: Niu et al. 2022, with types for concepts).

    types: see `Typing`. threshold: a slot has one filler below so many on average, so for tails of 1-1 and N-1
    relations (the released code of the paper takes N-1 and N-N). Deviation: admitted types are those seen in the slot,
    while the paper also looks at the concept of the other end. A question with several targets takes its first.
    """

    types: str = ""
    threshold: float = 1.5

    def __post_init__(self) -> None:
        in_range("[1, 1e9]", threshold=self.threshold)

    def bind(self, graph: Graph, device: torch.device) -> Provider:
        return OfConcepts(graph, self.types, self.threshold, device)

    def state_bytes(self, size: Size) -> int:
        groups = size.entities if self.types else min(size.entities, 2 * size.relations + 1)
        keys = min(2 * size.triples, (2 * size.relations + 1) * groups)
        return Typing.bytes(size, self.types) + 2 * size.relations + kept_bytes(keys, size.entities)


class OfSlots(Worked):
    """Key: open slot and base relation, tails first."""

    def __init__(self, graph: Graph, types: str, device: torch.device) -> None:
        super().__init__(graph.num_entities)
        self.num_base_relations = graph.num_base_relations
        self.typing = Typing(graph, types, device)
        self.keep(torch.arange(2 * graph.num_base_relations, device=device))

    def key(self, query: Query) -> Tensor:
        return slot_of(query, self.num_base_relations)

    def work(self, key: Tensor) -> Tensor:
        admitted = self.typing.admitted
        return self.typing.holders.follow(admitted.follow(placed(key, admitted.num_rows)))


class OfGroups(Worked):
    """Key: the group of the target."""

    def __init__(self, graph: Graph, types: str, device: torch.device) -> None:
        super().__init__(graph.num_entities)
        self.typing = Typing(graph, types, device)
        self.keep(torch.arange(self.typing.num_groups, device=device))

    def key(self, query: Query) -> Tensor:
        return self.typing.group[first_targets(query)]

    def work(self, key: Tensor) -> Tensor:
        types = self.typing.types_of
        return self.typing.holders.follow(types.follow(placed(key, types.num_rows)))


class OfConcepts(Worked):
    """Key: slot * groups + group of the target, where all slots with one filler are the same, the last."""

    one: Tensor

    def __init__(self, graph: Graph, types: str, threshold: float, device: torch.device) -> None:
        super().__init__(graph.num_entities)
        self.num_base_relations = graph.num_base_relations
        self.typing = Typing(graph, types, device)
        self.register_buffer("one", (torch.cat(cardinalities(graph)) < threshold).to(device), persistent=False)
        train = graph.splits["train"]
        self.keep(torch.cat([self.key(graph.queries(train, side, grouped=False).to(device)) for side in Side]))

    def key(self, query: Query) -> Tensor:
        slot = slot_of(query, self.num_base_relations)
        slot = torch.where(self.one[slot], 2 * self.num_base_relations, slot)
        return slot * self.typing.num_groups + self.typing.group[first_targets(query)]

    def work(self, key: Tensor) -> Tensor:
        num_types = self.typing.num_types
        slot, group = key // self.typing.num_groups, key % self.typing.num_groups
        one = slot == 2 * self.num_base_relations
        own = self.typing.types_of.follow(placed(group, self.typing.num_groups))
        place = torch.arange(len(key), device=key.device)
        many = self.typing.admitted.follow((place * self.typing.admitted.num_rows + slot)[~one])
        types = torch.cat([own[one[own // num_types]], without(many, own)]).sort().values
        return self.typing.holders.follow(types)


def placed(row: Tensor, num_rows: int) -> Tensor:
    """Keys of one row for each place, as `Lists.follow` takes them."""
    return torch.arange(len(row), device=row.device) * num_rows + row
