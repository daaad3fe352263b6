"""Commands that train many runs: published tables again."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Annotated

import typer

from falsum.cli.console import Settings, app, err, evaluate_run, load_graph, out, show, train_run
from falsum.cli.tables import frame_table
from falsum.errors import UserError
from falsum.evaluation.protocol import Evaluation
from falsum.recipe.text import parse_setting
from falsum.reproduce import EXPERIMENTS, Entry, Experiment, Task, experiment, finish, read, tasks
from falsum.reproduce import status as shown
from falsum.reproduce.runner import done
from falsum.run.run import Interrupted, Run
from falsum.training.loop import Diverged


@app.command()
def reproduce(
    name: Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help=f"{', '.join(EXPERIMENTS)}.")] = None,
    cells: Annotated[str, typer.Option(help="A glob of cells: 'wn18rr/complex/*'.")] = "*",
    budget: Annotated[float | None, typer.Option(help="Minutes after which to stop; go on later.", min=0)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the runs.")] = 0,
    runs: Annotated[Path, typer.Option(help="Folder of the run folders.")] = Path("runs"),
    ledger: Annotated[Path | None, typer.Option(help="CSV file; default results/EXPERIMENT.csv.")] = None,
    settings: Settings = None,
    again: Annotated[bool, typer.Option("--again", help="Also cells that are in the ledger.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be run.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Only show the paper's tables, ours beside theirs.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The tables of --status as Markdown.")] = False,
) -> None:
    """Train the cells of a published table, one after another, and hold them against it in a ledger.

    What is in the ledger with this recipe and seed is left out. What was interrupted goes on.

    Example: falsum reproduce kamigaito2021 --cells 'wn18rr/complex/sce*' --budget 60
    """
    if status:
        for each in [name] if name else EXPERIMENTS:
            _status(experiment(each), ledger or default_ledger(each), markdown=markdown)
        return
    if name is None:
        raise UserError(f"Name an experiment: {', '.join(EXPERIMENTS)}. Or give --status.")
    chosen, file = experiment(name), ledger or default_ledger(name)
    planned = tasks(chosen, cells, seed, runs, dict(parse_setting(text) for text in settings or []))
    graph = cache(load_graph)
    show(frame_table(shown.plan(chosen, planned, read(file), graph), title=f"{chosen.title}, seed {seed}"))
    left = [task for task in planned if again or done(task, file) is None]
    out.print("Estimates count operations, validation left out, and may be wrong by a factor of two or three.")
    out.print(f"{len(left)} of {len(planned)} cells to run, into {runs}; ledger {file}", markup=False)
    if not plan:
        _run_all(chosen, left, file, partial(finish, within=chosen, graph=graph, rank=_rank), budget)


def default_ledger(experiment: str) -> Path:
    return Path("results") / f"{experiment}.csv"


def _train(run: Run, until: float) -> None:
    out.print(f"training in {run.folder}", markup=False)
    train_run(run, stop=lambda: time.monotonic() >= until)


def _rank(run: Run) -> Evaluation:
    return evaluate_run(run, "test")


def _run_all(
    chosen: Experiment, left: list[Task], ledger: Path, finish_one: Callable[..., Entry], budget: float | None
) -> None:
    """Every task until the budget is spent. A run that diverges does not keep the others from their turn."""
    until = float("inf") if budget is None else time.monotonic() + 60 * budget
    failed = []
    for place, task in enumerate(left):
        if time.monotonic() >= until:
            _say_left(chosen, left[place:])
            break
        try:
            entry = finish_one(task, ledger, train=partial(_train, until=until))
        except Interrupted:
            if time.monotonic() < until:  # Ctrl-C
                raise
            _say_left(chosen, left[place:])
            break
        except Diverged as error:
            failed.append(task)
            err.print(str(error), markup=False)
            continue
        theirs = "" if entry.paper_mrr is None else f" (paper {entry.paper_mrr:.3f})"
        out.print(f"{entry.cell}: mrr {entry.mrr:.4f}{theirs}, {entry.verdict}", markup=False)
    if failed:
        raise UserError(f"Diverged: {', '.join(task.cell.name for task in failed)}.")


def _say_left(chosen: Experiment, left: list[Task]) -> None:
    names = ", ".join(shown.short(chosen, task.cell) for task in left)
    out.print(f"The budget is spent. The same command goes on; {len(left)} left: {names}.", markup=False)


def _status(chosen: Experiment, ledger: Path, *, markdown: bool) -> None:
    for title, frame in shown.tables(chosen, read(ledger)):
        if markdown:
            out.print(f"**{title}**\n\n{shown.markdown(frame)}\n", markup=False)
        else:
            show(frame_table(frame, title=title))
