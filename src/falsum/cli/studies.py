"""Commands that train many runs: published tables again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from falsum.cli.console import evaluate_run, load_graph, train_run
from falsum.cli.tables import frame_table
from falsum.cli.terminal import err, out, say, show
from falsum.errors import Interrupted, UserError
from falsum.evaluation.protocol import Evaluation
from falsum.recipe.text import parse_setting
from falsum.reproduce import EXPERIMENTS, Entry, Experiment, Task, experiment, finish, read, tasks
from falsum.reproduce import status as shown
from falsum.reproduce.runner import done
from falsum.run.run import Run
from falsum.training.loop import Diverged


def reproduce(
    name: str | None,
    cells: str,
    budget: float | None,
    seed: int,
    runs: Path,
    ledger: Path | None,
    settings: Sequence[str],
    *,
    again: bool,
    plan: bool,
) -> None:
    """Train the cells of an experiment that are not in its ledger yet. budget: minutes."""
    if name is None:
        raise UserError(f"Name an experiment: {', '.join(EXPERIMENTS)}. Or give --status.")
    chosen, file = experiment(name), ledger or default_ledger(name)
    planned = tasks(chosen, cells, seed, runs, dict(parse_setting(text) for text in settings))
    graph = cache(load_graph)
    show(frame_table(shown.plan(chosen, planned, read(file), graph), title=f"{chosen.title}, seed {seed}"))
    left = [task for task in planned if again or done(task, file) is None]
    out.print("Estimates count operations, validation left out, and may be wrong by a factor of two or three.")
    say(f"{len(left)} of {len(planned)} cells to run, into {runs}; ledger {file}")
    if not plan:
        _run_all(chosen, left, file, partial(finish, within=chosen, graph=graph, rank=_rank), budget)


def status(name: str | None, ledger: Path | None, *, markdown: bool) -> None:
    """Show the tables of an experiment, or of all, ours beside theirs."""
    for each in [name] if name else EXPERIMENTS:
        _status(experiment(each), ledger or default_ledger(each), markdown=markdown)


def default_ledger(experiment: str) -> Path:
    return Path("results") / f"{experiment}.csv"


def _train(run: Run, until: float) -> None:
    say(f"training in {run.folder}")
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
            say(str(error), err)
            continue
        theirs = "" if entry.paper_mrr is None else f" (paper {entry.paper_mrr:.3f})"
        say(f"{entry.cell}: mrr {entry.mrr:.4f}{theirs}, {entry.verdict}")
    if failed:
        raise UserError(f"Diverged: {', '.join(task.cell.name for task in failed)}.")


def _say_left(chosen: Experiment, left: list[Task]) -> None:
    names = ", ".join(shown.short(chosen, task.cell) for task in left)
    say(f"The budget is spent. The same command goes on; {len(left)} left: {names}.")


def _status(chosen: Experiment, ledger: Path, *, markdown: bool) -> None:
    for title, frame in shown.tables(chosen, read(ledger)):
        if markdown:
            out.print(f"**{title}**\n\n{shown.markdown(frame)}\n", markup=False)
        else:
            show(frame_table(frame, title=title))
