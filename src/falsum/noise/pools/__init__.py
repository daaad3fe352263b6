"""Pools by name: which entities are eligible for a question."""

from falsum.noise.pools.algebra import Difference, Intersection, Union
from falsum.noise.pools.ball import Ball
from falsum.noise.pools.base import Members, Pool, Provider, Sets
from falsum.noise.pools.everyone import Everyone
from falsum.noise.pools.relational import Relational
from falsum.noise.pools.seen import Seen
from falsum.noise.pools.stated import StatedFalse
from falsum.noise.pools.typed import Admitted, ByConcept, SameType

POOLS: dict[str, type[Pool]] = {
    "everyone": Everyone,
    "seen": Seen,
    "union": Union,
    "intersection": Intersection,
    "difference": Difference,
    "admitted": Admitted,
    "same-type": SameType,
    "by-concept": ByConcept,
    "relational": Relational,
    "ball": Ball,
    "stated-false": StatedFalse,
}

__all__ = [
    "POOLS",
    "Admitted",
    "Ball",
    "ByConcept",
    "Difference",
    "Everyone",
    "Intersection",
    "Members",
    "Pool",
    "Provider",
    "Relational",
    "SameType",
    "Seen",
    "Sets",
    "StatedFalse",
    "Union",
]
