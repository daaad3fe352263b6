"""A probe as one self-contained HTML page: no scripts, no other files, nothing fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from falsum.files import write_text
from falsum.probe.estimates import Estimate
from falsum.probe.findings import Finding, Probed, evidence, frames, notes
from falsum.report.charts import Chart, DotChart, Line, Mark, Row
from falsum.report.page import figure, rendered, require_extras
from falsum.report.summary import part_text

# Where on the logarithmic axis of a frontier a noise stands that drew no held-out truth.
NONE_DRAWN = 0.1
# Which points of the null curve bear their M.
MARKED = (1, 2, 4, 8, 16, 32)


def write_page(found: Probed, path: Path) -> Path:
    """Write the page, whole or not at all; the path. Raises UserError when jinja2 or matplotlib is missing."""
    require_extras()
    write_text(path, rendered("probe", "probe.html.j2", context(found)))
    return path


def context(found: Probed) -> dict[str, Any]:
    """Everything that the template shows."""
    return {
        "setup": found.setup,
        "labels": list(found.setup.noises),
        "frontiers": [figure(chart) for side in found.sides if (chart := frontier(found, side)) is not None],
        "enrichments": [figure(enrichments(found, side)) for side in found.sides if _known(found, side)],
        "evidence": [(each.noise, each.side, each.truths.verdict, evidence(each)) for each in found.findings],
        "tables": frames(found),
        "notes": notes(found),
        "noises": [(label, part_text(part)) for label, part in found.setup.noises.items()],
    }


def frontier(found: Probed, side: str) -> Chart | None:
    """Hardness against enrichment with the null curve; None where nothing is held out."""
    null = [point for point in found.null if point.side == side]
    if not null:
        return None
    filters = sorted({point.filtered for point in null})
    curves = {way: [point for point in null if point.filtered is way] for way in filters}
    marks = [
        Mark(f"M = {point.best_of:g}", point.percentile, point.enrichment, of="null")
        for point in curves[filters[0]]
        if point.best_of in MARKED
    ]
    marks += [mark for each in found.of(side) if (mark := _mark(found, each)) is not None]
    lines = [
        Line("best of M uniform" + ", filtered" * way, [p.percentile for p in points], [p.enrichment for p in points])
        for way, points in curves.items()
    ]
    said = ", ".join(f"{each.noise} ({m.x:.2f}, {m.y:.3g})" for each in found.of(side) if (m := _mark(found, each)))
    return Chart(
        f"Hardness and false negatives, {side} questions",
        "hardness: mean percentile of the score",
        lines,
        log_y=True,
        whole_x=False,
        marks=marks,
        y_label="held-out truths, times uniform",
        words=f"Hardness and enrichment of each noise on {side} questions: {said}",
    )


def _number(found: Probed, noise: str) -> str:
    """What stands for a noise in a chart, where its name has no room."""
    return str(list(found.setup.noises).index(noise) + 1)


def _mark(found: Probed, each: Finding) -> Mark | None:
    if each.hardness is None or each.truths.enrichment is None:
        return None
    return Mark(
        _number(found, each.noise), each.hardness.percentile.value, max(NONE_DRAWN, each.truths.enrichment.value)
    )


def _known(found: Probed, side: str) -> list[tuple[str, Estimate]]:
    """Noises with what they draw beside the null."""
    return [(each.noise, e) for each in found.of(side) if (e := each.truths.against_null) is not None]


def enrichments(found: Probed, side: str) -> DotChart:
    """Held-out truths beside best-of-M uniform draws of equal hardness, most first."""
    known = sorted(_known(found, side), key=lambda each: -each[1].value)
    names = [f"{_number(found, noise)}  {noise.split(':')[0]}" for noise, _ in known]
    rows = [Row(name, e.value, intervals=[(e.low, e.high)]) for name, (_, e) in zip(names, known, strict=True)]
    said = ", ".join(f"{noise} {e.value:.2f}" for noise, e in known)
    return DotChart(
        f"Held-out truths at equal hardness, {side} questions",
        "times those of the best of M uniform",
        rows,
        at=1.0,
        words=f"Held-out truths, times those of best-of-M uniform of equal hardness, {side} questions: {said}",
    )
