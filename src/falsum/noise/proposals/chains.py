"""Draws from a power of what the model believes, by Markov chains: no sum over all entities is needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Candidates, Live, Size
from falsum.noise.drawing import even_draws
from falsum.noise.known import KnownAnswers
from falsum.noise.proposals.base import Proposal, Proposer
from falsum.noise.proposals.caches import first_of_each
from falsum.noise.request import Request
from falsum.seeds import derive, generator


@dataclass(frozen=True)
class Chains(Proposal):
    """Draws in proportion to e^(alpha score) among what is not barred, by Metropolis-Hastings (MCNS, Yang et al. 2020).

    alpha: between 0 (even) and 1 (what the model believes); the paper's analysis asks for less than 1, its code takes
    a quarter. chains: kept per question, so that a chain goes on where the last step of training left it. steps: moves
    before each draw, every one a score per chain. A move is, half of the time each, to an entity by even odds, or
    along `hops` random triples of the training graph: the odds of such a walk to and fro are as the degrees of its
    ends, which the acceptance takes into account.

    Deviations: the affinity, which may be negative, stands as a score in an exponent and not under a power; chains
    belong to a question instead of moving on to the next; every chain has its own chance of acceptance. Draws of few
    steps follow the target only nearly, so their odds are not known. State: (questions x chains) int32 per side, and
    the training triples both ways.
    """

    alpha: float = 0.25
    chains: int = 8
    steps: int = 4
    hops: int = 2

    def __post_init__(self) -> None:
        in_range("[0, 1e3]", alpha=self.alpha)
        in_range("[1, 100000]", chains=self.chains, steps=self.steps)
        in_range("[1, 10]", hops=self.hops)

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return Walkers(self, graph, device)

    def state_bytes(self, size: Size) -> int:
        walks = 8 * (size.entities + 1 + 2 * size.triples)
        return 4 * size.questions * self.chains + walks + KnownAnswers.bytes(size)


class Walkers(Proposer):
    """tail (q, chains) and head int32: where the chains of every question stand. start, near: neighbours by entity."""

    def __init__(self, settings: Chains, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.settings, self.num_entities = settings, graph.num_entities
        self.known = KnownAnswers(graph, device)
        self.start: Tensor
        self.near: Tensor
        head, _, tail = graph.splits["train"].unbind(1)
        end = torch.cat([head, tail])
        start = torch.zeros(graph.num_entities + 1, dtype=torch.int64)
        start[1:] = torch.bincount(end, minlength=graph.num_entities).cumsum(0)
        self.register_buffer("start", start.to(device), persistent=False)
        near = torch.cat([tail, head])[end.argsort(stable=True)]
        self.register_buffer("near", near.to(device), persistent=False)
        for slot in Side:
            shape = (len(self.known.counts(slot)), settings.chains)
            random = generator(derive(0, "chains", slot.value), device)
            self.register_buffer(slot.value, even_draws(shape, graph.num_entities, random).to(torch.int32))

    def draw(self, request: Request) -> Tensor:
        chains, at = self._rows(request.query)
        most, random = self.settings.chains, request.random
        first = torch.randint(most, (len(at), 1), generator=random, device=at.device)
        state = chains[at[:, None], (first + torch.arange(min(most, request.num), device=at.device)) % most].long()
        value, drawn = self._value(request, state), []
        for _ in range(-(-request.num // most)):
            for _ in range(self.settings.steps):
                state, value = self._move(request, state, value)
            drawn.append(state)
        return torch.cat(drawn, 1)[:, : request.num]

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> None:
        """The chains of a question go on from its last draws."""
        assert isinstance(drawn.ids, Tensor)
        chains, at = self._rows(query)
        rows = first_of_each(at)
        last = drawn.ids[rows, -self.settings.chains :].to(torch.int32)
        chains[at[rows], : last.shape[1]] = last

    def _move(self, request: Request, state: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """One step of all chains, each of two kinds of move in turn by its own coin: both keep the target's odds."""
        random = request.random
        coin, luck = torch.rand(2, *state.shape, generator=random, device=random.device, dtype=torch.float64)
        walked, ratio = self._walk(state, random)
        local = coin < 0.5
        offered = torch.where(local, walked, even_draws(state.shape, self.num_entities, random))
        fresh = self._value(request, offered)
        # Minus infinity stands for barred: left at any offer, since nan would be accepted by nobody.
        gain = torch.where(value > -torch.inf, fresh - value, torch.inf) + torch.where(local, ratio, 0)
        accepted = luck.log() < gain
        return torch.where(accepted, offered, state), torch.where(accepted, fresh, value)

    def _walk(self, state: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Where a random walk ends, and the log of its odds back over those there: degree here over degree there."""
        at = state
        for _ in range(self.settings.hops):
            count = self.start[at + 1] - self.start[at]
            uniform = torch.rand(at.shape, generator=random, device=random.device, dtype=torch.float64)
            place = self.start[at] + (uniform * count).long()
            at = torch.where(count > 0, self.near[place.clamp(max=len(self.near) - 1)], at)
        degree = self.start.diff().clamp(min=1).double().log()
        return at, degree[state] - degree[at]

    def _value(self, request: Request, ids: Tensor) -> Tensor:
        """(b, n) float64: the log of the target's odds but for a constant; -inf where barred."""
        value = self.settings.alpha * request.live.score(request.query, ids).double()
        return value.masked_fill(request.bars(ids), -torch.inf)

    def _rows(self, query: Query) -> tuple[Tensor, Tensor]:
        """The chains of the open slot, and which of their rows belongs to each query, all of the training split."""
        return self.get_buffer(query.slot.value), self.known.row(query)
