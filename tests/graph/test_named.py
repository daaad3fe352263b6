"""Graphs by name: aliases, places, checks, and fetching from file addresses."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from falsum.errors import UserError
from falsum.graph import GRAPHS, NamedGraph, load
from falsum.graph.download import fetch
from falsum.graph.named import key, known

ROWS = b"a\tr\tb\nb\tr\tc\n"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data and an empty cache, which is returned."""
    monkeypatch.delenv("FALSUM_DATA", raising=False)
    monkeypatch.setenv("FALSUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("alias", "name"),
    [("FB15k-237", "fb15k-237"), ("FB15k237", "fb15k-237"), ("FB237", "fb15k-237"), ("fb15k_237", "fb15k-237"),
     ("wnrr", "wn18rr"), ("WN18RR", "wn18rr"), ("yago310", "yago3-10"), ("YAGO3_10", "yago3-10"),
     ("CoDEx-S", "codex-s"), ("Countries_S1", "countries-s1"), ("Kinship", "kinships"),
     ("UMLS", "umls"), ("FB15K", "fb15k"), ("WN18", "wn18")],
)  # fmt: skip
def test_aliases(alias: str, name: str) -> None:
    found = known(alias)
    assert found is not None
    assert found.name == name


def test_no_name_means_two_graphs() -> None:
    keys = [key(alias) for graph in GRAPHS for alias in {key(n) for n in (graph.name, *graph.aliases)}]
    assert len(keys) == len(set(keys))


def test_unknown_name_suggests(empty: Path) -> None:
    with pytest.raises(UserError, match=r"fb15k-238: there is no such file.*Did you mean fb15k-237"):
        load("fb15k-238")


def test_offline_says_where_to_put_files(empty: Path) -> None:
    with pytest.raises(UserError) as caught:
        load("codex-s")
    message = str(caught.value)
    for part in ("tsafavi/codex", "train.txt", str(empty / "codex-s"), "FALSUM_DATA", "FALSUM_CACHE"):
        assert part in message
    assert not empty.exists()


def test_data_folder_must_exist(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALSUM_DATA", "/nowhere/at/all")
    with pytest.raises(UserError, match="FALSUM_DATA=/nowhere"):
        load("umls")


def source(folder: Path, digest: str | None = None) -> NamedGraph:
    folder.mkdir()
    for name in ("train.txt", "valid.txt", "test.txt"):
        (folder / name).write_bytes(ROWS)
    good = hashlib.sha256(ROWS).hexdigest()
    return NamedGraph("toy", files={"train.txt": digest or good, "valid.txt": "", "test.txt": ""}, url=folder.as_uri())


def test_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FALSUM_OFFLINE")
    seen: list[tuple[str, int, int | None]] = []
    folder = fetch(source(tmp_path / "web"), tmp_path / "cache", lambda *step: seen.append(step))
    assert sorted(path.name for path in folder.iterdir()) == ["test.txt", "train.txt", "valid.txt"]
    assert (folder / "train.txt").read_bytes() == ROWS
    assert ("train.txt", len(ROWS), len(ROWS)) in seen
    shutil.rmtree(tmp_path / "web")
    assert fetch(replace(source(tmp_path / "web"), url="file:///gone"), tmp_path / "cache") == folder


def test_fetch_refuses_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FALSUM_OFFLINE")
    with pytest.raises(UserError, match="not the known one"):
        fetch(source(tmp_path / "web", "0" * 64), tmp_path / "cache")
    assert list((tmp_path / "cache" / "toy").iterdir()) == []


def test_fetch_forgives_line_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FALSUM_OFFLINE")
    crlf = hashlib.sha256(ROWS.replace(b"\n", b"\r\n")).hexdigest()
    assert fetch(source(tmp_path / "web", crlf), tmp_path / "cache").is_dir()


def test_fetch_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FALSUM_OFFLINE")
    graph = replace(source(tmp_path / "web"), url=(tmp_path / "gone").as_uri())
    with pytest.raises(UserError, match="could not fetch"):
        fetch(graph, tmp_path / "cache")
    assert not (tmp_path / "cache" / "toy").exists()


def test_cache_is_read(empty: Path) -> None:
    folder = empty / "UMLS"
    folder.mkdir(parents=True)
    (folder / "train.txt").write_bytes(ROWS)
    graph = load("umls")
    assert graph.name == "umls"
    assert any("differs from the known file of umls" in note for note in graph.notes)
    assert any("known to have 135 entities, but 3 were read" in note for note in graph.notes)


def test_a_name_wins_over_a_path_and_says_so(empty: Path) -> None:
    for folder in (empty / "umls", Path("umls")):
        folder.mkdir(parents=True)
    (empty / "umls" / "train.txt").write_bytes(ROWS)
    Path("umls/train.txt").write_bytes(b"x\ty\tz\n")
    graph = load("umls")
    assert graph.num_entities == 3
    assert any("./umls means the path" in note for note in graph.notes)
    assert load("./umls").num_entities == 2
    assert load(Path("umls")).num_entities == 2


def test_any_folder_of_the_data_folder_has_a_name(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty / "mine").mkdir(parents=True)
    (empty / "mine" / "train.tsv").write_bytes(ROWS)
    monkeypatch.setenv("FALSUM_DATA", str(empty))
    assert load("mine").name == "mine"


def test_the_bundled_graph_needs_no_files(empty: Path) -> None:
    graph = load("world")
    assert set(graph.splits) == {"train", "valid", "test"}
    assert not any("differs" in note for note in graph.notes)


@pytest.mark.parametrize("named", [g for g in GRAPHS if g.name != "world"], ids=lambda g: g.name)
def test_real_graphs_have_their_known_counts(falsum_data: Path, named: NamedGraph) -> None:
    try:
        graph = load(named.name)
    except UserError as error:
        pytest.skip(f"not in FALSUM_DATA: {str(error)[:60]}")
    assert not any("differs" in note or "known to have" in note for note in graph.notes)
    if any(named.files.values()):
        assert any("SHA-256" in note and "agrees" in note for note in graph.notes)


def test_fb15k_237_has_crlf(falsum_data: Path) -> None:
    graph = load("FB15k237")
    sizes = [len(graph.splits[split]) for split in ("train", "valid", "test")]
    assert (graph.num_entities, graph.num_relations, *sizes) == (14541, 237, 272115, 17535, 20466)
    assert "CRLF" in graph.source
    assert not any(label.endswith("\r") for label in graph.entities)


def test_wn18_is_read_head_tail_relation(falsum_data: Path) -> None:
    graph = load("wn18")
    assert "head tail relation" in graph.source
    assert (graph.num_entities, graph.num_relations) == (40943, 18)
    assert graph.entities[0] == "05451384"
    # The first line of train2id.txt is "27536 33729 10".
    assert graph.splits["train"][0].tolist() == [27536, 10, 33729]
