"""Noises by how often an entity fills the open slot: sampled, as weights of uniform draws, and as exact expectation.

Counts are those of the training triples and of the slot that is open (tails for tail questions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Candidates, Draw, Noise, positive, slot_counts
from falsum.noise.draws import drawing, independent
from falsum.seeds import generator


def unigram(graph: Graph, exponent: float, device: torch.device) -> dict[Side, Tensor]:
    """Open slot -> (E,) float64 probabilities, proportional to count^exponent. 0 gives every entity the same."""
    powers = {slot: slot_counts(graph, slot).pow(exponent).to(device) for slot in Side}
    return {slot: power / power.sum() for slot, power in powers.items()}


@dataclass(frozen=True)
class Frequency(Noise):
    """`num` entities drawn in proportion to count^exponent (the unigram noise of word2vec: exponent 0.75).

    At the optimum of negative sampling a candidate's share is p(y|x) / p_noise(y) (Kamigaito & Hayashi 2021, Prop. 3).
    An entity that never fills the slot is never drawn, so nothing holds its score down. The other settings are those
    of `Uniform`; without replacement, a draw costs a number per query and entity.
    """

    num: int = 256
    num_head: int | None = None
    exponent: float = 1.0
    shared: Literal["query", "batch", "chunk"] = "query"
    chunk: int = 64
    filtered: bool = False
    replacement: bool = True

    def __post_init__(self) -> None:
        positive(num=self.num, num_head=self.num_head, chunk=self.chunk)

    @property
    def groups(self) -> bool:
        return False

    def bind(self, graph: Graph, device: torch.device) -> Draw:
        return drawing(self, graph, device, unigram(graph, self.exponent, device))


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
        positive(num=self.num, num_head=self.num_head)

    @property
    def groups(self) -> bool:
        return False

    def bind(self, graph: Graph, device: torch.device) -> Draw:
        share = unigram(graph, self.exponent, device)

        def draw(query: Query, seed: int) -> Candidates:
            num = self.num_head if query.slot is Side.HEAD and self.num_head is not None else self.num
            ids = independent((len(query), num), graph.num_entities, None, generator(seed, device))
            return Candidates(ids, weight=share[query.slot][ids])

        return draw


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
        if min(self.num, self.num if self.num_head is None else self.num_head) <= 0:
            raise ValueError("num and num_head must be positive")

    @property
    def groups(self) -> bool:
        return False

    def bind(self, graph: Graph, device: torch.device) -> Draw:
        num = {Side.TAIL: self.num, Side.HEAD: self.num if self.num_head is None else self.num_head}
        share = unigram(graph, self.exponent, device)
        weight = {slot: (num[slot] * share[slot])[None] for slot in Side}
        everyone = torch.arange(graph.num_entities, device=device)[None]
        return lambda query, seed: Candidates(everyone, weight=weight[query.slot])
