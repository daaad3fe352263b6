"""Tests of slices of ranks on a graph whose classes can be counted by hand."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from falsum.evaluation import slices
from falsum.evaluation.metrics import metrics
from falsum.graph.graph import Graph

ENTITIES = [f"e{i}" for i in range(8)]
# one_one: pairs. one_n: e0 has four tails. n_one: four heads of e0. n_n: a 2 x 2 block. test_only: not in train.
RELATIONS = ["one_one", "one_n", "n_one", "n_n", "test_only"]
TRAIN = [
    *([a, 0, a + 1] for a in (0, 2, 4)),
    *([0, 1, b] for b in (1, 2, 3, 4)),
    *([a, 2, 0] for a in (1, 2, 3, 4)),
    *([a, 3, b] for a in (0, 1) for b in (2, 3)),
    [6, 0, 6],
]
TEST = [[0, 0, 1], [0, 1, 5], [5, 2, 0], [0, 3, 2], [7, 4, 6]]


def graph(inverses: bool = False) -> Graph:
    splits = {"train": torch.tensor(TRAIN), "test": torch.tensor(TEST)}
    made = Graph("classes", splits, pl.Series(ENTITIES), pl.Series(RELATIONS), 5)
    return made.with_inverses() if inverses else made


def ranks(inverse_offset: int = 0) -> pl.DataFrame:
    """A rank frame of TEST on both sides: triple i has i rivals above it as tail, 10 i + 1 as head."""
    rows = []
    for place, (head, relation, tail) in enumerate(TEST):
        rows.append((head, relation, tail, place, 0, 100, "tail", "test"))
        rows.append((head, relation + inverse_offset, tail, 10 * place + 1, 0, 100, "head", "test"))
    names = ["head", "relation", "tail", "greater", "equal", "candidates", "side", "split"]
    return pl.DataFrame(rows, schema=names, orient="row")


def test_relations_have_their_class_and_questions_their_direction() -> None:
    frame = slices.annotate(ranks(), graph())
    rows = {(r["relation_label"], r["side"]): (r["cardinality"], r["direction"]) for r in frame.iter_rows(named=True)}
    assert rows == {
        ("one_one", "tail"): ("1-1", "to 1"),
        ("one_one", "head"): ("1-1", "to 1"),
        ("one_n", "tail"): ("1-N", "to N"),
        ("one_n", "head"): ("1-N", "to 1"),
        ("n_one", "tail"): ("N-1", "to 1"),
        ("n_one", "head"): ("N-1", "to N"),
        ("n_n", "tail"): ("N-N", "to N"),
        ("n_n", "head"): ("N-N", "to N"),
        ("test_only", "tail"): ("not in train", "not in train"),
        ("test_only", "head"): ("not in train", "not in train"),
    }


def test_the_frequency_is_that_of_the_answer() -> None:
    frame = slices.annotate(ranks(), graph())
    bands = {(r["relation_label"], r["side"]): r["frequency"] for r in frame.iter_rows(named=True)}
    count = [sum(entity in (head, tail) for head, _, tail in TRAIN) for entity in range(8)]
    assert count == [11, 5, 5, 5, 3, 1, 1, 0]
    assert bands["one_one", "tail"] == "4-10"
    assert bands["one_one", "head"] == "11-100"
    assert bands["test_only", "tail"] == "1"  # a loop is one triple
    assert bands["test_only", "head"] == "0"
    assert slices.entity_bands(graph()).to_list() == ["11-100", *["4-10"] * 3, "2-3", "1", "1", "0"]


def test_bands_meet_without_gap() -> None:
    star = [[0, 0, i] for i in range(1, 102)] + [[0, 0, 1]] + [[0, 0, 2]] * 2 + [[0, 0, 3]] * 3 + [[0, 0, 4]] * 10
    train = torch.tensor(star)
    made = Graph("star", {"train": train}, pl.Series([f"{i}" for i in range(103)]), pl.Series(["r"]), 1)
    bands = slices.entity_bands(made)
    assert [bands[i] for i in (102, 5, 1, 2, 3, 4, 0)] == ["0", "1", "2-3", "2-3", "4-10", "11-100", "101+"]


def test_inverse_relations_fall_to_their_base_relation() -> None:
    plain = slices.annotate(ranks(), graph())
    inverse = slices.annotate(ranks(inverse_offset=5), graph(inverses=True))
    assert inverse.equals(plain)


def test_tables_hold_the_metrics_of_their_rows() -> None:
    frame = slices.annotate(ranks(), graph())
    tables = {
        ("relation_label",): slices.by_relation(frame),
        ("cardinality", "side"): slices.by_cardinality(frame),
        ("direction",): slices.by_direction(frame),
        ("frequency",): slices.by_frequency(frame),
        ("side",): slices.by_side(frame),
    }
    for keys, table in tables.items():
        assert table["count"].sum() == len(frame)
        for row in table.iter_rows(named=True):
            own = frame.filter(*(pl.col(key).cast(pl.String) == row[key] for key in keys))
            assert row["count"] == len(own)
            assert row["mrr"] == pytest.approx(metrics(own)["mrr"])
            assert row["hits@10"] == pytest.approx(metrics(own)["hits@10"])
    assert tables["cardinality", "side"]["cardinality"].unique(maintain_order=True).to_list() == [
        "1-1", "1-N", "N-1", "N-N", "not in train",
    ]  # fmt: skip
    assert tables[("frequency",)]["frequency"].to_list() == ["0", "1", "4-10", "11-100"]


def test_tie_rules_reach_the_tables() -> None:
    tied = slices.annotate(ranks().with_columns(equal=pl.lit(4)), graph())
    assert slices.by_side(tied, "optimistic")["mr"].to_list() == [22.0, 3.0]
    assert slices.by_side(tied, "pessimistic")["mr"].to_list() == [26.0, 7.0]


def test_macro_counts_every_relation_the_same() -> None:
    frame = slices.annotate(ranks(), graph())
    more = pl.concat([frame, *[frame.filter(pl.col("relation") == 0)] * 9])
    assert slices.macro_by_relation(more)["mr"] == pytest.approx(slices.macro_by_relation(frame)["mr"])
    assert metrics(more)["mr"] < metrics(frame)["mr"]


def test_extremes_leave_small_slices_out_and_never_overlap() -> None:
    table = pl.DataFrame({"name": list("abcdef"), "count": [5, 4, 9, 9, 5, 100], "mrr": [0.5, 0.0, 0.9, 0.1, 0.5, 0.3]})
    hardest, easiest = slices.extremes(table, 2)
    assert hardest["name"].to_list() == ["d", "f"]
    assert easiest["name"].to_list()[0] == "c"
    hardest, easiest = slices.extremes(table, 10)
    assert set(hardest["name"]).isdisjoint(easiest["name"])
    assert len(hardest) == len(easiest) == 2
