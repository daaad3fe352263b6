"""Sets that must be worked out: once for all that training asks where they fit, else for each batch."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from falsum.graph.graph import Query
from falsum.noise.pools.base import Members, Provider, members_of

# Bytes of sets that are kept, at most.
KEPT_BYTES = 1 << 29
# Sets that are worked out at a time when they are to be kept, and how many are tried first.
BLOCK, TRIED = 1024, 128


class Worked(Provider):
    """Sets that follow from one number per query, its key.

    `keep` works out the sets of all keys that training asks for, where they fit into KEPT_BYTES: then a draw only looks
    at them. Else, and for other keys, the sets of the distinct keys of a batch are worked out for each draw, which
    takes time and memory in proportion to them.
    """

    asked: Tensor | None
    start: Tensor
    entity: Tensor

    def __init__(self, num_entities: int) -> None:
        super().__init__()
        self.num_entities = num_entities
        for name in ("asked", "start", "entity"):
            self.register_buffer(name, None, persistent=False)

    @abstractmethod
    def key(self, query: Query) -> Tensor:
        """(b,) int64: what the set of each query follows from."""

    @abstractmethod
    def work(self, key: Tensor) -> Tensor:
        """The sets of distinct keys (k,): place * num_entities + entity of every member, ascending and distinct."""

    def of(self, query: Query) -> Members:
        key = self.key(query).contiguous()
        kept = self._kept(key)
        if kept is not None:
            return kept
        distinct, place = torch.unique(key, return_inverse=True)
        members = members_of(self.work(distinct), len(distinct), self.num_entities)
        return Members(members.start[place], members.count[place], members.entity)

    def keep(self, asked: Tensor) -> None:
        """Keep the sets of the keys `asked` (k,), any order, if they fit."""
        asked = torch.unique(asked)
        room = (KEPT_BYTES - 8 * (2 * len(asked) + 1)) // 4
        some = asked[:: max(1, len(asked) // TRIED)]
        if len(asked) == 0 or len(self.work(some)) / len(some) * len(asked) > 2 * room:
            return
        counts, entities, total = [], [], 0
        for block in asked.split(BLOCK):
            members = members_of(self.work(block), len(block), self.num_entities)
            total += len(members.entity)
            if total > room:
                return
            counts.append(members.count)
            entities.append(members.entity.to(torch.int32))
        self.asked, self.entity = asked, torch.cat(entities)
        self.start = torch.cat([asked.new_zeros(1), torch.cat(counts).cumsum(0)])

    def _kept(self, key: Tensor) -> Members | None:
        if self.asked is None:
            return None
        at = torch.searchsorted(self.asked, key).clamp_(max=len(self.asked) - 1)
        if not bool((self.asked[at] == key).all()):
            return None
        start = self.start[at]
        return Members(start, self.start[at + 1] - start, self.entity)


def kept_bytes(num_keys: int, num_entities: int) -> int:
    """Bytes of kept sets at most: each holds everyone, or they do not fit."""
    return min(KEPT_BYTES, 8 * (2 * num_keys + 1) + 4 * num_keys * num_entities)
