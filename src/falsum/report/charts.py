"""Charts as SVG strings that take their colours and font from the page they stand in."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Drawn in colours that nothing else has, then renamed to the page's: one chart serves light and dark.
COLORS = {
    "ink": ("#0a0a01", "var(--muted)"),
    "grid": ("#0a0a02", "var(--line)"),
    "first": ("#0a0a03", "var(--first)"),
    "second": ("#0a0a04", "var(--second)"),
    "third": ("#0a0a05", "var(--third)"),
}
ON_WHITE = {"ink": "#444", "grid": "#ddd", "first": "#2563ab", "second": "#c2571a", "third": "#3f7d3a"}
SERIES = ("first", "second", "third")
CLOUDS = (("ink", ".", 3), ("first", "x", 4), ("second", "D", 4))
SIZE_INCHES = (4.6, 2.7)
# So many values on a logarithmic axis are all marked; of more, the powers of ten.
FEW = 8


@dataclass(frozen=True, slots=True)
class Line:
    """A named curve: x and y of equal length. marked: the index of a point to point out, or None."""

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    marked: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A named point of a chart. of: what it belongs to; those of a line stand on it, small, in its colour."""

    name: str
    x: float
    y: float
    of: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over one axis, and what they show in words, for readers who do not see it.

    whole_x: x counts something, so that only whole numbers are marked. marks: single points with their names.
    """

    title: str
    x_label: str
    lines: Sequence[Line]
    log_x: bool = False
    from_zero: bool = False
    whole_x: bool = True
    words: str = field(default="")
    log_y: bool = False
    marks: Sequence[Mark] = ()
    y_label: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A named line of a dot chart: its value, single points around it, and up to two intervals, thick and thin."""

    name: str
    value: float
    points: Sequence[float] = ()
    intervals: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class DotChart:
    """Rows over one axis, first on top, and what they show in words. zero: whether to point out 0; at: a value too."""

    title: str
    x_label: str
    rows: Sequence[Row]
    zero: bool = False
    words: str = field(default="")
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Cloud:
    """Named points: x and y of equal length. A single one is drawn large."""

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray


@dataclass(frozen=True, slots=True)
class Scatter:
    """Clouds of points, at most three, the first in the background, and what they show in words.

    limits: the ends of both axes, so that charts side by side can be compared; None for those of the points.
    """

    title: str
    x_label: str
    y_label: str
    clouds: Sequence[Cloud]
    limits: tuple[tuple[float, float], tuple[float, float]] | None = None
    words: str = field(default="")


Drawing = Chart | DotChart | Scatter


def svg(chart: Drawing) -> str:
    """The chart as one `<svg>` element without ids shared with other charts, links or fonts. Needs matplotlib."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_style(chart.title)):
        width, height = SIZE_INCHES
        size = (width, 0.7 + 0.32 * len(chart.rows)) if isinstance(chart, DotChart) else (width, height)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        if isinstance(chart, Chart):
            _draw_lines(axes, chart)
        elif isinstance(chart, Scatter):
            _draw_clouds(axes, chart)
        else:
            _draw_rows(axes, chart)
        axes.set_xlabel(chart.x_label)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_axisbelow(True)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return _inline(out.getvalue(), chart)


def _draw_lines(axes: Any, chart: Chart) -> None:
    from matplotlib.ticker import MaxNLocator

    for color, line in zip(SERIES, chart.lines, strict=False):
        _draw(axes, line, COLORS[color][0])
    if chart.log_x:
        axes.set_xscale("log")
        known = sorted({float(x) for line in chart.lines for x in line.x})
        if len(known) <= FEW:
            axes.set_xticks(known)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter("")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6 if chart.marks else 10, integer=chart.whole_x))
    if chart.from_zero:
        axes.set_ylim(0, 1.08 * max(float(np.max(line.y)) for line in chart.lines) or 1)
    if chart.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    for mark in chart.marks:
        _draw_mark(axes, mark)
    axes.set_ylabel(chart.y_label)
    axes.grid(axis="y")
    if len(chart.lines) > 1 or chart.marks:
        axes.legend(frameon=False, loc="best")


def _draw_rows(axes: Any, chart: DotChart) -> None:
    from matplotlib.ticker import MaxNLocator

    ink, first, second = (COLORS[name][0] for name in ("ink", "first", "second"))
    for value in [0.0] * chart.zero + [chart.at] * (chart.at is not None):
        axes.axvline(value, color=ink, linewidth=1)
    for place, row in enumerate(chart.rows):
        for thickness, (low, high) in zip((4.5, 1.6), row.intervals, strict=False):
            axes.plot([low, high], [place, place], color=first, linewidth=thickness)
        axes.plot(row.points, [place] * len(row.points), "o", color=second, markersize=4)
        mark, color, size = ("o", second, 5) if row.intervals else ("|", first, 16)
        axes.plot([row.value], [place], mark, color=color, markersize=size)
    axes.set_yticks(range(len(chart.rows)), [row.name for row in chart.rows])
    axes.set_ylim(len(chart.rows) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x")


def _draw_clouds(axes: Any, chart: Scatter) -> None:
    # Shapes tell the clouds apart where colours do not.
    for cloud, (color, shape, size) in zip(chart.clouds, CLOUDS, strict=False):
        size = 7 if len(cloud.x) == 1 else size
        axes.plot(cloud.x, cloud.y, shape, color=COLORS[color][0], markersize=size, alpha=0.7, label=cloud.name)
    if chart.limits is not None:
        axes.set_xlim(*chart.limits[0])
        axes.set_ylim(*chart.limits[1])
    axes.set_ylabel(chart.y_label)
    axes.grid(axis="both")
    axes.legend(frameon=False, loc="best")


def _draw(axes: Any, line: Line, color: str) -> None:
    alone = len(line.x) == 1
    axes.plot(line.x, line.y, color=color, linewidth=1.8, label=line.name, marker="o" if alone else None, markersize=5)
    if line.marked is not None:
        at = line.marked
        axes.plot([line.x[at]], [line.y[at]], "o", color=color, markersize=6)
        right = line.x[at] > (line.x[0] + line.x[-1]) / 2
        axes.annotate(
            f"{line.y[at]:.3f}", (line.x[at], line.y[at]), (-6 if right else 6, -12), textcoords="offset points",
            ha="right" if right else "left", color=COLORS["ink"][0],
        )  # fmt: skip


def _draw_mark(axes: Any, mark: Mark) -> None:
    color, size, offset = ("first", 3.5, (4, -10)) if mark.of else ("third", 5.5, (-4, 5))
    axes.plot([mark.x], [mark.y], "o", color=COLORS[color][0], markersize=size)
    axes.annotate(
        mark.name, (mark.x, mark.y), offset, textcoords="offset points", color=COLORS["ink" if mark.of else color][0],
        fontsize=8 if mark.of else 10, ha="left" if mark.of else "right",
    )  # fmt: skip


def _style(salt: str) -> dict[Any, Any]:
    ink, grid = COLORS["ink"][0], COLORS["grid"][0]
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.edgecolor": grid,
        "axes.labelcolor": ink,
        "text.color": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "grid.color": grid,
        "grid.linewidth": 0.8,
    }


def _inline(document: str, chart: Drawing) -> str:
    """The drawing of an SVG document: no prologue, metadata, style, name space or idle id; page colours, a label."""
    drawing = document[document.index("<svg") :].strip()
    drawing = re.sub(r"<(metadata|style)\b.*?</\1>", "", drawing, flags=re.DOTALL)
    used = set(re.findall(r"#(\w+)", drawing))
    drawing = re.sub(r'\sid="([^"]*)"', lambda found: found[0] if found[1] in used else "", drawing)
    drawing = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", drawing)
    for drawn, shown in COLORS.values():
        drawing = drawing.replace(drawn, shown)
    words = _escaped(chart.words or chart.title)
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg \1 role="img" aria-label="{words}">', drawing, count=1)


def document(chart: Drawing, drawing: str = "") -> str:
    """The chart as an SVG file of its own: dark ink on white, its title above. drawing: its `svg`, if there already."""
    drawing = drawing or svg(chart)
    for name, color in ON_WHITE.items():
        drawing = drawing.replace(COLORS[name][1], color)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)
    assert box is not None
    width, height = float(box[1]), float(box[2])
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 -24 {width:g} {height + 24:g}" width="{2 * width:g}" font-family="sans-serif" role="img">\n'
        f"<title>{_escaped(chart.words or chart.title)}</title>\n"
        f'<rect y="-24" width="100%" height="100%" fill="white"/>\n'
        f'<text x="{width / 2:g}" y="-8" text-anchor="middle" font-size="12">{_escaped(chart.title)}</text>\n'
    )
    return head + drawing[drawing.index(">") + 1 :].rstrip() + "\n"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def curves(history: Sequence[Mapping[str, Any]], metric: str) -> list[Chart]:
    """Loss, validation metric and (where logged) learning rate over epochs, of the lines of metrics.jsonl."""
    charts = []
    losses = {line["epoch"]: line["loss"] for line in history if not line.get("done") and not line.get("metrics")}
    if losses:
        last = list(losses.values())[-1]
        words = f"Training loss over {len(losses)} epochs; it ends at {last:.4g}"
        charts.append(Chart("Training loss", "epoch", [Line("loss", *_columns(losses))], words=words))
    values = {line["epoch"]: line["metrics"][metric] for line in history if metric in line.get("metrics", {})}
    if values:
        best = int(np.argmax(list(values.values())))
        shown = metric.upper() if metric in ("mrr", "amri") else metric.capitalize()
        words = f"Validation {shown} over epochs; the best, {max(values.values()):.3f}, at epoch {list(values)[best]}"
        line = Line(metric, *_columns(values), marked=best)
        charts.append(Chart(f"Validation {shown}", "epoch", [line], from_zero=True, words=words))
    rates = {line["epoch"]: line["lr"] for line in history if line.get("lr")}
    if rates:
        charts.append(Chart("Learning rate", "epoch", [Line("lr", *_columns(rates))], from_zero=True))
    return charts


def _columns(points: Mapping[float, float]) -> tuple[list[float], list[float]]:
    return list(points), list(points.values())


def hits_curve(ranks: Mapping[str, np.ndarray]) -> Chart:
    """Share of answers with rank <= k, k from 1 on, one curve per side. ranks: side -> (m,) ranks."""
    most = max((float(r.max()) for r in ranks.values() if len(r)), default=1.0)
    at = np.unique(np.geomspace(1, max(most, 10), 120).round())
    lines = [
        Line(side, at, np.searchsorted(np.sort(r), at, side="right") / max(len(r), 1)) for side, r in ranks.items()
    ]
    words = "Share of answers found among the first k, by side"
    return Chart("Hits among the first k", "k", lines, log_x=True, from_zero=True, words=words)
