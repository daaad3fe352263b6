"""Lists of numbers by row: which entities stand beside which, which types an entity has; and sets made by following."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from falsum.graph.graph import Graph, expand

# Numbers that are looked up at once while sets are worked out; buffers that fit the cache are several times faster.
PIECE = 1 << 19
# A set is marked in an array where that has at most so many places per number; sorting is slower.
SPARSE = 32


class Lists(nn.Module):
    """Row i holds member[start[i] : start[i + 1]], ascending and distinct. start: (rows + 1,) int64; member int32."""

    start: Tensor
    member: Tensor

    def __init__(self, row: Tensor, member: Tensor, num_rows: int, size: int, device: torch.device) -> None:
        """row, member: (a,) in any order, repeats allowed. size: members are below it."""
        super().__init__()
        self.num_rows, self.size = num_rows, size
        keys = torch.unique(row * size + member)
        count = torch.bincount(keys // size, minlength=num_rows)
        start = torch.cat([torch.zeros(1, dtype=torch.int64), count.cumsum(0)])
        self.register_buffer("start", start.to(device), persistent=False)
        self.register_buffer("member", (keys % size).to(device, torch.int32), persistent=False)

    @staticmethod
    def bytes(num_rows: int, num_members: int) -> int:
        return 8 * (num_rows + 1) + 4 * num_members

    def follow(self, keys: Tensor) -> Tensor:
        """The union of lists: ascending keys place * num_rows + row -> ascending keys place * size + member.

        Worked out in pieces of whole places that hold PIECE numbers, or one place each.
        """
        if len(keys) == 0:
            return keys
        place = keys // self.num_rows
        row = keys - place * self.num_rows
        first = self.start[row]
        count = self.start[row + 1] - first
        before = (count.cumsum(0) - count)[torch.searchsorted(place, place)]
        sizes = torch.unique_consecutive(before // PIECE, return_counts=True)[1].tolist()
        found = []
        for own, begin, many in zip(place.split(sizes), first.split(sizes), count.split(sizes), strict=True):
            take, which = expand(begin, many)
            found.append(distinct_keys(own[which] * self.size + self.member[take]))
        return torch.cat(found)


def distinct_keys(keys: Tensor) -> Tensor:
    """Ascending and distinct, as torch.unique has them, but faster where they lie close together."""
    if len(keys) == 0:
        return keys
    low, high = torch.aminmax(keys)
    span = int(high - low) + 1
    if span > SPARSE * len(keys):
        return torch.unique(keys)
    marked = torch.zeros(span, dtype=torch.bool, device=keys.device)
    marked[keys - low] = True
    return marked.nonzero().flatten() + low


def without(keys: Tensor, others: Tensor) -> Tensor:
    """The ascending distinct keys that are not among the ascending distinct others."""
    if len(keys) == 0 or len(others) == 0:
        return keys
    low, span = keys[0], int(keys[-1] - keys[0]) + 1
    if span > SPARSE * len(keys):
        return keys[torch.isin(keys, others, assume_unique=True, invert=True)]
    marked = torch.zeros(span, dtype=torch.bool, device=keys.device)
    first, last = torch.searchsorted(others, torch.stack([low, keys[-1] + 1])).tolist()
    marked[others[first:last] - low] = True
    return keys[~marked[keys - low]]


def neighbours(graph: Graph, device: torch.device) -> Lists:
    """Row: entity. Whoever stands in a training triple with it, in either direction by any relation; not itself."""
    head, _, tail = graph.splits["train"].unbind(1)
    apart = head != tail
    head, tail = head[apart], tail[apart]
    ends = torch.cat([head, tail]), torch.cat([tail, head])
    return Lists(*ends, graph.num_entities, graph.num_entities, device)
