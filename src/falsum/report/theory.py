"""The figures and Table 1 of Kamigaito & Hayashi 2021, drawn from `falsum.theory`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch

from falsum.files import write_text
from falsum.report.charts import Chart, Line, document
from falsum.theory import NS, SCE, divergence
from falsum.theory.claims import COUNTS, exponent, measure

# What Figure 1 holds fixed, and where its curves end.
TRUE, LOW, HIGH = 0.5, 0.01, 0.99


def divergences() -> Chart:
    """Figure 1: d(0.5, p) of softmax cross-entropy and negative sampling over p."""
    p = torch.linspace(LOW, HIGH, 197, dtype=torch.float64)
    lines = [
        Line(name, p.numpy(), divergence(psi, torch.full_like(p, TRUE), p).numpy())
        for name, psi in (("SCE", SCE), ("NS", NS))
    ]
    words = (
        "Divergence of p from 0.5: softmax cross-entropy grows without bound on both sides, negative sampling stays "
    )
    words += "below 0.085 where p is too high"
    return Chart(f"d({TRUE}, p)", "p", lines, from_zero=True, whole_x=False, words=words)


def shifts(values: Mapping[str, np.ndarray]) -> Chart:
    """Figure 2, by our own definition: the share of test questions whose shift is at most x. values: graph -> nats."""
    most = max(float(np.quantile(v, 0.99)) for v in values.values())
    at = np.linspace(0, most, 200)
    lines = [Line(name, at, np.searchsorted(np.sort(v), at, side="right") / len(v)) for name, v in values.items()]
    means = ", ".join(f"{name} {v.mean():.2f}" for name, v in values.items())
    words = (
        f"Share of test questions with a divergence of at most x nats between training and test answers; mean: {means}"
    )
    title = "Shift of answers between training and test"
    return Chart(title, "D(train || test) in nats", lines, from_zero=True, whole_x=False, words=words)


def table_1() -> pl.DataFrame:
    """Table 1 measured: one row per loss and noise, shares of the first query of `falsum.theory.claims.COUNTS`."""
    p = COUNTS / COUNTS.sum(1, keepdim=True).double()
    rows = [
        {
            "loss": found.claim.loss,
            "noise": found.claim.noise_name,
            "softmax(score) is": found.claim.formula or "no closed form",
            "Table 1 says": found.claim.paper or "the same",
            "predicted": "" if found.predicted is None else _shares(found.predicted[0]),
            "measured": _shares(found.measured[0]),
            "difference": "" if found.difference is None else f"{found.difference:.0e}",
            "power of p": f"{float(exponent(p, found.measured)[0]):.3f}",
        }
        for found in measure()
    ]
    return pl.DataFrame(rows)


def _shares(shares: torch.Tensor) -> str:
    return " ".join(f"{share:.3f}"[1:] for share in shares.tolist())


def write_figures(folder: Path, values: Mapping[str, np.ndarray]) -> Iterator[Path]:
    """Write figure-1.svg and, if there are shifts to show, figure-2.svg; the paths."""
    charts = {"figure-1.svg": divergences()} | ({"figure-2.svg": shifts(values)} if values else {})
    for name, chart in charts.items():
        write_text(folder / name, document(chart))
        yield folder / name
