"""A comparison as one self-contained HTML page: no scripts, no other files, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from falsum.comparison.findings import Comparison, Difference, differences_frame, losses_frame, notes
from falsum.evaluation.metrics import METRICS
from falsum.files import write_text
from falsum.report.charts import DotChart, Row
from falsum.report.page import NAMES, figure, rendered, require_extras
from falsum.report.summary import protocol_facts


def write_page(found: Comparison, path: Path) -> Path:
    """Write the page, whole or not at all; the path. Raises UserError when jinja2 or matplotlib is missing."""
    require_extras()
    write_text(path, rendered("comparison", "comparison.html.j2", context(found)))
    return path


def context(found: Comparison) -> dict[str, Any]:
    """Everything that the template shows."""
    setup = found.setup
    return {
        "setup": setup,
        "verdicts": verdicts(found.within("mrr")),
        "spread": figure(spread(found)),
        "forest": figure(forest(found.within("mrr"))),
        "losses": losses_frame(found),
        "differences": {NAMES[metric]: differences_frame(found, metric) for metric in METRICS},
        "trials": found.trials,
        "notes": notes(found),
        "protocol": protocol_facts(setup.protocol),
        "facts": facts(found),
    }


def verdicts(differences: Sequence[Difference]) -> list[str]:
    """A sentence per pair."""
    return [f"{d.first} and {d.second}: {d.verdict} ({d.value:+.4f})." for d in differences]


def spread(found: Comparison) -> DotChart:
    """The MRR of every model, and the mean of each loss, best first."""
    points = {loss: [run.metrics["mrr"] for run in found.of(loss)] for loss in found.losses}
    order = sorted(points, key=lambda loss: -float(np.mean(points[loss])))
    rows = [Row(loss, float(np.mean(points[loss])), points[loss]) for loss in order]
    words = "Test MRR of each model: " + ", ".join(f"{row.name} {row.value:.3f} on average" for row in rows)
    return DotChart("MRR by loss", "MRR on test: a dot per seed, a bar for the mean", rows, words=words)


def forest(differences: Sequence[Difference]) -> DotChart:
    """The difference in MRR of every pair, with both intervals."""
    rows = [
        Row(f"{d.first} - {d.second}", d.value, intervals=[(i.low, i.high) for i in (d.over_queries, d.over_seeds)])
        for d in differences
    ]
    words = "Differences in MRR: " + ", ".join(f"{row.name} {row.value:+.3f}" for row in rows)
    return DotChart("Differences in MRR", "difference in MRR", rows, zero=True, words=words)


def facts(found: Comparison) -> list[tuple[str, str]]:
    """What was compared, as (name, value)."""
    setup = found.setup
    trainings = len(found.trials) + len(found.trained)
    return [
        ("graph", setup.graph),
        ("model", f"{setup.model}, {setup.dim} reals per entity"),
        ("budget of a training", str(setup.budget)),
        ("trainings", f"{trainings}: {len(found.trials)} to choose learning rates, {len(found.trained)} to compare"),
        ("seeds", str(setup.seeds)),
        ("learning rates tried", ", ".join(f"{rate:g}" for rate in sorted(setup.rates))),
        ("settings", ", ".join(f"{key}={value}" for key, value in setup.settings.items()) or "none changed"),
        ("processor", f"{setup.environment['processor']}, {setup.environment['threads']} threads"),
        ("falsum", setup.environment["falsum"]),
    ]
