"""Request: all that a proposal is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from falsum.graph.graph import Pairs, Query
from falsum.noise.base import Live
from falsum.noise.known import Barred, Look


@dataclass(frozen=True, slots=True)
class Request:
    """What a proposal is asked for: `rows` x `num` entities. rows: len(query), each query's own; or fewer, shared.

    targets: (t,) of the whole batch. random: where all chance comes from, on the device of the tables. filter: what
    will not be counted, or None: proposals that rank look past it, others need not care, since a hit is drawn again.
    """

    query: Query
    rows: int
    num: int
    targets: Tensor
    random: torch.Generator
    live: Live
    filter: Barred | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.num

    @property
    def barred(self) -> Pairs | None:
        """(query row, entity) pairs that will not be counted, sorted. Costs a pass over all of them."""
        return None if self.filter is None else self.filter.of(self.query)

    def look(self) -> Look:
        """How to look up whether (rows, ids) will not be counted."""
        if self.filter is None:
            return lambda rows, ids: torch.zeros_like(rows + ids, dtype=torch.bool)
        return self.filter.look(self.query)

    def bars(self, ids: Tensor) -> Tensor:
        """(b, n) bool: whether ids (b, n) or (1, n) will not be counted."""
        if self.filter is None:
            return torch.zeros(len(self.query), ids.shape[1], dtype=torch.bool, device=ids.device)
        return self.filter.holds(self.query, ids)

    def single(self, rows: Tensor) -> Request:
        """One draw for each of the queries `rows` (k,), which may repeat."""
        return replace(self, query=self.query.select(rows), rows=len(rows), num=1)
