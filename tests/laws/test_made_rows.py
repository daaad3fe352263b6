"""Rows that are made for each question are trained and scored like rows of a table, by the generic paths."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import falsum.scan.scoring
from falsum.evaluation.ranks import score_blocks
from falsum.graph.graph import Query, Side
from falsum.mutations import Mixup, Mutation
from falsum.noise import Candidates
from falsum.objectives import Objective
from falsum.rows.table import Rows, Table
from falsum.scan.loss import loss
from falsum.scan.scoring import Asked, Scorer, Scoring
from laws import worlds

GRAPH = worlds.graph()
SHAPES = [("all", {}), ("uniform", {"num": 3}), ("uniform", {"num": 3, "shared": "batch", "filtered": True})]


class Stretched(Rows):
    """Entity rows times a factor of each question: (b, n, w)."""

    def __init__(self, table: Table, factor: Tensor) -> None:
        self.table, self.factor = table, factor
        self.num, self.width = table.num, table.width

    def of(self, ids: Tensor) -> Tensor:
        return self.table.of(ids) * self.factor[:, None]

    def blocks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for ids, rows in self.table.blocks(size):
            yield ids, rows * self.factor[:, None]

    def select(self, queries: Tensor) -> Rows:
        return Stretched(self.table, self.factor[queries])


class StretchedScorer(Scorer):
    """DistMult with the relation in the rows: anchor . (r * e), which is (anchor * r) . e."""

    def __init__(self, parts: Scoring) -> None:
        self.parts = parts

    def ask(self, query: Query, candidates: Candidates, seed: int) -> Asked:
        plain = self.parts.ask(query, candidates, seed)
        anchor, factor = self.parts.entities.of(query.anchor), self.parts.relations.of(query.relation)
        rows = Stretched(self.parts.entities, factor)
        return replace(plain, vector=anchor, target=plain.target * factor[query.row], rows=rows)

    def tensors(self) -> dict[str, Tensor]:
        return self.parts.tensors()


def results(
    scorer: Scorer, parts: Scoring, objective: Objective, query: Query, drawn: Candidates, mutation: Mutation | None
) -> tuple[Tensor, list[Tensor]]:
    worlds.clear(parts)
    values = loss(scorer, objective, query, drawn, 3, mutation=mutation)
    (values * torch.linspace(0.5, 1.5, len(values), dtype=values.dtype)).sum().backward()
    return values.detach(), worlds.gradients(parts)


@pytest.mark.parametrize("mutation", [None, Mixup()], ids=["plain", "mixup"])
@pytest.mark.parametrize("objective", worlds.objectives(), ids=worlds.label)
def test_rows_of_each_question_train_as_those_of_a_table(
    objective: tuple[str, dict], mutation: Mutation | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole and in blocks, as those of a table whole."""
    parts, built = worlds.scoring("distmult", GRAPH, seed=2), worlds.make_objective(objective)
    for noise, grouped in itertools.product(SHAPES, (False, True)):
        query = GRAPH.queries(GRAPH.splits["train"], Side.TAIL, grouped=grouped)
        drawn = worlds.draw(noise, GRAPH, query, 1)
        plain = results(parts, parts, built, query, drawn, mutation)
        for block in (1 << 22, 30):
            with monkeypatch.context() as patch, worlds.about(noise):
                patch.setattr(falsum.scan.scoring, "BLOCK", block)
                worlds.same(results(StretchedScorer(parts), parts, built, query, drawn, mutation), plain)


def test_rows_of_each_question_are_scored_in_blocks() -> None:
    parts = worlds.scoring("distmult", GRAPH, seed=2)
    query = GRAPH.queries(GRAPH.splits["train"], Side.HEAD, grouped=False)
    everyone = Candidates(range(7))
    with torch.no_grad():
        made, plain = (
            torch.cat([scores for _, scores in score_blocks(each.ask(query, everyone, 0), 3)], 1)
            for each in (StretchedScorer(parts), parts)
        )
    torch.testing.assert_close(made, plain, rtol=1e-12, atol=1e-12)
