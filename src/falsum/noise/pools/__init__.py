"""Pools by name: which entities are eligible for a question."""

from falsum.noise.pools.algebra import Difference, Intersection, Union
from falsum.noise.pools.base import Members, Pool, Provider, Sets
from falsum.noise.pools.everyone import Everyone
from falsum.noise.pools.seen import Seen
from falsum.noise.pools.stated import StatedFalse

POOLS: dict[str, type[Pool]] = {
    "everyone": Everyone,
    "seen": Seen,
    "union": Union,
    "intersection": Intersection,
    "difference": Difference,
    "stated-false": StatedFalse,
}

__all__ = [
    "POOLS",
    "Difference",
    "Everyone",
    "Intersection",
    "Members",
    "Pool",
    "Provider",
    "Seen",
    "Sets",
    "StatedFalse",
    "Union",
]
