"""Markdown tables, and runs side by side in one that never leaves without its protocol."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

import polars as pl

from falsum.evaluation.metrics import METRICS
from falsum.report.summary import HASH_LENGTH, Summary, protocol_line, summarize
from falsum.run.run import Run

SHOWN = (*METRICS, "mr")
TEXT_COLUMNS = ("run", "graph", "model", "loss", "noise")
MARKS = "abcdefghijklmnopqrstuvwxyz"


def markdown_table(names: Sequence[str], rows: Iterable[Sequence[object]], numbers: Collection[str]) -> str:
    """A Markdown table, the columns `numbers` to the right. None is an empty cell, a float has four decimals."""
    rule = ["---:" if name in numbers else "---" for name in names]
    lines = (names, rule, *([_cell(value) for value in row] for row in rows))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_frame(frame: pl.DataFrame, numbers: Collection[str]) -> str:
    """A frame as `markdown_table`."""
    return markdown_table(frame.columns, frame.iter_rows(), numbers)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def compare_table(runs: Sequence[Run]) -> str:
    """A Markdown table with one row per run, in their order, and under it the protocol and hash of each graph.

    Runs that were ranked under different rules get a protocol column. A run that was not evaluated, or whose
    evaluation is about other weights than it has now, has "-", and the notes say so.

    Raises UserError when a file of a run is damaged.
    """
    summaries = [summarize(run) for run in runs]
    lines = list(dict.fromkeys(protocol_line(s.card) for s in summaries if s.card))
    several = len(lines) > 1
    header = [*TEXT_COLUMNS, "dim", *SHOWN, "epochs", "train s", *(["protocol"] if several else [])]
    rows = [_row(summary, _graph_name(summary, summaries), lines, several) for summary in summaries]
    table = markdown_table(header, rows, set(header) - {*TEXT_COLUMNS, "protocol"})
    return f"{table}\n\n" + "\n".join(f"{note}  " for note in _notes(summaries, lines)).rstrip() + "\n"


def _row(summary: Summary, graph: str, lines: Sequence[str], several: bool) -> list[str]:
    values = summary.metrics or {}
    numbers = [_number(name, values.get(name)) for name in SHOWN]
    mark = _mark(lines.index(protocol_line(summary.card))) if summary.card else "-"
    texts = (summary.name, graph, summary.model, summary.loss, summary.noise)
    cells = [*map(_escape, texts), str(summary.dim), *numbers, str(summary.epochs), f"{summary.seconds:.0f}"]
    return [*cells, mark] if several else cells


def _number(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if name == "mr" else f"{value:.4f}"


def _graph_name(summary: Summary, summaries: Sequence[Summary]) -> str:
    """The name, with the start of the hash where two graphs share it."""
    shared = any(s.graph == summary.graph and s.graph_sha256 != summary.graph_sha256 for s in summaries)
    return f"{summary.graph}@{summary.graph_sha256[:HASH_LENGTH]}" if shared else summary.graph


def _notes(summaries: Sequence[Summary], lines: Sequence[str]) -> list[str]:
    marks = [f"Protocol {_mark(place)}" for place in range(len(lines))] if len(lines) > 1 else ["Protocol"] * len(lines)
    notes = [f"{mark}: {line}." for mark, line in zip(marks, lines, strict=True)]
    graphs = dict.fromkeys((s.graph, s.graph_sha256) for s in summaries)
    notes += [f"Graph {_escape(name)}: SHA-256 {sha256}." for name, sha256 in graphs]
    if missing := [_escape(s.name) for s in summaries if s.card is None and not s.stale]:
        notes.append(f"Not evaluated: {', '.join(missing)}.")
    for summary in (s for s in summaries if s.stale):
        why = f"is out of date and not shown: {_escape(summary.stale)}. Evaluate it again"
        notes.append(f"The evaluation of {_escape(summary.name)} {why}.")
    return notes


def _mark(place: int) -> str:
    return MARKS[place] if place < len(MARKS) else str(place + 1)


def _escape(text: str) -> str:
    return re.sub(r"[\\|<*_`\[\]]", r"\\\g<0>", text).replace("\n", " ")
