"""Commands that make, continue and question runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from falsum import api, recipes
from falsum.cli import tables
from falsum.cli.console import evaluate_run, finish, fresh_folder, load_graph, read_options
from falsum.cli.tables import frame_table
from falsum.cli.terminal import out, say, show
from falsum.errors import UserError
from falsum.evaluation import slices
from falsum.evaluation.protocol import PROTOCOLS
from falsum.graph import load
from falsum.recipe.memory import told
from falsum.recipe.settings import Recipe
from falsum.recipe.text import parse_setting
from falsum.report import compare_table, write_page
from falsum.report.summary import evaluation_line
from falsum.run.run import Run


def demo(folder: Path | None) -> None:
    graph = load("world")
    out.print(f"The bundled graph: {len(graph.splits['train']):,} facts about {graph.num_entities:,} things.")
    run = Run.create(graph, recipes.recipe("default", graph), folder or fresh_folder("demo"))
    finish(run)
    out.print("\nWhat does the model think is spoken in Switzerland? (known facts marked)")
    show(frame_table(run.predict(head="Switzerland", relation="speaks", top_k=8)))
    _write_report(run)
    out.print()
    say(f"Ask more:  falsum predict {run.folder} --relation uses_currency --tail Euro")


def train(
    graph: str, recipe: str, settings: Sequence[str], source: Path | None, folder: Path | None, read: Sequence[str]
) -> None:
    loaded = load_graph(graph, **read_options(read))
    chosen: Recipe = api.recipe(recipe, loaded, **dict(parse_setting(text) for text in settings))
    if source is not None:
        chosen = chosen.changed(**{"pretraining.source": str(source.resolve())})
    run = Run.create(loaded, chosen, folder or fresh_folder(f"{loaded.name}-{chosen.name.replace('/', '-')}"))
    say(f"run folder: {run.folder}")
    say(f"planned memory: {told(run.planned)}")
    finish(run)


def resume(run: Path) -> None:
    finish(Run.open(run))


SLICES = {
    "relation": slices.by_relation,
    "cardinality": slices.by_cardinality,
    "direction": slices.by_direction,
    "frequency": slices.by_frequency,
    "side": slices.by_side,
}


def evaluate(
    run: Path, split: str, protocol: str | None, by: str | None, graph: str | None, *, intervals: bool
) -> None:
    """Rank, show and keep. graph: the name of another one to ask about, of which nothing is kept."""
    opened = Run.open(run)
    other = None if graph is None else load_graph(graph)
    for name, value, legal in (("--protocol", protocol, PROTOCOLS), ("--by", by, SLICES)):
        if value is not None and value not in legal:
            raise UserError(f"{name} {value!r} is not known; legal: {', '.join(legal)}.")
    ours = evaluate_run(opened, split, keep=False, graph=other)
    show(*tables.evaluation(ours, intervals=intervals))
    if by is not None:
        show(frame_table(SLICES[by](slices.annotate(ours.frame, other or opened.graph)), title=f"by {by}"))
    if protocol not in (None, "falsum"):
        theirs = evaluate_run(opened, split, protocol, keep=False, graph=other)
        show(tables.side_by_side(ours, theirs))
        say(f"{evaluation_line(theirs.card)}. {PROTOCOLS[protocol].why}.")
    if other is None:
        opened.keep(ours)


def predict(
    run: Path,
    head: str | None,
    relation: str | None,
    tail: str | None,
    top_k: int,
    graph: str | None,
    *,
    new_only: bool,
) -> None:
    opened = Run.open(run)
    known: Literal["mark", "drop"] = "drop" if new_only else "mark"
    other = None if graph is None else load_graph(graph)
    show(frame_table(opened.predict(head=head, relation=relation, tail=tail, top_k=top_k, known=known, graph=other)))


def report(runs: Sequence[Path]) -> None:
    opened = [Run.open(folder) for folder in runs]
    out.print(compare_table(opened), markup=False)
    for run in opened:
        _write_report(run)


def _write_report(run: Run) -> None:
    page = run.folder / "report.html"
    write_page(run, page)
    say(f"report: {page}")
