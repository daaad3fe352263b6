"""A cache of hard candidates for every question of the training split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Candidates, Live, Size
from falsum.noise.drawing import even_draws, repeated
from falsum.noise.known import KnownAnswers
from falsum.noise.proposals.base import Proposal, Proposer
from falsum.noise.request import Request
from falsum.seeds import derive, generator


@dataclass(frozen=True)
class Cached(Proposal):
    """Uniform draws from a cache of hard candidates per question (Zhang et al. 2019, Algorithms 2 and 3).

    cache: entities kept per question (N1); `fresh` uniform ones (N2) compete with them at each refresh; the survivors
    are drawn without replacement in proportion to e^score. every: epochs between refreshes of a question (the paper's
    lazy n + 1). scrub: known training answers never survive a refresh; the paper keeps them.

    Deviation: all negatives of a question come from its cache, uniformly with replacement; the paper takes one. State:
    (questions x cache) int32 per side.
    """

    cache: int = 50
    fresh: int = 50
    every: int = 1
    scrub: bool = False

    def __post_init__(self) -> None:
        in_range("[1, 100000]", cache=self.cache, fresh=self.fresh)
        in_range("[1, 1e6]", every=self.every)

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return Caches(self, graph, device)

    def state_bytes(self, size: Size) -> int:
        return KnownAnswers.bytes(size) + 4 * size.questions * self.cache


class Caches(Proposer):
    """One row of candidates per training question and side. Persistent buffers: tail and head (q, cache) int32."""

    def __init__(self, settings: Cached, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.settings, self.num_entities = settings, graph.num_entities
        self.known = KnownAnswers(graph, device)
        for slot in Side:
            shape = (len(self.known.on(slot).key), settings.cache)
            random = generator(derive(0, "cache", slot.value), device)
            self.register_buffer(slot.value, even_draws(shape, graph.num_entities, random).to(torch.int32))

    def draw(self, request: Request) -> Tensor:
        cache, at = self._rows(request.query)
        pick = torch.randint(self.settings.cache, request.shape, generator=request.random, device=at.device)
        return cache[at[:, None], pick].long()

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> None:
        """Refresh the caches of the batch's questions, each once, with the scores after the step."""
        if int(live.epoch) % self.settings.every:
            return
        cache, at = self._rows(query)
        rows = first_of_each(at)
        asked, at = query.select(rows), at[rows]
        random = generator(seed, at.device)
        fresh = even_draws((len(at), self.settings.fresh), self.num_entities, random)
        ids = torch.cat([cache[at].long(), fresh], 1)
        # An entity that stands twice competes once.
        scores = live.score(asked, ids).double().masked_fill(repeated(ids), -torch.inf)
        if self.settings.scrub:
            scores = scores.masked_fill(self.known.holds(asked, ids), -torch.inf)
        # Gumbel top-k: the k largest of score + noise are k draws without replacement from softmax(score).
        uniform = torch.rand(scores.shape, generator=random, device=at.device, dtype=scores.dtype)
        keys = scores - (-uniform.clamp(min=1e-300).log()).log()
        cache[at] = ids.gather(1, keys.topk(self.settings.cache, dim=1).indices).to(torch.int32)

    def _rows(self, query: Query) -> tuple[Tensor, Tensor]:
        """The cache of the open slot, and which of its rows belongs to each query, all of the training split."""
        return self.get_buffer(query.slot.value), self.known.row(query)


def first_of_each(values: Tensor) -> Tensor:
    """Positions of the first of equal values, ascending."""
    first = torch.ones_like(values, dtype=torch.bool)
    order = torch.argsort(values, stable=True)
    first[order[1:]] = values[order[1:]] != values[order[:-1]]
    return first.nonzero().flatten()
