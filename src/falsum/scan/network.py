"""Questions asked of a network: rows of all entities are made for each, from the graph without what would answer it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.graph.graph import Graph, Query, Side, expand
from falsum.kernels.edges import Edges
from falsum.models.base import NetworkModule
from falsum.noise.base import Candidates, each
from falsum.objectives.penalties import Factors
from falsum.rows.table import Rows
from falsum.scan.scoring import Asked, Scorer

# Bytes of the rows that are made for the questions of one ranking or prediction.
BUDGET = 1 << 27


class MadeRows(Rows):
    """Rows (u, E, w) made for u distinct questions, of which query i has those of question[i]."""

    def __init__(self, made: Tensor, question: Tensor) -> None:
        self.made, self.question = made, question
        self.num, self.width = made.shape[1:]

    def of(self, ids: Tensor) -> Tensor:
        at = self.question[:, None] * self.num + ids
        return self.made.flatten(0, 1).index_select(0, at.flatten()).view(*ids.shape, self.width)

    def blocks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        start = 0
        for rows in self.made.split(max(1, size), 1):
            yield torch.arange(start, start + rows.shape[1], device=rows.device), rows.index_select(0, self.question)
            start += rows.shape[1]

    def select(self, queries: Tensor) -> MadeRows:
        return MadeRows(self.made, self.question[queries])


@dataclass(frozen=True)
class Facts:
    """The training triples of a graph as edges, one each way, and which of them hold for a triple or a pair.

    relation: (R,) the network's id of each relation of the graph. key: (m,) sorted; place (m,): the edge of each.
    """

    edges: Edges
    relation: Tensor
    num_relations: int
    hides: Literal["triple", "pair"]
    key: Tensor
    place: Tensor

    @classmethod
    def of(cls, graph: Graph, relation: Tensor, num_relations: int, hides: Literal["triple", "pair"]) -> Facts:
        """num_relations: of the network, without inverses."""
        device = relation.device
        head, own, tail = graph.splits["train"].to(device).unbind(1)
        own = relation[own]
        there, back = torch.stack([head, own, tail], 1), torch.stack([tail, own + num_relations, head], 1)
        edges, order = Edges.of(torch.cat([there, back]), 2 * num_relations, graph.num_entities)
        facts = cls(edges, relation, num_relations, hides, order, order)
        key, place = torch.sort(facts.keys(head, own, tail).repeat(2)[order], stable=True)
        return replace(facts, key=key, place=place)

    def keys(self, head: Tensor, relation: Tensor, tail: Tensor) -> Tensor:
        """What identifies the edges that these triples hide."""
        num = self.edges.num_nodes
        if self.hides == "pair":
            return torch.minimum(head, tail) * num + torch.maximum(head, tail)
        back = relation >= self.num_relations
        head, tail = torch.where(back, tail, head), torch.where(back, head, tail)
        return (head * self.num_relations + relation % self.num_relations) * num + tail

    def without(self, anchor: Tensor, relation: Tensor, entity: Tensor) -> Edges:
        """The edges without those that the triples (anchor, relation, entity), each (k,), hide."""
        keys = torch.unique(self.keys(anchor, relation, entity))
        starts = torch.searchsorted(self.key, keys)
        at, _ = expand(starts, torch.searchsorted(self.key, keys, right=True) - starts)
        keep = torch.ones(len(self.key), dtype=torch.bool, device=keys.device)
        keep[self.place[at]] = False
        return self.edges.kept(keep)


@dataclass(frozen=True)
class NetworkScorer(Scorer):
    """A network on a graph. Head questions are asked as tail questions of the inverse relation, with or without
    relations of that name in the graph.

    While training, the edges that a batch's targets (and candidates, see `Network.hides`) would be read off are left
    out for all of its questions. Equal questions are worked out once.
    """

    model: NetworkModule
    facts: Facts
    dtype: torch.dtype = torch.float32

    @property
    def num_entities(self) -> int:
        return self.facts.edges.num_nodes

    @property
    def at_once(self) -> int:
        return max(1, BUDGET // (4 * self.model.dim * max(1, self.num_entities)))

    def on(self, graph: Graph, relation: Tensor) -> NetworkScorer:
        """The same parameters on another graph. relation: (R,) the id that each of its relations has here."""
        return replace(
            self, facts=Facts.of(graph, relation.to(self.device), self.facts.num_relations, self.facts.hides)
        )

    def ask(self, query: Query, candidates: Candidates, seed: int) -> Asked:
        relation = self._relation(query)
        key, question = torch.unique(query.anchor * (2 * self.facts.num_relations) + relation, return_inverse=True)
        edges = self._seen(query, relation, candidates) if self.model.training else self.facts.edges
        anchor, own = key // (2 * self.facts.num_relations), key % (2 * self.facts.num_relations)
        rows = MadeRows(self.model(edges, anchor, own), question)
        target = rows.select(query.row).of(query.target[:, None]).squeeze(1)
        return Asked(self.model.vector(relation), target, rows, self.model.compare, self.dtype, 0.0, seed, _no_factors)

    def _relation(self, query: Query) -> Tensor:
        """(b,) the network's relation of each question, inverse where the head is asked for."""
        count = len(self.facts.relation)
        inverse = (query.relation >= count) | (query.side is Side.HEAD)
        return self.facts.relation[query.relation % count] + self.facts.num_relations * inverse

    def _seen(self, query: Query, relation: Tensor, candidates: Candidates) -> Edges:
        row, entity = query.row, query.target
        if self.facts.hides == "pair" and isinstance(candidates.ids, Tensor):
            drawn = each(candidates.ids, len(query))
            row = torch.cat([row, torch.arange(len(query), device=row.device).repeat_interleave(drawn.shape[1])])
            entity = torch.cat([entity, drawn.flatten()])
        return self.facts.without(query.anchor[row], relation[row], entity)


def _no_factors() -> Factors:
    raise UserError("Penalties act on rows that a model keeps, and this model keeps none.")
