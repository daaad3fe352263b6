"""Penalties on rows, added to the loss of each target, or once per step for the whole tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Factors:
    """The rows behind t targets, each row once: never dropped out.

    anchor (b, dim) and relation (u, w_r) hold row[i] and relation_row[i] for target i; target (t, dim). moduli: how
    the score model reads a row as absolute values. query: computes the (b, v) query vectors.
    """

    anchor: Tensor
    relation: Tensor
    target: Tensor
    row: Tensor
    relation_row: Tensor
    moduli: Callable[[Tensor], Tensor]
    query: Callable[[], Tensor]


class Penalty(ABC):
    """A penalty per target."""

    @abstractmethod
    def __call__(self, factors: Factors) -> Tensor:
        """(t,) penalty of every target, weights included."""


def power_sum(x: Tensor, p: float) -> Tensor:
    """(n,): sum over the last dimension of |x|^p. pow has a slow general path, so 2 and 3 are products."""
    size = x.abs()
    return (size * size if p == 2 else size * size * size if p == 3 else size.pow(p)).sum(-1)


@dataclass(frozen=True)
class Lp(Penalty):
    """(entity / p) (|a|_p^p + |y|_p^p) + (relation / p) |r|_p^p per target: frequent rows are shrunk more often.

    LibKGE's "weighted lp" counts a triple once for both sides: halve its weights, since here each side counts.
    """

    p: float = 3.0
    entity: float = 0.0
    relation: float = 0.0

    def __post_init__(self) -> None:
        if self.p <= 0:
            raise ValueError(f"p must be positive, got {self.p}")

    def __call__(self, factors: Factors) -> Tensor:
        value = power_sum(factors.anchor, self.p).index_select(0, factors.row) + power_sum(factors.target, self.p)
        value = value * (self.entity / self.p)
        if self.relation:
            relation = power_sum(factors.relation, self.p).index_select(0, factors.relation_row)
            value = value + relation * (self.relation / self.p)
        return value


@dataclass(frozen=True)
class N3(Penalty):
    """weight (|a|_3^3 + |r|_3^3 + |y|_3^3), moduli for complex models (Lacroix et al. 2018)."""

    weight: float = 0.05

    def __call__(self, factors: Factors) -> Tensor:
        anchor, relation, target = (
            power_sum(factors.moduli(x), 3) for x in (factors.anchor, factors.relation, factors.target)
        )
        each = anchor.index_select(0, factors.row) + relation.index_select(0, factors.relation_row)
        return self.weight * (each + target)


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
        products = power_sum(factors.query(), 2).index_select(0, factors.row)
        return self.weight * (self.norms * power_sum(factors.target, 2) + self.products * products)


@dataclass(frozen=True)
class TableLp:
    """(entity / p) |E|_p^p + (relation / p) |R|_p^p over the whole tables, once per step and not per triple.

    LibKGE doubles the entity term because its one table serves heads and tails: double its weight to follow it.
    """

    p: float = 2.0
    entity: float = 0.0
    relation: float = 0.0

    def __post_init__(self) -> None:
        if self.p <= 0:
            raise ValueError(f"p must be positive, got {self.p}")

    def total(self, entities: Tensor, relations: Tensor) -> Tensor:
        """0-dim penalty of the tables (E, dim) and (R, w_r)."""
        value = entities.new_zeros(())
        for weight, table in ((self.entity, entities), (self.relation, relations)):
            if weight:
                value = value + power_sum(table, self.p).sum() * (weight / self.p)
        return value


PENALTIES: dict[str, type[Penalty] | type[TableLp]] = {"lp": Lp, "n3": N3, "dura": Dura, "table-lp": TableLp}
