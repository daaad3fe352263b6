"""Named noises whose candidates are hard: found with the model as it is. All leave known training answers out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from falsum.curves import Constant, Curve
from falsum.noise.drawn import Drawn, Filter
from falsum.noise.proposals import (
    Above,
    Around,
    Band,
    Best,
    Chains,
    Closest,
    Diverse,
    Even,
    Influence,
    Mixture,
    Neighbours,
    Proposal,
    Targets,
)
from falsum.noise.suspects import Suspects, TwoHop


@dataclass(frozen=True)
class BestOf(Drawn):
    """Of every `of` draws of `pool`, the one with the highest score now (Zhang et al. 2013): see `proposals.Best`.

    A known answer is as hard as a candidate can be: filtered by default.
    """

    num: int = 64
    filtered: Filter = True
    of: int = 4
    pool: Proposal = Even()  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return Best(self.of, self.pool)


@dataclass(frozen=True)
class NearMiss(Drawn):
    """The top of the model's own ranking: the share `top` of `of` uniform entities (of = 0: of all).

    The nearest entities to the model's answer (Kotnis & Nastase 2017), who ask a frozen pre-trained model, here the one
    in training. Of all samplers the one that meets most missing truths. Where the top holds `num` entities, they are
    the top num.
    """

    num: int = 64
    filtered: Filter = True
    of: int = 2048
    top: Curve = Constant(0.05)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return Band(self.of, high=self.top)


@dataclass(frozen=True)
class AbovePositive(Drawn):
    """Entities that score at least as high as the target, less `slack` (NMiss of a talk by Moon 2025): see `Above`.

    Where they are fewer than `num`, the best of the others fill up.
    """

    num: int = 64
    filtered: Filter = True
    of: int = 2048
    slack: float = 0.0

    def proposes(self) -> Proposal:
        return Above(self.of, slack=self.slack, least=max(self.num, self.num_head or 0))


@dataclass(frozen=True)
class Banded(Drawn):
    """Entities from a band of the model's ranking, [low, high) as shares: the very best, often true, are skipped."""

    num: int = 64
    filtered: Filter = True
    of: int = 2048
    low: Curve = Constant(0.01)  # noqa: RUF009 (frozen)
    high: Curve = Constant(0.1)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return Band(self.of, low=self.low, high=self.high)


@dataclass(frozen=True)
class PositiveAware(Drawn):
    """The top of the ranking, below 95 % of the target's score (NV-Retriever; Moreira et al. 2024): see `Band`.

    Scores here have no zero, so the share is of the way from the mean score of the pool to the target's.
    """

    num: int = 64
    filtered: Filter = True
    of: int = 2048
    top: Curve = Constant(0.05)  # noqa: RUF009 (frozen)
    ceiling: float = 0.95

    def proposes(self) -> Proposal:
        return Band(self.of, high=self.top, ceiling=self.ceiling)


@dataclass(frozen=True)
class NearestNeighbour(Drawn):
    """The `k` entities nearest to the target in the entity table (Kotnis & Nastase 2017): see `Neighbours`.

    Deviation: rows of the model in training, looked up anew every few epochs; the paper takes a frozen RESCAL's.
    """

    num: int = 64
    filtered: Filter = True
    k: int = 64
    every: int = 1
    metric: Literal["cosine", "euclid"] = "euclid"

    def proposes(self) -> Proposal:
        return Neighbours(self.k, self.every, self.metric)


@dataclass(frozen=True)
class EANS(Drawn):
    """Entities around the target in an order in which neighbours are alike (entity-aware; Je 2022): see `Around`.

    Without the paper's auxiliary loss for false negatives. A corrected loss must be "refined": the target itself has
    no odds.
    """

    num: int = 64
    filtered: Filter = True
    sigma: Curve = Constant(100.0)  # noqa: RUF009 (frozen)
    every: int = 5
    clusters: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.correction == "classic":
            raise ValueError('correction must be "none" or "refined": the target is never drawn, so it has no odds')

    def proposes(self) -> Proposal:
        return Around(self.sigma, self.every, self.clusters)


@dataclass(frozen=True)
class SNS(Drawn):
    """Of `of` uniform entities the closest to the target, and good ones of before (simple negative sampling; Islam et
    al. 2021): see `Closest`.
    """

    num: int = 16
    filtered: Filter = True
    of: int = 512
    exploit: Curve = Constant(0.5)  # noqa: RUF009 (frozen)
    memory: int = 8

    def proposes(self) -> Proposal:
        return Closest(self.of, exploit=self.exploit, memory=self.memory, scrub=self.filtered is True)


@dataclass(frozen=True)
class MCNS(Drawn):
    """Draws in proportion to e^(alpha score), by Markov chains per question (Yang et al. 2020): see `Chains`."""

    num: int = 16
    filtered: Filter = True
    alpha: float = 0.25
    chains: int = 8
    steps: int = 4

    def proposes(self) -> Proposal:
        return Chains(self.alpha, self.chains, self.steps)


@dataclass(frozen=True)
class InfluenceBased(Drawn):
    """Entities on which a step helps a slice of the training triples: a reconstruction of IF-NS (Cai, Deng & Xiong
    2025), whose text could not be had: see `Influence`.
    """

    num: int = 16
    filtered: Filter = True
    of: int = 64
    temperature: Curve = Constant(1.0)  # noqa: RUF009 (frozen)
    share: float = 0.05
    width: int = 256

    def proposes(self) -> Proposal:
        return Influence(self.of, temperature=self.temperature, share=self.share, width=self.width)


@dataclass(frozen=True)
class HaSa(Drawn):
    """Targets of the batch, and the top of the model's ranking (the negatives of HaSa; Zhang et al. 2024).

    hard: the share of the latter, of which `top` of `of` uniform entities are the top. Candidates a short path away
    from the anchor are doubted (suspects). The rest is the objective's: hard ones weigh more in `hard-contrastive`.
    """

    num: int = 64
    filtered: Filter = True
    hard: Curve = Constant(0.25)  # noqa: RUF009 (frozen)
    of: int = 2048
    top: Curve = Constant(0.01)  # noqa: RUF009 (frozen)

    suspects: Suspects = TwoHop()  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return Mixture(Targets(), Band(self.of, high=self.top), self.hard)


@dataclass(frozen=True)
class HardDiverse(Drawn):
    """Uniform entities, and a share of hard ones that differ from each other: see `Diverse`.

    share: of the hard ones. hardness: what a score weighs against likeness to those chosen before.
    """

    num: int = 64
    filtered: Filter = True
    share: Curve = Constant(0.5)  # noqa: RUF009 (frozen)
    of: int = 256
    hardness: Curve = Constant(0.7)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return Mixture(Even(), Diverse(self.of, hardness=self.hardness), self.share)
