"""Named noises that take their candidates from the types and the structure of a graph.

For all: filtered, as near and well-typed entities are often known answers; uniform: the share of draws from all
entities, which keeps the others from being forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

from falsum.curves import Constant, Curve
from falsum.noise.drawn import Drawn, Filter
from falsum.noise.pools import Admitted, Ball, ByConcept, SameType, Seen
from falsum.noise.pools import Relational as Others
from falsum.noise.proposals import Chain, Even, Mixture, Outside, Proposal, Walk


def mixed(proposal: Proposal, uniform: Curve) -> Proposal:
    """The proposal, or a share of uniform draws beside it."""
    return proposal if uniform == Constant(0.0) else Mixture(proposal, Even(), uniform)


@dataclass(frozen=True)
class PseudoTyped(Drawn):
    """Entities seen in the open slot of the relation (Socher et al. 2013), mixed with uniform ones.

    Hard, and often true: on FB15k-237 an unfiltered draw is a known answer 15 % (tails) or 19 % (heads) of the time, so
    known answers are left out. uniform: the share of draws from all entities.
    """

    filtered: Filter = True
    uniform: Curve = Constant(0.5)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return Mixture(Even(Seen()), Even(), self.uniform)


@dataclass(frozen=True)
class TypeConstrained(Drawn):
    """Entities of a type that the open slot admits (Krompass et al. 2015): see `pools.Admitted`.

    types: a file of types, or "" to infer them: see `typings.Typing`.
    """

    filtered: Filter = True
    types: str = ""
    uniform: Curve = Constant(0.0)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return mixed(Even(Admitted(self.types)), self.uniform)


@dataclass(frozen=True)
class Typed(Drawn):
    """Entities that share a type with the target (Kotnis & Nastase 2017): see `pools.SameType`."""

    filtered: Filter = True
    types: str = ""
    uniform: Curve = Constant(0.0)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return mixed(Even(SameType(self.types)), self.uniform)


@dataclass(frozen=True)
class TypeExcluded(Drawn):
    """Entities that share no type with the target: surely false, and easy. The opposite of `Typed`."""

    filtered: Filter = True
    types: str = ""
    uniform: Curve = Constant(0.0)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return mixed(Outside(SameType(self.types)), self.uniform)


@dataclass(frozen=True)
class Relational(Drawn):
    """What answers the other relations of the anchor (Kotnis & Nastase 2017): see `pools.Relational`."""

    filtered: Filter = True
    uniform: Curve = Constant(0.0)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return mixed(Even(Others()), self.uniform)


@dataclass(frozen=True)
class Concepts(Drawn):
    """Of the target's types where the slot has one filler, of the slot's other types where it has many (CAKE: Niu et
    al. 2022): see `pools.ByConcept`.
    """

    filtered: Filter = True
    types: str = ""
    threshold: float = 1.5
    uniform: Curve = Constant(0.0)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return mixed(Even(ByConcept(self.types, self.threshold)), self.uniform)


@dataclass(frozen=True)
class KHop(Drawn):
    """Entities within `hops` of the anchor, all alike (structure-aware: Ahrabian et al. 2020): see `pools.Ball`."""

    filtered: Filter = True
    hops: int = 2
    anchor: bool = False
    near: bool = True
    uniform: Curve = Constant(0.0)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return mixed(Even(Ball(self.hops, self.anchor, self.near)), self.uniform)


@dataclass(frozen=True)
class RandomWalk(Drawn):
    """Where random walks from the anchor end (structure-aware: Ahrabian et al. 2020): see `proposals.Walk`.

    restart: false for walks that go on where the last one ended, as in the released code: see `proposals.Chain`.
    """

    filtered: Filter = True
    hops: int = 2
    restart: bool = True
    uniform: Curve = Constant(0.0)  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return mixed(Walk(self.hops) if self.restart else Chain(self.hops), self.uniform)
