"""What a probe found, as data, tables, words and files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from falsum.files import write_json, write_text
from falsum.probe.cost import Cost
from falsum.probe.diversity import COHORTS, Diversity
from falsum.probe.estimates import Estimate
from falsum.probe.gradient import Gradient
from falsum.probe.hardness import Hardness
from falsum.probe.truths import Truths
from falsum.report.markdown import markdown_frame


@dataclass(frozen=True, slots=True)
class Finding:
    """A noise on one side. negatives: draws that count. hardness: None where none is left but training answers.
    gradient: None for a model too large for it. false_mass: share of the negatives' gradient on held-out truths.
    """

    noise: str
    side: str
    negatives: int
    hardness: Hardness | None
    truths: Truths
    diversity: Diversity
    cost: Cost
    gradient: Gradient | None
    false_mass: float


@dataclass(frozen=True, slots=True)
class NullPoint:
    """The best of M uniform draws: exact hardness and enrichment for the questions of a side.

    filtered: of draws that leave training answers out.
    """

    side: str
    filtered: bool
    best_of: float
    percentile: float
    enrichment: float


@dataclass(frozen=True, slots=True)
class Setup:
    """What was probed and how. small: whether the reference was trained for the probe. panel: entities that negatives
    are ranked among, None for all. held_out, stated_false: triples. noises: settings by label."""

    graph: str
    graph_sha256: str
    entities: int
    reference: str
    model: str
    dim: int
    small: bool
    queries: int
    draws: int
    warm: int
    redraws: int
    seed: int
    panel: int | None
    held_out: int
    stated_false: int
    noises: Mapping[str, Mapping[str, Any]]
    environment: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Probed:
    """All that a probe found. null: the best of M uniform draws. notes: which noises were left out, and why."""

    setup: Setup
    findings: tuple[Finding, ...]
    null: tuple[NullPoint, ...]
    notes: tuple[str, ...]

    @property
    def sides(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.side for each in self.findings))

    def of(self, side: str) -> list[Finding]:
        """The findings of a side, a noise each."""
        return [each for each in self.findings if each.side == side]

    def write(self, folder: Path) -> None:
        """probe.json and probe.md, each whole or not at all."""
        words = [
            asdict(each)
            | {"verdict": each.truths.verdict, "best_of": each.hardness and each.hardness.best_of}
            | {"evidence": evidence(each)}
            for each in self.findings
        ]
        write_json(folder / "probe.json", _plain(asdict(self) | {"findings": words}))
        write_text(folder / "probe.md", markdown(self))


def frames(found: Probed) -> dict[str, pl.DataFrame]:
    """Tables by title, a row per side and noise."""
    rows = {
        "hardness and false negatives": _main,
        "what else is drawn": _drawn,
        "diversity": _diversity,
        "gradient of the softmax loss": _gradient,
        "cost": _cost,
    }
    ordered = [each for side in found.sides for each in found.of(side)]
    tables = {
        title: pl.DataFrame([{"side": each.side, "noise": each.noise, **row(each)} for each in ordered])
        for title, row in rows.items()
    }
    if not found.setup.stated_false:
        tables["what else is drawn"] = tables["what else is drawn"].drop("stated false")
    return tables


def _main(each: Finding) -> dict[str, Any]:
    hard, true = each.hardness, each.truths
    return {
        "hardness": _between(hard.percentile if hard else None, 3),
        "best of": "–" if hard is None else f"{hard.best_of:.1f}",
        "above positive": _percent(hard.above if hard else None),
        "held-out truths": _percent(true.false_negatives),
        "x uniform": _between(true.enrichment, 1),
        "x best-of": _between(true.against_null, 2),
        "verdict": true.verdict or "–",
        "planted x uniform": _between(true.planted, 1),
    }


def _drawn(each: Finding) -> dict[str, Any]:
    true, hard = each.truths, each.hardness
    return {
        "negatives": f"{each.negatives:,}",
        "skipped": _percent(true.skipped),
        "known drawn": _percent(true.known),
        "known counted": _percent(true.known_counted),
        "stated false": _percent(true.stated_false),
        "gap 10 / 50 / 90 %": "–" if hard is None else " / ".join(f"{gap:+.2f}" for gap in hard.gap),
        "cosine": _number(hard.cosine if hard else None),
        "live": _percent(hard.live if hard else None),
    }


def _diversity(each: Finding) -> dict[str, Any]:
    spread = each.diversity
    return {
        "effective": _percent(spread.effective),
        "Simpson": _percent(spread.simpson),
        "coverage": _percent(spread.coverage),
        "distinct in a draw": _percent(spread.distinct),
        "repeats": _percent(spread.repeats),
        **{name: _percent(share) for name, share in zip(COHORTS, spread.cohorts, strict=True)},
        "popularity Gini": f"{spread.popularity:+.3f}",
    }


def _gradient(each: Finding) -> dict[str, Any]:
    pull = each.gradient
    return {
        "bias": _number(pull.bias if pull else None),
        "cosine": _number(pull.cosine if pull else None),
        "variance": _number(pull.variance if pull else None),
        "on held-out truths": _percent(each.false_mass),
    }


def _cost(each: Finding) -> dict[str, Any]:
    spent = each.cost
    return {
        "us a negative": f"{spent.microseconds:.3g}",
        "scores a negative": f"{spent.scores:.3g}",
        "rows a negative": f"{spent.rows:.3g}",
        "state": _bytes(spent.state),
        "state at 1e8 triples": _bytes(spent.state_at_scale),
    }


def evidence(each: Finding) -> list[str]:
    """What was found, in sentences."""
    hard, true = each.hardness, each.truths
    lines = [f"Skipped {_percent(true.skipped)} of the draws: known answers."] if true.skipped else []
    if true.known_counted:
        lines.append(f"{_percent(true.known_counted)} of the negatives are known answers of their question.")
    if hard is not None:
        lines.append(f"As hard as the best of {hard.best_of:.1f} uniform (hardness {_between(hard.percentile, 3)}).")
    if (rich := true.enrichment) is not None:
        lines.append(
            f"Drew held-out truths {rich.value:.3g} times as often as uniform [{rich.low:.3g}, {rich.high:.3g}], in "
            f"{true.held_out_hits:,} of {each.negatives:,} draws."
        )
    if (held := true.against_null) is not None:
        meaning = {
            "below the null": "fewer false negatives than hardness alone explains",
            "above the null": "more false negatives than hardness alone explains",
            "at the null": "not distinguishable from best-of-M uniform",
        }[true.verdict]
        lines.append(f"At equal hardness, {_between(held, 2)} times those of best-of-M uniform: {meaning}.")
    if true.planted is not None:
        lines.append(f"Drew planted truths {_between(true.planted, 1)} times as often as uniform.")
    if true.stated_false:
        lines.append(f"{_percent(true.stated_false)} of the negatives are stated to be false.")
    return lines


def notes(found: Probed) -> list[str]:
    """What has to be said beside the tables."""
    setup = found.setup
    trained = (
        f"a small model trained for this probe ({setup.reference}), without the planted triples, valid and test"
        if setup.small
        else f"{setup.reference}, which has trained on the planted triples: these look harder to it than other truths"
    )
    ranked = "all entities" if setup.panel is None else f"a panel of {setup.panel:,} uniform entities"
    lacks = [] if setup.held_out else ["The graph has neither valid nor test triples, so only planted truths are told."]
    return [
        f"Graph {setup.graph}, {setup.entities:,} entities. {setup.queries:,} training triples asked from both sides, "
        f"{setup.draws:,} negatives a question; samplers that learn had {setup.warm} passes over these questions. Seed "
        f"{setup.seed}.",
        f"Reference, frozen and the same for all: {setup.model} with {setup.dim} reals per entity, {trained}.",
        f"Hardness: mean percentile of a negative's score among {ranked}; uniform has 0.5, the best of M uniform "
        "M / (M + 1). A noise that never counts a training answer of its question is held against entities and uniform "
        "draws without these. The null, x best-of, is exact for these questions.",
        "Held-out truths: valid and test answers that are not in train. Samplers see the training triples alone. "
        "Intervals, 95 %: bootstrap over questions; for truths, Wilson's of the draws where it is wider.",
        "Microseconds are of this machine, with whatever else it did.",
        *lacks,
        *found.notes,
        f"Graph SHA-256 {setup.graph_sha256}.",
    ]


def markdown(found: Probed) -> str:
    """Tables, evidence and notes as Markdown."""
    tables = [f"**{title[0].upper()}{title[1:]}**\n\n{markdown_frame(t, ())}" for title, t in frames(found).items()]
    said = [f"- {each.noise}, {each.side}: {' '.join(evidence(each))}" for each in found.findings]
    return "\n\n".join([*tables, "\n".join(said), *notes(found)]) + "\n"


def _between(estimate: Estimate | None, digits: int) -> str:
    if estimate is None:
        return "–"
    value, low, high = (f"{x:.{digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _percent(share: float | None) -> str:
    if share is None or share != share:
        return "–"
    percent = 100 * share
    return f"{percent:.1f} %" if percent >= 1 or percent == 0 else f"{percent:.2g} %"


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.3g}"


def _bytes(count: int | None) -> str:
    """Bytes as people read them."""
    if count is None:
        return "–"
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    place = min(len(units) - 1, int(math.log(max(1, count), 1000)))
    return f"{count / 1000**place:.3g} {units[place]}"


def _plain(value: Any) -> Any:
    """The same with None for numbers that JSON has not."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
