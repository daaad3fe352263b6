"""Triples that the files state to be false: read in every format, kept apart from the facts, written back."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import polars as pl
import pytest
import torch

from falsum.errors import UserError
from falsum.graph import Graph, Side, inspect, load, write_triples
from falsum.graph.frame import from_frame, to_frame
from falsum.graph.weighting import Equal
from falsum.recipes import recipe
from falsum.run.run import Run

Triple = tuple[str, str, str]
FACTS: list[Triple] = [("a", "r", "b"), ("b", "s", "c"), ("c", "r", "a")]
FALSE: list[Triple] = [("a", "r", "c"), ("b", "r", "z")]


def put(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def rows(triples: list[Triple], separator: str = "\t") -> str:
    return "".join(separator.join(triple) + "\n" for triple in triples)


def parquet(frame: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


def table(triples: list[Triple]) -> pl.DataFrame:
    return pl.DataFrame(triples, schema=["head", "relation", "tail"], orient="row")


def statements(triples: list[Triple]) -> str:
    return "".join(f"<{h}> <{r}> <{t}> .\n" for h, r, t in triples)


def labels(graph: Graph, triples: torch.Tensor) -> list[Triple]:
    return [(graph.entities[h], graph.relations[r], graph.entities[t]) for h, r, t in triples.tolist()]


def stated(graph: Graph) -> dict[str, list[Triple]]:
    return {split: labels(graph, triples) for split, triples in graph.false.items()}


def objects(triples: list[Triple]) -> str:
    return table(triples).write_ndjson()


DICTS = {"entities.dict": "0\tz\n1\ta\n2\tb\n3\tc\n", "relations.dict": "0\tr\n1\ts\n"}
FOLDERS: dict[str, dict[str, str | bytes]] = {
    "tsv": {"train.tsv": rows(FACTS), "false.tsv": rows(FALSE)},
    "txt": {"train.txt": rows(FACTS), "false.txt": rows(FALSE)},
    "csv": {"train.csv": rows(FACTS, ","), "false.csv": rows(FALSE, ",")},
    "parquet": {"train.parquet": parquet(table(FACTS)), "false.parquet": parquet(table(FALSE))},
    "jsonl": {"train.jsonl": objects(FACTS), "false.jsonl": objects(FALSE)},
    "rdf": {"train.nt": statements([tuple("x:" + e for e in t) for t in FACTS]),  # type: ignore[misc]
            "false.nt": statements([tuple("x:" + e for e in t) for t in FALSE])},  # type: ignore[misc]
    "openke": {
        "entity2id.txt": "4\na 0\nb 1\nc 2\nz 3\n", "relation2id.txt": "2\nr 0\ns 1\n",
        "train2id.txt": "3\n0 1 0\n1 2 1\n2 0 0\n", "false2id.txt": "2\n0 2 0\n1 3 0\n",
    },
    "dict": {**DICTS, "train.txt": rows(FACTS), "false.txt": rows(FALSE)},
    "libkge": {
        "entity_ids.del": "0\ta\n1\tb\n2\tc\n3\tz\n", "relation_ids.del": "0\tr\n1\ts\n",
        "train.del": "0 0 1\n1 1 2\n2 0 0\n", "false.del": "0 0 2\n1 0 3\n",
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", FOLDERS)
def test_a_false_file_in_every_layout(tmp_path: Path, layout: str) -> None:
    graph = load(put(tmp_path, FOLDERS[layout]))
    found = {split: [tuple(e.removeprefix("x:") for e in t) for t in rows] for split, rows in stated(graph).items()}
    assert found == {"train": FALSE}
    assert list(graph.splits) == ["train"]
    assert len(graph.splits["train"]) == 3
    assert any("stated false: train 2" in note for note in graph.notes)
    denied = load(tmp_path, truth=False)
    assert len(denied.splits["train"]) == 3
    assert not denied.false
    assert any("not read as false triples" in note for note in denied.notes)


@pytest.mark.parametrize(("valid", "test"), [("valid_negatives", "test_negatives"), ("dev_false", "testing_false")])
def test_false_triples_of_a_split(tmp_path: Path, valid: str, test: str) -> None:
    files = {f"{split}.txt": rows(FACTS) for split in ("train", "valid", "test")}
    put(tmp_path, {**files, f"{valid}.txt": rows(FALSE[:1]), f"{test}.txt": rows(FALSE[1:])})
    assert stated(load(tmp_path)) == {"valid": FALSE[:1], "test": FALSE[1:]}


def test_two_files_of_the_same_false_triples(tmp_path: Path) -> None:
    put(tmp_path, {"train.tsv": rows(FACTS), "false.tsv": rows(FALSE), "train_false.tsv": rows(FALSE)})
    with pytest.raises(UserError, match=r"false\.tsv and train_false\.tsv may be the false triples of train"):
        load(tmp_path)


VALUES = [("1", "0"), ("1", "-1"), ("True", "FALSE"), ("yes", "no")]


@pytest.mark.parametrize(("true", "false"), VALUES)
@pytest.mark.parametrize("name", ["label", "Truth", "is_true", "is fact"])
def test_a_truth_column_by_name_and_values(tmp_path: Path, name: str, true: str, false: str) -> None:
    lines = [(*t, true) for t in FACTS] + [(*t, false) for t in FALSE]
    put(tmp_path, {"train.csv": f"head,relation,tail,{name}\n" + "".join(",".join(line) + "\n" for line in lines)})
    graph = load(tmp_path)
    assert (labels(graph, graph.splits["train"]), stated(graph)) == (FACTS, {"train": FALSE})
    assert any(f"column {name} says which triples are true; 2 are stated false" in note for note in graph.notes)
    assert len(load(tmp_path, truth=False).splits["train"]) == 5


@pytest.mark.parametrize("values", [[True, True, True, False, False], [1, 1, 1, 0, 0], ["1", "1", "1", "-1", "-1"]])
def test_a_truth_column_of_parquet(tmp_path: Path, values: list[object]) -> None:
    frame = table(FACTS + FALSE).with_columns(pl.Series("label", values))
    put(tmp_path, {"train.parquet": parquet(frame)})
    assert stated(load(tmp_path)) == {"train": FALSE}


@pytest.mark.parametrize("odd", ["2", "", "maybe", "-1", "true"])
def test_other_values_are_no_truth(tmp_path: Path, odd: str) -> None:
    """One other value, or a mixture of two vocabularies, and the column is only ignored; told, it is refused."""
    values = ["1", "0", odd]
    lines = "".join(",".join((*t, value)) + "\n" for t, value in zip(FACTS, values, strict=True))
    path = put(tmp_path, {"t.csv": "head,relation,tail,truth\n" + lines}) / "t.csv"
    graph = load(path, valid=0, test=0)
    assert (len(graph.splits["train"]), dict(graph.false)) == (3, {})
    assert any("ignored: truth" in note and "not all its values are of one kind" in note for note in graph.notes)
    with pytest.raises(UserError, match=r"t\.csv:[234]: column truth is to say which triples are true, but it holds"):
        load(path, truth="truth")


@pytest.mark.parametrize("values", [[[1], [0], [1]], [1.0, 0.0, 1.0], [b"1", b"\xff", b"1"], [None, 0, 1]])
def test_other_types_are_no_truth(tmp_path: Path, values: list[object]) -> None:
    frame = table(FACTS).with_columns(pl.Series("truth", values))
    put(tmp_path, {"train.parquet": parquet(frame)})
    assert not load(tmp_path).false


def test_a_relation_named_label_stays_a_relation(tmp_path: Path) -> None:
    put(tmp_path, {"train.csv": "head,label,tail\na,1,b\nb,0,c\n"})
    graph = load(tmp_path)
    assert graph.relations.to_list() == ["1", "0"]
    assert not graph.false


def test_two_truth_columns_are_refused(tmp_path: Path) -> None:
    put(tmp_path, {"train.csv": "head,relation,tail,label,is_true\na,r,b,1,1\nb,r,c,0,1\n"})
    with pytest.raises(UserError, match="both label and is_true may say"):
        load(tmp_path)
    assert stated(load(tmp_path, truth="label")) == {"train": [("b", "r", "c")]}


def test_a_truth_column_that_is_told(tmp_path: Path) -> None:
    put(tmp_path, {"train.csv": "head,relation,tail,good\na,r,b,yes\nb,r,c,no\n"})
    assert not load(tmp_path).false
    assert stated(load(tmp_path, truth="good")) == {"train": [("b", "r", "c")]}
    with pytest.raises(UserError, match="no column is named 'goood'"):
        load(tmp_path, truth="goood")


def test_without_a_header_the_columns_tell(tmp_path: Path) -> None:
    """The form of WN11 and FB13: train has three columns, valid and test have 1 or -1 behind them."""
    files = {"train.txt": rows(FACTS), "dev.txt": "a\tr\tb\t1\na\tr\tc\t-1\n", "test.txt": "b\ts\ta\t-1\nc\tr\tb\t1\n"}
    put(tmp_path, dict(files))
    with pytest.raises(UserError, match='"truth" for one that says which triples are true'):
        load(tmp_path)
    graph = load(tmp_path, columns=("head", "relation", "tail", "truth"))
    assert {split: len(triples) for split, triples in graph.splits.items()} == {"train": 3, "valid": 1, "test": 1}
    assert stated(graph) == {"valid": [("a", "r", "c")], "test": [("b", "s", "a")]}


def test_nothing_but_false_triples_is_no_graph(tmp_path: Path) -> None:
    put(tmp_path, {"train.csv": "head,relation,tail,label\na,r,b,0\n"})
    for path in (tmp_path, tmp_path / "train.csv"):
        with pytest.raises(UserError, match=r"train\.csv: all its triples are stated false"):
            load(path)


def test_a_false_file_that_calls_a_triple_true(tmp_path: Path) -> None:
    put(tmp_path, {"train.csv": rows(FACTS, ","), "false.csv": "head,relation,tail,label\na,r,b,0\nb,r,b,1\n"})
    with pytest.raises(UserError, match=r"false\.csv:3: by its name the file holds false triples"):
        load(tmp_path)


def test_a_labelled_file_is_split_with_its_false_triples(tmp_path: Path) -> None:
    facts = [(f"e{i % 9}", "r", f"e{(i * 4 + 1) % 9}") for i in range(60)]
    false = [(f"e{i % 9}", "s", f"e{i // 9}") for i in range(50)]
    lines = [(*t, "1") for t in facts] + [(*t, "0") for t in false]
    path = put(tmp_path, {"t.csv": "head,relation,tail,label\n" + "".join(",".join(t) + "\n" for t in lines)}) / "t.csv"
    graph = load(path, seed=3, valid=0.2, test=0.2)
    assert sorted(t for triples in stated(graph).values() for t in triples) == sorted(false)
    assert {split: len(triples) for split, triples in graph.false.items()} == {"train": 30, "valid": 10, "test": 10}
    assert sorted(t for each in graph.splits.values() for t in labels(graph, each)) == sorted(facts)
    assert stated(load(path, seed=3, valid=0.2, test=0.2)) == stated(graph)
    assert stated(load(path, seed=4, valid=0.2, test=0.2)) != stated(graph)


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    """A graph that contradicts itself once, and has an entity in a false triple alone."""
    return load(put(tmp_path, {"train.tsv": rows(FACTS), "test.tsv": rows([("a", "s", "b")]),
                               "false.tsv": rows([*FALSE, FACTS[0]]), "test_false.tsv": rows(FALSE)}))  # fmt: skip


def test_ids_of_the_facts_do_not_depend_on_false_triples(graph: Graph, tmp_path: Path) -> None:
    alone = load(tmp_path, truth=False)
    assert graph.entities.to_list() == [*alone.entities, "z"]
    assert all(torch.equal(graph.splits[split], alone.splits[split]) for split in graph.splits)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("inverses", [False, True])
def test_false_triples_are_never_facts(graph: Graph, side: Side, inverses: bool) -> None:
    graph = graph.with_inverses() if inverses else graph
    bare = dataclasses.replace(graph, false={})
    splits = (*graph.splits, "false", "train_false")
    mine, theirs = graph.answers(splits, side), bare.answers(splits, side)
    assert torch.equal(mine.entity, theirs.entity)
    assert torch.equal(mine.key, theirs.key)
    assert len(Equal()(graph, side)) == 3
    assert stated(graph) == {"train": [*FALSE, FACTS[0]], "test": FALSE}


def test_inspection_counts_them(graph: Graph) -> None:
    found, bare = inspect(graph), inspect(dataclasses.replace(graph, false={}))
    assert found.false == {"train": 3, "test": 2}
    assert found.contradictions == (FACTS[0],)
    assert (found.false_entities, found.unused_entities, bare.unused_entities) == (1, 0, 1)
    assert bare.contradictions == ()
    for name in ("triples", "duplicates", "overlaps", "pairs", "relations", "revealed", "degrees", "loops"):
        assert getattr(found, name) == getattr(bare, name)
    assert any("1 triples are stated true and false; the first: a, r, b" in note for note in graph.notes)


def test_the_hash_covers_false_triples_and_stays_without_them(graph: Graph) -> None:
    bare = dataclasses.replace(graph, false={})
    moved = dataclasses.replace(graph, false={"valid": graph.false["train"], "test": graph.false["test"]})
    assert len({graph.sha256, bare.sha256, moved.sha256}) == 3
    assert dataclasses.replace(graph, false={"train": torch.zeros(0, 3, dtype=torch.int64)}).sha256 == bare.sha256
    # Written down before there were false triples.
    assert load("world").sha256.startswith("e6a12ad37396f8f2")


@pytest.mark.parametrize("kind", ["tsv", "parquet"])
def test_written_and_read_again(graph: Graph, tmp_path: Path, kind: str) -> None:
    written = write_triples(graph, tmp_path / kind, kind=kind)  # type: ignore[arg-type]
    assert [p.stem for p in written] == ["train", "test", "train_false", "test_false"]
    again = load(tmp_path / kind)
    assert stated(again) == stated(graph)
    assert again.sha256 == graph.sha256


def test_a_run_folder_keeps_them(graph: Graph, tmp_path: Path) -> None:
    Run.create(graph, recipe("default", graph), tmp_path / "run")
    again = Run.open(tmp_path / "run").graph
    assert stated(again) == stated(graph)
    assert again.sha256 == graph.sha256
    assert again.splits.keys() == graph.splits.keys()


def test_frame_and_back(graph: Graph) -> None:
    splits, false = from_frame(to_frame(graph))
    assert {s: t.tolist() for s, t in splits.items()} == {s: t.tolist() for s, t in graph.splits.items()}
    assert {s: t.tolist() for s, t in false.items()} == {s: t.tolist() for s, t in graph.false.items()}
    old = to_frame(dataclasses.replace(graph, false={})).drop("false")
    assert from_frame(old)[0].keys() == graph.splits.keys()
    assert from_frame(old)[1] == {}
