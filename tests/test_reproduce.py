"""Published tables again: what they say, what is run, and what the ledger tells of it."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import falsum as package
from command import Command, falsum, small_graph
from falsum.errors import UserError
from falsum.evaluation.metrics import METRICS
from falsum.graph import load
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import read as read_recipe
from falsum.reproduce import EXPERIMENTS, Cell, Entry, Experiment, PaperTable, Task, append, experiment, finish, read
from falsum.reproduce.checkout import commit
from falsum.reproduce.cost import PER_UPDATE, Pace, estimate, likely_pace, pace
from falsum.reproduce.experiments import published, verdict
from falsum.reproduce.ledger import COLUMNS
from falsum.reproduce.plan import fingerprint, tasks
from falsum.reproduce.runner import open_run
from falsum.reproduce.status import markdown, plan, tables
from falsum.run.machine import processor
from laws import worlds

__all__ = ["falsum"]

RECIPE = {
    "model": {"name": "distmult", "dim": 8},
    "optimizer": {"name": "adagrad", "lr": 0.1},
    "train": {"epochs": 4, "batch_size": 25, "device": "cpu"},
    "validation": {"every": 2},
}


def tiny(graph: Path, **changes: Any) -> Experiment:
    """Two cells of a paper that never was, the second started from the first, and a third with nothing published."""
    first = read_recipe(RECIPE).changed(**changes)
    second = first.changed(**{"pretraining.source": first.model_dump(), "optimizer.lr": 0.05})
    cells = (
        Cell("tiny/first", str(graph), first, {("test", "mrr"): 0.2, ("valid", "mrr"): 0.3}, band=1.0),
        Cell("tiny/first/from-first", str(graph), second, {("test", "mrr"): 2.0}, source="tiny/first"),
        Cell("tiny/third", str(graph), first.changed(**{"train.epochs": 2}), {("valid", "mrr"): 0.0}),
    )
    shown = (PaperTable("Table 1", "test", METRICS, tuple(cell.name for cell in cells)),)
    return Experiment("tiny", "Nobody 2000", cells, shown)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_graph(tmp_path_factory.mktemp("graphs") / "small")


@pytest.fixture
def registered(graph: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    chosen = tiny(graph)
    monkeypatch.setitem(EXPERIMENTS, "tiny", lambda: chosen)
    return chosen


@pytest.fixture
def places(tmp_path: Path) -> list[object]:
    return ["--runs", tmp_path / "runs", "--ledger", tmp_path / "ledger.csv"]


def entry(cell: str, **values: Any) -> Entry:
    """A line of a ledger with only what a test is about."""
    numbers = {"seed": 0, "epochs": 10, "seconds": 50.0, "threads": 2}
    numbers |= {"mrr": 0.1, "hits@1": 0.1, "hits@3": 0.2, "hits@10": 0.3, "mrr_falsum": 0.1}
    numbers |= {"valid_mrr": None, "paper_mrr": None, "paper_valid_mrr": None}
    return Entry.model_validate(dict.fromkeys(COLUMNS, "") | numbers | {"cell": cell} | values)


# ------------------------------------------------------------------------------------------------------ what is known


def test_every_published_figure_belongs_to_a_cell() -> None:
    figures = published("kamigaito2021")
    assert sum(map(len, figures.values())) == 304
    assert sum(k[0] == "test" for key, each in figures.items() if not key[3] for k in each) == 192
    chosen = experiment("kamigaito2021")
    assert len(chosen.cells) == len(figures) == 64
    assert sum(len(cell.published) for cell in chosen.cells) == 304
    shown = {(c, table.split, m) for table in chosen.tables for c in table.cells for m in table.metrics}
    assert shown == {(cell.name, *key) for cell in chosen.cells for key in cell.published}


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("fb15k-237/tucker/ns", ("test", "mrr"), 0.257),
        ("wn18rr/transe/sans", ("test", "hits@1"), 0.016),
        ("wn18rr/rotate/sce-ls", ("test", "hits@10"), 0.502),
        ("fb15k-237/rescal/sans/from-ns-freq", ("test", "hits@3"), 0.378),
        ("wn18rr/complex/sce-ls/from-sce-ls", ("test", "mrr"), 0.481),
        ("fb15k-237/distmult/sans", ("valid", "mrr"), 0.326),
        ("fb15k-237/rescal/sce-bc", ("valid", "mrr"), 0.149),
        ("wn18rr/rotate/sans/from-sans", ("valid", "mrr"), 0.475),
    ],
)
def test_published_figures(name: str, key: tuple[str, str], value: float) -> None:
    assert experiment("kamigaito2021").cell(f"kamigaito2021/{name}").published[key] == value


def test_cells_come_after_what_they_start_from() -> None:
    cells = experiment("kamigaito2021").cells
    names = [cell.name for cell in cells]
    starts = {cell.name: cell.source for cell in cells if cell.source}
    assert len(starts) == 12
    assert all(names.index(source) < names.index(name) for name, source in starts.items())
    assert starts["kamigaito2021/wn18rr/rotate/sans/from-ns-freq"] == "kamigaito2021/wn18rr/rotate/ns-freq"


def test_bands_are_wider_where_a_relation_is_a_matrix() -> None:
    for cell in experiment("kamigaito2021").cells:
        assert cell.band == (0.008 if "/rescal/" in cell.name or "/tucker/" in cell.name else 0.005)


@pytest.mark.parametrize(
    ("mrr", "said"),
    [
        (0.477, "inside"),
        (0.472, "inside"),
        (0.482, "inside"),
        (0.4719, "outside by -0.0001"),
        (0.4821, "outside by +0.0001"),
        (0.0, "outside by -0.4720"),
    ],
)
def test_verdicts(mrr: float, said: str) -> None:
    assert verdict(mrr, 0.477, 0.005) == said


# --------------------------------------------------------------------------------------------------------- fingerprint


def test_a_fingerprint_is_what_a_recipe_asks_for() -> None:
    recipe = read_recipe(RECIPE)
    same = [recipe.changed(**{"train.seed": 7}), read_recipe(RECIPE | {"noise": {"name": "all", "filtered": False}})]
    other = [
        recipe.changed(**change)
        for change in (
            {"model.dim": 16},
            {"optimizer.lr": 0.2},
            {"noise.filtered": True},
            {"init.entity.gain": 2.0},
            {"penalty": [{"name": "n3"}]},
            {"train.precision": "fp32"},
            {"objective.label_smoothing": 0.1},
            {"pretraining.source": RECIPE},
            {"pretraining.source": RECIPE | {"train": {"epochs": 5}}},
        )
    ]
    assert {fingerprint(each) for each in same} == {fingerprint(recipe)}
    found = [fingerprint(each) for each in (recipe, *other)]
    assert len(set(found)) == len(found)
    assert all(re.fullmatch(r"[0-9a-f]{12}", each) for each in found)


def test_the_seed_of_a_source_is_no_part_of_a_fingerprint() -> None:
    one, two = (read_recipe(RECIPE | {"pretraining": {"source": RECIPE | {"train": {"seed": s}}}}) for s in (0, 1))
    assert fingerprint(one) == fingerprint(two)


# What ledgers already hold: a change here means that finished cells would be trained again.
KEPT = {
    "wn18rr/complex/sce": "817a4c482c7b",
    "fb15k-237/rescal/sans": "b5f79dc915e8",
    "wn18rr/rotate/sans/from-ns-freq": "79feda909ba9",
}


@pytest.mark.parametrize("name", KEPT)
def test_fingerprints_stay(name: str) -> None:
    assert fingerprint(experiment("kamigaito2021").cell(f"kamigaito2021/{name}").recipe) == KEPT[name]


# -------------------------------------------------------------------------------------------------------------- ledger


def test_a_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger.csv"
    entries = [entry("a", mrr=0.25, valid_mrr=0.5, verdict="outside by +0.1", settings='x=[1, "b"]'), entry("b")]
    for each in entries:
        append(path, each)
    assert read(path) == entries
    header = path.read_text().splitlines()[0].split(",")
    assert tuple(header) == COLUMNS
    assert {"cell", "seed", "mrr", "hits@1", "hits@3", "hits@10", "mrr_falsum", "valid_mrr", "recipe_sha256"} <= set(
        header
    )
    assert read(tmp_path / "none.csv") == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text.replace("cell,seed", "cell,seeds"), "is no ledger of this falsum"),
        (lambda text: text.replace("a,0,", "a,zero,"), r"ledger\.csv:2 cannot be read: seed"),
        (lambda text: text.replace("a,0,", "a,0,1,"), r"ledger\.csv:2 has 23 fields and not 22"),
        (lambda text: text[:-20], r"ledger\.csv:2 has"),
    ],
)
def test_damaged_ledgers_are_named_and_not_appended_to(tmp_path: Path, damage: Any, says: str) -> None:
    path = tmp_path / "ledger.csv"
    append(path, entry("a"))
    path.write_text(damage(path.read_text()))
    before = path.read_bytes()
    with pytest.raises(UserError, match=says):
        read(path)
    with pytest.raises(UserError, match=says):
        append(path, entry("b"))
    assert path.read_bytes() == before


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_a_checkout_or_nothing(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    package = tmp_path / "src" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    assert commit(package) == "", "no checkout"
    git("init")
    (tmp_path / "README").write_text("")
    git("add", "README")
    git("commit", "-m", "another project")
    assert commit(package) == "", "a checkout of something else"
    git("add", ".")
    git("commit", "-m", "the package")
    head = git("rev-parse", "--short", "HEAD").strip()
    assert re.fullmatch("[0-9a-f]{4,}", head)
    assert commit(package) == head
    (tmp_path / "README").write_text("changed")
    assert commit(package) == head, "what is no part of the package does not count"
    (package / "__init__.py").write_text("x = 1")
    assert commit(package) == f"{head}-dirty"


# ---------------------------------------------------------------------------------------------------------------- plan


def test_cells_by_glob(graph: Path) -> None:
    chosen = tiny(graph)
    by = {glob: [task.cell.name for task in tasks(chosen, glob, 0, Path("runs"), {})] for glob in ("*", "first", "f*")}
    assert by["*"] == ["tiny/first", "tiny/first/from-first", "tiny/third"]
    assert by["first"] == ["tiny/first"]
    assert by["f*"] == ["tiny/first", "tiny/first/from-first"]
    assert tasks(chosen, "tiny/third", 0, Path("runs"), {})[0].cell.name == "tiny/third"


def test_folders_tell_cell_seed_and_settings(graph: Path) -> None:
    cell = tiny(graph).cells[1]
    assert Task(cell, 3, Path("r")).folder == Path("r/tiny/first/from-first/seed-3")
    variant = Task(cell, 0, Path("r"), {"model.dim": 16, "model": "a/b c"}).folder
    assert variant.parent == Path("r/tiny/first/from-first")
    assert variant.name == "seed-0-model.dim=16-model=_a_b_c_"


@pytest.mark.parametrize("at", [0, 1])
def test_a_folder_of_another_recipe_or_seed_is_no_begun_run(at: int, graph: Path, tmp_path: Path) -> None:
    chosen = tiny(graph)
    task = Task(chosen.cells[at], runs=tmp_path)
    assert task.begun() is None
    finish(task, tmp_path / "ledger.csv", chosen)
    found = task.begun()
    assert found is not None
    assert found.folder == task.folder

    changed = replace(task, cell=replace(task.cell, recipe=task.cell.recipe.changed(**{"model.dim": 24})))
    seeded = replace(task, seed=1)
    shutil.copytree(task.folder, seeded.folder)
    for other in (changed, seeded):
        for look in (other.begun, lambda: plan(chosen, [other], [], load)):  # noqa: B023
            with pytest.raises(UserError, match="holds a run of another recipe"):
                look()


def test_seed_and_settings_reach_the_source(graph: Path) -> None:
    chosen = tiny(graph)
    task = Task(chosen.cells[1], 5, settings={"model.dim": 16, "pretraining.inverses": False})
    rules = task.recipe.pretraining
    assert rules is not None
    assert not rules.inverses
    before = task.source(chosen)
    assert before is not None
    assert before.settings == {"model.dim": 16}
    assert rules.source == before.recipe
    assert (before.recipe.train.seed, before.recipe.model["dim"]) == (5, 16)


@pytest.mark.parametrize("name", [cell.name for cell in experiment("kamigaito2021").cells])
def test_every_cell_has_an_estimate(name: str) -> None:
    recipe = experiment("kamigaito2021").cell(name).recipe
    seconds = estimate(recipe, worlds.graph(40, 3, sizes=(200, 20, 20)))
    assert 0 < seconds < 10


def test_estimates_know_which_updates_touch_whole_tables() -> None:
    """Beside the parts of the same recipe, built: what is added is the tables' share of every step."""
    world = worlds.graph(40, 3, sizes=(200, 20, 20))
    plain = read_recipe(RECIPE | {"noise": {"name": "uniform", "num": 2}, "objective": {"name": "negative-sampling"}})
    steps, tables = 200 // 25, 40 * 8 + 3 * 8
    for changes in ({"penalty": [{"name": "table-lp", "entity": 0.1}]}, {"optimizer": {"name": "adam"}}):
        dense = plain.changed(**changes)
        assert assemble(plain, world).row_wise
        assert not assemble(dense, world).row_wise
        assert estimate(dense, world) - estimate(plain, world) == pytest.approx(steps * tables * PER_UPDATE)


def test_costs_come_from_the_ledger_of_this_machine() -> None:
    recipe, graph = read_recipe(RECIPE), worlds.graph(40, 3, sizes=(200, 20, 20))
    guess = likely_pace(recipe, "0" * 12, graph, [])
    assert guess is not None
    assert guess.known == "estimate"
    here = {"processor": processor(), "threads": torch.get_num_threads(), "device": "cpu"}
    if not torch.cuda.is_available():
        found = likely_pace(recipe, "0" * 12, graph, [entry("a", recipe_sha256="0" * 12, **here)])
        assert found is not None
        assert (found.seconds, found.known) == (5.0, "ledger")
    elsewhere = entry("a", recipe_sha256="0" * 12, **here | {"processor": "abacus"})
    assert likely_pace(recipe, "0" * 12, graph, [elsewhere]) == guess


def test_costs_come_from_a_begun_run_of_this_machine(graph: Path, tmp_path: Path) -> None:
    chosen = tiny(graph)
    task = Task(chosen.cells[0], runs=tmp_path)
    run = open_run(task, None, load)
    assert pace(run) is None
    (line,) = plan(chosen, [task], [], load).rows(named=True)
    assert (line["begun"], line["known from"]) == ("", "estimate")

    told = [
        {"epoch": 1, "step": 5, "loss": 1.0, "seconds": 900.0, "metrics": {"mrr": 0.3}},
        {"epoch": 2, "step": 10, "loss": 1.0, "seconds": 1440.0, "metrics": {"mrr": 0.2}},
        {"epoch": 3, "step": 15, "loss": 1.0, "seconds": 2160.0},
    ]
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    assert pace(run) == Pace(720.0, "run")
    (line,) = plan(chosen, [task], [], load).rows(named=True)
    assert (line["begun"], line["s/epoch"], line["known from"]) == ("epoch 3, 0.3000 on valid", "720.0", "run")
    assert line["hours at most"] == "0.2", "one of four epochs is left"

    elsewhere = json.loads((run.folder / "environment.json").read_text()) | {"processor": "abacus"}
    (run.folder / "environment.json").write_text(json.dumps(elsewhere))
    assert pace(run) is None
    (run.folder / "environment.json").unlink()
    assert pace(run) is None


# -------------------------------------------------------------------------------------------------------------- running


def test_a_cell_is_trained_ranked_and_written_down(
    falsum: Command, registered: Experiment, places: list[object], tmp_path: Path
) -> None:
    text = falsum.ok("reproduce", "tiny", "--cells", "first", *places)
    assert "1 of 1 cells to run" in text
    assert "0.200 ± 1.000 on test" in text
    assert "estimate" in text
    (line,) = read(tmp_path / "ledger.csv")
    run = package.open(tmp_path / "runs" / "tiny" / "first" / "seed-0")
    result = run.evaluate("test")
    rounded = result.metrics("rounded")
    assert (line.cell, line.seed, line.settings) == ("tiny/first", 0, "")
    assert [line.mrr, line.hits_1, line.hits_3, line.hits_10] == [round(rounded[m], 5) for m in METRICS]
    assert line.mrr_falsum == round(result.metrics()["mrr"], 5)
    assert line.valid_mrr == round(max(x["metrics"]["mrr"] for x in run.history() if x.get("metrics")), 5)
    assert (line.paper_mrr, line.paper_valid_mrr, line.verdict) == (0.2, 0.3, "inside")
    assert line.epochs == 4
    assert line.recipe_sha256 == fingerprint(registered.cells[0].recipe)
    assert line.falsum == package.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", line.date)

    before = (tmp_path / "ledger.csv").read_bytes()
    again = falsum.ok("reproduce", "tiny", "--cells", "first", *places)
    assert "0 of 1 cells to run" in again
    assert f"{line.mrr:.4f}, inside" in again
    assert (tmp_path / "ledger.csv").read_bytes() == before
    falsum.ok("reproduce", "tiny", "--cells", "first", "--again", *places)
    assert [e.mrr for e in read(tmp_path / "ledger.csv")] == [line.mrr, line.mrr]


def test_a_plan_runs_nothing(falsum: Command, registered: Experiment, places: list[object], tmp_path: Path) -> None:
    text = falsum.ok("reproduce", "tiny", "--plan", *places)
    assert "3 of 3 cells to run" in text
    assert list(tmp_path.iterdir()) == []


def test_the_budget_stops_and_nothing_is_lost(
    falsum: Command, graph: Path, monkeypatch: pytest.MonkeyPatch, places: list[object], tmp_path: Path
) -> None:
    long = tiny(graph, **{"train.epochs": 120, "validation.every": 60})
    monkeypatch.setitem(EXPERIMENTS, "tiny", lambda: long)
    none = falsum.ok("reproduce", "tiny", "--cells", "first", "--budget", "0", *places)
    assert "The budget is spent. The same command goes on; 1 left: first." in none
    assert list(tmp_path.iterdir()) == []
    text = falsum.ok("reproduce", "tiny", "--cells", "first", "--budget", "0.0005", *places)
    assert "1 left: first" in text
    folder = tmp_path / "runs" / "tiny" / "first" / "seed-0"
    assert (folder / "checkpoint" / "last.safetensors").exists()
    assert not package.open(folder).finished
    assert not (tmp_path / "ledger.csv").exists()

    falsum.ok("reproduce", "tiny", "--cells", "first", "--budget", "10", *places)
    (line,) = read(tmp_path / "ledger.csv")
    assert line.epochs == 120
    whole = package.train(str(graph), long.cells[0].recipe, folder=tmp_path / "whole")
    assert (folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


def test_a_chain_runs_its_source_first(
    falsum: Command, registered: Experiment, places: list[object], tmp_path: Path
) -> None:
    falsum.ok("reproduce", "tiny", "--cells", "*/from-first", "--seed", "3", *places)
    first, second = read(tmp_path / "ledger.csv")
    assert [(e.cell, e.seed) for e in (first, second)] == [("tiny/first", 3), ("tiny/first/from-first", 3)]
    assert second.verdict.startswith("outside by -")
    runs = tmp_path / "runs" / "tiny" / "first"
    run = package.open(runs / "from-first" / "seed-3")
    assert run.recipe.pretraining is not None
    assert run.recipe.pretraining.source == str(runs / "seed-3")
    assert run.recipe.train.seed == 3
    modified = (runs / "seed-3" / "model.safetensors").stat().st_mtime_ns
    falsum.ok("reproduce", "tiny", "--cells", "first*", "--seed", "3", "--again", *places)
    assert (runs / "seed-3" / "model.safetensors").stat().st_mtime_ns == modified, "a finished source is not trained"
    assert [e.cell for e in read(tmp_path / "ledger.csv")[2:]] == ["tiny/first", "tiny/first/from-first"]


def test_figures_of_validation_judge_what_has_no_other(
    falsum: Command, registered: Experiment, places: list[object], tmp_path: Path
) -> None:
    assert "on valid" in falsum.ok("reproduce", "tiny", "--cells", "third", *places)
    (line,) = read(tmp_path / "ledger.csv")
    assert line.valid_mrr is not None
    assert line.verdict == f"outside by {line.valid_mrr - 0.005:+.4f} on valid"


def test_variants_are_kept_apart(falsum: Command, registered: Experiment, places: list[object], tmp_path: Path) -> None:
    falsum.ok("reproduce", "tiny", "--cells", "first", "--set", "model.dim=4", "--set", "train.epochs=1", *places)
    (line,) = read(tmp_path / "ledger.csv")
    assert (line.settings, line.verdict) == ("model.dim=4 train.epochs=1", "settings changed")
    assert (tmp_path / "runs" / "tiny" / "first" / "seed-0-model.dim=4-train.epochs=1" / "ranks.parquet").exists()
    assert "1 of 1 cells to run" in falsum.ok("reproduce", "tiny", "--cells", "first", "--plan", *places)
    status = falsum.ok("reproduce", "tiny", "--status", *places)
    assert "not run; 1 with other settings" in status


def test_a_run_of_another_recipe_is_not_taken_for_this_one(graph: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.csv"
    for lr, says in ((0.1, None), (0.1, None), (0.2, "holds a run of another recipe")):
        chosen = tiny(graph, **{"optimizer.lr": lr})
        task = Task(chosen.cells[0], runs=tmp_path / "runs")
        if says is None:
            finish(task, ledger, chosen)
        else:
            with pytest.raises(UserError, match=says):
                finish(task, ledger, chosen)
    assert len(read(ledger)) == 2


def test_a_run_that_diverges_does_not_stop_the_others(
    falsum: Command, graph: Path, monkeypatch: pytest.MonkeyPatch, places: list[object], tmp_path: Path
) -> None:
    chosen = tiny(graph)
    wild = chosen.cells[0].recipe.changed(optimizer="sgd", **{"optimizer.lr": 1e30})
    cells = (replace(chosen.cells[0], name="tiny/wild", recipe=wild), chosen.cells[2])
    monkeypatch.setitem(EXPERIMENTS, "tiny", lambda: Experiment("tiny", "Nobody 2000", cells, ()))
    outcome = falsum("reproduce", "tiny", *places)
    assert outcome.code == 2
    assert "The usual causes: a learning rate" in outcome.err
    assert "Diverged: tiny/wild." in outcome.err
    assert [e.cell for e in read(tmp_path / "ledger.csv")] == ["tiny/third"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nothing"], ["no experiment 'nothing'", "kamigaito2021", "tiny"]),
        (["tiny", "--cells", "x*"], ["No cell of tiny matches 'x*'", "first, first/from-first, third"]),
        (["tiny", "--set", "modell.dim=3"], ["modell"]),
        (["tiny", "--set", "pretraining.source=x"], ["pretraining.source"]),
        (["nothing", "--status"], ["no experiment 'nothing'"]),
        ([], ["Name an experiment", "kamigaito2021", "--status"]),
    ],
)
def test_what_cannot_be_reproduced_is_named(
    falsum: Command, registered: Experiment, places: list[object], arguments: list[str], parts: list[str]
) -> None:
    message = falsum("reproduce", *arguments, *places).error
    assert all(part in message for part in parts)


# --------------------------------------------------------------------------------------------------------------- status


def test_status_shows_ours_beside_theirs(
    falsum: Command, registered: Experiment, places: list[object], tmp_path: Path
) -> None:
    sha = fingerprint(registered.cells[0].recipe)
    for seed, mrr in ((0, 0.9), (0, 0.3), (1, 0.4)):
        append(tmp_path / "ledger.csv", entry("tiny/first", seed=seed, mrr=mrr, recipe_sha256=sha))
    before = (tmp_path / "ledger.csv").read_bytes()
    text = falsum.ok("reproduce", "tiny", "--status", *places)
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[:1] == "│"]
    assert lines == [
        # The latest line of each seed, averaged.
        ["first", "0.3500", "0.200", "0.1000", "", "0.2000", "", "0.3000", "", "2", "inside"],
        ["first/from-first", "", "2.000", "", "", "", "", "", "", "", "not run"],
        ["third", *[""] * 9, "not run"],
    ]
    assert (tmp_path / "ledger.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.csv"]


def test_status_of_the_published_tables(falsum: Command, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.csv"
    cell = experiment("kamigaito2021").cell("kamigaito2021/wn18rr/complex/sce-ls")
    append(ledger, entry(cell.name, mrr=0.4801, valid_mrr=0.47, recipe_sha256=fingerprint(cell.recipe)))
    text = falsum.ok("reproduce", "kamigaito2021", "--status", "--markdown", "--ledger", ledger)
    assert text.count("**Table 2: ") == text.count("**Table 3: ") == text.count("**Tables 7, 8 and 9: ") == 2
    row = "| wn18rr/complex/sce-ls | 0.4801 | 0.477 | 0.1000 | 0.441 | 0.2000 | 0.491 | 0.3000 | 0.546 | 1 | inside |"
    assert text.count(row) == 2, "in Table 2, and in Table 3 as the cell without pre-training"
    assert "| wn18rr/complex/sce-ls | 0.4700 | 0.478 | 1 | outside by -0.0030 |" in text
    assert "| wn18rr/rotate/sans/from-sans |  | 0.471 |  | 0.429 |  | 0.488 |  | 0.552 |  | not run |" in text
    shown = dict(tables(experiment("kamigaito2021"), read(ledger)))
    assert [len(frame) for title, frame in shown.items() if title.startswith("Table 2")] == [24, 24]
    assert [len(frame) for title, frame in shown.items() if title.startswith("Table 3")] == [8, 8]
    assert [len(frame) for title, frame in shown.items() if title.startswith("Tables 7")] == [32, 32]
    assert all(line in text for line in markdown(shown["Table 2: wn18rr, test"]).splitlines())


def test_the_figures_are_package_data() -> None:
    path = Path(package.__file__).parent / "reproduce" / "kamigaito2021.csv"
    with path.open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 304
