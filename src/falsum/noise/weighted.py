"""Weights in the place of draws: uniform draws that count by frequency, and exact expectations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Candidates, Live, Noise, Sampler, Size
from falsum.noise.drawing import even_draws
from falsum.noise.drawn import MAX_NUM
from falsum.noise.proposals.odds import EXPONENTS, count_odds
from falsum.seeds import generator


@dataclass(frozen=True)
class FrequencyWeighted(Noise):
    """`num` uniform draws per query, each counted with its unigram probability (NS w/ Freq as the code of Kamigaito &
    Hayashi 2021 has it).

    The objective distribution is that of `Frequency`, but without a factor |E| in the weights, so all negatives of a
    query together count num / |E| on average, and optimal scores are higher by ln |E|.
    """

    num: int = 256
    num_head: int | None = None
    exponent: float = 1.0

    def __post_init__(self) -> None:
        in_range(f"[1, {MAX_NUM}]", num=self.num, num_head=self.num_head)
        in_range(EXPONENTS, exponent=self.exponent)

    def bind(self, graph: Graph, device: torch.device) -> Sampler:
        return WeightedUniform(self, graph, device)

    def state_bytes(self, size: Size) -> int:
        return 16 * size.entities


class WeightedUniform(Sampler):
    """Each query's own uniform draws with the probabilities that another noise would have drawn them with."""

    def __init__(self, settings: FrequencyWeighted, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.settings, self.device, self.num_entities = settings, device, graph.num_entities
        for slot, each in count_odds(graph, settings.exponent).items():
            self.register_buffer(slot.value, each.to(device), persistent=False)

    def num(self, query: Query) -> int:
        head = self.settings.num_head if query.slot is Side.HEAD else None
        return self.settings.num if head is None else head

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        shape = (len(query), self.num(query))
        ids = even_draws(shape, self.num_entities, generator(seed, self.device))
        return Candidates(ids, weight=self.get_buffer(query.slot.value)[ids])


@dataclass(frozen=True)
class Expected(Noise):
    """Every entity, counted as often as `num` draws from count^exponent would show it: sampling without variance.

    Unlike "all", the target and other answers are among the candidates, as they are among unfiltered draws. exponent 0
    is uniform noise. Costs a score per entity, so it is meant for small graphs and for theory.
    """

    num: float = 256.0
    num_head: float | None = None
    exponent: float = 0.0

    def __post_init__(self) -> None:
        in_range(f"(0, {MAX_NUM}]", num=self.num, num_head=self.num_head)
        in_range(EXPONENTS, exponent=self.exponent)

    @property
    def groups(self) -> bool:
        return True

    @property
    def blind(self) -> bool:
        return self.exponent == 0 and self.num_head in (None, self.num)

    def bind(self, graph: Graph, device: torch.device) -> Sampler:
        num = {Side.TAIL: self.num, Side.HEAD: self.num if self.num_head is None else self.num_head}
        share = count_odds(graph, self.exponent)
        return WeightedEveryone({slot: (num[slot] * share[slot])[None].to(device) for slot in Side})

    def state_bytes(self, size: Size) -> int:
        return 24 * size.entities


class WeightedEveryone(Sampler):
    """Every entity with a weight by slot: (1, E) each."""

    def __init__(self, weight: dict[Side, Tensor]) -> None:
        super().__init__()
        for slot, each in weight.items():
            self.register_buffer(slot.value, each, persistent=False)
        everyone = torch.arange(weight[Side.TAIL].shape[1], device=weight[Side.TAIL].device)
        self.register_buffer("everyone", everyone[None], persistent=False)

    def num(self, query: Query) -> int:
        return self.get_buffer("everyone").shape[1]

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        return Candidates(self.get_buffer("everyone"), weight=self.get_buffer(query.slot.value))
