"""Trains a task to its end, ranks it as the paper did, and writes it down."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path

from falsum.evaluation.metrics import METRICS
from falsum.evaluation.protocol import Evaluation
from falsum.graph import Graph, load
from falsum.reproduce.checkout import commit
from falsum.reproduce.experiments import Experiment, experiment, verdict
from falsum.reproduce.ledger import Entry, append, best_valid, find, read
from falsum.reproduce.plan import Task, fingerprint
from falsum.run.run import Run


def _train(run: Run) -> None:
    for _ in run.train():
        pass


def _rank(run: Run) -> Evaluation:
    return run.evaluate("test")


def finish(
    task: Task,
    ledger: Path,
    within: Experiment | None = None,
    *,
    graph: Callable[[str], Graph] = load,
    train: Callable[[Run], None] = _train,
    rank: Callable[[Run], Evaluation] = _rank,
) -> Entry:
    """Train a task (or go on, or only rank what is trained) and append it to the ledger; what it starts from first.

    within: the experiment of the cell, by default the one that its name begins with. graph, train, rank: how to load,
    train and rank; a train that raises `errors.Interrupted` stops everything, and nothing is lost.

    Raises UserError when a folder holds another run, and as training and ranking do.
    """
    within = within or experiment(task.cell.name.split("/")[0])
    before = task.source(within)
    if before is not None:
        source = before.begun()
        if source is None or not source.finished:
            finish(before, ledger, within, graph=graph, train=train, rank=rank)
    run = open_run(task, before, graph)
    if not run.finished:
        train(run)
    entry = describe(task, run, rank(run))
    append(ledger, entry)
    return entry


def open_run(task: Task, before: Task | None, graph: Callable[[str], Graph]) -> Run:
    """The run of a task, begun where there is none. Raises UserError when its folder holds a run of another recipe."""
    run = task.begun()
    if run is not None:
        return run
    recipe = task.recipe
    if before is not None and recipe.pretraining is not None:
        recipe = recipe.changed(**{"pretraining.source": str(before.folder)})
    return Run.create(graph(task.cell.graph), recipe, task.folder)


def describe(task: Task, run: Run, result: Evaluation) -> Entry:
    """The ledger's line of a finished run.

    The paper's evaluation is that of LibKGE in 2020: both sides, every entity a candidate, every triple ranked,
    filtered by train, valid and test, ties at their mean rank rounded down. It differs from the protocol "falsum" in
    the rounding alone, so one ranking gives both. (LibKGE's later tolerance between scores is no part of it.)
    """
    paper, ours = result.metrics("rounded"), result.metrics()
    history = run.history()
    valid = best_valid(history)
    machine = run.environment.model_dump()
    return Entry.model_validate(
        {
            "cell": task.cell.name,
            "seed": task.seed,
            "settings": task.changes,
            **{metric: round(paper[metric], 5) for metric in METRICS},
            "mrr_falsum": round(ours["mrr"], 5),
            "valid_mrr": valid if valid is None else round(valid, 5),
            "paper_mrr": task.cell.published.get(("test", "mrr")),
            "paper_valid_mrr": task.cell.published.get(("valid", "mrr")),
            "verdict": _verdict(task, {"test": paper["mrr"], "valid": valid}),
            "epochs": history[-1]["epoch"],
            "seconds": round(history[-1]["seconds"], 1),
            **{key: machine[key] for key in ("threads", "processor", "device", "torch", "falsum")},
            "commit": commit(),
            "recipe_sha256": fingerprint(task.recipe),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
    )


def _verdict(task: Task, mrr: Mapping[str, float | None]) -> str:
    if task.settings:
        return "settings changed"
    split, published = task.cell.judged or ("test", None)
    found = mrr[split]
    if published is None or found is None:
        return ""
    return verdict(found, published, task.cell.band) + ("" if split == "test" else f" on {split}")


def done(task: Task, ledger: Path) -> Entry | None:
    """The latest line of the ledger about this recipe and seed."""
    return find(read(ledger), task.cell.name, fingerprint(task.recipe), task.seed)
