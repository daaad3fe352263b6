"""Suspects by what the model itself believes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.curves import Constant, Curve
from falsum.errors import in_range
from falsum.graph.graph import Graph, Query
from falsum.noise.base import Live, Size
from falsum.noise.standing import ceilings, target_scores
from falsum.noise.suspects.base import Detector, Suspects


@dataclass(frozen=True)
class Believed(Suspects):
    """Candidates that the model itself holds for nearly as true as the target, or truer.

    reference: how many entities, evenly spaced by id, stand for all when scores are averaged. Costs their scores per
    question, as one matrix product, and those of the candidates and targets once more.
    """

    reference: int = 256

    def __post_init__(self) -> None:
        in_range("[2, 1e6]", reference=self.reference)

    def state_bytes(self, size: Size) -> int:
        return 8 * min(self.reference, size.entities)


@dataclass(frozen=True)
class NearPositive(Believed):
    """Doubt 1 where a candidate scores above the ceiling: this share of the way from the mean score to the target's.

    NV-Retriever's rule (Moreira et al. 2024) for scores without a zero: see `falsum.noise.standing.ceilings`.
    """

    ceiling: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("(0, 10]", ceiling=self.ceiling)

    def bind(self, graph: Graph, device: torch.device) -> Detector:
        return Ceiling(self.ceiling, referees(self.reference, graph.num_entities, device))


@dataclass(frozen=True)
class Confident(Believed):
    """Doubt strength x sigmoid((score - target's score) / (temperature x spread)), spread the standard deviation of the
    question's scores: at strength 1 a candidate that scores as the target counts half, one far above it nothing.

    A model's belief and no probability: it is calibrated by the target alone. strength may be a curve, since a model
    that has learned little believes nothing in earnest.
    """

    temperature: float = 0.5
    strength: Curve = Constant(1.0)  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("[1e-3, 1e6]", temperature=self.temperature)
        for end in self.strength.ends:
            in_range("[0, 1]", strength=end)

    def bind(self, graph: Graph, device: torch.device) -> Detector:
        return Belief(self.temperature, self.strength, referees(self.reference, graph.num_entities, device))


def referees(num: int, num_entities: int, device: torch.device) -> Tensor:
    """(1, n): entities evenly spaced by id, `num` of them or all."""
    num = min(num, num_entities)
    return (torch.arange(num, device=device) * num_entities // num)[None]


class Ceiling(Detector):
    """Doubts what scores above a ceiling."""

    def __init__(self, ceiling: float, reference: Tensor) -> None:
        super().__init__()
        self.ceiling = ceiling
        self.register_buffer("reference", reference, persistent=False)

    def doubt(self, query: Query, ids: Tensor, live: Live) -> Tensor:
        mean = live.score(query, self.get_buffer("reference")).mean(1)
        limit = ceilings(mean, target_scores(query, live), self.ceiling)
        return (live.score(query, ids) > limit[:, None]).float()


class Belief(Detector):
    """Doubts by how far a score lies above the target's."""

    def __init__(self, temperature: float, strength: Curve, reference: Tensor) -> None:
        super().__init__()
        self.temperature, self.strength = temperature, strength
        self.register_buffer("reference", reference, persistent=False)

    def doubt(self, query: Query, ids: Tensor, live: Live) -> Tensor:
        scale = live.score(query, self.get_buffer("reference")).std(1, correction=0) * self.temperature
        scale = scale.clamp(min=torch.finfo(scale.dtype).tiny)[:, None]
        above = live.score(query, ids) - target_scores(query, live)[:, None]
        return self.strength.at(live.epoch) * (above / scale).sigmoid()
