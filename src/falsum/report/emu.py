"""EMU's theory as tables, charts and one self-contained HTML page; also what a trained run shows of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from falsum import __version__
from falsum.files import write_text
from falsum.recipes.takamoto2025.settings import Reading
from falsum.report.charts import SERIES, Chart, Cloud, Drawing, Line, Mark, Scatter, document, svg
from falsum.report.page import Figure, rendered, require_extras
from falsum.theory import margins
from falsum.theory.emu import LABEL, Law, Ranks
from falsum.theory.geometry import Seen, Similarity
from falsum.theory.mutation import Gradients, Nearer

# For how many negatives margins are drawn.
NEGATIVES = 256
# Bins of a curve of shares.
BINS = 60
# How the column n_P/d may be read, and what the tables call that.
READINGS: Mapping[Reading, str] = {"code": "code", "equation-6": "Eq. 6"}
Curves = Mapping[str, Sequence[tuple[int, float]]]


@dataclass(frozen=True)
class Theory:
    """All that the page shows. seen: of a trained run, or None. curves: name -> (number of negatives, MRR)."""

    laws: Sequence[Law]
    ranks: Ranks
    nearer: Nearer
    gradients: Mapping[str, Gradients]
    seen: Seen | None
    curves: Curves


# ----------------------------------------------------------------------------------------------------------- tables


def laws_frame(laws: Sequence[Law]) -> pl.DataFrame:
    """One row per law: the formula, its Monte Carlo, what the paper states where that differs."""
    return pl.DataFrame(
        {
            "law": [law.name for law in laws],
            "at": [law.at for law in laws],
            "formula": [f"{law.formula:.4f}" for law in laws],
            "Monte Carlo": [f"{law.measured:.4f}" for law in laws],
            "apart": [f"{100 * law.difference:+.1f} %" for law in laws],
            "paper": ["the same" if law.stated is None else f"{law.stated:.4f}" for law in laws],
        }
    )


def gradients_frame(found: Mapping[str, Gradients]) -> pl.DataFrame:
    """By how many standard errors mean gradients differ from those of a mask per pair."""
    rows = []
    for name, each in found.items():
        apart = each.apart(found["pair"])
        far = "" if name == "pair" else f"{float(apart.abs().max()):.1f}"
        square = "" if name == "pair" else f"{float(apart.square().mean()):.2f}"
        rows.append({"a mask per": name, "largest of all entries": far, "mean square (1 if the same)": square})
    return pl.DataFrame(rows)


def margins_frame() -> pl.DataFrame:
    """The equilibrium margin of the published settings, with n_P/d read as the code does and as Eq. 6 does."""
    rows = []
    for each in margins.PUBLISHED:
        row: dict[str, Any] = {
            "setting": each.name,
            "alpha": f"{each.alpha:g}",
            "n_P/d": f"{each.printed:g}",
            "beta": f"{each.label:g}",
        }
        for reading, name in READINGS.items():
            margin = each.margin(reading)
            row[f"q, {name}"] = f"{each.take_positive(reading):.3g}"
            row[f"margin, {name}"] = f"{margin:.2f}"
            row[f"softmax, {name}"] = f"{margins.softmax_share(margin, each.negatives):.3f}"
        rows.append(row)
    return pl.DataFrame(rows)


def tuning_frame(negatives: int = NEGATIVES) -> pl.DataFrame:
    """The label that the tuning rule asks for, at a margin of ln n + 1."""
    margin, rows = margins.wanted_margin(negatives), []
    for share in (0.06, 0.39, 0.61):
        row: dict[str, Any] = {"q": f"{share:g}"}
        for alpha in (0.0, 0.11, 0.34, 0.73):
            label = margins.tuned(alpha, share, negatives, margin)
            row[f"alpha = {alpha:g}"] = f"{label:.4f}" if label <= 1 else "none"
        rows.append(row)
    return pl.DataFrame(rows)


def cosines_frame(seen: Seen) -> pl.DataFrame:
    """Means and standard deviations of all cosines, predictions beside them."""
    rows = [
        {
            "cosine of": f"positive and {each.name}" if each in seen.to_positive else each.name,
            "mean": f"{float(each.values.mean()):.4f}" if len(each.values) else "",
            "predicted": "" if each.predicted is None else f"{each.predicted:.4f}",
            "sd": f"{float(each.values.std()):.4f}" if len(each.values) > 1 else "",
            "pairs": f"{len(each.values):,}",
        }
        for each in (*seen.to_positive, *seen.between)
    ]
    return pl.DataFrame(rows)


def abouts_frame(seen: Seen) -> pl.DataFrame:
    """How uniform and mutated negatives lie around one positive."""
    rows = [
        {
            "negatives": each.name,
            "first / second eigenvalue about z+": f"{each.positive.anisotropy:.2f}",
            "about their mean": f"{each.mean.anisotropy:.2f}",
            "effective rank about z+": f"{each.positive.rank:.1f}",
            "predicted": "" if each.predicted is None else f"{each.predicted:.1f}",
            "rank about their mean": f"{each.mean.rank:.1f}",
        }
        for each in seen.abouts
    ]
    return pl.DataFrame(rows)


def margin_words(seen: Seen) -> str:
    """The margins of a run beside the equilibrium margin."""
    found = seen.margins
    mean, kept = float(found.values.mean()), 1 - seen.take_positive
    words = f"s+ - s- of uniform negatives, training answers left out: {mean:.2f} on average (sd "
    words += f"{float(found.values.std()):.2f}); of the same mutated {found.mutated:.2f}, where a score linear in the "
    words += f"row gives (1 - q) {mean:.2f} = {kept * mean:.2f}."
    if found.equilibrium is None:
        return words
    apart = mean - found.equilibrium
    return f"{words} Equilibrium margin for the run's settings: {found.equilibrium:.2f}, {apart:+.2f} apart."


# ----------------------------------------------------------------------------------------------------------- charts


def angle_chart(laws: Sequence[Law]) -> Chart:
    """Means of cos(A, k * B): formula, Monte Carlo, and the centre that the paper states."""
    own = [law for law in laws if law.name.startswith("mean of cos")]
    at = [float(law.at.partition("=")[2]) for law in own]
    stated = [law.formula if law.stated is None else law.stated for law in own]
    lines = [
        Line("sqrt(k) cos(A, B)", at, [law.formula for law in own]),
        Line("stated: cos(A, B)", at, stated),
    ]
    marks = [Mark(f"{law.measured:.3f}", x, law.measured, of="measured") for law, x in zip(own, at, strict=True)]
    words = "Mean cosine of A and a masked B over the share that is kept: " + ", ".join(
        f"k {x:g} formula {law.formula:.3f} measured {law.measured:.3f}" for law, x in zip(own, at, strict=True)
    )
    words += f"; the theorem states {stated[0]:.3f} everywhere"
    return Chart(
        "Theorem 3.2: the mean cosine", "share k that is kept", lines, from_zero=True, whole_x=False, words=words,
        marks=marks,
    )  # fmt: skip


def rank_chart(ranks: Ranks) -> Chart:
    """The effective rank of mutated negatives about the positive over q, and its bound."""
    bound = [ranks.bound] * len(ranks.share)
    lines = [Line("effective rank", ranks.share, ranks.rank), Line("bound", ranks.share, bound)]
    words = f"Effective rank about the positive over q: it rises from {ranks.rank[0]:.1f} to {ranks.rank[-1]:.1f}, "
    words += f"below {ranks.bound:.1f}"
    title = "Theorem 3.3: over how many directions"
    return Chart(title, "share q of the positive", lines, from_zero=True, whole_x=False, words=words)


def balance_chart(negatives: int = NEGATIVES) -> Chart:
    """What widens and what narrows margins for DistMult's settings: they balance at the equilibrium margin."""
    setting = next(each for each in margins.PUBLISHED if each.name.startswith("DistMult"))
    at = np.linspace(0, 12, 121)
    pushed = [margins.push(float(x), setting.alpha, negatives) for x in at]
    lines, marks, said = [Line("push of cross-entropy", at, pushed)], [], []
    for reading in READINGS:
        share = setting.take_positive(reading)
        pulled = [margins.pull(float(x), setting.label, share, negatives) for x in at]
        lines.append(Line(f"pull of EMU, q = {share:.2g}", at, pulled))
        rest = setting.margin(reading)
        said.append(f"q = {share:.2g} at {rest:.2f}")
        if rest < at[-1]:
            marks.append(Mark(f"{rest:.2f}", rest, margins.push(rest, setting.alpha, negatives), of="rest"))
    words = (
        f"Push of {setting.alpha:g} times cross-entropy and pull of EMU with beta {setting.label:g} over the margin, "
    )
    words += f"{negatives} negatives; they balance for {' and '.join(said)}"
    title = "What holds margins, DistMult's settings"
    return Chart(title, "margin", lines, whole_x=False, words=words, marks=marks, y_label="gradient")


def cap_chart(negatives: int = NEGATIVES) -> Chart:
    """Margins over the label: the cap on mutated negatives, and where both losses balance for unmutated ones."""
    at = torch.linspace(0.02, 1, 99, dtype=torch.float64)
    lines, said = [Line("cap, ln(1 / beta)", at.numpy(), [margins.cap(float(x)) for x in at])], []
    for share in (0.06, 0.61):
        margin = [margins.equilibrium(0.34, float(x), share, negatives) for x in at]
        lines.append(Line(f"equilibrium, q = {share:g}", at.numpy(), margin))
        said.append(f"for q {share:g} from {margin[0]:.1f} at beta .02 to {margin[-1]:.1f} at 1")
    words = f"Margins over the label beta, alpha = .34, {negatives} negatives: the cap ln(1 / beta) falls from "
    words += f"{margins.cap(0.02):.1f} to 0, the equilibrium margin {' and '.join(said)}"
    title = "Margins over the label"
    return Chart(title, "label beta", lines, from_zero=True, whole_x=False, words=words, y_label="margin")


def cosine_chart(title: str, shown: Sequence[Similarity]) -> Chart:
    """Shares of pairs by cosine. Means that a law predicts are marked on their curve."""
    lines, marks, said = [], [], []
    for each in shown:
        at, share = _shares(each.values.numpy(), -1.0, 1.0)
        law = "" if each.predicted is None else f", law {each.predicted:.2f}"
        lines.append(Line(each.name + law, at, share))
        said.append(f"{each.name} {float(each.values.mean()):.2f} on average{law}")
        if each.predicted is not None:
            marks.append(Mark("", each.predicted, float(np.interp(each.predicted, at, share)), of=each.name))
    words = f"{title}: {', '.join(said)}"
    return Chart(title, "cosine", lines, from_zero=True, whole_x=False, words=words, marks=marks, y_label="share")


def margin_chart(seen: Seen) -> Chart:
    """Shares of uniform negatives by margin, the equilibrium margin marked."""
    values = seen.margins.values.numpy()
    low, high = (float(x) for x in np.quantile(values, (0.001, 0.999)))
    at, share = _shares(values, low, high if high > low else low + 1)
    found, marks = seen.margins.equilibrium, []
    if found is not None:
        marks.append(Mark(f"equilibrium {found:.2f}", found, float(np.interp(found, at, share)), of="uniform"))
    lines = [Line("uniform negatives", at, share)]
    title = "Margins s+ - s-"
    return Chart(
        title, "margin", lines, from_zero=True, whole_x=False, words=margin_words(seen), marks=marks, y_label="share"
    )


def _shares(values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres of bins, and the share of values in each; what lies outside is counted at the end."""
    counts, ends = np.histogram(np.clip(values, low, high), bins=BINS, range=(low, high))
    return (ends[:-1] + ends[1:]) / 2, counts / max(1, len(values))


def axes_charts(seen: Seen) -> Iterator[Scatter]:
    """Figure 4: tails and the negatives of one of them on two main axes, uniform and mutated, drawn alike."""
    places = {name: rows.numpy() for name, rows in seen.axes.groups.items()}
    every = np.concatenate(list(places.values()))
    low, high = every.min(0), every.max(0)
    edge = 0.05 * (high - low) + 1e-9
    limits = ((low[0] - edge[0], high[0] + edge[0]), (low[1] - edge[1], high[1] + edge[1]))
    first, second = (f"axis {i + 1} ({100 * part:.0f} %)" for i, part in enumerate(seen.axes.explained))
    for kind, about in zip(("uniform", "mutated"), seen.abouts, strict=True):
        names = {"tails": "tails", kind: f"{kind} negatives", "positive": "their positive"}
        clouds = [Cloud(name, *places[group].T) for group, name in names.items()]
        mean = places[kind] - places["positive"]
        words = f"Tails and {kind} negatives of one positive on two main axes: {len(places[kind])} negatives, "
        words += f"{float(np.linalg.norm(mean, axis=1).mean()):.2f} from it on average; in all dimensions, the first "
        words += f"eigenvalue about a positive is {about.positive.anisotropy:.1f} times the second"
        yield Scatter(f"Tails and {kind} negatives", first, second, clouds, limits, words)


def curve_charts(curves: Curves) -> Iterator[Chart]:
    """Figure 5: MRR over the number of negatives, cells of one model together, three of them to a chart."""
    groups: dict[str, list[str]] = {}
    for name in curves:
        groups.setdefault(name.rpartition("/")[0], []).append(name)
    for group, names in groups.items():
        for part in range(0, len(names), len(SERIES)):
            shown = names[part : part + len(SERIES)]
            lines = [_curve(name, curves[name]) for name in shown]
            said = "; ".join(
                f"{n.rpartition('/')[2]} " + ", ".join(f"{k}: {v:.3f}" for k, v in curves[n]) for n in shown
            )
            title = f"MRR by number of negatives, {group}" if group else "MRR by number of negatives"
            yield Chart(title, "negatives", lines, log_x=True, words=f"{title}: {said}", y_label="MRR")


def _curve(name: str, points: Sequence[tuple[int, float]]) -> Line:
    return Line(name.rpartition("/")[2], [num for num, _ in points], [value for _, value in points])


def charts(found: Theory) -> dict[str, Drawing]:
    """All charts by the name of their file."""
    drawn: dict[str, Drawing] = {
        "emu-angle": angle_chart(found.laws),
        "emu-rank": rank_chart(found.ranks),
        "emu-balance": balance_chart(),
        "emu-cap": cap_chart(),
    }
    if found.seen is not None:
        drawn |= _seen_charts(found.seen)
    return drawn | {f"emu-negatives-{place}": chart for place, chart in enumerate(curve_charts(found.curves), start=1)}


def _seen_charts(seen: Seen) -> dict[str, Drawing]:
    first, *others, last = seen.to_positive
    triples = [[first, other, last] for other in others] or [[first, last]]
    drawn: dict[str, Drawing] = {
        f"emu-positive{f'-{place}' if place > 1 else ''}": cosine_chart("Cosine of positive and negative", shown)
        for place, shown in enumerate(triples, start=1)
    }
    drawn["emu-between"] = cosine_chart("Cosine of two negatives", seen.between)
    drawn |= {f"emu-axes-{kind}": chart for kind, chart in zip(("uniform", "mutated"), axes_charts(seen), strict=True)}
    return drawn | {"emu-margins": margin_chart(seen)}


# ------------------------------------------------------------------------------------------------------------ files


def write(found: Theory, folder: Path) -> Iterator[Path]:
    """Write every chart as an SVG file, and the page emu.html, each whole or not at all; the paths.

    Raises UserError when jinja2 or matplotlib is missing.
    """
    require_extras()
    drawn = {}
    for name, chart in charts(found).items():
        drawn[name] = Figure(chart.title, svg(chart))
        write_text(folder / f"{name}.svg", document(chart, drawn[name].svg))
        yield folder / f"{name}.svg"
    write_text(folder / "emu.html", rendered("report", "emu.html.j2", context(found, drawn)))
    yield folder / "emu.html"


def context(found: Theory, drawn: Mapping[str, Figure]) -> dict[str, Any]:
    """Everything that the template shows. drawn: `charts` by name."""
    seen = found.seen
    of_run = [name for name in drawn if name.startswith(("emu-positive", "emu-between", "emu-axes", "emu-margins"))]
    return {
        "laws": laws_frame(found.laws),
        "law_figures": [drawn[name] for name in ("emu-angle", "emu-rank")],
        "nearer": nearer_words(found.nearer),
        "gradients": gradients_frame(found.gradients),
        "smoothing": smoothing_words(LABEL, NEGATIVES),
        "margin_figures": [drawn[name] for name in ("emu-balance", "emu-cap")],
        "margins": margins_frame(),
        "tuning": tuning_frame(),
        "seen": seen,
        "seen_figures": [drawn[name] for name in of_run],
        "seen_tables": {} if seen is None else seen_tables(seen),
        "margin_words": "" if seen is None else margin_words(seen),
        "curves": [shown for name, shown in drawn.items() if name.startswith("emu-negatives")],
        "version": __version__,
    }


def seen_tables(seen: Seen) -> dict[str, pl.DataFrame]:
    """The tables of a run by their title."""
    kinds = f"{len(seen.axes.groups['uniform'])} negatives around a positive"
    return {"Cosines": cosines_frame(seen), kinds: abouts_frame(seen)}


def nearer_words(found: Nearer) -> str:
    """The counter-example in a sentence."""
    (far, near), (before, after) = found.distance, found.score
    return (
        f"Nearer is not harder: TransE with h + r = (0, 0), z+ = (2, 0), z- = (0, 1), first entry mutated. The "
        f"distance to z+ falls from {far:.2f} to {near:.2f}, and the score too, from {before:g} to {after:g}."
    )


def smoothing_words(label: float, negatives: int) -> str:
    """The identity of unbounded and ordinary smoothing in a sentence. label: above 0."""
    same = margins.equivalent(label, negatives)
    return (
        f"Unbounded smoothing of {label:g} with {negatives} negatives is {same.scale:.3f} times label smoothing of "
        f"{same.amount:.3f}, and caps margins at ln(1 / beta) = {margins.cap(label):.2f}. Label smoothing of .2 is "
        f"unbounded smoothing of {margins.label_of(0.2, negatives):.4f}: hardly a label at all."
    )
