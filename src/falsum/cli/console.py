"""What commands share while they run: progress, and how a graph is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from falsum.cli import tables
from falsum.cli.tables import metrics_line
from falsum.cli.terminal import out, say, show
from falsum.errors import UserError
from falsum.evaluation.protocol import Evaluation
from falsum.graph import Graph, load
from falsum.run.run import Run
from falsum.training.loop import Record


class Display:
    """Progress for people: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, run: Run) -> None:
        self.run, self.bar = run, out.is_terminal
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[info]}"))
        self.progress = Progress(*columns, console=out, transient=True, disable=not self.bar)
        self.last_line = time.monotonic()

    def __enter__(self) -> Display:
        self.progress.start()
        self.task = self.progress.add_task("training", total=None, info="")
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, record: Record) -> None:
        total = self._steps(record)
        epochs = -(-total // record.steps_per_epoch)
        speed = f"{record.triples_per_second:,.0f} triples/s" if record.triples_per_second else ""
        info = f"epoch {record.epoch}/{epochs}  loss {record.loss:.4f}  {speed}"
        self.progress.update(self.task, completed=record.step, total=total, info=info)
        if record.metrics:
            star = " *" if record.best else ""
            own = "".join(f"  {name} {value:.4g}" for name, value in record.learned.items())
            where = f"epoch {record.epoch:4d}  {record.seconds:7.1f} s  loss {record.loss:.4f}{own}"
            out.print(f"{where}  {metrics_line(record.metrics)}{star}")
        elif record.done:
            out.print(f"done after {record.seconds:.1f} s: {record.done}")
        elif not self.bar and time.monotonic() - self.last_line > 30:
            self.last_line = time.monotonic()
            left = record.seconds / max(1, record.step) * (total - record.step)
            out.print(f"{info}  at most {left / 60:.0f} min left")

    def _steps(self, record: Record) -> int:
        """How many steps training has at most: of its epochs, or, at the pace so far, of its seconds."""
        train = self.run.recipe.train
        steps = train.epochs * record.steps_per_epoch
        if not train.seconds or not record.step_seconds:
            return steps
        return round(min(steps, max(record.step, record.step * (train.seconds / record.step_seconds))))


def train_run(run: Run, stop: Callable[[], bool] = lambda: False) -> None:
    if said := run.caution():
        out.print(said, markup=False)
    with Display(run) as display:
        for record in run.train(stop=stop):
            display.show(record)


def evaluate_run(
    run: Run, split: str, protocol: str = "falsum", *, keep: bool = True, graph: Graph | None = None
) -> Evaluation:
    """Rank a split, with its progress. keep: also write it; without, the caller shows it first and then keeps it, so
    that a folder that cannot be written loses nobody the numbers. graph: another one to ask about.
    """
    total = 2 * len((graph or run.graph).splits.get(split, ()))
    with Progress(
        TextColumn("ranking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=out,
        transient=True,
        disable=not out.is_terminal,
    ) as bar:
        task = bar.add_task("", total=total)
        return run.evaluate(
            split,
            protocol=protocol,
            progress=_with_eta(total, lambda n: bar.update(task, completed=n)),
            keep=keep,
            graph=graph,
        )


def _with_eta(total: int, update: Callable[[int], None]) -> Callable[[int], None]:
    """Also say once how long a long evaluation will take, for those without a bar."""
    start, said = time.monotonic(), False

    def progress(done: int) -> None:
        nonlocal said
        update(done)
        left = (time.monotonic() - start) / max(1, done) * (total - done)
        if not said and left > 20:
            said = True
            out.print(f"ranking {total:,} queries: about {left:.0f} s")

    return progress


# What --read may say: the keyword arguments of `falsum.load` and how their text is understood.
READ: dict[str, Callable[[str], Any]] = {
    "columns": lambda text: [name.strip() for name in text.split(",")],
    "separator": str,
    "header": lambda text: {"true": True, "false": False}[text.lower()],
    "truth": lambda text: False if text.lower() == "false" else text,
    "layout": str,
    "literals": str,
    "seed": int,
    "valid": float,
    "test": float,
}


def read_options(texts: Sequence[str] | None) -> dict[str, Any]:
    options = {}
    for text in texts or []:
        key, _, value = text.partition("=")
        try:
            if not value:
                raise ValueError(text)
            options[key] = READ[key](value)
        except (KeyError, ValueError):
            raise UserError(
                f"--read {text} is not understood. Legal keys: {', '.join(READ)}; for example --read "
                "columns=head,relation,tail --read separator=tab --read header=false --read seed=1."
            ) from None
    return options


def load_graph(name: str, **options: Any) -> Graph:
    """Load a graph and say how it was read; a download shows its progress."""
    hidden = not out.is_terminal
    with Progress(TextColumn("{task.description}"), BarColumn(), console=out, transient=True, disable=hidden) as bar:
        tasks: dict[str, Any] = {}

        def progress(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(escape(file), total=total)
                if hidden:
                    say(f"fetching {file}")
            bar.update(tasks[file], completed=done, total=total)

        graph = load(name, progress=progress, **options)
    say(f"{graph.name}: {graph.source}")
    for note in graph.notes:
        say(f"  note: {note}")
    return graph


def fresh_folder(name: str) -> Path:
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def finish(run: Run) -> None:
    """Train a run, what it starts from first, and evaluate it."""
    for stage in run.stages():
        if stage is not run and not stage.finished:
            say(f"pre-training in {stage.folder}")
        train_run(stage)
    if len(run.graph.splits.get("test", ())):
        result = evaluate_run(run, "test", keep=False)
        show(*tables.evaluation(result))
        run.keep(result)
