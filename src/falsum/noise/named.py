"""Named noises: each is a composition that has a name in the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from falsum.curves import Constant, Curve
from falsum.noise.drawn import Drawn, Sharing
from falsum.noise.pools import Seen
from falsum.noise.proposals import Best, Cached, Counted, Even, Mixture, Proposal, Targets
from falsum.noise.slots import Bernoulli as BernoulliSlot
from falsum.noise.slots import OneSide, Slot

Filter = bool | Literal["target"]


@dataclass(frozen=True)
class Uniform(Drawn):
    """`num` uniform entities per query (Bordes et al. 2013); for the settings see `Drawn`."""

    def proposes(self) -> Proposal:
        return Even()


@dataclass(frozen=True)
class Bernoulli(Uniform):
    """Uniform entities, and the side with the many counts more (Wang et al. 2014): see `falsum.noise.slots`."""

    slot: Slot = BernoulliSlot()  # noqa: RUF009 (frozen)


@dataclass(frozen=True)
class CardinalityAware(Uniform):
    """Uniform entities in the slot that has one filler, where a random entity is surely false: see `OneSide`.

    A reading of a talk by Moon (2025), who gives no numbers. Relations with many on both sides keep both slots.
    """

    filtered: Filter = True
    slot: Slot = OneSide()  # noqa: RUF009 (frozen)


@dataclass(frozen=True)
class Frequency(Drawn):
    """`num` entities drawn in proportion to count^exponent in the open slot (the unigram noise of word2vec: 0.75).

    At the optimum of negative sampling a candidate's share is p(y|x) / p_noise(y) (Kamigaito & Hayashi 2021, Prop. 3).
    An entity that never fills the slot is never drawn, so nothing holds its score down. Without replacement, a draw
    costs a number per query and entity.
    """

    exponent: float = 1.0

    def proposes(self) -> Proposal:
        return Counted(self.exponent)


@dataclass(frozen=True)
class Degree(Drawn):
    """`num` entities drawn in proportion to degree^exponent, at either end of a triple."""

    exponent: float = 1.0

    def proposes(self) -> Proposal:
        return Counted(self.exponent, by="degree")


@dataclass(frozen=True)
class InBatch(Drawn):
    """Targets of the same batch, `num` of them drawn, mixed with uniform entities where `uniform` is above 0.

    Corrected by log q (Yi et al. 2019) and without accidental hits, unless told otherwise. uniform: their share, which
    gives entities that are nobody's target their turn (DGL-KE and PBG take a half).
    """

    num: int = 512
    shared: Sharing = "batch"
    filtered: Filter = True
    correction: Literal["none", "classic", "refined"] = "refined"
    uniform: Curve = Constant(0.0)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        if self.uniform == Constant(0.0):
            return Targets()
        return Mixture(Targets(), Even(), self.uniform)


@dataclass(frozen=True)
class PseudoTyped(Drawn):
    """Entities seen in the open slot of the relation (Socher et al. 2013), mixed with uniform ones.

    Hard, and often true: on FB15k-237 an unfiltered draw is a known answer 8.5 % (tails) or 18 % (heads) of the time,
    so known answers are left out. uniform: the share of draws from all entities.
    """

    filtered: Filter = True
    uniform: Curve = Constant(0.5)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return Mixture(Even(Seen()), Even(), self.uniform)


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
