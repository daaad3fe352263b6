"""Commands that look at what negative samplers draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from falsum.cli.console import fresh_folder, load_graph, read_options, train_run
from falsum.cli.tables import frame_table
from falsum.cli.terminal import out, say, show, visible
from falsum.graph import Graph
from falsum.probe import Finding, Probed, Study, all_chosen, chosen, write_page
from falsum.probe.findings import evidence, frames, notes
from falsum.probe.listed import Listing
from falsum.report.page import missing_extra
from falsum.run.run import Run


def probe(
    graph: str,
    noises: Sequence[str],
    run: Path | None,
    queries: int,
    draws: int,
    warm: int,
    redraws: int,
    seed: int,
    folder: Path | None,
    read: Sequence[str],
) -> None:
    """Measure noises under one frozen model. graph: of a graph, or a run folder, which is the model then."""
    _ = [chosen(text) for text in noises]  # what is misspelt need not wait for a graph
    loaded, opened = _opened(graph, run, read)
    wanted, left_out = all_chosen(noises, loaded)
    place = folder or fresh_folder(f"probe-{loaded.name}")
    study = Study(loaded, wanted, place, opened, queries, draws, warm, redraws, seed, tuple(left_out))
    if not study.reference.finished:
        say(f"no --run: training a small reference model in {study.reference.folder}")
        train_run(study.reference)
    found = study.conclude(_measured(study))
    _tell(found, place)


def _opened(graph: str, run: Path | None, read: Sequence[str]) -> tuple[Graph, Run | None]:
    """The graph, and the model where one is given: a run folder stands for both."""
    if run is None and (Path(graph) / "recipe.toml").exists():
        opened = Run.open(graph)
        return opened.graph, opened
    return load_graph(graph, **read_options(read)), None if run is None else Run.open(run)


def _measured(study: Study) -> list[Finding]:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[info]}"))
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=2 * len(study.noises), info="")
        found = []
        for each in study.measure():
            found.append(each)
            bar.update(task, advance=1, info=visible(each.noise))
    return found


def _tell(found: Probed, folder: Path) -> None:
    found.write(folder)
    for title, frame in frames(found).items():
        show(frame_table(frame, title=title))
    for each in found.findings:
        show(Text(f"{each.noise}, {each.side}: {' '.join(evidence(each))}"))
    show(*(Text(note) for note in notes(found)))
    if (lacks := missing_extra()) is None:
        write_page(found, folder / "probe.html")
        say(f"probe.html, probe.json and probe.md in {folder}")
    else:
        say(f"probe.json and probe.md in {folder}; a page needs {lacks}")


def negatives(
    graph: str,
    relation: str,
    head: str | None,
    tail: str | None,
    noises: Sequence[str],
    run: Path | None,
    num: int,
    warm: int,
    seed: int,
    read: Sequence[str],
) -> None:
    """Show the negatives of one question, a column per noise."""
    _ = [chosen(text) for text in noises]  # what is misspelt need not wait for a graph
    loaded, opened = _opened(graph, run, read)
    wanted, left_out = all_chosen(noises, loaded)
    listing = Listing(loaded, relation, head, tail, opened, num, warm, seed)
    asking = [noise.label for noise in wanted if opened is None and listing.needs_model(noise)]
    if asking:
        say(f"{', '.join(asking)}: no --run, so a small model is trained first")
    frame = listing.frame(wanted)
    table = Table(title=Text(visible(listing.words)), title_justify="left", title_style="bold")
    for noise in wanted:
        table.add_column(Text(visible(noise.label)), overflow="fold")
    for place in range(1, num + 1):
        cells = frame.filter(place=place).select("label", "mark", "score_percentile").rows()
        table.add_row(*(_cell(*cell) for cell in cells))
    show(table)
    for note in left_out:
        say(note)
    if frame["score_percentile"].is_not_null().any():
        say("In brackets: the percentile of the score among entities that are no training answers.")


def _cell(label: str, mark: str, percentile: float | None) -> Text:
    """A negative with its marks: true answers stand out."""
    text = Text(visible(label))
    if percentile is not None:
        text.append(f" ({100 * percentile:.0f} %)", style="dim")
    if mark:
        text.append(f" {mark}", style="bold red" if "false" not in mark else "green")
    return text
