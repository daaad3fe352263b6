"""Laws of Graph, Query and Answers against naive loops."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from falsum.graph import Graph, Query, Side

NUM_ENTITIES, NUM_RELATIONS = 6, 3
ROWS = st.lists(
    st.tuples(st.integers(0, NUM_ENTITIES - 1), st.integers(0, NUM_RELATIONS - 1), st.integers(0, NUM_ENTITIES - 1)),
    max_size=25,
)
SIDE = st.sampled_from(Side)
Row = tuple[int, int, int]


def make(splits: dict[str, list[Row]]) -> Graph:
    return Graph(
        name="toy",
        splits={split: torch.tensor(rows, dtype=torch.int64).reshape(-1, 3) for split, rows in splits.items()},
        entities=pl.Series("entity", [f"e{i}" for i in range(NUM_ENTITIES)]),
        relations=pl.Series("relation", [f"r{i}" for i in range(NUM_RELATIONS)]),
        num_base_relations=NUM_RELATIONS,
    )


def questions(query: Query) -> Counter[tuple[int, int, int]]:
    """(anchor, relation, target) of each target, as often as it counts."""
    found: Counter[tuple[int, int, int]] = Counter()
    for row, target, weight in zip(query.row, query.target, query.weight, strict=True):
        found[int(query.anchor[row]), int(query.relation[row]), int(target)] += int(weight)
    return found


@settings(deadline=None)
@given(ROWS, ROWS, SIDE, st.booleans())
def test_answers_equal_a_loop(train: list[Row], test: list[Row], side: Side, inverses: bool) -> None:
    graph = make({"train": train, "test": test})
    graph = graph.with_inverses() if inverses else graph
    answers = graph.answers(["train", "test", "absent"], side)
    keys = [(a, r) for a in range(NUM_ENTITIES) for r in range(NUM_RELATIONS)]
    anchor, relation = torch.tensor(keys).unbind(1)
    asked, _ = graph.ask(relation, side)
    pairs = answers.of(anchor, asked)
    got = list(zip(pairs.row.tolist(), pairs.entity.tolist(), strict=True))
    facts = {(h, r, t) if side is Side.TAIL else (t, r, h) for h, r, t in train + test}
    assert got == sorted((i, e) for i, (a, r) in enumerate(keys) for e in range(NUM_ENTITIES) if (a, r, e) in facts)


@settings(deadline=None)
@given(ROWS, SIDE, st.booleans())
def test_grouping_keeps_the_questions(rows: list[Row], side: Side, inverses: bool) -> None:
    graph = make({"train": rows})
    graph = graph.with_inverses() if inverses else graph
    triples = graph.splits["train"]
    single, grouped = (graph.queries(triples, side, grouped=grouped) for grouped in (False, True))
    assert questions(single) == questions(grouped)
    assert single.single
    assert len(grouped) == len(set(zip(single.anchor.tolist(), single.relation.tolist(), strict=True)))
    assert bool((grouped.row.diff() >= 0).all())
    assert len(set(zip(grouped.row.tolist(), grouped.target.tolist(), strict=True))) == len(grouped.target)
    assert single.side == grouped.side


@settings(deadline=None)
@given(ROWS)
def test_inverses_turn_head_questions_into_tail_questions(rows: list[Row]) -> None:
    graph = make({"train": rows})
    both = graph.with_inverses()
    assert both.with_inverses() is both
    assert both.num_relations == 2 * graph.num_relations
    assert both.sha256 == graph.sha256
    assert torch.equal(both.splits["train"], graph.splits["train"])
    head = both.queries(both.splits["train"], Side.HEAD, grouped=False)
    plain = graph.queries(graph.splits["train"], Side.HEAD, grouped=False)
    assert head.side is Side.TAIL
    assert plain.side is Side.HEAD
    assert torch.equal(head.anchor, plain.anchor)
    assert torch.equal(head.target, plain.target)
    assert torch.equal(head.relation, plain.relation + NUM_RELATIONS)


@settings(deadline=None)
@given(st.lists(ROWS.filter(bool), min_size=1, max_size=1), SIDE, st.data())
def test_select_takes_queries_with_their_targets(rows: list[list[Row]], side: Side, data: st.DataObject) -> None:
    graph = make({"train": rows[0]})
    query = graph.queries(graph.splits["train"], side, grouped=True)
    take = data.draw(st.lists(st.integers(0, len(query) - 1), max_size=8))
    chosen = query.select(torch.tensor(take, dtype=torch.int64))
    assert chosen.anchor.tolist() == [int(query.anchor[i]) for i in take]
    for place, i in enumerate(take):
        assert chosen.target[chosen.row == place].tolist() == query.target[query.row == i].tolist()
    assert len(chosen.target) == len(chosen.weight) == len(chosen.row)


def test_the_hash_sees_triples_and_labels() -> None:
    graph = make({"train": [(0, 0, 1)], "test": [(1, 0, 0)]})
    assert graph.sha256 == make({"test": [(1, 0, 0)], "train": [(0, 0, 1)]}).sha256
    assert graph.sha256 != make({"train": [(0, 0, 2)], "test": [(1, 0, 0)]}).sha256


@pytest.mark.parametrize("side", list(Side))
def test_no_facts_no_answers(side: Side) -> None:
    answers = make({"train": []}).answers(["train"], side)
    assert len(answers.of(torch.tensor([0, 1]), torch.tensor([0, 0])).row) == 0
