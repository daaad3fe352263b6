"""Noises by how often an entity fills the open slot: sampled, as weights of uniform draws, and as exact expectation.

Counts are those of the training triples and of the slot that is open (tails for tail questions).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Candidates, Live, Noise, Sampler, slot_counts
from falsum.noise.draws import MAX_NUM, Drawn, independent
from falsum.seeds import generator

# Powers of counts up to 10^9 stay finite.
EXPONENTS = "[-10, 10]"


def unigram(graph: Graph, exponent: float) -> dict[Side, Tensor]:
    """Open slot -> (E,) float64 probabilities, proportional to count^exponent. 0 gives every entity the same.

    Entities that never fill the slot have none unless the exponent is 0.
    """
    counts = {slot: slot_counts(graph, slot) for slot in Side}
    powers = {slot: torch.where((n > 0) | (exponent == 0), n.pow(exponent), 0) for slot, n in counts.items()}
    return {slot: power / power.sum() for slot, power in powers.items()}


@dataclass(frozen=True)
class Frequency(Drawn):
    """`num` entities drawn in proportion to count^exponent (the unigram noise of word2vec: exponent 0.75).

    At the optimum of negative sampling a candidate's share is p(y|x) / p_noise(y) (Kamigaito & Hayashi 2021, Prop. 3).
    An entity that never fills the slot is never drawn, so nothing holds its score down. The other settings are those
    of `Drawn`; without replacement, a draw costs a number per query and entity.
    """

    exponent: float = 1.0

    def __post_init__(self) -> None:
        Drawn.__post_init__(self)
        in_range(EXPONENTS, exponent=self.exponent)

    @property
    def blind(self) -> bool:
        return False  # each slot has counts of its own

    def odds(self, graph: Graph) -> dict[Side, Tensor]:
        return unigram(graph, self.exponent)


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


class WeightedUniform(Sampler):
    """Each query's own uniform draws with the probabilities that another noise would have drawn them with."""

    def __init__(self, settings: FrequencyWeighted, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.settings, self.device, self.num_entities = settings, device, graph.num_entities
        self.share = {slot: each.to(device) for slot, each in unigram(graph, settings.exponent).items()}

    def num(self, query: Query) -> int:
        head = self.settings.num_head if query.slot is Side.HEAD else None
        return self.settings.num if head is None else head

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        shape = (len(query), self.num(query))
        ids = independent(shape, self.num_entities, None, generator(seed, self.device))
        return Candidates(ids, weight=self.share[query.slot][ids])


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
        share = unigram(graph, self.exponent)
        return WeightedEveryone({slot: (num[slot] * share[slot])[None].to(device) for slot in Side})


class WeightedEveryone(Sampler):
    """Every entity with a weight by slot: (1, E) each."""

    def __init__(self, weight: dict[Side, Tensor]) -> None:
        super().__init__()
        self.weight = weight
        size = weight[Side.TAIL].shape[1]
        self.everyone = torch.arange(size, device=weight[Side.TAIL].device)[None]

    def num(self, query: Query) -> int:
        return self.everyone.shape[1]

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        return Candidates(self.everyone, weight=self.weight[query.slot])
