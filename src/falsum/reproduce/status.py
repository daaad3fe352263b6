"""Ours beside theirs: the tables of a paper with what the ledger has, and the plan before a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import polars as pl

from falsum.graph import Graph
from falsum.report.markdown import markdown_frame
from falsum.reproduce.cost import Pace, likely_pace, pace
from falsum.reproduce.experiments import Cell, Experiment, PaperTable, verdict
from falsum.reproduce.ledger import Entry, best_valid, find
from falsum.reproduce.plan import Task, fingerprint

NOT_RUN = "not run"


def tables(experiment: Experiment, entries: Sequence[Entry]) -> Iterator[tuple[str, pl.DataFrame]]:
    """(title, frame) of each table of the paper: our figures (means over seeds) beside the published ones."""
    own = {cell.name: unchanged(cell, entries) for cell in experiment.cells}
    for table in experiment.tables:
        rows = [_row(experiment, experiment.cell(name), own[name], table, entries) for name in table.cells]
        columns = [f"{metric} {whose}" for metric in table.metrics for whose in ("ours", "paper")]
        yield table.title, pl.DataFrame(rows, schema=["cell", *columns, "seeds", "verdict"], orient="row")


def unchanged(cell: Cell, entries: Iterable[Entry]) -> list[Entry]:
    """The latest line of each seed about the cell's own recipe."""
    sha = fingerprint(cell.recipe)
    return list({e.seed: e for e in entries if e.cell == cell.name and e.recipe_sha256 == sha}.values())


def _row(
    experiment: Experiment, cell: Cell, own: list[Entry], table: PaperTable, entries: Sequence[Entry]
) -> list[str | None]:
    cells: list[str | None] = [short(experiment, cell)]
    for metric in table.metrics:
        values = [value for e in own if (value := e.value(table.split, metric)) is not None]
        published = cell.published.get((table.split, metric))
        cells += [f"{fmean(values):.4f}" if values else None, None if published is None else f"{published:.3f}"]
    return [*cells, str(len(own)) if own else None, _verdict(cell, own, table, entries)]


def _verdict(cell: Cell, own: list[Entry], table: PaperTable, entries: Sequence[Entry]) -> str:
    """The verdict on the mean over seeds, on the split of the table."""
    if own:
        values = [value for e in own if (value := e.value(table.split, "mrr")) is not None]
        here = cell.published.get((table.split, "mrr"))
        return verdict(fmean(values), here, cell.band) if values and here is not None else ""
    others = sum(e.cell == cell.name for e in entries)
    return f"{NOT_RUN}; {others} with other settings" if others else NOT_RUN


def short(experiment: Experiment, cell: Cell) -> str:
    """The name of a cell without its experiment."""
    return cell.name.removeprefix(f"{experiment.name}/")


def plan(
    experiment: Experiment, planned: Sequence[Task], entries: Sequence[Entry], graph: Callable[[str], Graph]
) -> pl.DataFrame:
    """One row per task: what it must reach, what the ledger says, how far a begun run is, and what is left to pay.

    Raises UserError when a folder holds a run of another recipe: training would refuse it too.
    """
    rows = []
    for task in planned:
        sha = fingerprint(task.recipe)
        known = find(entries, task.cell.name, sha, task.seed)
        judged = task.cell.judged
        target = f"{judged[1]:.3f} ± {task.cell.band:.3f} on {judged[0]}" if judged else ""
        ledger = f"{known.mrr:.4f}, {known.verdict}" if known else ""
        begun = None if known else task.begun()
        so_far = begun and pace(begun)
        found = None if known else so_far or likely_pace(task.recipe, sha, graph(task.cell.graph), entries)
        history = begun.history() if begun else []
        left = task.recipe.train.epochs - (history[-1]["epoch"] if history else 0)
        rows.append([short(experiment, task.cell), target, ledger, _progress(history), *_price(found, left)])
    names = ["cell", "mrr to reach", "in the ledger", "begun", "s/epoch", "known from", "hours at most"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def _progress(history: Sequence[Mapping[str, Any]]) -> str:
    """The last epoch of a begun run, and its best MRR on validation."""
    if not history:
        return ""
    valid = best_valid(history)
    return f"epoch {history[-1]['epoch']}" + ("" if valid is None else f", {valid:.4f} on valid")


def _price(pace: Pace | None, epochs: int) -> tuple[str, str, str]:
    if pace is None:
        return "", "", ""
    return f"{pace.seconds:.1f}", pace.known, f"{pace.seconds * epochs / 3600:.1f}"


def markdown(frame: pl.DataFrame) -> str:
    """A table of the paper or a plan as Markdown."""
    return markdown_frame(frame, set(frame.columns) - {"cell", "verdict"})
