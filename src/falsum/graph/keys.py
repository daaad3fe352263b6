"""Distinct triples, fast: sorting rows of three is many times slower than sorting numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def distinct(triples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct rows of (m, 3) int64 in ascending order, the row of each triple (m,), and how often each occurs."""
    head, relation, tail = triples.unbind(1)
    key = head
    for column in (relation, tail):
        # Ranks instead of raw keys: a product of three sizes may not fit 63 bits, m times one size does.
        rank = torch.unique(key, return_inverse=True)[1]
        key = rank * (int(column.max()) + 1 if len(column) else 1) + column
    _, inverse, counts = torch.unique(key, return_inverse=True, return_counts=True)
    place = torch.empty(len(counts), dtype=torch.int64)
    place[inverse] = torch.arange(len(inverse))
    return triples[place], inverse, counts
