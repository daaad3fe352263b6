"""Penalties on rows, added to the loss of each target, or once per step for the whole tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Factors:
    """The rows behind t targets: anchor, target (t, dim), relation (t, w_r), query (t, v). Never dropped out.

    moduli: how the score model reads a row as absolute values (complex models: complex moduli).
    """

    anchor: Tensor
    relation: Tensor
    target: Tensor
    query: Tensor
    moduli: Callable[[Tensor], Tensor]


class Penalty(ABC):
    """A penalty per target."""

    @abstractmethod
    def __call__(self, factors: Factors) -> Tensor:
        """(t,) penalty of every target, weights included."""


@dataclass(frozen=True)
class Lp(Penalty):
    """(entity / p) (|a|_p^p + |y|_p^p) + (relation / p) |r|_p^p per target: frequent rows are shrunk more often.

    LibKGE's "weighted lp" counts a triple once for both sides: halve its weights, since here each side counts.
    """

    p: float = 3.0
    entity: float = 0.0
    relation: float = 0.0

    def __call__(self, factors: Factors) -> Tensor:
        entity = factors.anchor.abs().pow(self.p).sum(-1) + factors.target.abs().pow(self.p).sum(-1)
        value = entity * (self.entity / self.p)
        if self.relation:
            value = value + factors.relation.abs().pow(self.p).sum(-1) * (self.relation / self.p)
        return value


@dataclass(frozen=True)
class N3(Penalty):
    """weight (|a|_3^3 + |r|_3^3 + |y|_3^3), moduli for complex models (Lacroix et al. 2018)."""

    weight: float = 0.05

    def __call__(self, factors: Factors) -> Tensor:
        parts = (factors.anchor, factors.relation, factors.target)
        return self.weight * sum((cube(factors.moduli(x)).sum(-1) for x in parts), start=factors.anchor.new_zeros(()))


def cube(x: Tensor) -> Tensor:
    # pow(3) has a slow general path on the CPU.
    return x * x * x


@dataclass(frozen=True)
class Dura(Penalty):
    """weight (norms |y|^2 + products |q|^2) for bilinear models, q the query vector (DURA; Zhang et al. 2020).

    Summed over the two sides of a triple these are the paper's four terms |t|^2, |h M_r|^2, |h|^2, |t M_r^T|^2.
    norms = products = 1 is the paper; 0.5 and 1.5 its weighted variant.
    """

    weight: float = 0.05
    norms: float = 1.0
    products: float = 1.0

    def __call__(self, factors: Factors) -> Tensor:
        norms = factors.target.square().sum(-1)
        return self.weight * (self.norms * norms + self.products * factors.query.square().sum(-1))


@dataclass(frozen=True)
class TableLp:
    """(entity / p) |E|_p^p + (relation / p) |R|_p^p over the whole tables, once per step and not per triple.

    LibKGE doubles the entity term because its one table serves heads and tails: double its weight to follow it.
    """

    p: float = 2.0
    entity: float = 0.0
    relation: float = 0.0

    def total(self, entities: Tensor, relations: Tensor) -> Tensor:
        """0-dim penalty of the tables (E, dim) and (R, w_r)."""
        value = entities.new_zeros(())
        for weight, table in ((self.entity, entities), (self.relation, relations)):
            if weight:
                value = value + table.abs().pow(self.p).sum() * (weight / self.p)
        return value


PENALTIES: dict[str, type[Penalty] | type[TableLp]] = {"lp": Lp, "n3": N3, "dura": Dura, "table-lp": TableLp}
