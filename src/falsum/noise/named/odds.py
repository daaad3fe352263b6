"""Named noises whose odds do not depend on the question, and the sides that they ask more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from falsum.curves import Constant, Curve
from falsum.noise.drawn import Drawn, Filter, Sharing
from falsum.noise.proposals import Counted, Even, Mixture, Proposal, Targets
from falsum.noise.slots import Bernoulli as BernoulliSlot
from falsum.noise.slots import OneSide, Slot


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
