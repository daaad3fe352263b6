"""One set of triples into train, valid and test, by a seed, so that train knows every entity and relation."""

from __future__ import annotations

import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.graph.keys import distinct

SEEDS = range(-(1 << 63), 1 << 64)  # what torch's generator takes


def split_triples(
    triples: Tensor, *, seed: int = 0, valid: float = 0.1, test: float = 0.1, covering: bool = True
) -> dict[str, Tensor]:
    """Masks (m,) bool by split over triples (m, 3) int64; together they cover each triple once.

    valid and test hold at most their share of the triples, at random; equal triples stay together. covering: each
    entity and relation keeps a triple in train (the first one in random order that holds it). Empty splits are left
    out.

    Raises: UserError unless valid and test are shares with a sum below 1, and the seed a whole number of 64 bits.
    """
    if not isinstance(seed, int) or seed not in SEEDS:
        raise UserError(f"seed={seed!r} is no seed. Legal are whole numbers from 0 to 2**64 - 1.")
    numbers = isinstance(valid, int | float) and isinstance(test, int | float)
    if not numbers or not (0 <= valid < 1 and 0 <= test < 1 and valid + test < 1):
        raise UserError(f"valid={valid} and test={test} must be shares from 0 to 1 with a sum below 1.")
    unique, inverse, counts = distinct(triples)
    order = torch.randperm(len(unique), generator=torch.Generator().manual_seed(seed))
    shuffled = unique[order]
    kept = torch.zeros(len(unique), dtype=torch.bool)
    if covering:
        ends = shuffled[:, [0, 2]].flatten()
        kept[first_places(ends) // 2] = True
        kept[first_places(shuffled[:, 1])] = True
    free = order[~kept]
    part = torch.zeros(len(unique), dtype=torch.int64)
    free = fill(part, free, counts, int(valid * len(triples)), 1)
    fill(part, free, counts, int(test * len(triples)), 2)
    parts = part[inverse]
    masks = {name: parts == i for i, name in enumerate(("train", "valid", "test"))}
    return {name: mask for name, mask in masks.items() if mask.any()}


def first_places(values: Tensor) -> Tensor:
    """The position of the first occurrence of each distinct value of (n,) int64."""
    ordered, places = torch.sort(values, stable=True)
    first = torch.ones(len(values), dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return places[first]


def fill(part: Tensor, free: Tensor, counts: Tensor, room: int, number: int) -> Tensor:
    """Mark in `part` the first of the `free` triples that `room` rows can hold; returns those left over."""
    fits = counts[free].cumsum(0) <= room
    part[free[fits]] = number
    return free[~fits]
