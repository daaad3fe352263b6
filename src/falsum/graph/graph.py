"""Graph, Query and Answers: a knowledge graph as ids, and the questions that it can be asked.

Shape letters used in the whole package: m triples, b queries, t targets, n candidates, E entities, R relations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor

INVERSE_SUFFIX = " (inverse)"


class Side(Enum):
    """The slot of a triple that a query leaves open."""

    TAIL = "tail"
    HEAD = "head"


BOTH_SIDES = (Side.TAIL, Side.HEAD)


class Pairs(NamedTuple):
    """A sparse (b, E) relation as coordinates: `row` and `entity`, both (p,) int64, sorted by row."""

    row: Tensor
    entity: Tensor

    def select(self, rows: Tensor) -> Pairs:
        """The pairs of the rows `rows` (k,), in any order, also repeated, renumbered by their place in it."""
        starts = torch.searchsorted(self.row, rows)
        take, row = expand(starts, torch.searchsorted(self.row, rows, right=True) - starts)
        return Pairs(row, self.entity[take])


@dataclass(frozen=True, slots=True)
class Query:
    """A batch of questions "which entity fills `side` of (anchor, relation)?" with their known answers.

    anchor, relation: (b,) int64. target: (t,) int64 entities that are to be answered; target i belongs to query
    row[i], and rows ascend. weight: (t,) float32, how much target i counts (1 unless subsampling says otherwise), above
    0 where rival_weight: (t,), how much the rivals of target i count in its loss, is given; None: as much as it.
    side: how the model is asked. slot: the open slot of the triple, which differs where a head question is asked as
    the tail question of an inverse relation. Ragged instead of padded: a hub query of FB15k-237 has 3,612 answers, so
    a padded (b, k) would hold mostly nothing.
    """

    anchor: Tensor
    relation: Tensor
    target: Tensor
    row: Tensor
    weight: Tensor
    side: Side
    slot: Side
    rival_weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.anchor)

    @property
    def single(self) -> bool:
        """True when query i has exactly the one target i."""
        return len(self.target) == len(self.anchor)

    def to(self, device: torch.device | str) -> Query:
        anchor, relation, target, row, weight = (
            x.to(device) for x in (self.anchor, self.relation, self.target, self.row, self.weight)
        )
        rivals = None if self.rival_weight is None else self.rival_weight.to(device)
        return Query(anchor, relation, target, row, weight, self.side, self.slot, rivals)

    def select(self, rows: Tensor) -> Query:
        """The queries `rows` (1-D int64, any order) with all of their targets."""
        starts = torch.searchsorted(self.row, rows)
        counts = torch.searchsorted(self.row, rows, right=True) - starts
        take, row = expand(starts, counts)
        return replace(
            self,
            anchor=self.anchor[rows],
            relation=self.relation[rows],
            target=self.target[take],
            row=row,
            weight=self.weight[take],
            rival_weight=None if self.rival_weight is None else self.rival_weight[take],
        )


def joined(queries: Sequence[Query]) -> Query:
    """Queries that are asked from the same side as one batch; it has the slot of the first."""
    first = queries[0]
    if any(query.side is not first.side for query in queries):
        raise ValueError("queries of different sides cannot share a batch")
    starts = [sum(len(query) for query in queries[:i]) for i in range(len(queries))]
    rivals = [query.rival_weight for query in queries if query.rival_weight is not None]
    if rivals and len(rivals) < len(queries):
        raise ValueError("queries with and without weights of their rivals cannot share a batch")
    return Query(
        torch.cat([query.anchor for query in queries]),
        torch.cat([query.relation for query in queries]),
        torch.cat([query.target for query in queries]),
        torch.cat([query.row + start for query, start in zip(queries, starts, strict=True)]),
        torch.cat([query.weight for query in queries]),
        first.side,
        first.slot,
        torch.cat(rivals) if rivals else None,
    )


def expand(starts: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Concatenate the ranges start..start+count: (positions, index of the range each position came from)."""
    row = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    first = torch.cumsum(counts, 0) - counts
    return torch.arange(len(row), device=counts.device) - first[row] + starts[row], row


@dataclass(frozen=True, slots=True)
class Answers:
    """Known answers in compressed sparse rows: query key -> sorted entities.

    key (q,) sorted int64 `anchor * num_relations + relation`; start (q + 1,); entity (a,) int64.
    """

    key: Tensor
    start: Tensor
    entity: Tensor
    num_relations: int

    def of(self, anchor: Tensor, relation: Tensor) -> Pairs:
        """All known answers of the queries (anchor[i], relation[i]), as pairs (i, entity)."""
        key = anchor * self.num_relations + relation
        if len(self.key) == 0:
            none = torch.zeros(0, dtype=torch.int64, device=anchor.device)
            return Pairs(none, none)
        at = torch.searchsorted(self.key, key).clamp_(max=len(self.key) - 1)
        found = self.key[at] == key
        counts = torch.where(found, self.start[at + 1] - self.start[at], 0)
        take, row = expand(self.start[at], counts)
        return Pairs(row, self.entity[take])

    def to(self, device: torch.device | str) -> Answers:
        return Answers(self.key.to(device), self.start.to(device), self.entity.to(device), self.num_relations)


@dataclass(frozen=True)
class Graph:
    """A knowledge graph: triples by split as ids, and the labels behind the ids.

    splits: "train" and, where the graph has them, "valid" and "test" -> (m, 3) int64 with columns head, relation,
    tail. entities, relations: labels by id (polars String series). num_base_relations: relations that occur in the
    triples; more labels than these mean inverse relations (`with_inverses`). source: how it was read, for people.

    false: triples that the files state to be false, (m, 3) int64 as above, by the split that they were stated with;
    those of no split count as train's. They are never facts: `answers` and whatever goes through `splits` do not see
    them. They serve as negatives (train) and for the classification of triples (valid, test). Entities and relations
    of false triples alone have ids after all others, except where the files bring ids.
    """

    name: str
    splits: Mapping[str, Tensor]
    entities: pl.Series
    relations: pl.Series
    num_base_relations: int
    source: str = ""
    notes: tuple[str, ...] = field(default=())
    false: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def num_entities(self) -> int:
        return len(self.entities)

    @property
    def num_relations(self) -> int:
        return len(self.relations)

    @property
    def has_inverses(self) -> bool:
        return self.num_relations > self.num_base_relations

    @cached_property
    def sha256(self) -> str:
        """Content hash: labels, facts and false triples, whatever file format or inverse relations they came with."""
        digest = hashlib.sha256()
        for series in (self.entities, self.relations[: self.num_base_relations]):
            for label in series:
                digest.update(label.encode() + b"\0")
            digest.update(b"\1")
        # False triples only where there are any: the hash of a graph without them is that of before.
        stated = {f"false {split}": triples for split, triples in self.false.items() if len(triples)}
        for part, triples in (*sorted(self.splits.items()), *sorted(stated.items())):
            digest.update(part.encode() + b"\0" + triples.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def with_relations(self, labels: pl.Series) -> Graph:
        """The graph with these relations too, behind its own, though no triple has them. Before inverses."""
        new = labels.filter(~labels.is_in(self.relations.implode()))
        relations = pl.concat([self.relations, new.rename(self.relations.name)])
        return replace(self, relations=relations, num_base_relations=len(relations))

    def with_inverses(self) -> Graph:
        """The graph with an inverse for each relation: a head question becomes the tail question of the inverse.

        Triples stay as they are; `queries` and `ask` translate. Idempotent.
        """
        if self.has_inverses:
            return self
        inverse = (self.relations + INVERSE_SUFFIX).rename(self.relations.name)
        return replace(self, relations=pl.concat([self.relations, inverse]))

    def ask(self, relation: Tensor, side: Side) -> tuple[Tensor, Side]:
        """How a question about `relation` with open `side` is put to a model of this graph."""
        if self.has_inverses and side is Side.HEAD:
            return relation + self.num_base_relations, Side.TAIL
        return relation, side

    def queries(
        self,
        triples: Tensor,
        side: Side,
        *,
        grouped: bool,
        weight: Tensor | None = None,
        rival_weight: Tensor | None = None,
    ) -> Query:
        """Triples (m, 3) as questions with `side` open: one per triple, or one per distinct (anchor, relation).

        weight, rival_weight: (m,) float32, see `Query`; None is 1 for all, and as much as the triple. A triple that
        stands twice is one target of a grouped question, with both weights: as two it would be a rival of itself.
        """
        head, relation, tail = triples.unbind(1)
        anchor, target = (head, tail) if side is Side.TAIL else (tail, head)
        relation, asked = self.ask(relation, side)
        weight = torch.ones(len(target)) if weight is None else weight
        if not grouped:
            return Query(anchor, relation, target, torch.arange(len(target)), weight, asked, side, rival_weight)
        key, row = torch.unique(anchor * self.num_relations + relation, return_inverse=True)
        row, order = torch.sort(row, stable=True)
        anchor, relation, target = key // self.num_relations, key % self.num_relations, target[order]
        weights = [x[order] for x in (weight, rival_weight) if x is not None]
        pair, copy = torch.unique(row * self.num_entities + target, return_inverse=True)
        if len(pair) < len(row):
            row, target = pair // self.num_entities, pair % self.num_entities
            weights = [x.new_zeros(len(pair)).index_add(0, copy, x) for x in weights]
        return Query(anchor, relation, target, row, weights[0], asked, side, *weights[1:])

    def answers(self, splits: Iterable[str], side: Side) -> Answers:
        """Every distinct known answer of every (anchor, relation) in `splits`; absent splits count as empty."""
        triples = torch.cat([self.splits[s] for s in splits if s in self.splits] or [torch.zeros(0, 3).long()])
        head, relation, tail = triples.unbind(1)
        anchor, target = (head, tail) if side is Side.TAIL else (tail, head)
        relation, _ = self.ask(relation, side)
        key = anchor * self.num_relations + relation
        # Two stable sorts: torch.unique of pairs is ten times slower.
        order = torch.argsort(target, stable=True)
        order = order[torch.argsort(key[order], stable=True)]
        key, target = key[order], target[order]
        first = torch.ones(len(key), dtype=torch.bool)
        first[1:] = (key[1:] != key[:-1]) | (target[1:] != target[:-1])
        unique, counts = torch.unique_consecutive(key[first], return_counts=True)
        start = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        return Answers(unique, start, target[first], self.num_relations)
