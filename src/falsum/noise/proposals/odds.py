"""Fixed odds: equal, or by how often an entity fills the open slot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Size, slot_counts
from falsum.noise.drawing import alias_draws, alias_table, even_draws
from falsum.noise.pools.base import Members, Pool, Provider
from falsum.noise.pools.everyone import Everyone
from falsum.noise.proposals.base import Proposal, Proposer, Sees, more
from falsum.noise.request import Request

# Powers of counts up to 10^9 stay finite.
EXPONENTS = "[-10, 10]"


@dataclass(frozen=True)
class Even(Proposal):
    """Every entity of the pool has equal odds; where the pool is empty, every entity of the graph."""

    pool: Pool = Everyone()  # noqa: RUF009 (frozen)

    @property
    def sees(self) -> Sees:
        return self.pool.sees

    @property
    def exact(self) -> bool:
        return True

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        if isinstance(self.pool, Everyone):
            return EvenDraws(graph.num_entities)
        return EvenMembers(self.pool.bind(graph, device), graph.num_entities)

    def state_bytes(self, size: Size) -> int:
        return 0 if isinstance(self.pool, Everyone) else self.pool.state_bytes(size)


class EvenDraws(Proposer):
    """Every entity of the graph."""

    def __init__(self, num_entities: int) -> None:
        super().__init__()
        self.num_entities = num_entities

    def draw(self, request: Request) -> Tensor:
        return even_draws(request.shape, self.num_entities, request.random)

    def log_q(self, request: Request, ids: Tensor) -> Tensor:
        return torch.full(ids.shape, -math.log(self.num_entities), device=ids.device)


class EvenMembers(Proposer):
    """Every entity of a question's set."""

    def __init__(self, provider: Provider, num_entities: int) -> None:
        super().__init__()
        self.provider, self.num_entities = provider, num_entities

    def draw(self, request: Request) -> Tensor:
        members = self.provider.of(request.query)
        start, count, entity = members.start, members.count, members.entity
        # In fp64: a fraction of fp32 misses members of sets past 2^24.
        uniform = torch.rand(request.shape, generator=request.random, device=start.device, dtype=torch.float64)
        if len(entity) == 0:
            return (uniform * self.num_entities).long()
        size = torch.where(count > 0, count, self.num_entities)
        place = (uniform * size[:, None]).long()
        inside = entity[(start[:, None] + place).clamp_(max=len(entity) - 1)]
        return torch.where(count[:, None] > 0, inside, place)

    def log_q(self, request: Request, ids: Tensor) -> Tensor:
        members = self.provider.of(request.query)
        empty = members.count[:, None] == 0
        size = torch.where(empty, self.num_entities, members.count[:, None])
        return -size.double().log().masked_fill(~(members.holds(ids) | empty), torch.inf)


@dataclass(frozen=True)
class Counted(Proposal):
    """Odds in proportion to count^exponent among the entities of the pool; where none has odds, all entities alike.

    by: "slot", how often an entity fills the open slot (the unigram noise of word2vec: exponent 0.75); "degree", how
    often it stands at either end of a triple. start is added to every count: at 0 an entity that never fills the slot
    is never drawn, unless the exponent is 0.
    """

    exponent: float = 0.75
    by: Literal["slot", "degree"] = "slot"
    start: float = 0.0
    pool: Pool = Everyone()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        in_range(EXPONENTS, exponent=self.exponent)
        in_range("[0, 1e9]", start=self.start)

    @property
    def sees(self) -> Sees:
        return self.pool.sees if self.by == "degree" else more("slot", self.pool.sees)

    @property
    def exact(self) -> bool:
        return True

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        if self.exponent == 0:
            return Even(self.pool).bind(graph, device)
        odds = count_odds(graph, self.exponent, self.by, self.start)
        if isinstance(self.pool, Everyone):
            return CountedDraws(odds, device)
        return CountedMembers(odds, self.pool.bind(graph, device), device)

    def state_bytes(self, size: Size) -> int:
        if self.exponent == 0:
            return Even(self.pool).state_bytes(size)
        everyone = isinstance(self.pool, Everyone)
        return 16 * size.entities * (3 if everyone else 1) + (0 if everyone else self.pool.state_bytes(size))


def count_odds(graph: Graph, exponent: float, by: str = "slot", start: float = 0.0) -> dict[Side, Tensor]:
    """Open slot -> (E,) float64 probabilities, proportional to (count + start)^exponent; 0 gives all the same."""
    counts = {slot: slot_counts(graph, slot) for slot in Side}
    if by == "degree":
        counts = dict.fromkeys(Side, counts[Side.TAIL] + counts[Side.HEAD])
    counts = {slot: n + start for slot, n in counts.items()}
    powers = {slot: torch.where((n > 0) | (exponent == 0), n.pow(exponent), 0) for slot, n in counts.items()}
    return {slot: power / power.sum() for slot, power in powers.items()}


class CountedDraws(Proposer):
    """Odds over all entities. Buffers by slot, (E,) each: probabilities and an alias table."""

    def __init__(self, odds: dict[Side, Tensor], device: torch.device) -> None:
        super().__init__()
        for slot, each in odds.items():
            if not bool((each > 0).any()):
                raise ValueError(f"no entity fills the {slot.value} of any training triple")
            self.register_buffer(f"odds_{slot.value}", each.to(device), persistent=False)
            keep, other = alias_table(each.to(device))
            self.register_buffer(f"keep_{slot.value}", keep, persistent=False)
            self.register_buffer(f"other_{slot.value}", other, persistent=False)

    def draw(self, request: Request) -> Tensor:
        keep, other = (self.get_buffer(f"{name}_{request.query.slot.value}") for name in ("keep", "other"))
        return alias_draws(request.shape, keep, other, request.random)

    def log_q(self, request: Request, ids: Tensor) -> Tensor:
        return self.get_buffer(f"odds_{request.query.slot.value}")[ids].log()


class CountedMembers(Proposer):
    """Odds among the entities of a question's set."""

    def __init__(self, odds: dict[Side, Tensor], provider: Provider, device: torch.device) -> None:
        super().__init__()
        self.provider = provider
        for slot, each in odds.items():
            self.register_buffer(f"odds_{slot.value}", each.to(device), persistent=False)

    def draw(self, request: Request) -> Tensor:
        members, odds = self.provider.of(request.query), self._odds(request.query)
        uniform = torch.rand(request.shape, generator=request.random, device=odds.device, dtype=odds.dtype)
        # One running sum over all sets: a set's draws are a stretch of it.
        steps = odds[members.entity].cumsum(0)
        low, high = self._ends(steps, members)
        at = torch.searchsorted(steps, low + uniform * (high - low), right=True)
        elsewhere = (uniform * len(odds)).long()
        if len(steps) == 0:
            return elsewhere
        last = (members.start + members.count)[:, None].clamp(min=1) - 1  # rounding may step past a set
        return torch.where(high > low, members.entity[torch.minimum(at, last)], elsewhere)

    def log_q(self, request: Request, ids: Tensor) -> Tensor:
        members, odds = self.provider.of(request.query), self._odds(request.query)
        low, high = self._ends(odds[members.entity].cumsum(0), members)
        ids = ids.expand(len(members.start), -1)
        share = torch.where(members.holds(ids), odds[ids], 0) / (high - low)
        return torch.where(high > low, share, 1 / len(odds)).log()

    def _ends(self, steps: Tensor, members: Members) -> tuple[Tensor, Tensor]:
        ends = torch.cat([steps.new_zeros(1), steps])
        return ends[members.start][:, None], ends[members.start + members.count][:, None]

    def _odds(self, query: Query) -> Tensor:
        return self.get_buffer(f"odds_{query.slot.value}")
