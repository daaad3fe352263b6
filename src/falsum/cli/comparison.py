"""The command that compares losses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from falsum.cli.console import GraphName, ReadOptions, Settings, app, fresh_folder, load_graph, out, read_options, show
from falsum.cli.tables import frame_table
from falsum.comparison import LOSSES, PRESETS, Comparison, Standing, Study, chosen_pairs, parse_budget, write_page
from falsum.comparison.budget import UNITS
from falsum.comparison.findings import differences_frame, losses_frame, notes
from falsum.comparison.losses import USUAL
from falsum.comparison.study import FACTORS
from falsum.evaluation.metrics import METRICS
from falsum.recipe.text import parse_setting
from falsum.report.page import missing_extra
from falsum.run.run import Interrupted


@app.command()
def compare(
    graph: GraphName,
    model: Annotated[str, typer.Option(help="The score model of all losses.")] = "complex",
    losses: Annotated[str, typer.Option(help=f"Of {', '.join(LOSSES)}; default {','.join(USUAL)}.")] = "",
    preset: Annotated[str | None, typer.Option(help=f"Pairs of losses by name: {', '.join(PRESETS)}.")] = None,
    seeds: Annotated[int, typer.Option(help="Models per loss; 5 or more tell apart much better than 3.")] = 5,
    budget: Annotated[
        str, typer.Option(help=f"What each training may spend: a number and one of {', '.join(UNITS)}.")
    ] = "30epochs",
    tune: Annotated[
        int, typer.Option(help=f"Learning rates to try for each loss, 1 to {len(FACTORS)}; each costs a training.")
    ] = 3,
    dim: Annotated[int | None, typer.Option(help="Reals per entity; by default the graph's size decides.")] = None,
    settings: Settings = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of all runs; default runs/compare-GRAPH-MODEL-TIME.")
    ] = None,
    read: ReadOptions = None,
) -> None:
    """Compare losses on equal terms, and say which differences are real.

    Every training has the same budget. For each loss, learning rates are tried once and chosen on the validation split.
    Models of several seeds are ranked on the test split. Differences come with intervals over queries, and over queries
    and seeds. epochs and steps are those of the optimizer, scores the (query, candidate) scores computed in training;
    s, min and h time the steps alone, not the validations. The same command with the same --out goes on where it
    stopped.

    Example: falsum compare umls --losses ns,sce --seeds 5 --budget 2000steps
    """
    pairs, spend = (
        chosen_pairs([name.strip() for name in losses.split(",") if name.strip()], preset),
        parse_budget(budget),
    )
    changes = dict(parse_setting(text) for text in settings or []) | ({} if dim is None else {"model.dim": dim})
    loaded = load_graph(graph, **read_options(read))
    place = folder or fresh_folder(f"compare-{loaded.name}-{model}")
    study = Study(loaded, model, pairs, seeds, spend, tune, place, changes)
    out.print(
        f"{study.num_runs} trainings of {spend} each: for each of {', '.join(study.losses)}, {len(study.tried)} to "
        f"choose the learning rate and {seeds} seeds to compare; folder {place}",
        markup=False,
    )
    try:
        _train(study)
    except Interrupted:
        raise Interrupted(f"Stopped. Go on with the same command and --out {place}.") from None
    _tell(study.conclude(), place)


def _train(study: Study) -> None:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[info]}"))
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=study.num_runs, info="")
        for standing in study.train():
            bar.update(task, info=_where(standing))
            if standing.record is None:
                bar.advance(task)
                out.print(f"{_where(standing)}: {_result(standing)}", markup=False)


def _where(standing: Standing) -> str:
    what = f"learning rate {standing.rate:g}" if standing.trial else f"seed {standing.seed}"
    at = standing.record
    return f"{standing.loss}, {what}" + (f", epoch {at.epoch}, {at.step_seconds:.0f} s" if at else "")


def _result(standing: Standing) -> str:
    history = standing.run.history()
    if not standing.run.finished:
        return "diverged"
    best = [f"validation MRR {line['metrics']['mrr']:.4f}" for line in history if line.get("best")]
    last = history[-1]
    return ", ".join([*best[-1:], f"{last['step']:,} steps in {last['step_seconds']:.1f} s"])


def _tell(found: Comparison, folder: Path) -> None:
    found.write(folder)
    show(frame_table(losses_frame(found), title="test split, means over seeds"))
    for metric in METRICS:
        show(frame_table(differences_frame(found, metric), title=f"differences in {metric}"))
    show(*(Text(note) for note in notes(found)))
    if (lacks := missing_extra()) is None:
        write_page(found, folder / "comparison.html")
        out.print(f"comparison.html, comparison.json and comparison.md in {folder}", markup=False)
    else:
        out.print(f"comparison.json and comparison.md in {folder}; a page needs {lacks}", markup=False)
