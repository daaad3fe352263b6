"""Commands that make, continue and question runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from falsum import api, recipes
from falsum.cli import tables
from falsum.cli.console import (
    GraphName,
    ReadOptions,
    RunFolder,
    Settings,
    app,
    evaluate_run,
    finish,
    fresh_folder,
    load_graph,
    out,
    read_options,
    show,
)
from falsum.cli.tables import frame_table
from falsum.errors import UserError
from falsum.evaluation import slices
from falsum.evaluation.protocol import PROTOCOLS
from falsum.graph import load
from falsum.recipe.settings import Recipe
from falsum.recipe.text import parse_setting
from falsum.report.summary import evaluation_line
from falsum.run.run import Run


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Option("--run", help="Run folder; default runs/demo-TIME.")] = None,
) -> None:
    """Train on the bundled graph, evaluate, answer a question and write a report: a minute.

    Example: falsum demo
    """
    graph = load("world")
    out.print(f"The bundled graph: {len(graph.splits['train']):,} facts about {graph.num_entities:,} things.")
    run = Run.create(graph, recipes.recipe("default", graph), folder or fresh_folder("demo"))
    finish(run)
    out.print("\nWhat does the model think is spoken in Switzerland? (known facts marked)")
    show(frame_table(run.predict(head="Switzerland", relation="speaks", top_k=8)))
    _write_report(run)
    out.print(f"\nAsk more:  falsum predict {run.folder} --relation uses_currency --tail Euro", markup=False)


@app.command()
def train(
    graph: GraphName,
    recipe: Annotated[str, typer.Option(help="A recipe by name (see `falsum recipes`) or a .toml file.")] = "default",
    settings: Settings = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Start from the weights of this run, matched by label.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--run", help="Run folder; default runs/GRAPH-RECIPE-TIME.")] = None,
    read: ReadOptions = None,
) -> None:
    """Train a model and evaluate it.

    Example: falsum train world --recipe default --set train.epochs=20
    """
    loaded = load_graph(graph, **read_options(read))
    chosen: Recipe = api.recipe(recipe, loaded, **dict(parse_setting(text) for text in settings or []))
    if source is not None:
        chosen = chosen.changed(**{"pretraining.source": str(source.resolve())})
    run = Run.create(loaded, chosen, folder or fresh_folder(f"{loaded.name}-{chosen.name.replace('/', '-')}"))
    out.print(f"run folder: {run.folder}", markup=False)
    finish(run)


@app.command()
def resume(run: RunFolder) -> None:
    """Go on with an interrupted run, to the same bits as if it had never stopped.

    Example: falsum resume runs/world-default
    """
    finish(Run.open(run))


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
    intervals: Annotated[bool, typer.Option(help="95 % intervals over test questions.")] = False,
) -> None:
    """Rank a split exactly; with --protocol, also the way another library would, side by side.

    Example: falsum evaluate runs/world-default --protocol pykeen --by cardinality
    """
    opened = Run.open(run)
    for name, value, legal in (("--protocol", protocol, PROTOCOLS), ("--by", by, SLICES)):
        if value is not None and value not in legal:
            raise UserError(f"{name} {value!r} is not known; legal: {', '.join(legal)}.")
    ours = evaluate_run(opened, split, keep=False)
    show(*tables.evaluation(ours, intervals=intervals))
    if by is not None:
        show(frame_table(SLICES[by](slices.annotate(ours.frame, opened.graph)), title=f"by {by}"))
    if protocol not in (None, "falsum"):
        theirs = evaluate_run(opened, split, protocol, keep=False)
        show(tables.side_by_side(ours, theirs))
        out.print(f"{evaluation_line(theirs.card)}. {PROTOCOLS[protocol].why}.", markup=False)
    opened.keep(ours)


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
    show(frame_table(opened.predict(head=head, relation=relation, tail=tail, top_k=top_k, known=known)))


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
