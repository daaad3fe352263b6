"""The command line. The only file that prints."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from torch import OutOfMemoryError

from falsum import api, recipes, slices, tables
from falsum.errors import UserError
from falsum.graph import GRAPHS, Graph, inspect, load
from falsum.protocol import PROTOCOLS, Evaluation
from falsum.recipe import Recipe, parse_setting
from falsum.run import Interrupted, Run
from falsum.tables import frame_table, metrics_line, protocol_line
from falsum.training import Record

app = typer.Typer(
    help="Complete knowledge graphs. Start with: falsum demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
# No emoji: a label may hold ":cat:". No width where nobody looks: a label cut in two lines could not be searched for.
out = Console(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)

GraphName = Annotated[str, typer.Argument(help="A graph by name (world, fb15k-237, wn18rr ...), folder or file.")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder.")]
ReadOptions = Annotated[
    list[str] | None,
    typer.Option("--read", help="How to read the file where it is not clear: --read columns=head,relation,tail."),
]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Change a setting: --set model.dim=256. Repeatable.")]


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
        epochs = self.run.recipe.train.epochs
        speed = f"{record.triples_per_second:,.0f} triples/s" if record.triples_per_second else ""
        info = f"epoch {record.epoch}/{epochs}  loss {record.loss:.4f}  {speed}"
        self.progress.update(self.task, completed=record.step, total=epochs * record.steps_per_epoch, info=info)
        if record.metrics:
            star = " *" if record.best else ""
            where = f"epoch {record.epoch:4d}  {record.seconds:7.1f} s  loss {record.loss:.4f}"
            out.print(f"{where}  {metrics_line(record.metrics)}{star}")
        elif record.done:
            out.print(f"done after {record.seconds:.1f} s: {record.done}")
        elif not self.bar and time.monotonic() - self.last_line > 30:
            self.last_line = time.monotonic()
            left = record.seconds / max(1, record.step) * (epochs * record.steps_per_epoch - record.step)
            out.print(f"{info}  at most {left / 60:.0f} min left")


def _print(*parts: RenderableType) -> None:
    for part in parts:
        out.print(part)


def _train(run: Run) -> None:
    with Display(run) as display:
        for record in run.train():
            display.show(record)


def _evaluate(run: Run, split: str, protocol: str = "falsum") -> Evaluation:
    total = 2 * len(run.graph.splits.get(split, ()))
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
            split, protocol=protocol, progress=_with_eta(total, lambda n: bar.update(task, completed=n))
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
    "layout": str,
    "literals": str,
    "seed": int,
    "valid": float,
    "test": float,
}


def _read_options(texts: Sequence[str] | None) -> dict[str, Any]:
    options = {}
    for text in texts or []:
        key, _, value = text.partition("=")
        try:
            options[key] = READ[key](value)
        except (KeyError, ValueError):
            raise UserError(
                f"--read {text} is not understood. Legal keys: {', '.join(READ)}; for example --read "
                "columns=head,relation,tail --read separator=tab --read header=false --read seed=1."
            ) from None
    return options


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Option("--run", help="Run folder; default runs/demo-TIME.")] = None,
) -> None:
    """Train on the bundled graph, evaluate, answer a question and write a report: a minute.

    Example: falsum demo
    """
    graph = load("world")
    out.print(f"The bundled graph: {len(graph.splits['train']):,} facts about {graph.num_entities:,} things.")
    run = Run.create(graph, recipes.recipe("default", graph), folder or _fresh_folder("demo"))
    _finish(run)
    out.print("\nWhat does the model think is spoken in Switzerland? (known facts marked)")
    _print(frame_table(run.predict(head="Switzerland", relation="speaks", top_k=8)))
    _write_report(run)
    out.print(f"\nAsk more:  falsum predict {run.folder} --relation uses_currency --tail Euro", markup=False)


@app.command()
def train(
    graph: GraphName,
    recipe: Annotated[str, typer.Option(help="A recipe by name (see `falsum recipes`) or a .toml file.")] = "default",
    settings: Settings = None,
    folder: Annotated[Path | None, typer.Option("--run", help="Run folder; default runs/GRAPH-RECIPE-TIME.")] = None,
    read: ReadOptions = None,
) -> None:
    """Train a model and evaluate it.

    Example: falsum train world --recipe default --set train.epochs=20
    """
    loaded = _load(graph, **_read_options(read))
    chosen: Recipe = api.recipe(recipe, loaded, **dict(parse_setting(text) for text in settings or []))
    run = Run.create(loaded, chosen, folder or _fresh_folder(f"{loaded.name}-{chosen.name.replace('/', '-')}"))
    out.print(f"run folder: {run.folder}", markup=False)
    _finish(run)


def _load(name: str, **options: Any) -> Graph:
    """Load a graph and say how it was read; a download shows its progress."""
    hidden = not out.is_terminal
    with Progress(TextColumn("{task.description}"), BarColumn(), console=out, transient=True, disable=hidden) as bar:
        tasks: dict[str, Any] = {}

        def progress(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(escape(file), total=total)
                if hidden:
                    out.print(f"fetching {file}", markup=False)
            bar.update(tasks[file], completed=done, total=total)

        graph = load(name, progress=progress, **options)
    out.print(f"{graph.name}: {graph.source}", markup=False)
    for note in graph.notes:
        out.print(f"  note: {note}", markup=False)
    return graph


def _fresh_folder(name: str) -> Path:
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _finish(run: Run) -> None:
    _train(run)
    if len(run.graph.splits.get("test", ())):
        _print(*tables.evaluation(_evaluate(run, "test")))


@app.command()
def resume(run: RunFolder) -> None:
    """Go on with an interrupted run, to the same bits as if it had never stopped.

    Example: falsum resume runs/world-default
    """
    _finish(Run.open(run))


SLICES = {
    "relation": slices.by_relation,
    "cardinality": slices.by_cardinality,
    "direction": slices.by_direction,
    "frequency": slices.by_frequency,
    "side": slices.by_side,
}


@app.command()
def evaluate(
    run: RunFolder,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    protocol: Annotated[
        str | None, typer.Option(help=f"Also as: {', '.join(p for p in PROTOCOLS if p != 'falsum')}.")
    ] = None,
    by: Annotated[str | None, typer.Option(help=f"Slice by {', '.join(SLICES)}.")] = None,
    intervals: Annotated[bool, typer.Option(help="Percentile bootstrap intervals.")] = False,
) -> None:
    """Rank a split exactly; with --protocol, also the way another library would, side by side.

    Example: falsum evaluate runs/world-default --protocol pykeen --by cardinality
    """
    opened = Run.open(run)
    for name, value, legal in (("--protocol", protocol, PROTOCOLS), ("--by", by, SLICES)):
        if value is not None and value not in legal:
            raise UserError(f"{name} {value!r} is not known; legal: {', '.join(legal)}.")
    ours = _evaluate(opened, split)
    _print(*tables.evaluation(ours, intervals=intervals))
    if by is not None:
        _print(frame_table(SLICES[by](slices.annotate(ours.frame, opened.graph)), title=f"by {by}"))
    if protocol not in (None, "falsum"):
        theirs = _evaluate(opened, split, protocol)
        _print(tables.side_by_side(ours, theirs))
        out.print(
            f"{protocol_line(theirs.card)}; {theirs.card['dropped_triples']} triples dropped. "
            f"{PROTOCOLS[protocol].why}.",
            markup=False,
        )


@app.command()
def predict(
    run: RunFolder,
    head: Annotated[str | None, typer.Option(help="Label of the head.")] = None,
    relation: Annotated[str | None, typer.Option(help="Label of the relation.")] = None,
    tail: Annotated[str | None, typer.Option(help="Label of the tail.")] = None,
    top_k: Annotated[int, typer.Option("-k", help="How many answers.", min=1)] = 10,
    new_only: Annotated[bool, typer.Option("--new", help="Leave out facts that the graph already has.")] = False,
) -> None:
    """Answer a question by label: give two of head, relation and tail.

    Example: falsum predict runs/world-default --head Switzerland --relation speaks --new
    """
    opened = Run.open(run)
    known: Literal["mark", "drop"] = "drop" if new_only else "mark"
    _print(frame_table(opened.predict(head=head, relation=relation, tail=tail, top_k=top_k, known=known)))


@app.command()
def graph(
    name: Annotated[str | None, typer.Argument(help="A graph by name, folder or file; none lists the names.")] = None,
    read: ReadOptions = None,
) -> None:
    """What is in a graph, and what is odd about it: duplicates, leaks between splits, entities unseen in training.

    Example: falsum graph wn18rr
    """
    if name is None:
        for named in GRAPHS:
            out.print(f"{named.name:14s} {', '.join(named.aliases)}", markup=False)
        return
    _print(*tables.inspection(inspect(_load(name, **_read_options(read)))))


@app.command(name="recipes")
def show_recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to show as TOML; none lists the names.")] = None,
    on: Annotated[str, typer.Option(help="The graph that sizes follow.")] = "world",
) -> None:
    """List the recipes, or show one whole.

    Example: falsum recipes default --on wn18rr
    """
    if name is None:
        for each in recipes.names():
            out.print(each, markup=False)
        return
    out.print(recipes.recipe(name, load(on)).to_toml(), markup=False)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.")],
) -> None:
    """A Markdown table of runs, and one self-contained HTML page in each run folder.

    Example: falsum report runs/*
    """
    from falsum.report import compare_table

    opened = [Run.open(folder) for folder in runs]
    out.print(compare_table(opened), markup=False)
    for run in opened:
        _write_report(run)


def _write_report(run: Run) -> None:
    from falsum.report import write_page

    page = run.folder / "report.html"
    write_page(run, page)
    out.print(f"report: {page}", markup=False)


def main() -> None:
    """Run the command line; errors that the user can mend end with one paragraph and exit code 2."""
    try:
        app()
    except Interrupted as stop:
        err.print(str(stop), markup=False)
        sys.exit(130)
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'Standard output'}: {error.strerror or error}.")
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        _fail("There is not enough memory. Lower model.dim, train.batch_size or noise.num, or free some.")


def _fail(message: str) -> NoReturn:
    err.print(Text.assemble(("Error:", "bold red"), " ", message))
    with suppress(OSError):
        sys.stdout.flush()
        sys.exit(2)
    os._exit(2)  # a full disk behind stdout: Python would fail again when it flushes at its end


if __name__ == "__main__":
    main()
