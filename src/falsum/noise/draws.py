"""Drawing candidates from fixed odds: shared or own, filtered or not, with or without replacement."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Pairs, Query, Side
from falsum.noise.base import Candidates, Live, Noise, Sampler, known_answers
from falsum.seeds import generator

# Draws per query beyond any use; ids of so many candidates fill the memory before a score is made.
MAX_NUM = 10_000_000
Sharing = Literal["query", "batch", "chunk"]


@dataclass(frozen=True)
class Drawn(Noise):
    """A noise that draws `num` entities per query from fixed odds (num_head overrides it where the head is open).

    shared: "query", each query draws its own; "batch", one draw serves all queries, which turns gathers into one
    matrix product, and equal queries share a row; "chunk", one draw per `chunk` queries. filtered: known training
    answers of a query are redrawn (own draws) or not counted (shared draws); otherwise draws may hit the target itself,
    as in Kamigaito & Hayashi 2021. replacement: whether one draw may hold an entity twice.
    """

    num: int = 256
    num_head: int | None = None
    shared: Sharing = "query"
    chunk: int = 64
    filtered: bool = False
    replacement: bool = True

    def __post_init__(self) -> None:
        in_range(f"[1, {MAX_NUM}]", num=self.num, num_head=self.num_head, chunk=self.chunk)

    @property
    def groups(self) -> bool:
        return self.shared == "batch"

    @property
    def blind(self) -> bool:
        return self.shared == "batch" and not self.filtered and self.num_head in (None, self.num)

    @abstractmethod
    def odds(self, graph: Graph) -> dict[Side, Tensor]:
        """Open slot -> (E,) relative probabilities, not negative."""

    def bind(self, graph: Graph, device: torch.device) -> Sampler:
        return FixedOdds(self, graph, device)


class FixedOdds(Sampler):
    """Draws from odds that never change. Raises ValueError when more distinct entities are asked for than have odds."""

    def __init__(self, settings: Drawn, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.settings, self.device, self.num_entities = settings, device, graph.num_entities
        odds = {slot: each.to(device) for slot, each in settings.odds(graph).items()}
        most = max(settings.num, settings.num_head or 0)
        support = min(int((each > 0).sum()) for each in odds.values())
        if support == 0 or (not settings.replacement and most > support):
            raise ValueError(f"cannot draw {most} of {support} entities without replacement")
        self.known = known_answers(graph, device) if settings.filtered else None
        self.redraws = self.known is not None and settings.shared == "query"
        if self.known and self.redraws:
            most += max((int(a.start.diff().max()) for a in self.known.values() if len(a.key)), default=0)
        even = all(bool((each == each[0]).all()) for each in odds.values())
        self.odds = None if settings.replacement or (even and most <= SPARSE * support) else odds
        self.steps = {slot: None if even else each.double().cumsum(0) for slot, each in odds.items()}

    def num(self, query: Query) -> int:
        head = self.settings.num_head if query.slot is Side.HEAD else None
        return self.settings.num if head is None else head

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        settings, num = self.settings, self.num(query)
        rows = {"query": len(query), "batch": 1, "chunk": -(-len(query) // settings.chunk)}[settings.shared]
        random = generator(seed, self.device)
        drop = self.known[query.slot].of(query.anchor, query.relation) if self.known else None
        avoid = drop if self.redraws else None
        if self.odds is not None:
            return Candidates(distinct(rows, num, self.odds[query.slot], avoid, random), drop=drop)
        return Candidates(self._redrawn((rows, num), self.steps[query.slot], avoid, random), drop=drop)

    def _redrawn(
        self, shape: tuple[int, int], steps: Tensor | None, avoid: Pairs | None, random: torch.Generator
    ) -> Tensor:
        """Independent draws; repeated ones and those to avoid are drawn again."""
        ids = independent(shape, self.num_entities, steps, random)
        for _ in range(REDRAWS):
            bad = torch.zeros_like(ids, dtype=torch.bool) if self.settings.replacement else repeated(ids)
            if avoid is not None:
                bad |= contains(avoid, ids, self.num_entities)
            where = bad.nonzero(as_tuple=True)
            if len(where[0]) == 0:
                break
            ids = ids.index_put(where, independent(where[0].shape, self.num_entities, steps, random))
        return ids


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
