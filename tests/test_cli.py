"""The command line from end to end, and its words as Python functions."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import falsum as package
from command import QUICK, SETS, Command, facts, falsum, small_graph, write_graph
from falsum import api
from falsum.cli.commands import app
from falsum.cli.runs import SLICES
from falsum.comparison.budget import UNITS
from falsum.comparison.losses import LOSSES, PRESETS, USUAL
from falsum.comparison.study import FACTORS
from falsum.errors import UserError
from falsum.evaluation.metrics import metrics
from falsum.evaluation.protocol import PROTOCOLS
from falsum.files import read_tensors
from falsum.graph import Graph
from falsum.reproduce import EXPERIMENTS

__all__ = ["falsum"]

FILES = {
    "recipe.toml", "graph.json", "environment.json", "triples.parquet", "entities.parquet", "relations.parquet",
    "metrics.jsonl", "model.safetensors", "ranks.parquet", "protocol.json", "checkpoint",
}  # fmt: skip


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_graph(tmp_path_factory.mktemp("graphs") / "small")


@pytest.fixture(scope="module")
def trained(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "trained"
    package.train(str(graph), "default", folder=folder, **QUICK)
    return folder


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in an output, header lines left out."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[:1] == "│"]


def test_train_to_report(falsum: Command, graph: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    text = falsum.ok("train", graph, *SETS, "--run", folder)
    assert text.startswith("small: 3-column TSV")
    assert f"run folder: {folder}" in text
    assert "epoch    3" in text
    assert "all 3 epochs done" in text
    assert "protocol falsum: 10 triples; split: test; sides: tail and head" in text
    assert {path.name for path in folder.iterdir()} == FILES

    weights, ranks = (folder / "model.safetensors").read_bytes(), (folder / "ranks.parquet").read_bytes()
    text = falsum.ok("resume", folder)
    assert "all 3 epochs done" in text
    assert (folder / "model.safetensors").read_bytes() == weights
    assert (folder / "ranks.parquet").read_bytes() == ranks
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines if line.get("metrics")] == [1, 2, 3]
    assert [line["epoch"] for line in lines if line.get("done")] == [3]

    text = falsum.ok("predict", folder, "--head", "e0", "--relation", "r0", "-k", "30")
    assert [row[0] for row in rows(text)] == [str(place) for place in range(1, 25)]
    known = {row[1]: row[3] for row in rows(text) if row[3]}
    tails = {split: {t for h, r, t in part if (h, r) == ("e0", "r0")} for split, part in zip(
        ("train", "valid", "test"), (facts()[:80], facts()[80:90], facts()[90:]), strict=True)}  # fmt: skip
    assert known == {label: split for split, labels in tails.items() for label in labels}
    new = falsum.ok("predict", folder, "--head", "e0", "--relation", "r0", "-k", "30", "--new")
    assert {row[1] for row in rows(new)} == {f"e{i}" for i in range(24)} - set(known)

    text = falsum.ok("report", folder)
    assert "| run |" in text
    assert f"report: {folder / 'report.html'}" in text
    assert (folder / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_missing_relation_and_missing_head(falsum: Command, trained: Path) -> None:
    relations = rows(falsum.ok("predict", trained, "--head", "e0", "--tail", "e1"))
    assert sorted(row[1] for row in relations) == ["r0", "r1", "r2"]
    heads = rows(falsum.ok("predict", trained, "--relation", "r0", "--tail", "e1", "-k", "3"))
    scores = [float(row[2]) for row in heads]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "falsum"])
def test_every_protocol(falsum: Command, trained: Path, protocol: str) -> None:
    before = (trained / "protocol.json").read_bytes()
    text = falsum.ok("evaluate", trained, "--protocol", protocol)
    found = {row[0]: row[1:] for row in rows(text)}
    stored = json.loads(before)["metrics"]
    assert float(found["mrr"][0]) == pytest.approx(stored["mrr"], abs=1e-4)
    assert f"the same weights under {protocol}" in text
    assert PROTOCOLS[protocol].why.split(":")[0] in text
    assert (trained / "protocol.json").read_bytes() == before, "another protocol overwrote the run's own"


def test_our_own_protocol_is_shown_once(falsum: Command, trained: Path) -> None:
    assert falsum.ok("evaluate", trained, "--protocol", "falsum") == falsum.ok("evaluate", trained)


@pytest.mark.parametrize("by", SLICES)
def test_every_slice_counts_every_rank(falsum: Command, trained: Path, by: str) -> None:
    text = falsum.ok("evaluate", trained, "--by", by).split(f"by {by}")[1]
    header = next(line for line in text.splitlines() if line.startswith("┃"))
    place = [cell.strip() for cell in header.strip("┃").split("┃")].index("count")
    assert sum(int(row[place]) for row in rows(text)) == 20


def test_intervals_hold_the_value(falsum: Command, trained: Path) -> None:
    text = falsum.ok("evaluate", trained, "--intervals")
    low, high = (float(x) for x in text.split("mrr [")[1].split("]")[0].split(", "))
    assert low < json.loads((trained / "protocol.json").read_text())["metrics"]["mrr"] < high


@pytest.mark.parametrize(("split", "triples"), [("train", 80), ("valid", 10), ("test", 10)])
def test_every_split(falsum: Command, trained: Path, split: str, triples: int) -> None:
    assert f"protocol falsum: {triples} triples" in falsum.ok("evaluate", trained, "--split", split)


def test_protocol_that_drops_every_triple(falsum: Command, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "unseen", train=facts(40), test=[("new", "r0", "newer"), ("e0", "r0", "newer")])
    falsum.ok("train", graph, *SETS, "--run", tmp_path / "run")
    text = falsum.ok("evaluate", tmp_path / "run", "--protocol", "pykeen")
    assert "2 triples dropped" in text


def test_slices_of_relations_that_train_has_not(falsum: Command, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "g", train=facts(40), test=[("e0", "unheard", "e1"), ("e2", "r0", "e5")])
    falsum.ok("train", graph, *SETS, "--run", tmp_path / "run")
    for by in SLICES:
        falsum.ok("evaluate", tmp_path / "run", "--by", by)
    falsum.ok("report", tmp_path / "run")


LABELS = [
    "[bold]x[/]",
    "[/]",
    ":cat:",
    "Ελλάδα",
    "日本",
    "עברית",
    "a\\",
    "-dash",
    "--help",
    "'quoted'",
    "e\u0301",
    " a  b",
]


def test_labels_are_printed_as_they_are(falsum: Command, tmp_path: Path) -> None:
    triples = [(label, "[red]:dog:", f"e{i}") for i, label in enumerate(LABELS)]
    triples += [(f"e{i}", "-r", label) for i, label in enumerate(LABELS)]
    graph = write_graph(tmp_path / "[i]:dog:", train=triples, test=triples[:3])
    run = tmp_path / "[i]run"
    assert "[i]:dog:: " in falsum.ok("train", graph, *SETS, "--run", run)
    text = falsum.ok("predict", run, "--head", "e0", "--relation", "-r", "-k", "100")
    assert all(any(label in line for line in text.splitlines()) for label in LABELS)
    for label in LABELS:
        answers = falsum.ok("predict", run, "--head", label, "--relation", "[red]:dog:")
        assert "train" in answers or label == "--help"
    assert "[red]:dog:" in falsum.ok("evaluate", run, "--by", "relation")
    assert "[red]:dog:" in falsum.ok("graph", graph)
    assert "[bold]x[/]" in falsum.ok("predict", run, "--relation=-r", "--head=-dash", "-k", "100")
    falsum.ok("report", run)


def test_long_labels_are_not_cut_where_nobody_looks(falsum: Command, tmp_path: Path) -> None:
    long = "http://example.org/" + "x" * 300
    graph = write_graph(tmp_path / "g", train=[(long, "r", "a"), ("a", "r", "b")])
    falsum.ok("train", graph, *SETS, "--run", tmp_path / "run")
    assert long in falsum.ok("predict", tmp_path / "run", "--head", "a", "--relation", "r")


def test_several_runs_in_one_report(falsum: Command, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "one")
    shutil.copytree(trained, tmp_path / "two")
    text = falsum.ok("report", tmp_path / "one", tmp_path / "two")
    assert "| one |" in text
    assert "| two |" in text


def test_report_of_a_run_that_was_not_evaluated(falsum: Command, trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    (run / "ranks.parquet").unlink()
    (run / "protocol.json").unlink()
    assert "Not evaluated: run" in falsum.ok("report", run)
    assert (run / "report.html").exists()


def test_report_of_a_run_that_never_began(falsum: Command, graph: Path, tmp_path: Path) -> None:
    loaded = package.load(graph)
    package.Run.create(loaded, api.recipe("default", loaded, **QUICK), tmp_path / "run")
    assert "Not evaluated: run" in falsum.ok("report", tmp_path / "run")


def test_graph_commands(falsum: Command, graph: Path) -> None:
    assert "wn18rr" in falsum.ok("graph")
    text = falsum.ok("graph", graph)
    assert "24 entities, 3 relations" in text
    splits = {row[0]: row[1] for row in rows(text)}
    assert (splits["train"], splits["valid"], splits["test"]) == ("80", "10", "10")


def test_graph_command_counts_false_triples(falsum: Command, tmp_path: Path) -> None:
    graph = write_graph(
        tmp_path / "g", train=facts(20), false=[*facts(2), ("e0", "r0", "nobody")], valid=facts(21)[20:]
    )
    text = falsum.ok("graph", graph)
    assert "stated false: train 3; 1 entities in false triples alone" in text
    assert "2 triples are stated true and false: " + " ".join(facts(1)[0]) in text
    assert "stated false" not in falsum.ok("graph", graph, "--read", "truth=false")


def test_false_triples_stay_false_in_a_run(falsum: Command, tmp_path: Path) -> None:
    """Neither ranked nor known: the run answers as if they were guesses."""
    graph = write_graph(tmp_path / "g", train=facts(80), test=facts(90)[80:], false=[("e0", "r0", "e0")])
    text = falsum.ok("train", graph, *SETS, "--run", tmp_path / "run")
    assert "protocol falsum: 10 triples" in text
    answers = package.open(tmp_path / "run").predict(head="e0", relation="r0", top_k=30)
    assert answers.filter(label="e0")["known"].to_list() == [None]
    assert package.open(tmp_path / "run").graph.false["train"].tolist() == [[0, 0, 0]]


def test_graph_command_reads_a_pipe(tmp_path: Path) -> None:
    lines = "".join("\t".join(triple) + "\n" for triple in facts(20))
    command = [sys.executable, "-m", "falsum", "graph", "/dev/stdin", "--read", "valid=0", "--read", "test=0"]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("stdin: 3-column TSV without header")


def test_graph_command_names_leaks(falsum: Command, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "leaky", train=facts(20), test=facts(3))
    assert "3 triples are in both train and test" in falsum.ok("graph", graph)


def test_recipes_list_and_show(falsum: Command, tmp_path: Path) -> None:
    names = falsum.ok("recipes").split()
    assert {"default", "strong"} <= set(names)
    shown = falsum.ok("recipes", "default")
    assert tomllib.loads(shown)["model"]["name"] == "complex"
    (tmp_path / "own.toml").write_text(shown, encoding="utf-8")
    assert api.recipe(tmp_path / "own.toml", "world") == api.recipe("default", "world")


def test_recipe_file_trains(falsum: Command, graph: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('model = {name = "distmult", dim = 8}\ntrain = {epochs = 2}\n')
    falsum.ok("train", graph, "--recipe", tmp_path / "own.toml", "--set", "name=mine", "--run", tmp_path / "run")
    written = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())
    assert (written["name"], written["model"]["name"], written["train"]["epochs"]) == ("mine", "distmult", 2)


def test_default_folder_tells_graph_and_recipe(falsum: Command, graph: Path, tmp_path: Path) -> None:
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        falsum.ok("train", graph, *SETS)
        (folder,) = (tmp_path / "runs").iterdir()
        assert folder.name.startswith("small-default-20")
        falsum.ok("predict", Path("runs") / folder.name, "--head", "e0", "--relation", "r0")
    finally:
        os.chdir(here)
    assert "e0" in falsum.ok("predict", folder, "--tail", "e1", "--relation", "r0", "-k", "24"), "from elsewhere"


def test_every_command_shows_an_example(falsum: Command) -> None:
    commands = {c.name or c.callback.__name__: c.callback for c in app.registered_commands if c.callback}
    assert set(commands) >= {"demo", "train", "resume", "evaluate", "predict", "graph", "recipes", "report"}
    for name, callback in commands.items():
        assert f"Example: falsum {name}" in (callback.__doc__ or ""), name
        shown = " ".join(falsum.ok(name, "--help").split())
        assert f"Example: falsum {name}" in shown
    assert "falsum demo" in falsum.ok("--help")


@pytest.mark.parametrize("arguments", ["--help", "--version", "train --help", "nonsense", "predict --nonsense"])
def test_help_and_usage_import_nothing_heavy(arguments: str) -> None:
    """torch takes seconds to import; whoever asks for help, or misspelt an option, does not wait for it."""
    seen = "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    run = "sys.argv[0] = 'falsum'; from falsum.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", f"{seen}; {run}", *arguments.split()], capture_output=True, text=True)
    modules = {name.split(".")[0] for name in done.stderr.split()}
    assert "typer" in modules, done.stderr
    assert not modules & {"torch", "polars", "numpy", "safetensors", "pyoxigraph", "tomli_w", "zstandard"}


def test_version_is_the_package_version(falsum: Command) -> None:
    assert falsum.ok("--version") == f"falsum {package.__version__}\n"


def test_help_names_what_is_legal(falsum: Command) -> None:
    """Help is written out, since the tables behind it import torch; this holds it against them."""
    evaluate, compare, reproduce = (falsum.ok(name, "--help") for name in ("evaluate", "compare", "reproduce"))
    words = set(re.findall(r"[\w-]+", evaluate))
    assert set(PROTOCOLS) - {"falsum"} <= words
    assert set(SLICES) <= words
    words = set(re.findall(r"[\w-]+", compare.replace("-\n", "-")))
    assert words >= {*LOSSES, *USUAL, *PRESETS, *UNITS}
    assert f"1 to {len(FACTORS)}" in " ".join(compare.split())
    assert set(EXPERIMENTS) <= set(re.findall(r"[\w-]+", reproduce))


def test_every_public_name_is_where_type_checkers_look_for_it() -> None:
    tree = ast.parse(Path(package.__file__ or "").read_text(encoding="utf-8"))
    typed = {
        alias.asname or alias.name: getattr(importlib.import_module(node.module or ""), alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {name: getattr(package, name) for name in package.__all__} == typed
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="module 'falsum' has no attribute 'tarin'"):
        _ = package.tarin


def test_train_without_valid(falsum: Command, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "g", train=facts(80), test=facts(100)[80:])
    text = falsum.ok("train", graph, *SETS, "--run", tmp_path / "run")
    assert "all 3 epochs done" in text
    assert "protocol falsum: 20 triples" in text


@pytest.mark.parametrize(
    "triples",
    [facts(40), [(h, "r", t) for h, _, t in facts(30)], [("a", "r", "b")], [("a", "r", "a")]],
    ids=["train only", "one relation", "one triple", "one loop"],
)
def test_graphs_of_train_alone(falsum: Command, tmp_path: Path, triples: list[tuple[str, str, str]]) -> None:
    graph = write_graph(tmp_path / "g", train=triples)
    text = falsum.ok("train", graph, *SETS, "--run", tmp_path / "run")
    assert "all 3 epochs done" in text
    assert not (tmp_path / "run" / "protocol.json").exists()
    head, relation, _ = triples[0]
    assert rows(falsum.ok("predict", tmp_path / "run", "--head", head, "--relation", relation))
    falsum.ok("report", tmp_path / "run")
    message = falsum("evaluate", tmp_path / "run").error
    assert "no split 'test'" in message
    assert "it has: train" in message


def test_tiny_splits_train_and_evaluate(falsum: Command, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "g", train=facts(20), valid=[facts(21)[20]], test=[facts(22)[21]])
    assert "protocol falsum: 1 triples" in falsum.ok("train", graph, *SETS, "--run", tmp_path / "run")
    falsum.ok("evaluate", tmp_path / "run", "--intervals", "--by", "relation")
    falsum.ok("report", tmp_path / "run")


# ---------------------------------------------------------------------------------------------------------- Python


def test_python_words(graph: Path, tmp_path: Path) -> None:
    loaded = package.load(graph)
    assert isinstance(loaded, Graph)
    recipe = api.recipe("default", loaded, **QUICK)
    run = package.train(loaded, recipe, folder=tmp_path / "run", **{"train.seed": 7})
    assert run.recipe.train.seed == 7
    assert run.recipe.train.precision in ("bf16", "fp32"), "what auto came to is written down"
    assert run.recipe == recipe.changed(**{"train.seed": 7, "train.precision": run.recipe.train.precision})
    assert run.graph.sha256 == loaded.sha256

    opened = package.open(tmp_path / "run")
    result = opened.evaluate("test")
    assert result.metrics() == run.evaluate("test").metrics()
    assert result.metrics() == json.loads((tmp_path / "run" / "protocol.json").read_text())["metrics"]
    # A mean may be summed in another order when its column comes from a file.
    assert metrics(pl.read_parquet(tmp_path / "run" / "ranks.parquet")) == pytest.approx(result.metrics(), rel=1e-12)
    assert result.card["graph_sha256"] == loaded.sha256

    resumed = package.resume(str(tmp_path / "run"))
    assert resumed.evaluate("test").frame.equals(result.frame)
    assert [line["epoch"] for line in resumed.history() if line.get("metrics")] == [1, 2, 3]


def test_run_methods(trained: Path, tmp_path: Path) -> None:
    run = package.open(trained)
    answers = run.predict(head="e0", relation="r0", top_k=24)
    assert answers.columns == ["rank", "label", "score", "known"]
    best = answers["label"][0]
    scored = run.score([("e0", "r0", best), ("e0", "r0", answers["label"][-1])])
    assert scored["tail_score"][0] == pytest.approx(answers["score"][0], abs=1e-5)
    assert scored["tail_score"][0] > scored["tail_score"][1]
    near = run.neighbors("e0", top_k=5)
    assert len(near) == 5
    assert "e0" not in near["label"].to_list()
    row = run.embedding("e0")
    assert row.shape == (8,)
    np.testing.assert_array_equal(row, run.scoring.entities.weight[list(run.graph.entities).index("e0")].detach())
    assert run.relation_embedding("r0").shape == (8,)
    entities, relations = run.export(tmp_path / "out")
    np.testing.assert_array_equal(pl.read_parquet(entities).filter(label="e0")["row"].to_numpy()[0], row)
    assert len(pl.read_parquet(relations)) == 6, "three relations and their inverses"
    one_side = run.evaluate("test", sides=[package.graph.graph.Side.TAIL])
    assert len(one_side.frame) == 10


def test_evaluation_follows_the_training_of_the_same_object(graph: Path, tmp_path: Path) -> None:
    loaded = package.load(graph)
    settings = QUICK | {"validation.metric": "amri"}
    run = package.Run.create(loaded, api.recipe("default", loaded, **settings), tmp_path / "run")
    records = run.train()
    for record in records:
        if record.metrics:
            break
    early = run.embedding("e0")
    for _ in records:
        pass
    late = run.embedding("e0")
    np.testing.assert_array_equal(late, package.open(tmp_path / "run").embedding("e0"))
    bests = [line["epoch"] for line in run.history() if line.get("best")]
    assert len(bests) > 1, "the test needs a model that gets better"
    assert not np.array_equal(early, late)


def test_python_errors_are_value_errors(trained: Path) -> None:
    run = package.open(trained)
    with pytest.raises(ValueError, match="There is no protocol 'nonsense'; legal: falsum, raw"):
        run.evaluate("test", protocol="nonsense")
    with pytest.raises(UserError, match=r"has no split 'dev' to evaluate on; it has: train, valid, test"):
        run.evaluate("dev")


def test_threads_of_the_caller_are_given_back(graph: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    loaded = package.load(graph)
    run = package.Run.create(loaded, api.recipe("default", loaded, **QUICK), tmp_path / "run")
    path = run.folder / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threads": before + 1}))
    during = {torch.get_num_threads() for _ in run.train()}
    assert during == {before + 1}
    assert torch.get_num_threads() == before


def test_what_a_loss_learns_is_told_with_every_validation(falsum: Command, tmp_path: Path) -> None:
    learns = ("--set", "objective=infonce", "--set", "objective.temperature_lr=0.1")
    caches = (
        "--set",
        "noise=nscaching",
        "--set",
        "noise.num=4",
        "--set",
        "train.epochs=2",
        "--set",
        "validation.every=1",
    )
    told = falsum.ok("train", "world", *learns, *caches, "--set", "model.dim=8", "--run", tmp_path / "run")
    seen = [float(text) for text in re.findall(r"temperature\s+(\S+)", told)]
    assert len(seen) == 2
    assert 0 < seen[1] != seen[0] != 0.05
    names = read_tensors(tmp_path / "run" / "model.safetensors")[0]
    assert set(names) == {"entities", "relations"}
