"""What the command line shows, as rich tables and lines of text; nothing here prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from falsum.cli.terminal import visible
from falsum.evaluation.metrics import Tie, metric_intervals
from falsum.evaluation.protocol import Evaluation
from falsum.graph import Inspection
from falsum.report.summary import evaluation_line


def frame_table(frame: pl.DataFrame, title: str = "") -> Table:
    """A frame as a table; labels are shown as they are, but cannot command the terminal or break their line."""
    table = Table(title=Text(visible(title)) if title else None, title_justify="left", title_style="bold")
    for name, dtype in frame.schema.items():
        table.add_column(Text(visible(name)), justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*(Text(visible(_cell(value))) for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def metrics_line(metrics: dict[str, float]) -> str:
    """Metrics on one line."""
    return "  ".join(f"{name} {value:.4f}" if name != "mr" else f"mr {value:.0f}" for name, value in metrics.items())


def evaluation(result: Evaluation, *, intervals: bool = False) -> Iterator[RenderableType]:
    """Metrics under each tie rule, intervals on request, and the protocol that they stand on."""
    ties: Sequence[Tie] = ("realistic", "optimistic", "pessimistic")
    rows = [{"ties": tie, **result.metrics(tie)} for tie in ties]
    yield frame_table(pl.DataFrame(rows), title=f"{result.card['graph']} / {result.card['split']}")
    if intervals:
        bounds = metric_intervals(result.frame, result.card["tie"])
        yield Text("95 %: " + "  ".join(f"{name} [{i.low:.4f}, {i.high:.4f}]" for name, i in bounds.items()))
    yield Text(evaluation_line(result.card))


def side_by_side(ours: Evaluation, theirs: Evaluation) -> Table:
    """The metrics of two protocols on the same weights, and their differences."""
    a, b, name = ours.metrics(), theirs.metrics(), theirs.card["name"]
    rows = [{"metric": k, ours.card["name"]: a[k], name: b[k], "difference": b[k] - a[k]} for k in a]
    return frame_table(pl.DataFrame(rows), title=f"the same weights under {name}")


def inspection(found: Inspection) -> Iterator[RenderableType]:
    """An inspection as tables."""
    yield Text(f"{found.num_entities:,} entities, {found.num_relations:,} relations, sha256 {found.sha256[:16]}")
    splits = [
        {
            "split": split,
            "triples": count,
            "duplicates": found.duplicates[split],
            "unseen entities": found.unseen_entities.get(split, 0),
            "triples with them": found.unseen_triples.get(split, 0),
            "revealed by train": found.revealed.get(split, 0),
        }
        for split, count in found.triples.items()
    ]
    yield frame_table(pl.DataFrame(splits))
    if found.false:
        stated = ", ".join(f"{split} {count:,}" for split, count in found.false.items())
        yield Text(f"stated false: {stated}; {found.false_entities:,} entities in false triples alone")
    if found.contradictions:
        some = "; ".join(" ".join(triple) for triple in found.contradictions[:3])
        yield Text(f"{len(found.contradictions):,} triples are stated true and false: {some}", style="yellow")
    for (one, other), count in found.overlaps.items():
        if count:
            yield Text(f"{count:,} triples are in both {one} and {other}", style="yellow")
    unused = f"{found.unused_entities:,} entities and {found.unused_relations:,} relations in no triple"
    yield Text(f"{found.loops:,} loops, {unused}")
    relations = [
        (r.label, r.train, r.tails_per_head, r.heads_per_tail, r.cardinality)
        for r in sorted(found.relations, key=lambda r: -r.train)[:40]
    ]
    if relations:
        names = ["relation", "train", "tails/head", "heads/tail", "class"]
        yield frame_table(pl.DataFrame(relations, schema=names, orient="row"), title="relations (at most 40)")
    pairs = [(p.first, p.second, p.kind, p.shared, p.share_first, p.share_second) for p in found.pairs]
    if pairs:
        names = ["first", "second", "kind", "shared", "of first", "of second"]
        title = "relations that say nearly the same (test leakage)"
        yield frame_table(pl.DataFrame(pairs, schema=names, orient="row"), title=title)
