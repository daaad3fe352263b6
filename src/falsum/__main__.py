"""The command line. The only file that prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from falsum.errors import UserError
from falsum.graph import Graph, load
from falsum.metrics import Tie
from falsum.protocol import PROTOCOLS, Evaluation
from falsum.recipe import Recipe, parse_setting
from falsum.run import Run
from falsum.train import Record

app = typer.Typer(
    help="Complete knowledge graphs. Start with: falsum demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)

GraphName = Annotated[str, typer.Argument(help="A graph by name (world, fb15k-237, wn18rr ...), folder or file.")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Change a setting: --set model.dim=256. Repeatable.")]


class Display:
    """Progress for people: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, run: Run) -> None:
        self.run, self.bar = run, out.is_terminal
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[info]}"),
            console=out, transient=True, disable=not self.bar,
        )  # fmt: skip
        self.last_line = 0.0

    def __enter__(self) -> Display:
        self.progress.start()
        self.task = self.progress.add_task("training", total=None, info="")
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, record: Record) -> None:
        epochs = self.run.recipe.train.epochs
        speed = f"{record.triples_per_second:,.0f} triples/s" if record.triples_per_second else ""
        info = f"epoch {record.epoch}/{epochs}  loss {record.loss:.4f}  {speed}"
        self.progress.update(self.task, completed=record.step, total=epochs * record.steps_per_epoch, info=info)
        if record.metrics:
            star = " *" if record.best else ""
            line = f"epoch {record.epoch:4d}  {record.seconds:7.1f} s  loss {record.loss:.4f}  {numbers(record.metrics)}{star}"
            out.print(line)
        elif record.done:
            out.print(f"done after {record.seconds:.1f} s: {record.done}")
        elif not self.bar and time.monotonic() - self.last_line > 30:
            self.last_line = time.monotonic()
            left = record.seconds / max(1, record.step) * (epochs * record.steps_per_epoch - record.step)
            out.print(f"{info}  at most {left / 60:.0f} min left")


def numbers(metrics: dict[str, float]) -> str:
    """Metrics on one line."""
    return "  ".join(f"{name} {value:.4f}" if name != "mr" else f"mr {value:.0f}" for name, value in metrics.items())


def _train(run: Run) -> None:
    with Display(run) as display:
        for record in run.train():
            display.show(record)


def _evaluate(run: Run, split: str, protocol: str = "falsum") -> Evaluation:
    total = 2 * len(run.graph.splits.get(split, ()))
    with Progress(TextColumn("ranking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=total)
        return run.evaluate(split, protocol=protocol, progress=_with_eta(total, lambda n: bar.update(task, completed=n)))


def _with_eta(total: int, update: Callable[[int], None]) -> Callable[[int], None]:
    """Also say once how long a long evaluation will take, for those without a bar."""
    start, said = time.monotonic(), False

    def progress(done: int) -> None:
        nonlocal said
        update(done)
        left = (time.monotonic() - start) / done * (total - done)
        if not said and left > 20:
            said = True
            out.print(f"ranking {total:,} queries: about {left:.0f} s")

    return progress


def print_evaluation(result: Evaluation) -> None:
    """Metrics with all tie rules, and the protocol that they stand on."""
    table = Table(title=f"{result.card['graph']} / {result.card['split']}", title_justify="left")
    for column in ("ties", *result.metrics()):
        table.add_column(column, justify="left" if column == "ties" else "right")
    ties: Sequence[Tie] = ("realistic", "optimistic", "pessimistic")
    for tie in ties:
        values = result.metrics(tie)
        table.add_row(tie, *(f"{v:.4f}" if k != "mr" else f"{v:.1f}" for k, v in values.items()))
    out.print(table)
    out.print(protocol_line(result.card))


def protocol_line(card: dict[str, Any]) -> str:
    """A protocol card as one sentence."""
    filters = "+".join(card["filter_splits"]) or "nothing (raw)"
    return (
        f"protocol {card['name']}: {card['triples']} triples, sides {'+'.join(card['sides'])}, candidates "
        f"{card['candidates']}, filtered by {filters}, ties {card['tie']}, unseen entities {card['unseen']}, "
        f"graph sha256 {card['graph_sha256'][:12]}"
    )


@app.command()
def train(
    graph: GraphName,
    recipe: Annotated[str, typer.Option(help="A recipe by name (see `falsum recipes`) or a .toml file.")] = "default",
    settings: Settings = None,
    folder: Annotated[Path | None, typer.Option("--run", help="Run folder; default runs/GRAPH-RECIPE-TIME.")] = None,
) -> None:
    """Train a model and evaluate it.

    Example: falsum train world --recipe default --set train.epochs=20
    """
    from falsum.api import recipe as make_recipe

    loaded = load(graph)
    out.print(f"{loaded.name}: {loaded.source}")
    for note in loaded.notes:
        out.print(f"  note: {note}")
    chosen: Recipe = make_recipe(recipe, loaded, **dict(parse_setting(text) for text in settings or []))
    run = Run.create(loaded, chosen, folder or _fresh_folder(loaded, chosen))
    out.print(f"run folder: {run.folder}")
    _finish(run)


def _fresh_folder(graph: Graph, recipe: Recipe) -> Path:
    return Path("runs") / f"{graph.name}-{recipe.name.replace('/', '-')}-{time.strftime('%Y%m%d-%H%M%S')}"


def _finish(run: Run) -> None:
    _train(run)
    if len(run.graph.splits.get("test", ())):
        print_evaluation(_evaluate(run, "test"))


@app.command()
def resume(run: RunFolder) -> None:
    """Go on with an interrupted run, to the same bits as if it had never stopped.

    Example: falsum resume runs/world-default
    """
    _finish(Run.open(run))


def main() -> None:
    """Run the command line; user errors end with one paragraph and exit code 2."""
    try:
        app()
    except UserError as error:
        err.print(f"[bold red]Error:[/] {str(error)}", soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
