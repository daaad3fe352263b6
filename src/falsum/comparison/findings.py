"""What a comparison found, as data, tables and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from falsum.comparison.budget import Budget
from falsum.comparison.intervals import loss_interval
from falsum.comparison.losses import Pair
from falsum.evaluation.metrics import METRICS
from falsum.evaluation.questions import Interval, Questions
from falsum.files import write_json, write_text
from falsum.report.markdown import markdown_frame
from falsum.report.summary import protocol_line

# All intervals of one metric hold together with this probability.
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Trial:
    """A learning rate that was tried. valid: its best validation, None where training diverged."""

    loss: str
    rate: float
    valid: float | None


@dataclass(frozen=True, slots=True)
class Trained:
    """A run that is compared. seconds: of its steps. scores: that its training computed. metrics: of the test split."""

    loss: str
    seed: int
    rate: float
    epochs: int
    best_epoch: int
    steps: int
    scores: int
    seconds: float
    valid: float | None
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Difference:
    """first minus second in a metric, averaged over seeds and triples.

    over_queries: interval for these models; over_seeds: for the losses, over queries and seeds; both of level `level`.
    The verdict, which loss is better, follows from over_seeds.
    """

    first: str
    second: str
    metric: str
    value: float
    level: float
    over_queries: Interval
    over_seeds: Interval

    @property
    def distinct(self) -> bool:
        """Whether one loss is better, beyond queries and seeds."""
        return 0 not in self.over_seeds

    @property
    def verdict(self) -> str:
        return f"{self.first if self.value > 0 else self.second} is better" if self.distinct else "not distinguishable"


@dataclass(frozen=True, slots=True)
class Setup:
    """What was compared and how. rates: learning rates tried. recipes: of the first seed of each loss. protocol: its
    card. environment: of the first run."""

    graph: str
    graph_sha256: str
    model: str
    dim: int
    budget: Budget
    seeds: int
    rates: Sequence[float]
    settings: Mapping[str, Any]
    recipes: Mapping[str, Mapping[str, Any]]
    protocol: Mapping[str, Any]
    environment: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that a comparison found."""

    setup: Setup
    trials: tuple[Trial, ...]
    trained: tuple[Trained, ...]
    differences: tuple[Difference, ...]

    @property
    def losses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.loss for each in self.trained))

    def of(self, loss: str) -> list[Trained]:
        """The runs of a loss, by seed."""
        return [each for each in self.trained if each.loss == loss]

    def within(self, metric: str) -> list[Difference]:
        """The differences in a metric, a pair each."""
        return [each for each in self.differences if each.metric == metric]

    def write(self, folder: Path) -> None:
        """comparison.json and comparison.md, each whole or not at all."""
        verdicts = [asdict(each) | {"verdict": each.verdict} for each in self.differences]
        write_json(folder / "comparison.json", asdict(self) | {"differences": verdicts})
        write_text(folder / "comparison.md", markdown(self))


def differences(
    values: Mapping[str, Sequence[Mapping[str, np.ndarray]]], pairs: Sequence[Pair], questions: Questions
) -> tuple[Difference, ...]:
    """All pairs in all metrics. values: loss -> per seed, metric -> (T,) values of the same triples, whose questions
    are `questions`.

    Each of k pairs gets the level 1 - (1 - LEVEL) / k (Bonferroni): all intervals of a metric hold together with
    probability LEVEL or more, and so do the verdicts. There is no correction for several metrics: MRR decides.
    """
    level = 1 - (1 - LEVEL) / len(pairs)
    keys = [(first, second, metric) for first, second in pairs for metric in METRICS]
    tables = {(loss, m): np.stack([seed[m] for seed in seeds]) for loss, seeds in values.items() for m in METRICS}
    per_triple = [tables[first, metric].mean(0) - tables[second, metric].mean(0) for first, second, metric in keys]
    over_queries = questions.intervals(np.stack(per_triple), level)
    found = []
    for (first, second, metric), triples, conditional in zip(keys, per_triple, over_queries, strict=True):
        over_seeds = loss_interval(tables[first, metric], tables[second, metric], level, questions)
        found.append(Difference(first, second, metric, float(triples.mean()), level, conditional, over_seeds))
    return tuple(found)


def losses_frame(found: Comparison) -> pl.DataFrame:
    """A row per loss: test metrics averaged over seeds, the spread of MRR, and what training one model took."""
    rows = []
    for loss in found.losses:
        runs = found.of(loss)
        mrr = [run.metrics["mrr"] for run in runs]
        rows.append(
            {
                "loss": loss,
                "lr": f"{runs[0].rate:g}",
                "mrr": float(np.mean(mrr)),
                "sd": float(np.std(mrr, ddof=1)),
                "seeds": f"{min(mrr):.4f} to {max(mrr):.4f}",
                **{m: float(np.mean([run.metrics[m] for run in runs])) for m in METRICS[1:]},
                "epochs": _mean(run.epochs for run in runs),
                "steps": _mean(run.steps for run in runs),
                "scores": f"{np.mean([run.scores for run in runs]):.3g}",
                "seconds": f"{np.mean([run.seconds for run in runs]):.1f}",
            }
        )
    return pl.DataFrame(rows)


def differences_frame(found: Comparison, metric: str) -> pl.DataFrame:
    """A row per pair: the difference in a metric, its intervals, and the verdict."""
    return pl.DataFrame(
        [
            {
                "pair": f"{d.first} - {d.second}",
                metric: f"{d.value:+.4f}",
                "over queries": between(d.over_queries),
                "over queries and seeds": between(d.over_seeds),
                "verdict": d.verdict,
            }
            for d in found.within(metric)
        ]
    )


def between(interval: Interval) -> str:
    """An interval of differences, signs shown."""
    return f"{interval.low:+.4f} to {interval.high:+.4f}"


def notes(found: Comparison) -> list[str]:
    """What has to be said beside the tables."""
    setup, pairs = found.setup, found.within("mrr")
    each = f" ({100 * pairs[0].level:.3g} % each, for {len(pairs)} pairs)" if len(pairs) > 1 else ""
    rates = ", ".join(f"{rate:g}" for rate in sorted(setup.rates))
    several = f"{rates}: each trained once with this budget, chosen by validation MRR"
    return [
        f"Graph {setup.graph}, model {setup.model} with {setup.dim} reals per entity. Budget of every training: "
        f"{setup.budget}. Weights are those of the best validation. Seconds are those of the steps of one training.",
        f"Learning rates of every loss: {several if len(setup.rates) > 1 else f'{rates}, not tuned'}.",
        f"Intervals of a metric hold together with {100 * LEVEL:.0f} %{each}. Over queries: for these models, paired, "
        "with triples of one question taken as dependent. Over queries and seeds: for the losses, from "
        f"{setup.seeds} seeds each; the verdict follows from it.",
        f"Protocol: {protocol_line(setup.protocol)}. Graph SHA-256 {setup.graph_sha256}.",
        *at_edge(found),
        *missed(found),
    ]


def at_edge(found: Comparison) -> list[str]:
    """Says which losses have the lowest or highest learning rate that was tried: a better one may lie beyond."""
    rates = found.setup.rates
    chosen = {loss: found.of(loss)[0].rate for loss in found.losses}
    edge = [
        f"{loss} ({rate:g})" for loss, rate in chosen.items() if len(rates) > 1 and rate in (min(rates), max(rates))
    ]
    return [f"The best learning rate is the lowest or highest tried: {', '.join(edge)}. Try more."] if edge else []


def missed(found: Comparison) -> list[str]:
    """Says which losses, whose trainings end with an epoch, are more than 5 % off their budget."""
    budget = found.setup.budget
    spent = {loss: float(np.mean([getattr(run, budget.unit) for run in found.of(loss)])) for loss in found.losses}
    share = {loss: 100 * (amount / budget.amount - 1) for loss, amount in spent.items()}
    off = [f"{loss} ({percent:+.0f} %)" for loss, percent in share.items() if abs(percent) > 5]
    return [f"Off the budget, since trainings end with an epoch: {', '.join(off)}."] if off else []


def markdown(found: Comparison) -> str:
    """Tables and notes as Markdown."""
    tables = [losses_frame(found), *(differences_frame(found, metric) for metric in METRICS)]
    return "\n\n".join([*(markdown_frame(table, _numbers(table)) for table in tables), *notes(found)]) + "\n"


def _numbers(frame: pl.DataFrame) -> list[str]:
    return [name for name, dtype in frame.schema.items() if dtype.is_numeric()]


def _mean(values: Any) -> int:
    return round(float(np.mean(list(values))))
