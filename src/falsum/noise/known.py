"""Answers that a noise must not count: known ones, found in a moment among millions, or the target alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from falsum.graph.graph import Answers, Graph, Pairs, Query, Side
from falsum.noise.base import Size

# Bits of the sieve for each answer: 1 in 16 of other entities pass it and are then looked up.
BITS = 16
# 2^64 / golden ratio, as a signed number: multiplied keys fall evenly over the high bits.
SPREAD = -7046029254386353131


# (rows, ids), broadcast together: whether ids are barred for the queries of these rows.
Look = Callable[[Tensor, Tensor], Tensor]


class Barred(ABC):
    """Pairs (query, entity) that must not count."""

    @abstractmethod
    def look(self, query: Query) -> Look:
        """How to look up pairs of these queries."""

    @abstractmethod
    def of(self, query: Query) -> Pairs:
        """(query row, entity) of every barred pair, sorted by row, then entity."""

    def holds(self, query: Query, ids: Tensor) -> Tensor:
        """(b, n) bool: whether ids (b, n) or (1, n) are barred for their query."""
        rows = torch.arange(len(query), device=ids.device)[:, None]
        return self.look(query)(rows, ids)


class KnownAnswers(Barred, nn.Module):
    """Training answers of both sides. Buffers by slot: questions and pairs, ascending, and a sieve of bits.

    A bit for each hashed pair says "surely not" for nearly all draws, and only the others are looked for among the
    pairs: many times as fast as looking for all.
    """

    def __init__(self, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.num_entities, self.num_relations = graph.num_entities, graph.num_relations
        for slot in Side:
            answers = graph.answers(["train"], slot)
            row = torch.repeat_interleave(answers.start.diff())
            pair = row * graph.num_entities + answers.entity
            parts = {"key": answers.key, "start": answers.start, "pair": pair, "sieve": sieve_of(pair)}
            for name, tensor in parts.items():
                self.register_buffer(f"{slot.value}_{name}", tensor.to(device), persistent=False)

    def of(self, query: Query) -> Pairs:
        key, start = self._part(query, "key"), self._part(query, "start")
        pairs = Answers(key, start, self._part(query, "pair"), self.num_relations).of(query.anchor, query.relation)
        return Pairs(pairs.row, pairs.entity % self.num_entities)

    def counts(self, slot: Side) -> Tensor:
        """(q,): how many answers each question of the training split with this open slot has."""
        return self.get_buffer(f"{slot.value}_start").diff()

    def row(self, query: Query) -> Tensor:
        """(b,): which of the questions of the training split each query is; some other one's, where it is none."""
        key = self._part(query, "key")
        return torch.searchsorted(key, query.anchor * self.num_relations + query.relation).clamp_(max=len(key) - 1)

    def look(self, query: Query) -> Look:
        key, pair, sieve = (self._part(query, name) for name in ("key", "pair", "sieve"))
        asked = query.anchor * self.num_relations + query.relation
        if len(key) == 0:
            return lambda rows, ids: torch.zeros_like(rows + ids, dtype=torch.bool)
        at = self.row(query)
        at = torch.where(key[at] == asked, at, len(key))  # a question without answers has a number past all pairs

        def look(rows: Tensor, ids: Tensor) -> Tensor:
            wanted = at[rows] * self.num_entities + ids
            hit = passes(sieve, wanted)
            which = hit.nonzero(as_tuple=True)
            found = wanted[which]
            place = torch.searchsorted(pair, found).clamp_(max=len(pair) - 1)
            return hit.index_put_(which, pair[place] == found)

        return look

    def _part(self, query: Query, name: str) -> Tensor:
        return self.get_buffer(f"{query.slot.value}_{name}")

    @staticmethod
    def bytes(size: Size) -> int:
        """At most."""
        return 8 * (2 * size.questions + 2 + 2 * size.triples) + 2 * sieve_bytes(size.triples)


class OwnTarget(Barred):
    """The targets of a query alone."""

    def __init__(self, num_entities: int) -> None:
        self.num_entities = num_entities

    def look(self, query: Query) -> Look:
        if query.single:
            return lambda rows, ids: ids == query.target[rows]
        keys = query.row * self.num_entities + query.target
        return lambda rows, ids: torch.isin(rows * self.num_entities + ids, keys)

    def of(self, query: Query) -> Pairs:
        key = (query.row * self.num_entities + query.target).sort().values
        row = torch.div(key, self.num_entities, rounding_mode="floor")
        return Pairs(row, key - row * self.num_entities)


def sieve_bytes(num: int) -> int:
    """Bytes of the sieve of so many keys: a power of two."""
    return 1 << (max(8, BITS * num - 1).bit_length() - 3)


def sieve_of(keys: Tensor) -> Tensor:
    """(bytes,) uint8 whose bit at the hash of every key is set."""
    size = sieve_bytes(len(keys))
    place = torch.unique(hashed(keys, 8 * size))
    bits = torch.ones_like(place, dtype=torch.uint8) << (place & 7).to(torch.uint8)
    return torch.zeros(size, dtype=torch.uint8).index_add(0, place >> 3, bits)


def passes(sieve: Tensor, keys: Tensor) -> Tensor:
    """Whether the bit at the hash of each key is set: always for the keys that it was made of."""
    place = hashed(keys, 8 * len(sieve))
    return (sieve[place >> 3] >> (place & 7).to(torch.uint8)) & 1 > 0


def hashed(keys: Tensor, places: int) -> Tensor:
    """Each key's place below `places`, a power of two."""
    bits = places.bit_length() - 1
    return (keys * SPREAD >> (64 - bits)) & (places - 1)


def bisected(sorted_values: Tensor, low: Tensor, high: Tensor, wanted: Tensor) -> Tensor:
    """(k,) bool: whether wanted[i] stands in the ascending stretch sorted_values[low[i] : high[i]]."""
    end = high
    for _ in range(int((high - low).max()).bit_length() if len(low) else 0):
        middle = (low + high) // 2
        below = (sorted_values[middle.clamp(max=len(sorted_values) - 1)] < wanted) & (low < high)
        low, high = torch.where(below, middle + 1, low), torch.where(below, high, middle)
    return (low < end) & (sorted_values[low.clamp(max=max(0, len(sorted_values) - 1))] == wanted)
