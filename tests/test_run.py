"""Nothing is lost: runs that are stopped, killed or diverge go on to the bits of one that was left alone.

Processes are forked from a server that has imported falsum and torch once: real signals, real exit codes, no start of
Python.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import polars as pl
import pytest
import torch

from command import QUICK, SETS, Command, facts, falsum, small_graph, write_graph
from falsum import api
from falsum.__main__ import main
from falsum.errors import Interrupted
from falsum.files import read_json, read_tensors
from falsum.run.run import Run
from falsum.training.loop import Diverged

__all__ = ["falsum"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["falsum.__main__", "falsum.cli.runs", "torch._dynamo"]
)  # the first step imports the last

# Long enough to be hit, and with a checkpoint at every step, so that most kills hit a file being written.
LONG = {"train.epochs": 24, "train.batch_size": 20, "validation.every": 4, "validation.patience": 0}
EAGER = LONG | {"checkpoint_minutes": 1e-9}


def sets(settings: dict[str, object]) -> list[str]:
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def child(output: Path, arguments: list[str]) -> None:
    """`falsum ARGUMENTS`, as in a process of its own."""
    with output.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    sys.argv = ["falsum", *arguments]
    main()


def start(output: Path, *arguments: object) -> BaseProcess:
    process = PROCESSES.Process(target=child, args=(output, [str(a) for a in arguments]))
    process.start()
    return process


def finish(process: BaseProcess) -> int:
    process.join(60)
    code = process.exitcode
    process.kill()
    assert code is not None, "it hangs"
    return code


def wait_for_epochs(run: Path, count: int) -> None:
    """Until metrics.jsonl has `count` lines."""
    path, limit = run / "metrics.jsonl", time.monotonic() + 30
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < limit, "no progress"
        time.sleep(0.001)


def unreadable(run: Path) -> list[str]:
    """Files that are there and cannot be read."""
    read = {".safetensors": read_tensors, ".json": read_json, ".toml": api.read_file, ".parquet": pl.read_parquet}
    bad = []
    for path in (path for path in run.rglob("*") if path.suffix in read and not path.name.startswith(".")):
        try:
            read[path.suffix](path)  # type: ignore[operator]
        except Exception as error:
            bad.append(f"{path.name}: {error}")
    return bad


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_graph(tmp_path_factory.mktemp("graphs") / "small")


@pytest.fixture(scope="module")
def calm(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that is left alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "calm"
    api.train(str(graph), "default", folder=folder, **QUICK | LONG)
    torch.set_num_threads(before)
    return folder


def assert_same(run: Path, calm: Path) -> None:
    for name in ("model.safetensors", "ranks.parquet", "protocol.json", "triples.parquet"):
        assert (run / name).read_bytes() == (calm / name).read_bytes(), name
    here, there = ([_timeless(line) for line in Run.open(folder).history()] for folder in (run, calm))
    assert here == there
    (tensors, scalars), (others, other) = (read_tensors(f / "checkpoint" / "last.safetensors") for f in (run, calm))
    assert scalars | {"seconds": 0, "step_seconds": 0} == other | {"seconds": 0, "step_seconds": 0}
    assert all(torch.equal(tensors[name], others[name]) for name in tensors.keys() | others.keys())


def _timeless(line: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in line.items() if key not in ("seconds", "step_seconds", "triples_per_second")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_and_resume(falsum: Command, graph: Path, calm: Path, tmp_path: Path, number: signal.Signals) -> None:
    run, output = tmp_path / "run", tmp_path / "output"
    process = start(output, "train", graph, *SETS, *sets(LONG), "--run", run)
    wait_for_epochs(run, 5)
    os.kill(process.pid or 0, number)
    assert finish(process) == 130
    said = output.read_text().splitlines()
    assert said[-1].startswith("Stopped at epoch ")
    assert said[-1].endswith(f"Go on with `falsum resume {run}`.")
    assert "Traceback" not in output.read_text()
    _, scalars = read_tensors(run / "checkpoint" / "last.safetensors")
    assert 16 <= scalars["step"] < 96
    assert not unreadable(run)
    assert "all 24 epochs done" in falsum.ok("resume", run)
    assert_same(run, calm)


def test_the_program_itself_stops(graph: Path, tmp_path: Path) -> None:
    run, forever = tmp_path / "run", sets({**LONG, "train.epochs": 10**6})
    command = [sys.executable, "-m", "falsum", "train", graph, *SETS, *forever, "--run", run]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_epochs(run, 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.startswith("Stopped at epoch ")
    assert errors.count("\n") == 1
    assert (run / "checkpoint" / "last.safetensors").exists()


def test_five_kills(falsum: Command, graph: Path, calm: Path, tmp_path: Path) -> None:
    run, output, chance = tmp_path / "run", tmp_path / "output", random.Random(5)
    for kill in range(5):
        begun = (run / "recipe.toml").exists()
        new = ["train", graph, *SETS, *sets(EAGER), "--run", run]
        process = start(output, *(["resume", run] if begun else new))
        wait_for_epochs(run, 1 + 5 * kill)
        time.sleep(chance.uniform(0, 0.01))
        os.kill(process.pid or 0, signal.SIGKILL)
        assert finish(process) == -signal.SIGKILL, "it was over before the kill"
        assert not unreadable(run)
        Run.open(run).history()
    falsum.ok("resume", run)
    assert "Traceback" not in output.read_text()
    assert not list(run.rglob("*.part"))
    assert_same(run, calm)


def test_kills_while_the_folder_is_made(graph: Path, tmp_path: Path) -> None:
    """Whatever a kill leaves of a new folder, `train` can begin there again or `resume` can go on."""
    output, loaded = tmp_path / "output", api.load(graph)
    recipe = api.recipe("default", loaded, **QUICK)
    whole = tmp_path / "whole"
    api.train(loaded, recipe, folder=whole)
    Run.create(loaded, recipe, tmp_path / "made")
    order = sorted((tmp_path / "made").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert order[-1].name == "recipe.toml"
    for count in range(len(order) + 1):
        run = tmp_path / f"cut{count}"
        run.mkdir()
        for path in order[:count]:
            shutil.copy(path, run)
        (run / f".{order[-1].name}.1.part").write_text("cut")
        again = Run.open(run) if count == len(order) else Run.create(loaded, recipe, run)
        for _ in again.train():
            pass
        assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
        assert not list(run.rglob("*.part"))
    assert not output.exists()


@pytest.mark.parametrize("step", [1, 7, 16, 95])
def test_resume_from_any_step(graph: Path, calm: Path, tmp_path: Path, step: int) -> None:
    loaded = api.load(graph)
    run = Run.create(loaded, api.recipe("default", loaded, **QUICK | EAGER), tmp_path / "run")
    for record in run.train():
        if record.step == step:
            break
    assert read_tensors(run.folder / "checkpoint" / "last.safetensors")[1]["step"] == step
    api.resume(run.folder)
    assert_same(run.folder, calm)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "'adam'", "model": "'distmult'", "train.inverses": "false"},
        {"optimizer": "{name='adam', lazy=true}", "noise": "{name='uniform', num=4}", "penalty": "[]"},
        {"optimizer": "'sgd'", "model": "'tucker'", "dropout.entity": 0.2, "schedule": "'plateau'"},
        {"model": "'rotate'", "objective": "'self-adversarial'", "noise": "{name='uniform', num=4}", "penalty": "[]"},
        {"objective": "'bce'", "penalty": "[{name='table-lp', entity=0.01}]"},
    ],
    ids=["adam", "lazy adam", "sgd tucker", "rotate", "bce"],
)
def test_resume_of_other_recipes(falsum: Command, graph: Path, tmp_path: Path, settings: dict[str, object]) -> None:
    chosen = {"validation.every": 2, "train.epochs": 6, "checkpoint_minutes": 1e-9, **settings}
    falsum.ok("train", graph, *SETS, *sets(chosen), "--run", tmp_path / "calm")
    run = Run.create(api.load(graph), Run.open(tmp_path / "calm").recipe, tmp_path / "run")
    for record in run.train():
        if record.step == 10:
            break
    falsum.ok("resume", run.folder)
    assert_same(run.folder, tmp_path / "calm")


def test_checkpoint_between_epoch_and_validation_logs_it_once(graph: Path, calm: Path, tmp_path: Path) -> None:
    """A kill after a validation was logged and before its checkpoint: it is made, and logged, again."""
    loaded = api.load(graph)
    run = Run.create(loaded, api.recipe("default", loaded, **QUICK | EAGER), tmp_path / "run")
    for record in run.train():
        if record.step == 16 and not record.metrics:
            before = (run.folder / "checkpoint" / "last.safetensors").read_bytes()
        if record.metrics:
            break
    (run.folder / "checkpoint" / "last.safetensors").write_bytes(before)
    assert run.history()[-1]["metrics"]
    api.resume(run.folder)
    assert_same(run.folder, calm)


def test_a_signal_while_a_record_is_shown_is_kept(graph: Path, calm: Path, tmp_path: Path) -> None:
    loaded = api.load(graph)
    run = Run.create(loaded, api.recipe("default", loaded, **QUICK | LONG), tmp_path / "run")

    def train_until_told() -> None:
        for record in run.train():
            if record.step == 5:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="falsum resume"):
        train_until_told()
    saved = read_tensors(run.folder / "checkpoint" / "last.safetensors")[1]["step"]
    assert saved == 6, "stopped without a checkpoint"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    api.resume(run.folder)
    assert_same(run.folder, calm)


def test_two_signals_stop_at_once(graph: Path, tmp_path: Path) -> None:
    loaded = api.load(graph)
    run = Run.create(loaded, api.recipe("default", loaded, **QUICK), tmp_path / "run")

    def train_under_fire() -> None:
        for _ in run.train():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_under_fire()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_two_processes_do_not_train_in_one_folder(falsum: Command, graph: Path, calm: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(tmp_path / "output", "train", graph, *SETS, *sets(LONG), "--run", run)
    wait_for_epochs(run, 1)
    os.kill(process.pid or 0, signal.SIGSTOP)
    outcome = falsum("resume", run)
    os.kill(process.pid or 0, signal.SIGCONT)
    assert f"Another process is training in {run}" in outcome.error
    assert finish(process) == 0
    assert_same(run, calm)


def test_relative_folder_and_another_working_directory(
    falsum: Command, graph: Path, calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    process = start(tmp_path / "output", "train", graph, *SETS, *sets(LONG), "--run", tmp_path / "run")
    wait_for_epochs(tmp_path / "run", 2)
    os.kill(process.pid or 0, signal.SIGTERM)
    finish(process)
    (tmp_path / "moved").mkdir()
    shutil.move(tmp_path / "run", tmp_path / "moved" / "run")
    monkeypatch.chdir(tmp_path / "moved")
    falsum.ok("resume", "run")
    falsum.ok("evaluate", "../moved/run")
    assert_same(Path("run"), calm)


# ------------------------------------------------------------------------------------------------------- divergence

EXPLODING = {"model": "'distmult'", "optimizer": "'sgd'", "optimizer.lr": 1e30, "penalty": "[]"}


def test_divergence_keeps_the_last_checkpoint(falsum: Command, graph: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    falsum.ok("train", graph, *SETS, "--set", "train.epochs=2", "--run", run)
    recipe, kept = Run.open(run).recipe, (run / "checkpoint" / "last.safetensors").read_bytes()
    weights = (run / "model.safetensors").read_bytes()
    wild = recipe.changed(**{"train.epochs": 9, "optimizer.lr": 1e38, "penalty.0.weight": 1e10})
    (run / "recipe.toml").write_text(wild.to_toml())
    message = falsum("resume", run).error
    assert "learning rate that is too high (now 1e+38)" in message
    assert "The last checkpoint before this is kept" in message
    assert (run / "checkpoint" / "last.safetensors").read_bytes() == kept
    assert (run / "model.safetensors").read_bytes() == weights
    mended = recipe.changed(**{"train.epochs": 4, "validation.patience": 0})
    (run / "recipe.toml").write_text(mended.to_toml())
    falsum.ok("resume", run)
    assert [line["epoch"] for line in Run.open(run).history() if line.get("metrics")] == [1, 2, 3, 4]


def test_divergence_with_sgd(falsum: Command, graph: Path, tmp_path: Path) -> None:
    message = falsum("train", graph, *SETS, *sets(EXPLODING), "--run", tmp_path / "run").error
    assert "at step " in message
    assert "too high (now 1e+30)" in message
    assert "lower optimizer.lr" in message
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert "stopped before its first weights" in falsum("evaluate", tmp_path / "run").error


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path, steps: int) -> None:
    """The loss of the last step may be finite where its update is not."""
    graph = api.load(write_graph(tmp_path / "g", train=facts(40)))
    settings = QUICK | {"model": "distmult", "optimizer": "sgd", "optimizer.lr": 1e38, "checkpoint_minutes": 1e-9}
    settings |= {"init.entity.std": 10.0, "init.relation.std": 10.0}
    recipe = api.recipe("default", graph, **settings | {"train.epochs": steps, "train.batch_size": 40, "penalty": []})
    with pytest.raises(Diverged):
        api.train(graph, recipe, folder=tmp_path / "run")
    for path in (tmp_path / "run").rglob("*.safetensors"):
        assert all(bool(torch.isfinite(tensor).all()) for tensor in read_tensors(path)[0].values())


# ------------------------------------------------------------------------------------------------------ what is kept


def test_the_folder_tells_everything(calm: Path, graph: Path) -> None:
    run, loaded = Run.open(calm), api.load(graph)
    wanted = api.recipe("default", loaded, **QUICK | LONG)
    assert run.recipe == wanted.changed(**{"train.precision": run.recipe.train.precision})
    assert run.graph.sha256 == loaded.sha256
    assert run.graph.entities.equals(loaded.entities)
    assert list(run.graph.splits) == list(loaded.splits)
    assert all(torch.equal(run.graph.splits[split], loaded.splits[split]) for split in loaded.splits)
    assert run.graph.notes == loaded.notes
    assert json.loads((calm / "environment.json").read_text())["threads"] == 1
    lines = run.history()
    assert [line["epoch"] for line in lines if not line.get("metrics") and not line.get("done")] == list(range(1, 25))
    best = max((line for line in lines if line.get("metrics")), key=lambda line: line["metrics"]["mrr"])
    _, about = read_tensors(calm / "model.safetensors")
    assert (about["epoch"], about["metrics"]) == (best["epoch"], best["metrics"])
    valid = run.evaluate("valid").metrics()
    assert valid["mrr"] == pytest.approx(best["metrics"]["mrr"], abs=1e-12)


def test_nothing_in_the_folder_is_a_pickle(calm: Path) -> None:
    for path in calm.rglob("*"):
        assert path.is_dir() or path.suffix in {".toml", ".json", ".jsonl", ".parquet", ".safetensors"}
