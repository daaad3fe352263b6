"""One run as one self-contained HTML page: no scripts, no other files, nothing fetched."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from falsum.errors import UserError
from falsum.evaluation import slices
from falsum.evaluation.metrics import metric_intervals, metrics, with_rank
from falsum.evaluation.questions import Interval
from falsum.files import write_text
from falsum.report.charts import Chart, Drawing, curves, hits_curve, svg
from falsum.report.examples import Example, examples
from falsum.report.summary import Summary, protocol_facts, recipe_facts, summarize
from falsum.run.contents import Result as Evaluated
from falsum.run.run import Run

EXTRAS = ("jinja2", "matplotlib")
NAMES = {"mrr": "MRR", "hits@1": "Hits@1", "hits@3": "Hits@3", "hits@10": "Hits@10", "mr": "MR", "amri": "AMRI"}
LEAST_COUNT = 5
MOST_RELATIONS = 1000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart and its title, drawn."""

    title: str
    svg: str


@dataclass(frozen=True, slots=True)
class Result:
    """An evaluation as the page shows it. Tables are rows of `slices` as mappings."""

    protocol: Sequence[tuple[str, str]]
    graph_sha256: str
    values: Mapping[str, float]
    intervals: Mapping[str, Interval]
    ties: Mapping[str, Mapping[str, float]]
    tie: str
    tied: int
    count: int
    macro: Mapping[str, float]
    hits: Figure
    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    relations_left_out: int


def write_page(run: Run, path: str | Path) -> Path:
    """Write the page of a run, whole or not at all; the path. A run without an evaluation says so on its page.

    Raises UserError when jinja2 or matplotlib is missing, or a file cannot be read or written.
    """
    require_extras()
    path = Path(path)
    write_text(path, render(run))
    return path


def missing_extra() -> str | None:
    """The first package that pages need, falsum does not, and is not installed."""
    for name in EXTRAS:
        try:
            importlib.import_module(name)
        except ImportError:
            return name
    return None


def require_extras() -> None:
    """Raises UserError that tells how to install what pages need and falsum does not."""
    if name := missing_extra():
        raise UserError(f"A report page needs {name}, which is not installed: pip install 'falsum[report]'.")


def render(run: Run) -> str:
    """The HTML of a run's page."""
    return rendered("report", "page.html.j2", context(run))


def rendered(part: str, template: str, values: Mapping[str, Any]) -> str:
    """A template of a part of falsum, filled. Templates of every part may include those of `report`."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader("falsum", place) for place in (part, "report")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "whole": "{:,}".format, "duration": duration, "svg": _trusted}
    return environment.get_template(template).render(**values)


def context(run: Run) -> dict[str, Any]:
    """Everything that the template shows."""
    evaluated, history, summary = run.kept().result, run.history(), summarize(run)
    annotated = slices.annotate(run.ranks(), run.graph) if evaluated else None
    return {
        "summary": summary,
        "headline": headline(summary),
        "names": NAMES,
        "graph": graph_facts(run),
        "recipe": recipe_facts(run.recipe),
        "recipe_toml": run.recipe.to_toml(),
        "environment": run.environment.model_dump(),
        "curves": [figure(chart) for chart in curves(history, run.recipe.validation.metric)],
        "ended": next((line["done"] for line in reversed(history) if line.get("done")), ""),
        "result": None if evaluated is None or annotated is None else result(evaluated, annotated),
        "examples": _examples(run, annotated),
        "least_count": LEAST_COUNT,
        "folder": str(run.folder),
    }


def headline(summary: Summary) -> str:
    """The run in a sentence."""
    return f"{summary.model} with {summary.dim} reals per entity, {summary.loss} loss, noise {summary.noise}"


def graph_facts(run: Run) -> list[tuple[str, str]]:
    """Name and counts of the graph."""
    graph = run.graph
    splits = [(f"{split} triples", f"{len(triples):,}") for split, triples in graph.splits.items()]
    counts = [("entities", f"{graph.num_entities:,}"), ("relations", f"{graph.num_base_relations:,}")]
    source = [("source", graph.source)] if graph.source else []
    return [("name", graph.name), *counts, *splits, *source, *(("note", note) for note in graph.notes)]


def result(evaluated: Evaluated, annotated: pl.DataFrame) -> Result:
    """The numbers of the page, from ranks annotated by `slices.annotate`."""
    card, tie = evaluated.protocol, evaluated.protocol.tie
    relations = slices.by_relation(annotated, tie).sort("count", descending=True, maintain_order=True)
    hardest, easiest = slices.extremes(relations, least=LEAST_COUNT)
    tables = {
        "side": slices.by_side(annotated, tie).sort("side", descending=True),
        "cardinality": slices.by_cardinality(annotated, tie).sort("cardinality", "side", descending=[False, True]),
        "direction": slices.by_direction(annotated, tie),
        "frequency": slices.by_frequency(annotated, tie),
        "relation": relations.head(MOST_RELATIONS),
        "hardest": hardest,
        "easiest": easiest,
    }
    rules = list(dict.fromkeys([tie, "optimistic", "realistic", "pessimistic"]))
    return Result(
        protocol=protocol_facts(card.model_dump()),
        graph_sha256=card.graph_sha256,
        values=metrics(annotated, tie),
        intervals=metric_intervals(annotated, tie, level=LEVEL),
        ties={rule: metrics(annotated, rule) for rule in rules},
        tie=tie,
        tied=len(annotated.filter(pl.col("equal") > 0)),
        count=len(annotated),
        macro=slices.macro_by_relation(annotated, tie),
        hits=figure(_hits(annotated)),
        tables={name: table.to_dicts() for name, table in tables.items()},
        relations_left_out=max(0, len(relations) - MOST_RELATIONS),
    )


def _hits(annotated: pl.DataFrame) -> Chart:
    ranked = with_rank(annotated)
    sides = [side for side in ("tail", "head") if side in ranked["side"]]
    return hits_curve({side: ranked.filter(pl.col("side") == side)["rank"].to_numpy() for side in sides})


def figure(chart: Drawing) -> Figure:
    return Figure(chart.title, svg(chart))


def _examples(run: Run, annotated: pl.DataFrame | None) -> list[Example]:
    weights = (run.folder / "model.safetensors").exists()
    return examples(run, annotated) if annotated is not None and weights else []


def number(value: float, name: str = "mrr") -> str:
    """A metric as people read it: mean ranks with one decimal, shares with three, "–" where there is none."""
    if value != value:
        return "–"
    return f"{value:,.1f}" if name == "mr" else f"{value:.3f}"


def duration(seconds: float) -> str:
    """Seconds in the units that people read: "8.1 s", "2 min 5 s", "3 h 20 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _trusted(drawing: str) -> Any:
    from markupsafe import Markup

    return Markup(drawing)
