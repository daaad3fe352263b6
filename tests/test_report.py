"""Tests of comparison tables and report pages, on runs trained and ranked here."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
import torch

from falsum.errors import UserError
from falsum.evaluation import slices
from falsum.evaluation.metrics import with_rank
from falsum.files import read_json, write_json
from falsum.graph.graph import Graph
from falsum.recipe.settings import read
from falsum.report import compare_table, write_page
from falsum.report.charts import Chart, Line, curves, hits_curve, svg
from falsum.report.examples import RANK_BANDS, examples
from falsum.report.page import duration, number
from falsum.run.run import Run

VOID = {"meta", "link", "br", "hr", "img", "input"}
ODD_LABELS = ["<script>alert(1)</script>", "محمد علي", "北京", '"a" & <b>', "हिन्दी"]


def graph(name: str = "odd <graph>", seed: int = 0) -> Graph:
    """40 entities, 6 relations that shift ids by a fixed step, so that there is something to learn."""
    random = np.random.default_rng(seed)
    head, relation = random.integers(0, 40, 600), random.integers(0, 6, 600)
    triples = torch.from_numpy(np.stack([head, relation, (head + 3 * relation) % 40], 1))
    splits = {"train": triples[:480], "valid": triples[480:520], "test": triples[520:]}
    entities = [*ODD_LABELS, *(f"e{i}" for i in range(35))]
    return Graph(name, splits, pl.Series(entities), pl.Series(["<i>next</i>", *"bcdef"]), 6, notes=("a <note>",))


def trained(folder: Path, evaluate: bool = True, **settings: object) -> Run:
    values = {"model": {"name": "complex", "dim": 8}, "validation": {"every": 2}}
    recipe = read(values).changed(**{"train.epochs": 4, "train.batch_size": 64, "train.device": "cpu", **settings})
    run = Run.create(graph(), recipe, folder)
    for _ in run.train():
        pass
    if evaluate:
        run.evaluate("test")
    return run


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ranked (with inverse relations) and plain (not evaluated)."""
    folder = tmp_path_factory.mktemp("runs")
    trained(folder / "ranked", **{"train.inverses": True})
    trained(folder / "plain", evaluate=False, model="transe", noise="uniform")
    return folder


@pytest.fixture(scope="module")
def page(folders: Path) -> str:
    run = Run.open(folders / "ranked")
    return write_page(run, folders / "page.html").read_text(encoding="utf-8")


class Strict(HTMLParser):
    """Collects elements, and fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def cells(table: str) -> list[list[str]]:
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_the_table_holds_what_the_folders_say(folders: Path) -> None:
    ranked = Run.open(folders / "ranked")
    header, rule, first, second = cells(compare_table([ranked, Run.open(folders / "plain")]))
    assert len(header) == len(rule) == len(first) == len(second)
    row = dict(zip(header, first, strict=True))
    metrics = read_json(folders / "ranked" / "protocol.json")["metrics"]
    for name in ("mrr", "hits@1", "hits@3", "hits@10"):
        assert row[name] == f"{metrics[name]:.4f}"
    assert row["mr"] == f"{metrics['mr']:.1f}"
    facts = {"run": "ranked", "graph": r"odd \<graph>", "model": "complex", "loss": "softmax", "noise": "all"}
    assert row.items() >= {**facts, "dim": "8", "epochs": "4"}.items()
    row = dict(zip(header, second, strict=True))
    assert row.items() >= {"run": "plain", "model": "transe", "noise": "uniform", "mrr": "-", "mr": "-"}.items()


def test_the_table_never_leaves_without_protocol_and_hash(folders: Path) -> None:
    run = Run.open(folders / "ranked")
    text = compare_table([run, Run.open(folders / "plain")])
    assert (
        "Protocol: falsum; split: test; sides: tail and head; ties: realistic, exact; filtered by: train, valid and "
        "test; candidates: all entities; unseen in training: kept, and ranked; scores: fp32." in text
    )
    assert f"SHA-256 {run.graph.sha256}" in text
    assert "Not evaluated: plain." in text


def test_runs_under_different_rules_are_told_apart(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "ranked", tmp_path / "other|rules")
    path = tmp_path / "other|rules" / "protocol.json"
    about = read_json(path)
    changes = {"tie": "rounded", "tolerance": [1e-4, 1e-5], "filter_splits": [], "unseen": "drop", "distinct": True}
    write_json(path, {**about, "protocol": {**about["protocol"], **changes, "sides": ["tail"]}})
    runs = [Run.open(folders / "ranked"), Run.open(tmp_path / "other|rules"), Run.open(folders / "plain")]
    text = compare_table(runs)
    header, _, *rows = cells(text)
    assert header[-1] == "protocol"
    assert [row[-1] for row in rows] == ["a", "b", "-"]
    assert rows[1][0] == r"other\|rules"
    assert "Protocol b: falsum; split: test, each triple once; sides: tail; ties: rounded, scores within" in text
    assert (
        "filtered by: nothing: raw ranks; candidates: all entities; unseen in training: triples with it dropped" in text
    )


def test_graphs_of_one_name_are_told_apart_by_their_hash(folders: Path, tmp_path: Path) -> None:
    other = graph(seed=1)
    recipe = Run.open(folders / "ranked").recipe
    Run.create(other, recipe, tmp_path / "fresh")
    header, _, first, second = cells(compare_table([Run.open(folders / "ranked"), Run.open(tmp_path / "fresh")]))
    named = [dict(zip(header, row, strict=True))["graph"] for row in (first, second)]
    assert named == [rf"odd \<graph>@{g.sha256[:12]}" for g in (graph(), other)]
    assert second[-2:] == ["0", "0"]


def test_the_page_is_one_well_formed_file_without_scripts_or_links(page: str) -> None:
    parsed = Strict(page)
    tags = {tag for tag, _ in parsed.elements}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object"})
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in parsed.elements:
        for name in ("href", "src", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
            assert attributes.get(name, "#")[1:] in {"", *ids}
        assert not any(name.startswith("on") for name in attributes)
    assert "://" not in page
    assert "@import" not in page
    assert set(re.findall(r"url\((.)", page)) <= {"#"}


def test_the_page_shows_the_evaluated_numbers(page: str, folders: Path) -> None:
    words = Strict(page).words()
    result = read_json(folders / "ranked" / "protocol.json")
    shown = re.search(r"MRR ([\d.]+) ([\d.]+) to ([\d.]+)", words)
    assert shown is not None
    value, low, high = map(float, shown.groups())
    assert value == pytest.approx(result["metrics"]["mrr"], abs=5e-4)
    assert low < value < high
    for fact in (
        "tail and head",
        "realistic, exact",
        "train, valid and test",
        "kept, and ranked",
        "all entities",
        "fp32",
    ):
        assert fact in words
    assert result["protocol"]["graph_sha256"] in words
    assert "optimistic" in words
    assert "pessimistic" in words
    assert "all 4 epochs done" in words


def test_the_page_shows_every_slice(page: str, folders: Path) -> None:
    words = Strict(page).words()
    run = Run.open(folders / "ranked")
    frame = slices.annotate(pl.read_parquet(run.folder / "ranks.parquet"), run.graph)
    for row in slices.by_relation(frame).iter_rows(named=True):
        mrr, hits = f"{row['mrr']:.3f}", f"{row['hits@1']:.3f} {row['hits@10']:.3f}"
        assert f"{row['relation_label']} {row['cardinality']} {row['count']} {mrr} {hits}" in words
    for row in slices.by_frequency(frame).iter_rows(named=True):
        assert f"{row['frequency']} {row['count']} {row['mrr']:.3f}" in words
    for row in slices.by_cardinality(frame).iter_rows(named=True):
        assert f"{row['cardinality']} {row['side']} {row['count']} {row['mrr']:.3f}" in words


def test_labels_are_text_and_nothing_else(page: str) -> None:
    assert "<i>next" not in page
    assert "<script" not in page
    words = Strict(page).words()
    for label in ("<i>next</i>", "odd <graph>", "a <note>"):
        assert label in words


def test_the_page_is_the_same_every_time(page: str, folders: Path) -> None:
    again = write_page(Run.open(folders / "ranked"), folders / "again.html").read_text(encoding="utf-8")
    assert again == page


def test_examples_show_the_model_own_answers(folders: Path) -> None:
    run = Run.open(folders / "ranked")
    frame = slices.annotate(pl.read_parquet(run.folder / "ranks.parquet"), run.graph)
    found = examples(run, frame, per_band=2, top_k=3)
    filled = [with_rank(frame).filter(pl.col("rank").is_between(low, high)).height for _, low, high in RANK_BANDS]
    assert len(found) == sum(min(2, size) for size in filled) >= 4
    bounds = {band: (low, high) for band, low, high in RANK_BANDS}
    for example in found:
        assert bounds[example.band][0] <= example.rank <= bounds[example.band][1]
        question = {k: v for k, v in (("head", example.head), ("tail", example.tail)) if v is not None}
        assert len(question) == 1
        listed = run.predict(relation=example.relation, top_k=40, **question)
        assert [a.label for a in example.answers[:3]] == listed["label"].head(3).to_list()
        right = [answer for answer in example.answers if answer.right]
        assert [answer.label for answer in right] == [example.right]
        assert right[0].known is not None
        assert listed["label"][right[0].place - 1] == example.right
        known_above = listed.head(right[0].place - 1)["known"].is_not_null().sum()
        assert example.rank == right[0].place - known_above


def test_a_run_that_was_not_evaluated_says_so(folders: Path) -> None:
    run = Run.open(folders / "plain")
    text = write_page(run, folders / "plain.html").read_text(encoding="utf-8")
    words = Strict(text).words()
    assert (
        f"has not been evaluated, so there are no ranks to show. Evaluate it with falsum evaluate {run.folder}" in words
    )
    assert "Training loss" in words
    assert "Validation MRR" in words
    assert 'id="relations"' not in text


def test_a_run_that_was_not_trained_says_so(folders: Path, tmp_path: Path) -> None:
    run = Run.create(graph(), Run.open(folders / "plain").recipe, tmp_path / "fresh")
    words = Strict(write_page(run, tmp_path / "page.html").read_text(encoding="utf-8")).words()
    assert "has not been trained" in words
    assert "Training loss" not in words
    assert "transe with 8 reals per entity" in words


def test_an_evaluated_run_without_weights_has_no_examples(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "ranked", tmp_path / "light")
    (tmp_path / "light" / "model.safetensors").unlink()
    text = write_page(Run.open(tmp_path / "light"), tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'id="answers"' not in text
    assert 'id="relations"' in text


def test_damaged_ranks_are_named(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "ranked", tmp_path / "damaged")
    (tmp_path / "damaged" / "ranks.parquet").write_bytes(b"PAR1 no more")
    path = tmp_path / "damaged" / "protocol.json"
    write_json(path, {k: v for k, v in read_json(path).items() if k != "origin"})  # of a folder before hashes
    (tmp_path / "damaged" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"ranks\.parquet cannot be read: .*Evaluate again: `falsum evaluate"):
        write_page(Run.open(tmp_path / "damaged"), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.fixture(params=["jinja2", "matplotlib"])
def missing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package that cannot be imported."""
    monkeypatch.setitem(sys.modules, request.param, None)
    return request.param


def test_a_missing_extra_is_named_with_its_cure(folders: Path, tmp_path: Path, missing: str) -> None:
    run = Run.open(folders / "ranked")
    with pytest.raises(UserError, match=rf"needs {missing}, which is not installed: pip install 'falsum\[report\]'"):
        write_page(run, tmp_path / "page.html")
    assert "complex" in compare_table([run])  # needs neither


def drawn(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(svg(chart).replace("xlink:href", "href"))


def test_a_chart_takes_its_colours_from_the_page_and_says_what_it_shows() -> None:
    chart = Chart(
        "Loss", "epoch", [Line("a", [1, 2], [3, 4]), Line("b", [1, 2], [4, 3], marked=0)], words='up & "down"'
    )
    root = drawn(chart)
    assert root.attrib.keys() == {"viewBox", "role", "aria-label"}
    assert root.attrib["aria-label"] == 'up & "down"'
    text = svg(chart)
    assert "var(--first)" in text
    assert "var(--second)" in text
    assert set(re.findall(r"#[0-9a-f]{6}\b", text)) == set()
    assert {"epoch", "a", "b", "4.000"} <= {element.text for element in root.iter("text")}


def test_curves_follow_the_history() -> None:
    history = [
        {"epoch": 1, "loss": 3.0, "lr": 0.1},
        {"epoch": 2, "loss": 2.0, "lr": 0.05},
        {"epoch": 2, "loss": 2.0, "metrics": {"mrr": 0.3, "hits@1": 0.1}},
        {"epoch": 3, "loss": 1.0, "lr": 0.02},
        {"epoch": 3, "loss": 1.0, "metrics": {"mrr": 0.2, "hits@1": 0.2}},
        {"epoch": 3, "loss": 1.0, "done": "all 3 epochs done"},
    ]
    loss, validation, rate = curves(history, "mrr")
    assert (loss.lines[0].x, loss.lines[0].y) == ([1, 2, 3], [3.0, 2.0, 1.0])
    assert (validation.lines[0].x, validation.lines[0].y, validation.lines[0].marked) == ([2, 3], [0.3, 0.2], 0)
    assert rate.lines[0].y == [0.1, 0.05, 0.02]
    assert curves(history, "hits@1")[1].lines[0].marked == 1
    assert curves([], "mrr") == []


def test_the_hits_curve_counts_ranks() -> None:
    chart = hits_curve({"tail": np.array([1, 1, 2, 50.0]), "head": np.array([3.5, 3.5])})
    tail, head = chart.lines
    assert (tail.x[0], tail.y[0], head.y[0]) == (1, 0.5, 0)
    at = {x: (a, b) for x, a, b in zip(tail.x, tail.y, head.y, strict=True)}
    assert at[2.0] == (0.75, 0)
    assert at[3.0] == (0.75, 0)
    assert at[4.0] == (0.75, 1)
    assert at[50.0] == (1, 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (8.12, "8.1 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (12000, "3 h 20 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers() -> None:
    assert number(0.12345) == "0.123"
    assert number(1234.56, "mr") == "1,234.6"
    assert number(float("nan")) == "–"
