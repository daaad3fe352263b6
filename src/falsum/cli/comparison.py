"""The command that compares losses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from falsum.cli.console import fresh_folder, load_graph, read_options
from falsum.cli.tables import frame_table
from falsum.cli.terminal import out, say, show
from falsum.comparison import Comparison, Standing, Study, chosen_pairs, parse_budget, write_page
from falsum.comparison.findings import differences_frame, losses_frame, notes
from falsum.errors import Interrupted, UserError
from falsum.evaluation.metrics import METRICS
from falsum.recipe.text import parse_setting
from falsum.report.page import missing_extra


def compare(
    graph: str,
    model: str,
    losses: str | None,
    preset: str | None,
    seeds: int,
    budget: str,
    tune: int,
    dim: int | None,
    settings: Sequence[str],
    folder: Path | None,
    read: Sequence[str],
) -> None:
    """Compare losses on equal terms, and say which differences are real. losses: names between commas."""
    pairs, spend = chosen_pairs(_names(losses), preset), parse_budget(budget)
    changes = dict(parse_setting(text) for text in settings) | ({} if dim is None else {"model.dim": dim})
    loaded = load_graph(graph, **read_options(read))
    place = folder or fresh_folder(f"compare-{loaded.name}-{model}")
    study = Study(loaded, model, pairs, seeds, spend, tune, place, changes)
    say(
        f"{study.num_runs} trainings of {spend} each: for each of {', '.join(study.losses)}, {len(study.tried)} to "
        f"choose the learning rate and {seeds} seeds to compare; folder {place}"
    )
    try:
        _train(study)
    except Interrupted:
        raise Interrupted(f"Stopped. Go on with the same command and --out {place}.") from None
    _tell(study.conclude(), place)


def _names(losses: str | None) -> list[str]:
    """The losses between commas; none where the option is not given. Raises UserError for an empty name."""
    names = [] if losses is None else [name.strip() for name in losses.split(",")]
    if "" in names:
        raise UserError(f"--losses takes names between commas, such as ns,sce; got {losses!r}, where one is empty.")
    return names


def _train(study: Study) -> None:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[info]}"))
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=study.num_runs, info="")
        for standing in study.train():
            bar.update(task, info=_where(standing))
            if standing.record is None:
                bar.advance(task)
                say(f"{_where(standing)}: {_result(standing)}")


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
        say(f"comparison.html, comparison.json and comparison.md in {folder}")
    else:
        say(f"comparison.json and comparison.md in {folder}; a page needs {lacks}")
