"""What `inspect` counts, by hand on a small graph and against published numbers on real ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from falsum.graph import inspect, load


@pytest.fixture
def small(tmp_path: Path) -> Path:
    files = {
        # knows and known_by are inverses; likes copies knows; near is symmetric; a line stands twice.
        "train": "a knows b|b known_by a|c knows d|d known_by c|a likes b|c likes d|"
        "a near c|c near a|c near a|a self a",
        "valid": "e known_by a|x near a",
        "test": "a knows b|a knows e|b near new_relation_end|a new b",
    }
    for split, rows in files.items():
        (tmp_path / f"{split}.tsv").write_text(rows.replace(" ", "\t").replace("|", "\n") + "\n")
    return tmp_path


def test_counts_by_hand(small: Path) -> None:
    info = inspect(load(small))
    assert info.triples == {"train": 10, "valid": 2, "test": 4}
    assert info.duplicates == {"train": 1, "valid": 0, "test": 0}
    assert info.overlaps == {("train", "valid"): 0, ("train", "test"): 1, ("valid", "test"): 0}
    assert info.unseen_entities == {"valid": 2, "test": 2}
    assert info.unseen_relations == {"valid": 0, "test": 1}
    assert info.unseen_triples == {"valid": 2, "test": 3}
    assert (info.unused_entities, info.unused_relations, info.loops) == (0, 0, 1)
    assert info.degrees.largest_label == "a"
    assert {(p.first, p.second, p.kind) for p in info.pairs} == {
        ("knows", "known_by", "inverse"),
        ("known_by", "likes", "inverse"),
        ("knows", "likes", "duplicate"),
        ("near", "near", "symmetric"),
        ("self", "self", "symmetric"),
    }
    # Of test, only (a knows b) has its counterpart in train.
    assert info.revealed == {"valid": 0, "test": 1}
    assert dataclasses.asdict(info)["num_relations"] == 6


def test_inverse_relations_of_the_model_do_not_count(small: Path) -> None:
    graph = load(small)
    assert inspect(graph.with_inverses()).relations == inspect(graph).relations


def test_cardinality(tmp_path: Path) -> None:
    rows = {
        "one": [("a", "b"), ("c", "d")],
        "has": [("a", "b"), ("a", "c"), ("a", "d")],
        "in": [("b", "a"), ("c", "a"), ("d", "a")],
        "many": [(h, t) for h in "abc" for t in "def"],
    }
    lines = [f"{h}\t{r}\t{t}\n" for r, pairs in rows.items() for h, t in pairs]
    (tmp_path / "train.tsv").write_text("".join(lines))
    found = {info.label: info.cardinality for info in inspect(load(tmp_path)).relations}
    assert found == {"one": "1-1", "has": "1-N", "in": "N-1", "many": "N-N"}


def test_labels_in_no_triple(tmp_path: Path) -> None:
    files = {"entities.dict": "0\ta\n1\tb\n2\tc\n", "relations.dict": "0\tr\n1\ts\n", "train.txt": "a\tr\tb\n"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    info = inspect(load(tmp_path))
    assert (info.unused_entities, info.unused_relations) == (1, 1)
    assert [relation.cardinality for relation in info.relations] == ["1-1", ""]


@pytest.mark.parametrize(("name", "valid", "test"), [("fb15k-237", 9, 28), ("wn18rr", 210, 210)])
def test_unseen_entities_of_real_graphs(falsum_data: Path, name: str, valid: int, test: int) -> None:
    assert inspect(load(name)).unseen_triples == {"valid": valid, "test": test}


def test_wn18_leaks_through_inverses(falsum_data: Path) -> None:
    info = inspect(load("wn18"))
    inverses = {frozenset((p.first, p.second)) for p in info.pairs if p.kind == "inverse"}
    for pair in [("_hypernym", "_hyponym"), ("_has_part", "_part_of"), ("_member_meronym", "_member_holonym")]:
        assert frozenset(pair) in inverses
    assert info.revealed["test"] > 0.9 * info.triples["test"]


def test_countries_has_one_line_twice(falsum_data: Path) -> None:
    assert inspect(load("countries-s1")).duplicates == {"train": 1, "valid": 0, "test": 0}
