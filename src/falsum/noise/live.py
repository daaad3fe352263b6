"""Noises that ask the model as it is now: the best of several draws, and a cache of hard candidates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Candidates, Live, Noise, Sampler, known_answers
from falsum.noise.draws import Drawn, independent, repeated
from falsum.noise.uniform import Uniform
from falsum.seeds import derive, generator


@dataclass(frozen=True)
class BestOf(Noise):
    """Of every `of` candidates that `pool` draws for a query, the one with the highest score now.

    The simplest hard negatives, and the null against which others are held: with a uniform pool the best of M lies at
    the M / (M + 1) quantile of all scores on average. pool: a noise of own draws whose number is a multiple of `of`;
    each query gets num / of candidates. A known answer is as hard as they come: filter the pool to keep them out.
    """

    of: int = 4
    pool: Drawn = Uniform()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        in_range("[1, 1e6]", of=self.of)
        if self.pool.shared != "query":
            raise ValueError(
                f'pool.shared must be "query": the best differ from query to query; got {self.pool.shared}'
            )
        for name, num in (("pool.num", self.pool.num), ("pool.num_head", self.pool.num_head)):
            if num is not None and num % self.of:
                raise ValueError(f"{name} must be a multiple of {self.of} (of), got {num}")

    def bind(self, graph: Graph, device: torch.device) -> Sampler:
        return Best(self.of, self.pool.bind(graph, device))


class Best(Sampler):
    """The best of every `of` candidates of a pool."""

    def __init__(self, of: int, pool: Sampler) -> None:
        super().__init__()
        self.of, self.pool = of, pool

    def num(self, query: Query) -> int:
        return self.pool.num(query) // self.of

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        drawn = self.pool.draw(query, seed, live)
        assert isinstance(drawn.ids, Tensor)
        ids = drawn.ids.unflatten(1, (-1, self.of))
        best = live.score(query, drawn.ids).unflatten(1, (-1, self.of)).argmax(-1, keepdim=True)
        return replace(drawn, ids=ids.gather(-1, best).squeeze(-1))


@dataclass(frozen=True)
class NSCaching(Noise):
    """`num` draws from a cache of hard candidates per question (Zhang et al. 2019, Algorithms 2 and 3).

    cache: entities kept per question (N1), `fresh` uniform ones (N2) compete with them at each refresh; the survivors
    are drawn without replacement in proportion to e^score. every: epochs between refreshes of a question (the paper's
    lazy n + 1). filtered: known training answers never survive a refresh; the paper keeps them.

    Deviations: all `num` negatives of a question come from its cache, uniformly with replacement (the paper takes one),
    and both sides are always asked, where the paper picks one by Bernoulli. State: (questions x cache) int32 per side.
    """

    num: int = 16
    cache: int = 50
    fresh: int = 50
    every: int = 1
    filtered: bool = False

    def __post_init__(self) -> None:
        in_range("[1, 100000]", num=self.num, cache=self.cache, fresh=self.fresh)
        in_range("[1, 1e6]", every=self.every)

    def bind(self, graph: Graph, device: torch.device) -> Sampler:
        return Caches(self, graph, device)


class Caches(Sampler):
    """One row of candidates per training question and side. Buffers: tail and head (q, cache) int32."""

    def __init__(self, settings: NSCaching, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.settings, self.num_entities, self.num_relations = settings, graph.num_entities, graph.num_relations
        self.known = known_answers(graph, device)
        for slot in Side:
            shape = (len(self.known[slot].key), settings.cache)
            random = generator(derive(0, "cache", slot.value), device)
            start = independent(shape, graph.num_entities, None, random).to(torch.int32)
            self.register_buffer(slot.value, start)

    def num(self, query: Query) -> int:
        return self.settings.num

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        cache, at = self._rows(query)
        random = generator(seed, at.device)
        pick = torch.randint(self.settings.cache, (len(at), self.settings.num), generator=random, device=at.device)
        return Candidates(cache[at].gather(1, pick).long())

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> None:
        """Refresh the caches of the batch's questions, each once, with the scores after the step."""
        if int(live.epoch) % self.settings.every:
            return
        cache, at = self._rows(query)
        first = torch.ones_like(at, dtype=torch.bool)
        order = torch.argsort(at, stable=True)
        first[order[1:]] = at[order[1:]] != at[order[:-1]]
        rows = first.nonzero().flatten()
        asked, at = query.select(rows), at[rows]
        random = generator(seed, at.device)
        fresh = independent((len(at), self.settings.fresh), self.num_entities, None, random)
        ids = torch.cat([cache[at].long(), fresh], 1)
        # An entity that stands twice competes once.
        scores = live.score(asked, ids).double().masked_fill(repeated(ids), -torch.inf)
        if self.settings.filtered:
            scores = self._without_known(asked, ids, scores)
        # Gumbel top-k: the k largest of score + noise are k draws without replacement from softmax(score).
        uniform = torch.rand(scores.shape, generator=random, device=at.device, dtype=scores.dtype)
        keys = scores - (-uniform.clamp(min=1e-300).log()).log()
        cache[at] = ids.gather(1, keys.topk(self.settings.cache, dim=1).indices).to(torch.int32)

    def _without_known(self, query: Query, ids: Tensor, scores: Tensor) -> Tensor:
        known = self.known[query.slot].of(query.anchor, query.relation)
        keys = known.row * self.num_entities + known.entity
        own = torch.arange(len(ids), device=ids.device)[:, None] * self.num_entities + ids
        return scores.masked_fill(torch.isin(own, keys), -torch.inf)

    def _rows(self, query: Query) -> tuple[Tensor, Tensor]:
        """The cache of the open slot, and which of its rows belongs to each query, all of the training split."""
        key = query.anchor * self.num_relations + query.relation
        return self.get_buffer(query.slot.value), torch.searchsorted(self.known[query.slot].key, key)
