"""Penalties on rows, added to the loss of each target, or once per step for the whole tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from falsum.errors import in_range


@dataclass(frozen=True)
class Factors:
    """The rows behind t targets, each row once: never dropped out, and only the entries that a score reads.

    anchor (b, ...) and relation (u, w_r) hold row[i] and relation_row[i] for target i; target (t, ...). moduli: how
    the score model reads a row as absolute values. query: computes the (b, v) query vectors.
    """

    anchor: Tensor
    relation: Tensor
    target: Tensor
    row: Tensor
    relation_row: Tensor
    moduli: Callable[[Tensor], Tensor]
    query: Callable[[], Tensor]


class Penalty:
    """A penalty on the rows of a batch, on whole tables, or on both.

    linear_only: whether it means anything only for models that compare by inner product.
    """

    linear_only: ClassVar[bool] = False

    def of_batch(self, factors: Factors) -> Tensor | None:
        """(t,) penalty of every target, weights included; None: it has none."""
        return None

    def of_tables(self, entities: Callable[[], Tensor], relations: Callable[[], Tensor]) -> Tensor | None:
        """0-dim penalty of the tables (E, dim) and (R, w_r), once per step; None: it reads no table.

        The tables come as functions, since asking for one makes its gradient dense.
        """
        return None

    @property
    def whole_tables(self) -> bool:
        """Whether `of_tables` has a value: then every row has a gradient at every step."""
        return False


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
        in_range("(0, 100]", p=self.p)
        in_range("[0, 1e30]", entity=self.entity, relation=self.relation)

    def of_batch(self, factors: Factors) -> Tensor:
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

    def __post_init__(self) -> None:
        in_range("[0, 1e30]", weight=self.weight)

    def of_batch(self, factors: Factors) -> Tensor:
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

    linear_only: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[0, 1e30]", weight=self.weight, norms=self.norms, products=self.products)

    def of_batch(self, factors: Factors) -> Tensor:
        products = power_sum(factors.query(), 2).index_select(0, factors.row)
        return self.weight * (self.norms * power_sum(factors.target, 2) + self.products * products)


@dataclass(frozen=True)
class TableLp(Penalty):
    """(entity / p) |E|_p^p + (relation / p) |R|_p^p over the whole tables, once per step and not per triple.

    LibKGE doubles the entity term because its one table serves heads and tails: double its weight to follow it.
    """

    p: float = 2.0
    entity: float = 0.0
    relation: float = 0.0

    def __post_init__(self) -> None:
        in_range("(0, 100]", p=self.p)
        in_range("[0, 1e30]", entity=self.entity, relation=self.relation)

    @property
    def whole_tables(self) -> bool:
        return self.entity > 0 or self.relation > 0

    def of_tables(self, entities: Callable[[], Tensor], relations: Callable[[], Tensor]) -> Tensor | None:
        parts = [
            power_sum(table(), self.p).sum() * (weight / self.p)
            for weight, table in ((self.entity, entities), (self.relation, relations))
            if weight
        ]
        return sum(parts[1:], start=parts[0]) if parts else None


PENALTIES: dict[str, type[Penalty]] = {"lp": Lp, "n3": N3, "dura": Dura, "table-lp": TableLp}
