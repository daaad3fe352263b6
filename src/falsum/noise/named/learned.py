"""Named noises that learn, change while a model trains, or are given by the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from falsum.curves import Constant, Curve, RiseFall
from falsum.noise.drawn import Drawn, Filter
from falsum.noise.pools import StatedFalse as Stated
from falsum.noise.proposals import Best, Cached, Even, Generator, Mixture, Proposal
from falsum.noise.proposals import Child as ChildProposal


@dataclass(frozen=True)
class NSCaching(Drawn):
    """`num` draws from a cache of hard candidates per question (Zhang et al. 2019): see `proposals.Cached`.

    filtered: known training answers are neither drawn nor let into a cache; the paper keeps them. The paper also draws
    one side by Bernoulli: slot.
    """

    num: int = 16
    cache: int = 50
    fresh: int = 50
    every: int = 1
    drawing: Curve = Constant(0.0)  # noqa: RUF009 (frozen)
    refreshing: Curve = Constant(1.0)  # noqa: RUF009 (frozen)
    buckets: int = 0

    def proposes(self) -> Proposal:
        scrub = self.filtered is True
        return Cached(self.cache, self.fresh, self.every, scrub, self.drawing, self.refreshing, self.buckets)


@dataclass(frozen=True)
class KBGAN(Drawn):
    """A small model picks among `of` uniform draws, and learns by REINFORCE what the trained model scores high (Cai &
    Wang 2018): see `proposals.Generator`.

    num and filtered are the paper's: one negative of 20 draws, known answers among them. The paper also draws one side
    by Bernoulli: slot.
    """

    num: int = 1
    model: str = "complex"
    dim: int = 50
    of: int = 20
    temperature: Curve = Constant(1.0)  # noqa: RUF009 (frozen)
    avoid: float = 0.0
    above: float = 0.0
    entropy: float = 0.0
    lr: float = 1e-3

    def proposes(self) -> Proposal:
        return Generator(
            self.model,
            self.dim,
            self.of,
            self.temperature,
            avoid=self.avoid,
            above=self.above,
            entropy=self.entropy,
            lr=self.lr,
            scrub=self.filtered is True,
        )


@dataclass(frozen=True)
class Child(Drawn):
    """A small model that learns beside the trained one proposes, uniform draws are mixed in, and log q is exact: see
    `proposals.Child`.

    What a child thinks true is mostly a known answer: filtered by default. Corrected by log q, it stands for all
    entities with fewer draws; without correction its draws are hard negatives.
    """

    num: int = 64
    filtered: Filter = True
    correction: Literal["none", "classic", "refined"] = "refined"
    model: str = "complex"
    dim: int = 32
    temperature: Curve = Constant(1.0)  # noqa: RUF009 (frozen)
    share: Curve = Constant(0.5)  # noqa: RUF009 (frozen)
    mode: Literal["co-trained", "distilled"] = "co-trained"
    of: int = 0
    fresh: int = 256
    lr: float = 1e-2

    def proposes(self) -> Proposal:
        return ChildProposal(
            self.model, self.dim, self.temperature, self.share, self.mode, self.of, self.fresh, self.lr
        )


@dataclass(frozen=True)
class Curriculum(Drawn):
    """Uniform entities, and a share of hard ones (the best of `of`) that changes while the model trains.

    share: a curve. It rises after a warm-up and falls again by default (KMAS 2026); "live-gradient" and "guarded" are
    steered by what is seen. A known answer is as hard as a candidate can be: filtered by default.
    """

    num: int = 64
    filtered: Filter = True
    of: int = 4
    share: Curve = RiseFall(0.0, 0.5)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return Mixture(Even(), Best(self.of), self.share)


@dataclass(frozen=True)
class StatedFalse(Drawn):
    """Entities that the graph states to be false answers of the question, mixed with uniform ones.

    share: of the stated ones; questions without any have uniform entities alone. See `pools.StatedFalse`.
    """

    share: Curve = Constant(0.5)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return Mixture(Even(), Even(Stated()), self.share)
