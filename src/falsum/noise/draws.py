"""Drawing candidates from fixed odds: shared or own, filtered or not, with or without replacement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from falsum.graph.graph import Graph, Pairs, Query, Side
from falsum.noise.base import Candidates, Draw, known_answers
from falsum.seeds import generator


class Settings(Protocol):
    """How many to draw for whom: see `falsum.noise.Uniform`."""

    @property
    def num(self) -> int: ...
    @property
    def num_head(self) -> int | None: ...
    @property
    def shared(self) -> str: ...
    @property
    def chunk(self) -> int: ...
    @property
    def filtered(self) -> bool: ...
    @property
    def replacement(self) -> bool: ...


def drawing(settings: Settings, graph: Graph, device: torch.device, odds: Mapping[Side, Tensor]) -> Draw:
    """The draw function of a noise. odds: open slot -> (E,) relative probabilities, not negative.

    Raises ValueError when more distinct entities are asked for than have odds.
    """
    most = max(settings.num, settings.num_head or 0)
    support = min(int((each > 0).sum()) for each in odds.values())
    if support == 0 or (not settings.replacement and most > support):
        raise ValueError(f"cannot draw {most} of {support} entities without replacement")
    known = known_answers(graph, device) if settings.filtered else None
    redraws = known is not None and settings.shared == "query"
    if known and redraws:
        most += max((int(a.start.diff().max()) for a in known.values() if len(a.key)), default=0)
    even = all(bool((each == each[0]).all()) for each in odds.values())
    sparse = settings.replacement or (even and most <= SPARSE * support)
    steps = {slot: None if even else each.double().cumsum(0) for slot, each in odds.items()}

    def draw(query: Query, seed: int) -> Candidates:
        num = settings.num_head if query.slot is Side.HEAD and settings.num_head is not None else settings.num
        rows = {"query": len(query), "batch": 1, "chunk": -(-len(query) // settings.chunk)}[settings.shared]
        random = generator(seed, device)
        drop = known[query.slot].of(query.anchor, query.relation) if known else None
        avoid = drop if redraws else None
        if not sparse:
            return Candidates(distinct(rows, num, odds[query.slot], avoid, random), drop=drop)
        ids = independent((rows, num), graph.num_entities, steps[query.slot], random)
        for _ in range(REDRAWS):
            bad = torch.zeros_like(ids, dtype=torch.bool) if settings.replacement else repeated(ids)
            if avoid is not None:
                bad |= contains(avoid, ids, graph.num_entities)
            where = bad.nonzero(as_tuple=True)
            if len(where[0]) == 0:
                break
            fresh = independent(where[0].shape, graph.num_entities, steps[query.slot], random)
            ids = ids.index_put(where, fresh)
        return Candidates(ids, drop=drop)

    return draw


def independent(shape: tuple[int, ...], num_entities: int, steps: Tensor | None, random: torch.Generator) -> Tensor:
    """Entities drawn with replacement. steps: (E,) float64 running sum of the odds, or None where all are equal."""
    if steps is None:
        return torch.randint(num_entities, shape, generator=random, device=random.device)
    uniform = torch.rand(shape, generator=random, device=random.device, dtype=steps.dtype)
    # right=True: an entity without odds is no step, and is never landed on.
    return torch.searchsorted(steps, uniform * steps[-1], right=True).clamp_(max=num_entities - 1)


# Rejection ends almost surely; the bound only stops queries whose answers are nearly all entities (then `drop` acts).
REDRAWS = 100
# Share of the entities that distinct draws and what they avoid may take for rejection to end within REDRAWS.
SPARSE = 0.75


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
    if len(pairs.row) == 0:
        return torch.zeros_like(ids, dtype=torch.bool)
    keys = pairs.row * num_entities + pairs.entity
    rows = torch.arange(len(ids), device=ids.device)[:, None]
    wanted = rows * num_entities + ids
    at = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return keys[at] == wanted
