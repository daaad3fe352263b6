"""What a run folder holds is read as what it ought to be, and its numbers belong to its weights."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from command import QUICK, SETS, Command, facts, falsum, small_graph, write_graph
from falsum import api
from falsum.errors import Interrupted, UserError
from falsum.files import CONTENT, content_hash, read_json, read_tensors, remove_parts, whole, write_json, write_tensors
from falsum.report import compare_table
from falsum.run import session
from falsum.run.run import Run

__all__ = ["falsum"]


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
    """A finished and ranked run that a test may damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def edit(path: Path, key: str, value: Any) -> None:
    """Set a dotted key of a JSON file, or of what a file of tensors says about itself."""
    tensors, about = read_tensors(path) if path.suffix == ".safetensors" else ({}, read_json(path))
    here = about
    *groups, last = key.split(".")
    for group in groups:
        here = here[group]
    here[last] = value
    write_tensors(path, tensors, about) if tensors else write_json(path, about)


def told(message: str, name: str, key: str) -> bool:
    return f"{name} is damaged: {key}: " in message and "Traceback" not in message


# ------------------------------------------------------------------------------------------------------ wrong content


@pytest.mark.parametrize(
    ("name", "key", "value", "command"),
    [
        ("protocol.json", "metrics.mrr", "0.4", "report"),
        ("protocol.json", "protocol.tie", "kind", "report"),
        ("protocol.json", "protocol.triples", 0, "report"),
        ("protocol.json", "protocol.sides", [], "report"),
        ("graph.json", "name", ["a"], "report"),
        ("graph.json", "notes", "none", "evaluate"),
        ("graph.json", "num_base_relations", -1, "evaluate"),
        ("environment.json", "threads", 100_000, "resume"),
        ("environment.json", "threads", True, "resume"),
        ("environment.json", "python", 3, "report"),
        ("model.safetensors", "epoch", "1", "evaluate"),
        ("model.safetensors", "metrics", [], "report"),
        ("checkpoint/last.safetensors", "step", "1", "resume"),
        ("checkpoint/last.safetensors", "history", {"0": 1}, "resume"),
        ("checkpoint/last.safetensors", "updates", -1, "resume"),
    ],
)
def test_wrong_content_names_file_and_key(
    falsum: Command, run: Path, name: str, key: str, value: object, command: str
) -> None:
    edit(run / name, key, value)
    assert told(falsum(command, run).error, name, key)


def test_a_checkpoint_that_contradicts_itself(falsum: Command, run: Path) -> None:
    edit(run / "checkpoint" / "last.safetensors", "epochs", [1])
    assert "3 validations at 1 epochs" in falsum("resume", run).error


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("entities", lambda f: f.with_columns(label=pl.lit(None, pl.String)), "'label' has empty places"),
        ("entities", lambda f: f.with_columns(label=pl.concat_list("label")), "must be of type String"),
        ("relations", lambda f: f.drop("label"), "column 'label' is missing"),
        ("relations", lambda f: f.with_columns(id=pl.col("id") + 1), "must count from 0 on"),
        ("triples", lambda f: f.with_columns(tail=pl.col("tail") + 99), "'tail' must lie between 0 and 23"),
        ("triples", lambda f: f.with_columns(head=-pl.col("head")), "'head' must lie between"),
        ("triples", lambda f: f.with_columns(pl.col("relation").cast(pl.Float64)), "must be of type Int64"),
        ("entities", lambda f: f.with_columns(label=pl.col("label") + "!"), "not the one that was trained on"),
    ],
)
def test_wrong_tables_of_the_graph(
    falsum: Command, run: Path, name: str, change: Callable[[pl.DataFrame], pl.DataFrame], expected: str
) -> None:
    path = run / f"{name}.parquet"
    change(pl.read_parquet(path)).write_parquet(path)
    for command in ("evaluate", "resume"):
        message = falsum(command, run).error
        assert expected in message
        assert path.name in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda f: f.clear(), "must hold 20 ranks"),
        (lambda f: f.with_columns(relation=pl.lit(77, pl.Int64)), "'relation' must lie between 0 and 2"),
        (lambda f: f.with_columns(greater=pl.col("candidates")), "each below its number of candidates"),
        (lambda f: f.with_columns(side=pl.lit("top")), "sides tail and head"),
        (lambda f: f.drop("equal"), "column 'equal' is missing"),
    ],
)
def test_wrong_ranks(falsum: Command, run: Path, change: Callable[[pl.DataFrame], pl.DataFrame], expected: str) -> None:
    path = run / "ranks.parquet"
    change(pl.read_parquet(path)).write_parquet(path)
    assert "ranks.parquet is not the one that protocol.json was written with" in falsum.ok("report", run)
    edit(run / "protocol.json", "origin.ranks", "")
    message = falsum("report", run).error
    assert expected in message
    assert f"`falsum evaluate {run}`" in message


@pytest.mark.parametrize("name", ["model", "checkpoint/last"])
def test_tensors_of_another_type(falsum: Command, run: Path, name: str) -> None:
    path = run / f"{name}.safetensors"
    tensors, about = read_tensors(path)
    write_tensors(path, {key: tensor.double() for key, tensor in tensors.items()}, about)
    message = falsum("resume" if "last" in name else "evaluate", run).error
    assert "entities was [24, 8] of float64 and is [24, 8]" in message


# ------------------------------------------------------------------------------------- numbers that belong to weights


def test_a_hash_tells_names_types_shapes_and_bytes() -> None:
    base = {"a": torch.arange(6.0), "b": torch.tensor(2)}
    others = [
        {"c": base["a"], "b": base["b"]},
        {"a": base["a"].reshape(2, 3), "b": base["b"]},
        {"a": base["a"].view(torch.int32), "b": base["b"]},
        {"a": base["a"].neg(), "b": base["b"]},
        {"a": base["a"]},
    ]
    hashes = [content_hash(tensors) for tensors in (base, *others)]
    assert len(set(hashes)) == len(hashes)
    assert content_hash(dict(reversed(base.items()))) == hashes[0]


def test_a_hash_does_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("falsum.files.CHUNK", 8)
    tensors = {"a": torch.arange(64.0), "none": torch.zeros(0, 3), "half": torch.ones(3, dtype=torch.bfloat16)}
    one = content_hash(tensors)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert content_hash(tensors) == one


def test_a_flipped_bit_is_found(falsum: Command, run: Path) -> None:
    for name, command in (("model", "evaluate"), ("checkpoint/last", "resume")):
        path = run / f"{name}.safetensors"
        whole_file = path.read_bytes()
        path.write_bytes(whole_file[:-9] + bytes([whole_file[-9] ^ 1]) + whole_file[-8:])
        assert "its numbers are not those that were written" in falsum(command, run).error
        path.write_bytes(whole_file)


def test_old_figures_are_not_shown_for_new_weights(falsum: Command, graph: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    recipe = api.train(str(graph), folder=run, **QUICK | {"train.epochs": 1, "validation.every": 0}).recipe
    figure = f"{read_json(run / 'protocol.json')['metrics']['mrr']:.4f}"
    assert figure in falsum.ok("report", run)
    (run / "recipe.toml").write_text(recipe.changed(**{"train.epochs": 12}).to_toml())
    opened = Run.open(run)
    for _ in opened.train():
        pass
    said = falsum.ok("report", run)
    assert figure not in said
    assert "out of date and not shown: it is about other weights than model.safetensors holds now" in said
    assert "out of date" in (run / "report.html").read_text()
    opened.evaluate("test")
    assert f"{read_json(run / 'protocol.json')['metrics']['mrr']:.4f}" in falsum.ok("report", run)


def test_ranks_of_another_run_are_not_shown(falsum: Command, graph: Path, run: Path, tmp_path: Path) -> None:
    api.train(str(graph), "default", folder=tmp_path / "other", **QUICK | {"train.seed": 1})
    shutil.copy(tmp_path / "other" / "ranks.parquet", run)
    assert "ranks.parquet is not the one that protocol.json was written with" in falsum.ok("report", run)
    shutil.copy(tmp_path / "other" / "protocol.json", run)
    assert "it is about other weights" in falsum.ok("report", run)
    (run / "model.safetensors").unlink()
    assert "train.seed was 1 and is 0" in falsum.ok("report", run)


@pytest.mark.parametrize("settings", [{"train.seed": 1}, {"objective": "bce"}, {"model": "distmult"}, "graph"])
def test_weights_of_another_run_are_refused(
    falsum: Command, graph: Path, run: Path, tmp_path: Path, settings: Any
) -> None:
    source, changed = str(graph), settings
    if settings == "graph":
        source, changed = str(write_graph(tmp_path / "two", train=facts()[20:], test=facts()[:20])), {}
    api.train(source, "default", folder=tmp_path / "other", **QUICK | changed)
    shutil.copy(tmp_path / "other" / "model.safetensors", run)
    for arguments in (["evaluate", run], ["report", run], ["predict", run, "--head", "e0", "--relation", "r0"]):
        message = falsum(*arguments).error
        assert "does not fit the recipe and graph beside it" in message
        assert " was " in message


def test_an_edited_model_is_refused(falsum: Command, run: Path) -> None:
    text = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(text.replace('"complex"', '"distmult"'))
    for command in ("evaluate", "report", "resume"):
        assert "model.name was complex and is distmult" in falsum(command, run).error


def test_folders_without_hashes_open_as_before(falsum: Command, run: Path) -> None:
    from safetensors.torch import save_file

    for name in ("model", "checkpoint/last"):
        path = run / f"{name}.safetensors"
        tensors, about = read_tensors(path)
        kept = {key: value for key, value in about.items() if key not in (CONTENT, "fixed")}
        save_file(tensors, path, metadata={"falsum": json.dumps(kept)})
    rules = read_json(run / "protocol.json")
    write_json(run / "protocol.json", {key: value for key, value in rules.items() if key != "origin"})
    assert f"{rules['metrics']['mrr']:.4f}" in falsum.ok("report", run)
    falsum.ok("resume", run)
    assert read_json(run / "protocol.json") == rules | {"origin": read_json(run / "protocol.json")["origin"]}


# --------------------------------------------------------------------------------------------------------- the folder


def test_files_have_the_mode_of_the_umask(graph: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        api.train(str(graph), "default", folder=tmp_path / "run", **QUICK | {"train.epochs": 1})
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert set(modes.values()) == {0o640}, modes


def test_parts_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in (".model.safetensors.1.part", ".film.part", "x.1.part"):
        (tmp_path / "elsewhere" / name).touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    remove_parts(tmp_path / "link")
    assert len(list((tmp_path / "elsewhere").iterdir())) == 3
    remove_parts(tmp_path / "elsewhere")
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {".film.part", "x.1.part"}


def test_a_run_that_never_wrote_weights_gives_way(falsum: Command, graph: Path, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    wild = ["--set", "optimizer=sgd", "--set", "optimizer.lr=1e30", "--set", "penalty=[]"]
    assert "became" in falsum("train", graph, *SETS, *wild, "--run", folder).error
    falsum.ok("train", graph, *SETS, "--run", folder)
    assert api.open_run(folder).recipe.optimizer["name"] == "adagrad"
    assert "already holds a run" in falsum("train", graph, *SETS, "--run", folder).error
    # Somebody kept the figures and deleted the weights: they stay.
    (folder / "model.safetensors").unlink()
    shutil.rmtree(folder / "checkpoint")
    assert "already holds a run" in falsum("train", graph, *SETS, "--run", folder).error


def test_a_start_gives_way_to_the_same_start_alone(graph: Path, trained: Path, run: Path, tmp_path: Path) -> None:
    loaded = api.load(graph)
    recipe = api.recipe("default", loaded, **QUICK)
    Run.create(loaded, recipe.changed(**{"pretraining.source": str(trained)}), tmp_path / "new")
    Run.create(loaded, recipe.changed(**{"pretraining.source": str(trained), "train.seed": 1}), tmp_path / "new")
    for other in (recipe, recipe.changed(**{"pretraining.source": str(run)})):
        with pytest.raises(UserError, match="already holds a run"):
            Run.create(loaded, other, tmp_path / "new")


def test_more_threads_than_cores_are_said(falsum: Command, run: Path) -> None:
    assert session.caution(run) == ""
    edit(run / "environment.json", "threads", 64)
    said = falsum.ok("resume", run)
    assert "begun with 64 threads and goes on with them, to the same bits" in said
    assert f'set "threads" to {len(os.sched_getaffinity(0))} in {run / "environment.json"}' in said


def test_a_stop_while_training_is_made_ready(graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = api.load(graph)
    run = Run.create(loaded, api.recipe("default", loaded, **QUICK), tmp_path / "run")
    ready = session._trim

    def interrupted(*arguments: Any) -> None:
        os.kill(os.getpid(), 2)
        ready(*arguments)

    monkeypatch.setattr(session, "_trim", interrupted)
    with pytest.raises(Interrupted, match="before the next step"):
        next(run.train())
    monkeypatch.undo()
    assert next(run.train()).step == 1


def test_a_table_of_runs_tells_which_are_out_of_date(run: Path) -> None:
    edit(run / "protocol.json", "origin.weights", "other")
    text = compare_table([Run.open(run)])
    assert "The evaluation of run is out of date and not shown" in text
    assert "Not evaluated" not in text


def test_whole_leaves_no_part(tmp_path: Path) -> None:
    def fail() -> None:
        with whole(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not list(tmp_path.iterdir())
