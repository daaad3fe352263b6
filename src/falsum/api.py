"""The words of the command line as Python functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from falsum import probe as probes
from falsum.comparison import Comparison, Study, chosen_pairs, parse_budget, write_page
from falsum.graph import Graph, load
from falsum.probe.listed import Listing
from falsum.recipe.settings import Recipe, read_file
from falsum.recipes import recipe as named_recipe
from falsum.report.page import missing_extra
from falsum.run.run import Run


def recipe(name: str | Path, graph: Graph | str, /, **settings: Any) -> Recipe:
    """A recipe by name or TOML file, with dotted settings changed: recipe("default", graph, **{"model.dim": 64})."""
    return _recipe(name, _graph(graph), settings)


def train(graph: Graph | str, recipe: Recipe | str = "default", *, folder: str | Path, **settings: Any) -> Run:
    """Train a recipe on a graph into a new run folder, silently, and evaluate it on the test split if there is one.

    Raises UserError for bad input, training.Diverged when the loss becomes non-finite.
    """
    chosen = _graph(graph)
    return _finish(Run.create(chosen, _recipe(recipe, chosen, settings), folder))


def resume(folder: str | Path) -> Run:
    """Go on with an interrupted run to its end; a finished run is only evaluated again."""
    return _finish(Run.open(folder))


def open_run(folder: str | Path) -> Run:
    """An existing run."""
    return Run.open(folder)


def compare(
    graph: Graph | str,
    losses: Sequence[str] = (),
    *,
    folder: str | Path,
    preset: str | None = None,
    model: str = "complex",
    seeds: int = 5,
    budget: str = "30epochs",
    tune: int = 3,
    **settings: Any,
) -> Comparison:
    """Compare losses on equal terms, silently: see `falsum.comparison` and docs/comparison.md.

    Trains into `folder`, or goes on there; writes comparison.json, comparison.md, and comparison.html where matplotlib
    and jinja2 are installed. Raises UserError for bad input, training.Diverged when a chosen learning rate diverges.
    """
    study = Study(
        _graph(graph), model, chosen_pairs(losses, preset), seeds, parse_budget(budget), tune, Path(folder), settings
    )
    for _ in study.train():
        pass
    found = study.conclude()
    found.write(study.folder)
    if missing_extra() is None:
        write_page(found, study.folder / "comparison.html")
    return found


def probe(
    graph: Graph | str,
    noises: Sequence[str] = (),
    *,
    folder: str | Path,
    run: Run | None = None,
    queries: int = 512,
    draws: int = 512,
    warm: int = 20,
    redraws: int = 32,
    seed: int = 0,
) -> probes.Probed:
    """Measure what noises draw, silently: see `falsum.probe.study` and docs/probe.md.

    noises: texts such as "best-of:of=8"; all that fit where there are none. run: the frozen model that looks at the
    negatives; without one a small model is trained in `folder`. Writes probe.json, probe.md, and probe.html where
    matplotlib and jinja2 are installed. Raises UserError for bad input.
    """
    loaded = _graph(graph)
    chosen, left_out = probes.all_chosen(noises, loaded)
    numbers = {"queries": queries, "draws": draws, "warm": warm, "redraws": redraws, "seed": seed}
    study = probes.Study(loaded, chosen, Path(folder), run, **numbers, notes=tuple(left_out))
    for _ in study.reference.train() if not study.reference.finished else ():
        pass
    found = study.conclude(list(study.measure()))
    found.write(study.folder)
    if missing_extra() is None:
        probes.write_page(found, study.folder / "probe.html")
    return found


def negatives(
    graph: Graph | str,
    noises: Sequence[str] = (),
    *,
    relation: str,
    head: str | None = None,
    tail: str | None = None,
    run: Run | None = None,
    num: int = 10,
    warm: int = 20,
    seed: int = 0,
) -> pl.DataFrame:
    """The negatives of one training question by label: see `falsum.probe.listed.Listing.frame`.

    Give head for negative tails, or tail for negative heads. Raises UserError for bad input.
    """
    loaded = _graph(graph)
    chosen, _ = probes.all_chosen(noises, loaded)
    return Listing(loaded, relation, head, tail, run, num, warm, seed).frame(chosen)


def _finish(run: Run) -> Run:
    for stage in run.stages():
        for _ in stage.train():
            pass
    if len(run.graph.splits.get("test", ())):
        run.evaluate("test")
    return run


def _recipe(given: Recipe | str | Path, graph: Graph, settings: dict[str, Any]) -> Recipe:
    if isinstance(given, Recipe):
        base = given
    elif str(given).endswith(".toml"):
        base = read_file(Path(given))
    else:
        base = named_recipe(str(given), graph)
    return base.changed(**settings) if settings else base


def _graph(graph: Graph | str) -> Graph:
    return graph if isinstance(graph, Graph) else load(graph)
