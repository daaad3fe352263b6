"""Everyone outside a pool."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.graph.graph import Graph
from falsum.noise.base import Size
from falsum.noise.pools.base import Members, Pool, Provider
from falsum.noise.pools.seen import Seen
from falsum.noise.proposals.base import Proposal, Proposer, Sees
from falsum.noise.request import Request


@dataclass(frozen=True)
class Outside(Proposal):
    """Every entity that is not in the pool has equal odds; where that is nobody, every entity of the graph.

    The same odds as even draws from the difference of everyone and the pool, without the sets of that difference.
    """

    pool: Pool = Seen()  # noqa: RUF009 (frozen)

    @property
    def sees(self) -> Sees:
        return self.pool.sees

    @property
    def exact(self) -> bool:
        return True

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return OutsideDraws(self.pool.bind(graph, device), graph.num_entities)

    def state_bytes(self, size: Size) -> int:
        return self.pool.state_bytes(size)


class OutsideDraws(Proposer):
    """Draws from what a provider's sets leave."""

    def __init__(self, provider: Provider, num_entities: int) -> None:
        super().__init__()
        self.provider, self.num_entities = provider, num_entities

    def draw(self, request: Request) -> Tensor:
        members = self.provider.of(request.query)
        uniform = torch.rand(request.shape, generator=request.random, device=members.start.device, dtype=torch.float64)
        left = self.num_entities - members.count[:, None]
        number = (uniform * torch.where(left > 0, left, self.num_entities)).long()
        return torch.where(left > 0, outsiders(members, number), number)

    def log_q(self, request: Request, ids: Tensor) -> Tensor:
        members = self.provider.of(request.query)
        left = self.num_entities - members.count[:, None]
        size = torch.where(left > 0, left, self.num_entities)
        return -size.double().log().masked_fill(members.holds(ids) & (left > 0), torch.inf)


def outsiders(members: Members, number: Tensor) -> Tensor:
    """(b, n): of the entities not in the set of each row, the number[i, j]-th from 0 on.

    That is number + k, with k the count of members below it. The i-th member has entity - i outsiders before it, which
    ascends, so k is found by bisecting.
    """
    low = torch.zeros_like(number)
    high = members.count[:, None].expand_as(number).clone()
    if len(members.entity) == 0:
        return number
    for _ in range(int(members.count.max()).bit_length()):
        middle = (low + high) // 2
        at = (members.start[:, None] + middle).clamp_(max=len(members.entity) - 1)
        below = (members.entity[at] - middle <= number) & (low < high)
        low, high = torch.where(below, middle + 1, low), torch.where(below, high, middle)
    return number + low
