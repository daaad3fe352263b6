"""Drawing entities: from odds, from sets, without repeats, past what must not be drawn. Pure functions of a generator.

All that a proposal is asked for stands in one `Request`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from falsum.graph.graph import Pairs, Query
from falsum.noise.base import Live


@dataclass(frozen=True, slots=True)
class Request:
    """What a proposal is asked for: `rows` x `num` entities. rows: len(query), each query's own; or fewer, shared.

    targets: (t,) of the whole batch. random: where all chance comes from, on the device of the tables. barred: (query
    row, entity) pairs that will not be counted, sorted: proposals that rank look past them, others need not care, since
    what hits one is drawn again.
    """

    query: Query
    rows: int
    num: int
    targets: Tensor
    random: torch.Generator
    live: Live
    barred: Pairs | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.num

    def bars(self, ids: Tensor, num_entities: int) -> Tensor:
        """(rows, n) bool: whether ids (rows, n), each query's own, will not be counted."""
        if self.barred is None:
            return torch.zeros_like(ids, dtype=torch.bool)
        return contains(self.barred, ids, num_entities)

    def single(self, rows: Tensor) -> Request:
        """One draw for each of the queries `rows` (k,), which may repeat."""
        barred = None if self.barred is None else self.barred.select(rows)
        return replace(self, query=self.query.select(rows), rows=len(rows), num=1, barred=barred)


def even_draws(shape: tuple[int, ...], num_entities: int, random: torch.Generator) -> Tensor:
    """Entities with equal odds, with replacement."""
    return torch.randint(num_entities, shape, generator=random, device=random.device)


def by_steps(shape: tuple[int, ...], steps: Tensor, random: torch.Generator) -> Tensor:
    """Positions drawn with replacement. steps: (k,) float64, the running sum of their odds."""
    uniform = torch.rand(shape, generator=random, device=random.device, dtype=steps.dtype)
    # right=True: a position without odds is no step, and is never landed on.
    return torch.searchsorted(steps, uniform * steps[-1], right=True).clamp_(max=len(steps) - 1)


def by_odds(odds: Tensor, num: int, random: torch.Generator) -> Tensor:
    """(b, num) positions drawn with replacement from odds (b, k) of each row, which need not sum to 1."""
    steps = odds.cumsum(1, dtype=torch.float64)
    uniform = torch.rand(len(odds), num, generator=random, device=odds.device, dtype=torch.float64)
    return torch.searchsorted(steps, uniform * steps[:, -1:], right=True).clamp_(max=odds.shape[1] - 1)


def distinct(rows: int, num: int, odds: Tensor, avoid: Pairs | None, random: torch.Generator) -> Tensor:
    """(rows, num) distinct entities per row, drawn one after the other by odds (E,) (Gumbel top-k).

    Those to avoid come only where nothing else is left.
    """
    uniform = torch.rand(rows, len(odds), generator=random, device=random.device, dtype=odds.dtype)
    key = odds.log() - (-uniform.clamp(min=torch.finfo(odds.dtype).tiny).log()).log()
    if avoid is not None:
        key = key.index_put(tuple(avoid), key.new_tensor(-torch.inf))
    return key.argsort(1, descending=True)[:, :num]


def repeated(ids: Tensor) -> Tensor:
    """(c, n) bool: True where an entity already stands further left in its row."""
    value, order = ids.sort(dim=1, stable=True)
    again = torch.zeros_like(ids, dtype=torch.bool)
    again[:, 1:] = value[:, 1:] == value[:, :-1]
    return torch.zeros_like(again).scatter(1, order, again)


def contains(pairs: Pairs, ids: Tensor, num_entities: int) -> Tensor:
    """(b, n) bool: whether (i, ids[i, j]) is one of the pairs. pairs sorted by row, then entity."""
    rows = torch.arange(len(ids), device=ids.device)[:, None]
    return has_pairs(pairs, rows, ids, num_entities)


def has_pairs(pairs: Pairs, rows: Tensor, ids: Tensor, num_entities: int) -> Tensor:
    """Whether (row, entity) is one of the pairs, sorted as above; rows and ids broadcast."""
    wanted = rows * num_entities + ids
    if len(pairs.row) == 0:
        return torch.zeros_like(wanted, dtype=torch.bool)
    keys = pairs.row * num_entities + pairs.entity
    at = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return keys[at] == wanted


def row_totals(values: Tensor, row: Tensor, num_rows: int) -> Tensor:
    """(num_rows,): the sum of the values of each row."""
    return values.new_zeros(num_rows).index_add(0, row, values)
