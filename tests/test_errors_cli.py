"""Bad input on the command line: one paragraph that names the place and the way out, exit code 2, no traceback."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from command import QUICK, SETS, Command, facts, falsum, small_graph, write_graph
from falsum import api, files
from falsum.cli.commands import app
from falsum.files import read_tensors, write_tensors

__all__ = ["falsum"]

LINES = [b"\t".join(part.encode() for part in triple) for triple in facts(30)]
GOOD = b"\n".join(LINES) + b"\n"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_graph(tmp_path_factory.mktemp("graphs") / "small")


@pytest.fixture(scope="module")
def trained(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "trained"
    api.train(str(graph), "default", folder=folder, **QUICK)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A finished run that a test may damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


# ----------------------------------------------------------------------------------------------------------- graphs

BAD_GRAPHS: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "missing column": ("g.csv", b"head,tail,weight\na,b,1\nc,d,2\n", ("g.csv:1", "head")),
    "two columns": ("g.tsv", b"a\tb\nb\tc\n", ("g.tsv:1", "two columns")),
    "wrong separator": ("g.tsv", GOOD.replace(b"\t", b"\x1f"), ("g.tsv:1",)),
    "two possible separators": ("g.txt", b"a,b;r,c;d\n", ("g.txt:1",)),
    "empty": ("g.tsv", b"", ("g.tsv", "empty")),
    "header alone": ("g.tsv", b"head\trelation\ttail\n", ("g.tsv:1", "no triples")),
    "binary": ("g.tsv", LINES[0] + b"\n" + bytes(range(256)), ("g.tsv:2", "binary")),
    "not UTF-8": ("g.tsv", b"\n".join([*LINES[:5], "e0\tr0\té".encode("latin-1"), b""]), ("g.tsv:6", "UTF-8")),
    "one column in the middle": ("g.tsv", b"\n".join([*LINES[:9], b"lonely", *LINES[9:], b""]), ("g.tsv:10", "field")),
    "four columns at the end": ("g.tsv", GOOD + b"a\tb\tc\td\n", ("g.tsv:31", "4 fields")),
    "not gzip": ("g.tsv.gz", GOOD, ("g.tsv.gz", "decompressed")),
    "not Parquet": ("g.parquet", GOOD, ("g.parquet", "Parquet")),
}


@pytest.mark.parametrize("case", BAD_GRAPHS)
@pytest.mark.parametrize("command", ["train", "graph"])
def test_bad_graph_file(falsum: Command, tmp_path: Path, case: str, command: str) -> None:
    name, content, expected = BAD_GRAPHS[case]
    (tmp_path / name).write_bytes(content)
    arguments = ["--run", tmp_path / "run"] if command == "train" else []
    message = falsum(command, tmp_path / name, *arguments).error
    assert all(part in message for part in expected), message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        ("literals=keep", "literals='keep' was told, but this is read as text"),
        ("valid=0.6", "only a single file is split"),
        ("seed=99999999999999999999", "only a single file is split"),
        ("truth=nothing", "no column is named 'nothing'"),
        ("truth", "--read truth is not understood"),
        ("trutz=label", "--read trutz=label is not understood"),
        ("layout=json", "layout='json' is unknown. Legal: text, parquet, jsonl"),
    ],
)
def test_ways_to_read_that_do_not_fit(falsum: Command, graph: Path, read: str, expected: str) -> None:
    assert expected in falsum("graph", graph, "--read", read).error


def test_valid_without_train(falsum: Command, tmp_path: Path) -> None:
    write_graph(tmp_path / "g", valid=facts(10))
    message = falsum("train", tmp_path / "g", "--run", tmp_path / "run").error
    assert "valid.tsv but no train file" in message


def test_paths_that_do_not_exist(falsum: Command, tmp_path: Path) -> None:
    assert "no such file or folder" in falsum("train", tmp_path / "nowhere").error
    message = falsum("train", "fb15k238").error
    assert "no graph is known by that name" in message
    assert "fb15k-237" in message
    assert "is empty" in falsum("graph", "").error
    for command in ("resume", "evaluate", "predict", "report"):
        message = falsum(command, tmp_path / "nowhere").error
        assert f"{tmp_path / 'nowhere'} is no run folder" in message
        assert "falsum train" in message


def test_a_file_is_no_run_folder(falsum: Command, tmp_path: Path, graph: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "is no run folder" in falsum("evaluate", tmp_path / "file").error
    assert "could not be written" in falsum("train", graph, *SETS, "--run", tmp_path / "file").error
    assert (tmp_path / "file").read_text() == "x"


def test_a_path_that_no_system_takes(falsum: Command, graph: Path) -> None:
    assert "name too long" in falsum("evaluate", "a" * 300).error
    assert "name too long" in falsum("train", graph, *SETS, "--run", "a" * 300).error


def test_a_run_folder_that_exists(falsum: Command, graph: Path, run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    message = falsum("train", graph, *SETS, "--run", run).error
    assert "already holds a run" in message
    assert f"falsum resume {run}" in message
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_weights_without_a_recipe_are_not_overwritten(falsum: Command, graph: Path, run: Path) -> None:
    weights = (run / "model.safetensors").read_bytes()
    (run / "recipe.toml").unlink()
    assert "holds weights of a run without its recipe.toml" in falsum("train", graph, *SETS, "--run", run).error
    assert (run / "model.safetensors").read_bytes() == weights


# --------------------------------------------------------------------------------------------------------- settings

BAD_SETTINGS = {
    "nonsense": ("--set takes key=value", "'nonsense'"),
    "=4": ("--set takes key=value",),
    "model.dim=abc": ("model", "dim", "integer", "'abc'"),
    "model.dim=8.5": ("dim", "8.5"),
    "train.seed=1e5": ("train.seed", "without point and exponent", "100000.0"),
    "train.epochs=true": ("train.epochs", "a number is wanted, got true"),
    "optimizer.lr=true": ("lr", "a number is wanted, got true"),
    "train.batch_size=100000000000000000000": ("train.batch_size", "at most 9223372036854775807"),
    "model.dim=100000000000000000000": ("dim", "at most 9223372036854775807"),
    "train.seconds=1e300": ("train.seconds", "at most 3.4e+38", "1e+300"),
    "noise={name='frequency', exponent=1e308}": ("exponent", "at most 3.4e+38", "1e+308"),
    "model.dim=": ("dim", "integer"),
    "model.dim=-4": ("dim must lie in [1, 65536], got -4",),
    "model.dim=0": ("dim must lie in [1, 65536], got 0",),
    "model.dim=7": ("ComplEx", "dim must be even, got 7"),
    "model.dim=1000000000000": ("dim must lie in [1, 65536]",),
    "model={name='rescal', dim=65536}": ("GiB of memory", "relations of 4,294,967,296 reals", "are free"),
    "model.dmi=8": ("unknown key 'dmi'", "legal keys here: dim"),
    "model=nope": ("'nope' is no model", "distmult, complex"),
    "model=5": ("model", "got 5"),
    "model.name=[1]": ("[1] is no model",),
    "foo=1": ("unknown key 'foo'", "legal keys here: name, model"),
    "foo.bar=1": ("Unknown setting 'foo.bar'", "legal groups: name, model"),
    "train.epoch=3": ("unknown key 'train.epoch'", "epochs, seconds, batch_size"),
    "train=5": ("train", "got 5"),
    "penalty=n3": ("penalty", "list"),
    "penalty.0=1": ("penalty.0.weight",),
    "penalty.9.weight=1": ("Unknown setting 'penalty.9.weight'",),
    "penalty.0.weight=abc": ("weight", "'abc'"),
    "penalty=[{name='lp', p=0}]": ("p must lie in (0, 100], got 0",),
    "optimizer.lr=-1": ("lr must lie in (0, 1e38], got -1",),
    "optimizer.lr=nan": ("lr", "finite"),
    "optimizer={name='adam', beta1=1.5}": ("beta", "1.5"),
    "schedule={name='step', every=0}": ("every must lie in [1, 1e9], got 0",),
    "schedule={name='linear', epochs=0}": ("epochs must lie in [1, 1e9]",),
    "schedule.warmup=-3": ("warmup must lie in [0, 1e9], got -3",),
    "init.entity.std=nan": ("std", "finite"),
    "dropout.entity=1": ("dropout.entity", "less than 1"),
    "objective.label_smoothing=2": ("label_smoothing", "[0, 1)"),
    "penalty=[{name='n3', weight=-1}]": ("weight must lie in [0, 1e30], got -1",),
    "objective={name='bce', label_smoothing=-1}": ("label_smoothing must lie in [0, 1), got -1",),
    "objective={name='bce', label_smoothing=1e9}": ("label_smoothing must lie in [0, 1)",),
    "schedule={name='step', decay=-1}": ("decay must lie in (0, 1], got -1",),
    "schedule={name='plateau', patience=-1}": ("patience must lie in [0, 1e9], got -1",),
    "optimizer.lr=0": ("lr must lie in (0, 1e38], got 0",),
    "model={name='tucker3', dim=8, matrix_dropout=1.5}": ("matrix_dropout must lie in [0, 1), got 1.5",),
    "model={name='tucker', dim=60000}": ("GiB of memory", "parameters of the score model"),
    "optimizer={name='adagrad', initial=1e38}": ("initial must lie in [0, 1e6]",),
    "noise={name='uniform', num_head=10000000000}": ("num_head must lie in [1, 10000000]",),
    "noise={name='frequency', exponent=1e30}": ("exponent must lie in [-10, 10]",),
    "noise={name='best-of', shared='batch'}": ("what is drawn depends on the question", "'batch'"),
    "noise={name='best-of', pool={name='counted', exponet=3}}": ("unknown key 'exponet'", "exponent"),
    "objective=sce": ("'sce' is no objective", "softmax"),
    "noise=nope": ("'nope' is no noise", "uniform"),
    "noise={name='uniform', num=0}": ("num must lie in [1, 10000000], got 0",),
    "noise={name='uniform', num=500, replacement=false}": ("does not fit this graph", "24 entities"),
    "validation.metric=mr": ("validation.metric", "'mrr'"),
    "train.epochs=0": ("train.epochs", "greater than or equal to 1"),
    "train.device=nonsense": ("Device 'nonsense' cannot be used", "train.device=cpu"),
    "train.device=meta": ("Device 'meta' cannot be used",),
    "checkpoint_minutes=0": ("checkpoint_minutes", "greater than 0"),
}


@pytest.mark.parametrize("setting", BAD_SETTINGS)
def test_bad_setting(falsum: Command, graph: Path, tmp_path: Path, setting: str) -> None:
    message = falsum("train", graph, *SETS, "--set", setting, "--run", tmp_path / "run").error
    assert all(part in message for part in BAD_SETTINGS[setting]), message
    assert not (tmp_path / "run").exists(), "the folder stands in the way of the next try"


@pytest.mark.parametrize("model", ["complex", "cp", "rotate"])
def test_models_of_two_halves_want_an_even_dim(falsum: Command, graph: Path, tmp_path: Path, model: str) -> None:
    message = falsum(
        "train", graph, *SETS, "--set", f"model={model}", "--set", "model.dim=9", "--run", tmp_path / "r"
    ).error
    assert "dim must be even, got 9" in message


BAD_RECIPES = {
    "not TOML": (b"model: complex\n", ("own.toml is not a TOML file",)),
    "not text": (bytes(range(256)), ("own.toml is not a TOML file",)),
    "unknown key": (b'colour = "red"\nmodel = {name = "complex", dim = 8}\n', ("own.toml: unknown key 'colour'",)),
    "unknown key inside": (b'model = {name = "complex", dim = 8, x = 1}\n', ("own.toml", "unknown key 'x'", "dim")),
    "no model": (b"train = {epochs = 3}\n", ("own.toml: 'model' is required",)),
    "no dim": (b'model = {name = "complex"}\n', ("own.toml", "'dim' is required")),
    "empty": (b"", ("own.toml: 'model' is required",)),
}


@pytest.mark.parametrize("case", BAD_RECIPES)
def test_bad_recipe_file(falsum: Command, graph: Path, tmp_path: Path, case: str) -> None:
    content, expected = BAD_RECIPES[case]
    (tmp_path / "own.toml").write_bytes(content)
    message = falsum("train", graph, "--recipe", tmp_path / "own.toml", "--run", tmp_path / "run").error
    assert all(part in message for part in expected), message
    assert not (tmp_path / "run").exists()


def test_recipes_that_do_not_exist(falsum: Command, graph: Path, tmp_path: Path) -> None:
    message = falsum("train", graph, "--recipe", "defualt").error
    assert "There is no recipe 'defualt'. Close names: default" in message
    assert "falsum recipes" in message
    assert "no recipe 'x'" in falsum("recipes", "x").error
    message = falsum("train", graph, "--recipe", tmp_path / "no.toml").error
    assert message == f"{tmp_path / 'no.toml'} cannot be read: No such file or directory."
    (tmp_path / "dir.toml").mkdir()
    assert "Is a directory" in falsum("train", graph, "--recipe", tmp_path / "dir.toml").error


# -------------------------------------------------------------------------------------------------------- questions


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "got none of them"),
        (["--head", "e0"], "got head. For example: predict(head="),
        (["--head", "e0", "--relation", "r0", "--tail", "e1"], "got head, relation, tail"),
        (["--head", "e00", "--relation", "r0"], "'e00' is no entity of graph 'small'. The closest: 'e0'"),
        (["--head", "e0", "--relation", "r9"], "'r9' is no relation"),
        (["--head", "r0", "--relation", "r1"], "'r0' is no entity of graph 'small': it is a relation"),
        (["--head", "", "--relation", "r1"], "'' is no entity"),
        (["--head", "[bold]e0[/]", "--relation", "r1"], "'[bold]e0[/]' is no entity"),
        (["--head", "-x", "--relation", "r1"], "'-x' is no entity"),
        (["--head", "e0", "--relation", "r0 (inverse)"], "'r0 (inverse)' is no relation"),
    ],
)
def test_bad_question(falsum: Command, trained: Path, arguments: list[str], expected: str) -> None:
    assert expected in falsum("predict", trained, *arguments).error


def test_bad_evaluations(falsum: Command, trained: Path) -> None:
    message = falsum("evaluate", trained, "--protocol", "ogb").error
    assert "--protocol 'ogb' is not known; legal: falsum, raw, pykeen, libkge, kbc, rotate." in message
    message = falsum("evaluate", trained, "--by", "mood").error
    assert "--by 'mood' is not known; legal: relation, cardinality" in message
    assert (
        "no split 'dev' to evaluate on; it has: train, valid, test"
        in falsum("evaluate", trained, "--split", "dev").error
    )


def test_run_without_a_test_split(falsum: Command, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "g", train=facts(40), valid=facts(50)[40:])
    falsum.ok("train", graph, *SETS, "--run", tmp_path / "run")
    assert "no split 'test' to evaluate on; it has: train, valid." in falsum("evaluate", tmp_path / "run").error


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["train"], ["predict", "x", "-k", "0"], ["evaluate", "--nonsense"], ["report"]]
)
def test_misspelt_commands_end_with_usage(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.output
    assert "Traceback" not in result.output


# ------------------------------------------------------------------------------------------------------ run folders


@pytest.mark.parametrize("tenth", range(10))
def test_truncated_weights(falsum: Command, run: Path, tenth: int) -> None:
    path = run / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * tenth // 10])
    for arguments in (["evaluate", run], ["predict", run, "--head", "e0", "--relation", "r0"], ["resume", run]):
        message = falsum(*arguments).error
        assert f"{path} cannot be read: it is truncated" in message
        assert f"delete {run / 'checkpoint'} and train again, to the same bits, by `falsum resume {run}`" in message
    if tenth == 5:
        shutil.rmtree(run / "checkpoint")
        falsum.ok("resume", run)
        assert path.read_bytes() == whole


def test_missing_weights(falsum: Command, run: Path) -> None:
    (run / "model.safetensors").unlink()
    assert "model.safetensors does not exist. Restore it" in falsum("evaluate", run).error
    assert "model.safetensors does not exist. Restore it" in falsum("resume", run).error


def test_training_does_not_go_on_without_the_best_weights(falsum: Command, run: Path) -> None:
    recipe = api.read_file(run / "recipe.toml").changed(**{"train.epochs": 9, "validation.patience": 0})
    (run / "recipe.toml").write_text(recipe.to_toml())
    (run / "model.safetensors").unlink()
    before = (run / "metrics.jsonl").read_bytes()
    assert "model.safetensors does not exist" in falsum("resume", run).error
    assert (run / "metrics.jsonl").read_bytes() == before


def test_weights_before_the_first(falsum: Command, graph: Path, tmp_path: Path) -> None:
    api.Run.create(api.load(graph), api.recipe("default", str(graph), **QUICK), tmp_path / "run")
    message = falsum("evaluate", tmp_path / "run").error
    assert "stopped before its first weights were written" in message
    assert f"falsum resume {tmp_path / 'run'}" in message


@pytest.mark.parametrize("tenth", range(10))
def test_truncated_checkpoint(falsum: Command, run: Path, tenth: int) -> None:
    path, weights = run / "checkpoint" / "last.safetensors", (run / "model.safetensors").read_bytes()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * tenth // 10])
    message = falsum("resume", run).error
    assert f"{path} cannot be read: it is truncated" in message
    assert (
        f"delete {run / 'checkpoint'} to train from the start with `falsum resume {run}`, to the same bits" in message
    )
    assert (run / "model.safetensors").read_bytes() == weights
    if tenth == 5:
        shutil.rmtree(run / "checkpoint")
        falsum.ok("resume", run)
        assert (run / "model.safetensors").read_bytes() == weights


def test_weights_of_another_format(falsum: Command, run: Path) -> None:
    from safetensors.torch import save_file

    save_file({"entities": torch.zeros(24, 8)}, run / "model.safetensors")
    assert "not written by falsum" in falsum("evaluate", run).error
    (run / "model.safetensors").write_bytes(b"\x80\x04}.")  # a pickle
    assert "not written by falsum" in falsum("evaluate", run).error


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("model.dim", 16, "entities was [24, 8] and is [24, 16]"),
        ("model", "distmult", "model.name was complex and is distmult"),
        ("model", "tucker", "weights.model.core was not there and is"),
        ("optimizer", "adam", "optimizer.name was adagrad and is adam"),
        ("train.batch_size", 10, "train.batch_size was 25 and is 10"),
        ("train.inverses", False, "relations was [6, 8] and is [3, 8]"),
        ("noise", "uniform", "updated by rows (see noise, penalty, optimizer.lazy) was [] and is ['entities'"),
    ],
)
def test_a_recipe_that_no_longer_fits(falsum: Command, run: Path, key: str, value: object, expected: str) -> None:
    recipe = api.read_file(run / "recipe.toml").changed(**{key: value})
    (run / "recipe.toml").write_text(recipe.to_toml())
    message = falsum("resume", run).error
    assert f"does not fit {run / 'recipe.toml'}, which was changed since: " in message
    assert expected in message
    assert "Change it back; or delete" in message
    for command in ("evaluate", "report"):
        assert "does not fit the recipe and graph beside it" in falsum(command, run).error


def test_a_recipe_that_trains_longer_fits(falsum: Command, run: Path) -> None:
    recipe = api.read_file(run / "recipe.toml").changed(
        **{"train.epochs": 5, "optimizer.lr": 0.01, "validation.patience": 0}
    )
    (run / "recipe.toml").write_text(recipe.to_toml())
    text = falsum.ok("resume", run)
    assert "epoch    4" in text
    assert "all 5 epochs done" in text


def _damage_weights(run: Path, value: float) -> None:
    tensors, about = read_tensors(run / "model.safetensors")
    tensors["entities"] = torch.full_like(tensors["entities"], value)
    write_tensors(run / "model.safetensors", tensors, about)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(falsum: Command, run: Path, value: float) -> None:
    _damage_weights(run, value)
    before = (run / "protocol.json").read_bytes()
    for arguments in (["evaluate", run], ["predict", run, "--head", "e0", "--relation", "r0"]):
        assert "not finite" in falsum(*arguments).error
    assert (run / "protocol.json").read_bytes() == before


def test_a_model_that_says_the_same_of_everything(falsum: Command, run: Path) -> None:
    _damage_weights(run, 0.0)
    assert "gives every candidate the same score" in falsum("evaluate", run).error


@pytest.mark.parametrize("name", ["graph.json", "entities.parquet", "relations.parquet", "triples.parquet"])
@pytest.mark.parametrize("how", ["missing", "truncated", "garbage", "folder"])
def test_a_damaged_graph(falsum: Command, run: Path, name: str, how: str) -> None:
    path = run / name
    content = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "missing":
        path.write_bytes(content[: len(content) // 2] if how == "truncated" else b"\xff\x00garbage" * 40)
    for command in ("evaluate", "resume"):
        assert name in falsum(command, run).error


def test_another_graph_in_the_folder(falsum: Command, run: Path, tmp_path: Path) -> None:
    other = write_graph(tmp_path / "other", train=facts()[20:], test=facts()[:20])
    api.train(str(other), "default", folder=tmp_path / "two", **QUICK)
    shutil.copy(tmp_path / "two" / "triples.parquet", run)
    assert "is not the one that was trained on" in falsum("evaluate", run).error


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"format": 99}', "later falsum"),
        ("{}", "graph.json is damaged: format: field required"),
        ('{"format": "1"}', "format: input should be a valid integer, got '1'"),
        ("[1]", "graph.json is damaged: its content: "),
        ("{", "damaged"),
        ("[" * 100_000, "graph.json is damaged"),
    ],
)
def test_a_folder_of_another_format(falsum: Command, run: Path, content: str, expected: str) -> None:
    (run / "graph.json").write_text(content)
    for command in ("resume", "evaluate", "predict", "report"):
        assert expected in falsum(command, run).error


def test_a_graph_json_without_its_keys(falsum: Command, run: Path) -> None:
    (run / "graph.json").write_text('{"format": 1}')
    assert "graph.json is damaged: name: field required" in falsum("evaluate", run).error


def test_a_recipe_edited_into_nonsense(falsum: Command, run: Path) -> None:
    (run / "recipe.toml").write_text("model = ")
    for command in ("resume", "evaluate", "report"):
        assert "recipe.toml is not a TOML file" in falsum(command, run).error


def test_a_lost_environment_is_written_anew(falsum: Command, run: Path) -> None:
    (run / "environment.json").unlink()
    weights = (run / "model.safetensors").read_bytes()
    falsum.ok("evaluate", run)
    falsum.ok("resume", run)
    assert (run / "model.safetensors").read_bytes() == weights
    assert (run / "environment.json").exists()
    falsum.ok("report", run)


@pytest.mark.parametrize("content", ['{"threads": 0}', '{"threads": "two"}', "{}", "[]", "{"])
def test_a_damaged_environment(falsum: Command, run: Path, content: str) -> None:
    (run / "environment.json").write_text(content)
    assert "environment.json" in falsum("resume", run).error


@pytest.mark.parametrize("tail", [b'{"epoch": 3, "st', b'{"epoch"', b"\xff\xfe\x00", b"\0\0\n"])
def test_metrics_cut_in_a_line(falsum: Command, run: Path, tail: bytes) -> None:
    path = run / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]) + tail)
    falsum.ok("report", run)
    falsum.ok("resume", run)
    found = api.open_run(run).history()
    assert found[: len(lines) - 2] == [json.loads(line) for line in lines[:-2]]
    assert found[-1]["done"] == "all 3 epochs done"
    assert len(path.read_text().splitlines()) == len(found)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"12", "its content: "),
        (b"{}", "epoch: field required"),
        (b'{"epoch": "1", "step": 1, "loss": 1, "seconds": 1}', "epoch: input should be a valid integer, got '1'"),
        (b'{"epoch": 1, "step": 1, "loss": 1, "seconds": 1, "metrics": {"mrr": []}}', "metrics.mrr: input should be"),
        (b"{", "metrics.jsonl:2 is damaged ("),
        (b"[" * 100_000, "metrics.jsonl:2 is damaged ("),
    ],
)
def test_a_damaged_line_of_metrics_is_named(falsum: Command, run: Path, line: bytes, expected: str) -> None:
    path = run / "metrics.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], line, *lines[2:], b""]))
    for command in ("report", "resume"):
        message = falsum(command, run).error
        assert f"{path}:2 is damaged" in message
        assert expected in message


@pytest.mark.parametrize("name", ["ranks.parquet", "protocol.json"])
def test_a_damaged_evaluation(falsum: Command, run: Path, name: str) -> None:
    (run / name).write_bytes((run / name).read_bytes()[:20])
    outcome = falsum("report", run)
    assert name in outcome.err + outcome.out
    assert outcome.code == (0 if name == "ranks.parquet" else 2)
    falsum.ok("evaluate", run)
    falsum.ok("report", run)


# ------------------------------------------------------------------------------------------------ hostile characters

# Clears the screen, turns the writing direction, breaks the line, begins a command of the second control set.
HOSTILE = "a\x1b[2J\u202eb\x9b31mc"
SHOWN = r"a\x1b[2J\u202eb\x9b31mc"


def commands(text: str) -> set[str]:
    return set(re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text))


def test_labels_do_not_command_the_terminal(falsum: Command, tmp_path: Path) -> None:
    triples = [(f"{HOSTILE}{i}", f"r{HOSTILE}", f"{HOSTILE}{i + 1}") for i in range(30)]
    graph = write_graph(tmp_path / f"g{HOSTILE}", train=triples[:24], valid=triples[24:27], test=triples[27:])
    run = tmp_path / f"run{HOSTILE}"
    asked = ["--head", f"{HOSTILE}0", "--relation", f"r{HOSTILE}"]
    for arguments in (
        ["graph", graph],
        ["train", graph, *SETS, "--set", f"name={HOSTILE}", "--run", run],
        ["evaluate", run, "--by", "relation"],
        ["predict", run, *asked],
        ["report", run],
    ):
        outcome = falsum(*arguments)
        assert outcome.code == 0, outcome
        assert SHOWN in outcome.out
        assert commands(outcome.out + outcome.err) == set()
    for arguments in (["predict", run, "--head", f"x{HOSTILE}", "--relation", "r"], ["graph", tmp_path / HOSTILE]):
        assert commands(falsum(*arguments).error) == set()
    assert f"{HOSTILE}0" in (run / "entities.parquet").read_bytes().decode("utf-8", "replace"), "files keep labels"
    assert api.open_run(run).predict(head=f"{HOSTILE}0", relation=f"r{HOSTILE}")["label"].str.contains("\x1b").any()


def test_newlines_in_labels_do_not_break_lines(falsum: Command, tmp_path: Path) -> None:
    triples = pl.DataFrame({"head": ["a\nb", "c", "a\nb"], "relation": ["r\n"] * 3, "tail": ["c", "a\nb", "d"]})
    triples.write_parquet(tmp_path / "g\n.parquet")
    falsum.ok(
        "train", tmp_path / "g\n.parquet", *SETS, "--read", "test=0", "--read", "valid=0", "--run", tmp_path / "r"
    )
    assert r"a\nb" in falsum.ok("predict", tmp_path / "r", "--head", "c", "--relation", "r\n")
    assert r"run folder" in falsum.ok("train", tmp_path / "g\n.parquet", *SETS, "--run", tmp_path / "x\ny")
    assert "no entity" in falsum("predict", tmp_path / "r", "--head", "z\nz", "--relation", "r\n").error


@pytest.mark.parametrize("argument", ["a\0b", "caf\udce9"])
@pytest.mark.parametrize("place", ["name", "option", "value"])
def test_arguments_that_no_file_can_hold(falsum: Command, argument: str, place: str) -> None:
    arguments = {
        "name": ["graph", argument],
        "option": ["graph", "world", f"--{argument}"],
        "value": ["train", "world", "--set", f"name={argument}"],
    }[place]
    message = falsum(*arguments).error
    assert message.startswith(f"Argument {len(arguments)} (")
    assert "NUL character" in message or "not UTF-8" in message


@pytest.mark.parametrize("arguments", [[HOSTILE], ["graph", f"--{HOSTILE}"], ["graph", "a", HOSTILE]])
def test_usage_errors_do_not_command_the_terminal(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert commands(result.output) <= {"\u202e"}, "typer leaves the direction of what was typed as it is"


@pytest.mark.parametrize("losses", ["", " ", "ns,,sce", "ns,sce,"])
def test_an_empty_loss_is_no_loss(falsum: Command, graph: Path, losses: str) -> None:
    message = falsum("compare", graph, "--losses", losses).error
    assert "--losses takes names between commas, such as ns,sce" in message
    assert repr(losses) in message


def test_a_terminal_without_the_letters(graph: Path, tmp_path: Path) -> None:
    write_graph(tmp_path / "g", train=[("日本", "r", "é"), ("é", "r", "日本")])
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "falsum", "graph", tmp_path / "g"]
    done = subprocess.run(command, env=ascii_only, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------------------------------------ interruptions

INTERRUPTED = """
import os, signal, sys
sent = []
def interrupt(event, arguments):
    if not sent and event == {event!r} and str(arguments[0]).endswith({what!r}):
        sent.append(1)
        os.kill(os.getpid(), signal.SIGINT)
from falsum.__main__ import main
sys.addaudithook(interrupt)
main()
"""
MOMENTS = [
    ("import", "falsum.cli.commands"),
    ("import", "typer"),
    ("import", "polars"),
    ("import", "numpy"),
    ("import", "numpy.linalg"),
    ("import", "torch"),
    ("import", "torch._C"),
    ("import", "falsum.recipe.assemble"),
    ("open", "train.tsv"),
    ("os.rename", ".part"),
]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("event", "what"), MOMENTS)
def test_ctrl_c_at_any_moment_is_one_line(graph: Path, tmp_path: Path, event: str, what: str) -> None:
    code = INTERRUPTED.format(event=event, what=what)
    command = [sys.executable, "-c", code, "train", graph, *SETS, "--run", tmp_path / "run"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_after_the_end_changes_nothing() -> None:
    late = "import atexit, os, signal; atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))"
    code = f"{late}; import sys; sys.argv[1:] = ['--version']; from falsum.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# ------------------------------------------------------------------------------------------------------- full disks


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder of a disk that holds 400 KiB."""
    folder = tmp_path / "full"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", folder], capture_output=True)
    if done.returncode:
        pytest.skip("only root can mount a tiny disk; test_file_size_limit covers the rest")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(ballast: Path) -> None:
    """Write until the disk is full."""
    with ballast.open("wb", buffering=0) as file:
        while shutil.disk_usage(ballast.parent).free:
            file.write(bytes(1 << 12))


def test_full_disk_at_the_start(falsum: Command, graph: Path, full: Path) -> None:
    (full / "ballast").write_bytes(bytes(full.stat().st_blksize * 98))
    message = falsum("train", graph, *SETS, "--run", full / "run").error
    assert "could not be written: " in message
    assert "No space left on device" in message
    assert not (full / "run" / "recipe.toml").exists()
    (full / "ballast").unlink()
    falsum.ok("train", graph, *SETS, "--run", full / "run")


def test_full_disk_while_training(falsum: Command, graph: Path, full: Path, tmp_path: Path) -> None:
    settings = [*SETS, "--set", "model.dim=256", "--set", "train.epochs=4"]
    falsum.ok("train", graph, *settings, "--run", tmp_path / "calm")
    room = sum(path.stat().st_size for path in (tmp_path / "calm").rglob("*") if path.is_file())
    assert room > 100 << 10
    (full / "ballast").write_bytes(bytes((400 << 10) - room))
    message = falsum("train", graph, *settings, "--run", full / "run").error
    assert "could not be written" in message
    assert "falsum resume" in message
    assert not list((full / "run").rglob("*.part"))
    for path in (full / "run").rglob("*.safetensors"):
        read_tensors(path)
    (full / "ballast").unlink()
    falsum.ok("resume", full / "run")
    assert (full / "run" / "model.safetensors").read_bytes() == (tmp_path / "calm" / "model.safetensors").read_bytes()
    assert (full / "run" / "ranks.parquet").read_bytes() == (tmp_path / "calm" / "ranks.parquet").read_bytes()


def test_full_disk_while_evaluating(falsum: Command, run: Path, full: Path) -> None:
    shutil.copytree(run, full / "run")
    before = (full / "run" / "ranks.parquet").read_bytes()
    fill(full / "ballast")
    outcome = falsum("evaluate", full / "run", "--split", "train")
    assert "ranks-train.parquet could not be written" in outcome.error
    assert "small / train" in outcome.out, "what was ranked is shown"
    assert not (full / "run" / "ranks-train.parquet").exists()
    assert (full / "run" / "ranks.parquet").read_bytes() == before


LIMITED = """
import resource, sys
from falsum.__main__ import main
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.argv = ["falsum", *sys.argv[1:]]
main()
"""


def test_file_size_limit(graph: Path, tmp_path: Path) -> None:
    sets = [*SETS, "--set", "model.dim=512"]
    command = [sys.executable, "-c", LIMITED, "train", graph, *sets, "--run", tmp_path / "run"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "model.safetensors could not be written" in done.stderr
    assert not list((tmp_path / "run").rglob("*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_behind_stdout() -> None:
    with open("/dev/full", "wb") as sink:
        done = subprocess.run(
            [sys.executable, "-m", "falsum", "recipes"], stdout=sink, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert done.stderr == f"Error: Standard output: {os.strerror(errno.ENOSPC)}.\n"


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(
    falsum: Command, tmp_path: Path, graph: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    for name in ("x.tsv", "x.csv.gz", "x.toml"):
        os.mkfifo(tmp_path / name)
    assert "nothing was written to the pipe" in falsum("graph", tmp_path / "x.tsv").error
    assert "nothing was written to the pipe" in falsum("recipes", "default", "--on", tmp_path / "x.csv.gz").error
    assert "nothing was written to the pipe" in falsum("train", graph, "--recipe", tmp_path / "x.toml").error
    (run / "model.safetensors").unlink()
    os.mkfifo(run / "model.safetensors")
    assert "model.safetensors is damaged: it is no file" in falsum("evaluate", run).error


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
def test_a_slow_pipe_is_read_to_its_end(falsum: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.tsv")
    writer = threading.Thread(target=write_slowly, args=(tmp_path / "x.tsv",))
    writer.start()
    told = falsum.ok("graph", tmp_path / "x.tsv", "--read", "valid=0", "--read", "test=0")
    writer.join()
    assert "3 entities, 1 relations" in told


def write_slowly(path: Path) -> None:
    with path.open("w") as pipe:
        for line in ("a\tr\tb\n", "b\tr\tc\n", "c\tr\ta\n"):
            time.sleep(0.1)
            pipe.write(line)
            pipe.flush()
