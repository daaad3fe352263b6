"""Comparisons of losses: equal budgets, intervals that cover what they claim, and the command from end to end."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import falsum as package
from command import Command, facts, falsum, small_graph, write_graph
from falsum.comparison import LOSSES, PRESETS, Comparison, Study, chosen_pairs, parse_budget, study
from falsum.comparison.budget import Budget, Cost, epoch_cost
from falsum.comparison.findings import differences, losses_frame, markdown, notes
from falsum.comparison.intervals import loss_interval, rest_variance, triple_questions, triple_values, welch
from falsum.comparison.losses import base_recipe, loss_recipe
from falsum.errors import UserError
from falsum.evaluation.metrics import METRICS, metrics
from falsum.evaluation.questions import Interval, Questions, student
from falsum.graph.graph import Graph
from falsum.models import MODELS
from falsum.recipe.assemble import assemble
from falsum.run.run import Run
from falsum.training.loop import Diverged
from test_report import Strict

__all__ = ["falsum"]

SMALL = {"model.dim": 8, "train.batch_size": 60}


def ring(seed: int = 0) -> Graph:
    """40 entities, 6 relations that shift ids by a fixed step: 360 / 60 / 180 triples."""
    random = np.random.default_rng(seed)
    head, relation = random.integers(0, 40, 600), random.integers(0, 6, 600)
    triples = torch.from_numpy(np.stack([head, relation, (head + 3 * relation) % 40], 1))
    splits = {"train": triples[:360], "valid": triples[360:420], "test": triples[420:]}
    labels = pl.Series([f"e{i}" for i in range(40)])
    return Graph("ring", splits, labels, pl.Series(list("abcdef")), 6)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path]:
    """Two losses, three seeds, two learning rates, on the ring."""
    folder = tmp_path_factory.mktemp("comparison")
    found = package.compare(
        ring(), ["sce", "ns"], folder=folder, seeds=3, budget="30steps", tune=2, **SMALL, **{"noise.num": 5}
    )
    return found, folder


# ---------------------------------------------------------------------------------------------------- by hand


def apart(triples: int) -> Questions:
    """Triples that share no question."""
    return Questions(*[np.arange(triples)] * 3)


def test_the_interval_over_seeds_by_hand() -> None:
    """Two seeds, two triples: means per seed 2 and 5, 0 and 1; differences of means per triple 1.5 and 4.5."""
    first, second = np.array([[1.0, 3.0], [2.0, 8.0]]), np.array([[0.0, 0.0], [0.0, 2.0]])
    assert (rest_variance(first, apart(2)), rest_variance(second, apart(2))) == (1, 1 / 4)
    assert welch([2.25, 0.25], [2, 2]) == 1
    # seeds 4.5 / 2 + 0.5 / 2, rest 1 + 1 / 4 (mean squares 4 and 1 over 4 cells), triples 4.5 / 2
    half = 12.7062047 * math.sqrt(2.5 + (2.25 - 1.25))
    assert loss_interval(first, second, 0.95, apart(2)) == Interval(pytest.approx(3 - half), pytest.approx(3 + half))
    # Means per seed that are all alike leave the interval of the means per triple, 1.5 and 5.5.
    alike = np.array([[1.0, 6.0], [2.0, 5.0]])
    half = 12.7062047 * math.sqrt(8 / 2)
    assert loss_interval(alike, 0 * alike, 0.95, apart(2)) == Interval(
        pytest.approx(3.5 - half), pytest.approx(3.5 + half)
    )
    with pytest.raises(ValueError, match="two of each"):
        loss_interval(np.ones((1, 5)), np.ones((2, 5)), 0.95, apart(5))
    with pytest.raises(ValueError, match="two of each"):
        loss_interval(np.ones((2, 5)), np.ones((2, 5)), 0.95, Questions(np.zeros(5, int), np.arange(5), np.arange(5)))


def test_degrees_of_freedom_of_welch() -> None:
    assert welch([1, 1], [5, 5]) == 8
    assert welch([1, 0], [5, 5]) == 4
    assert welch([1, 3], [3, 5]) == 5, "16 / (1 / 2 + 9 / 4) is 5.8"
    assert welch([0, 0], [3, 5]) == 6


def test_questions_of_triples_stand_in_the_order_of_their_values() -> None:
    """Both by the order of ids: triples 2 0 3, 2 1 3 and 7 0 3, of which the first and the last ask for one head."""
    frame = pl.DataFrame(
        {"head": [7, 2, 2] * 2, "relation": [0, 1, 0] * 2, "tail": [3] * 6, "side": ["tail"] * 3 + ["head"] * 3,
         "greater": [9, 3, 0] * 2, "equal": [0] * 6, "candidates": [10] * 6}
    )  # fmt: skip
    assert triple_values(frame)["mrr"].tolist() == [1, 1 / 4, 1 / 10]
    assert triple_questions(frame).tail.tolist() == [0, 1, 2]
    assert triple_questions(frame).head.tolist() == [0, 1, 0]
    assert triple_questions(frame.filter(pl.col("side") == "head")).head.tolist() == [0, 1, 0]


def test_values_of_triples_average_to_the_metrics() -> None:
    frame = pl.DataFrame(
        {
            "head": [7, 2, 2, 7], "relation": [0] * 4, "tail": [1, 3, 3, 1], "side": ["tail", "tail", "head", "head"],
            "greater": [0, 3, 1, 0], "equal": [0, 0, 0, 2], "candidates": [9] * 4,
        }
    )  # fmt: skip
    values = triple_values(frame)
    # By the order of ids: triple (2, 0, 3) with ranks 4 and 2, then (7, 0, 1) with ranks 1 and 2.
    assert values["mrr"] == pytest.approx([(1 / 4 + 1 / 2) / 2, (1 + 1 / 2) / 2])
    assert values["hits@3"] == pytest.approx([0.5, 1])
    for metric in METRICS:
        assert values[metric].mean() == pytest.approx(metrics(frame)[metric])
    assert triple_values(frame, "pessimistic")["mrr"][1] == pytest.approx((1 + 1 / 3) / 2)


# --------------------------------------------------------------------------------------------------- coverage

TRIPLES = 300


def reciprocal_ranks(random: np.random.Generator, count: int) -> np.ndarray:
    """(count, losses 2, sides 2): two losses and two sides agree on which triples are hard."""
    hard = random.gamma(0.7, 12, (count, 1, 1))
    ranks = 1 + np.floor(
        hard * random.lognormal(0, 0.7, (count, 2, 1)) * random.lognormal([[0.0], [0.15]], 0.3, (count, 2, 2))
    )
    return 1 / ranks


def covered(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([truth in interval for interval in intervals]))


def test_intervals_over_queries_cover_what_they_claim() -> None:
    """2,000 test sets of 300 triples drawn from one population, whose mean difference is the truth.

    Intervals that ignore the pairing are far too wide, and those that ignore that the sides of a triple belong together
    too narrow: the test would see either.
    """
    random = np.random.default_rng(0)
    population = reciprocal_ranks(random, 20_000)
    drawn = population[random.integers(len(population), size=(2000, TRIPLES))]  # (sets, triples, losses, sides)
    truth = float((population[:, 0] - population[:, 1]).mean())
    sides = drawn[:, :, 0] - drawn[:, :, 1]
    paired = apart(TRIPLES).intervals(sides.mean(2), 0.95)
    assert 0.935 <= covered(paired, truth) <= 0.965

    a, b = (apart(TRIPLES).intervals(drawn[:, :, i].mean(2), 0.95) for i in range(2))
    centre = sides.mean((1, 2))
    width = [math.hypot(x.high - x.low, y.high - y.low) / 2 for x, y in zip(a, b, strict=True)]
    unpaired = [Interval(c - w, c + w) for c, w in zip(centre, width, strict=True)]
    assert covered(unpaired, truth) > 0.99

    split = apart(2 * TRIPLES).intervals(sides.reshape(2000, -1), 0.95)
    assert covered(split, truth) < 0.93


Tables = list[tuple[np.ndarray, np.ndarray]]


def crossed(seeds: int, share: float, rest: float, uneven: float = 1.0, sets: int = 2000) -> Tables:
    """Pairs of (seeds, TRIPLES) tables whose expected difference is 0.

    Triples are hard for both losses and differ, skewed and with variance 1, in how much more so for one; residuals have
    variance `rest`; effects of seeds make up `share` of the variance of the difference, and are `uneven` times as large
    for one loss as for the other.
    """
    random = np.random.default_rng(seeds)
    hard, skewed = 3 * random.standard_normal((sets, 1, TRIPLES)), random.exponential(1, (sets, 1, TRIPLES)) - 1
    of_seeds = seeds * (1 + 2 * rest / seeds) / TRIPLES * share / (1 - share)
    sizes = np.sqrt([of_seeds * uneven**2 / (1 + uneven**2), of_seeds / (1 + uneven**2)])
    one, other = (
        hard
        + size * random.standard_normal((sets, seeds, 1))
        + math.sqrt(rest) * random.standard_normal((sets, seeds, TRIPLES))
        for size in sizes
    )
    return list(zip(one + skewed, other, strict=True))


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("rest", [0.2, 2.0])
@pytest.mark.parametrize("uneven", [1.0, 5.0])
def test_intervals_over_seeds_cover_what_they_claim(seeds: int, share: float, rest: float, uneven: float) -> None:
    """Wherever the variance comes from: not less than claimed, and not much more."""
    tables = crossed(seeds, share, rest, uneven)
    found = covered([loss_interval(*pair, 0.95, apart(TRIPLES)) for pair in tables], 0.0)
    assert 0.935 <= found <= (0.99 if seeds == 3 else 0.98)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(("share", "rest"), [(0.0, 0.2), (0.0, 5.0), (0.3, 1.0), (0.8, 1.0)])
def test_intervals_over_seeds_cover_what_they_claim_where_triples_share_questions(
    seeds: int, share: float, rest: float
) -> None:
    """As above, with six tenths of the variances of triples and of rests due to their questions.

    Intervals that ignore it cover too little where triples are most of the variance; the means per seed have the rest.
    """
    random = np.random.default_rng(seeds)
    asked = np.stack([random.integers(100, size=TRIPLES), np.zeros(TRIPLES, int), random.integers(60, size=TRIPLES)], 1)
    questions = Questions.of(asked)

    def drawn(*shape: int) -> np.ndarray:
        """(*shape, TRIPLES) of variance 1."""
        tail, head = (math.sqrt(0.3) * random.standard_normal((*shape, count)) for count in (100, 60))
        own = math.sqrt(0.4) * random.standard_normal((*shape, TRIPLES))
        return tail[..., asked[:, 0]] + head[..., asked[:, 2]] + own

    sets = 1000
    of_means = float((drawn(sets).mean(1) ** 2).mean()) * (1 + 2 * rest / seeds)
    of_seeds = seeds * of_means * share / (1 - share) / 2
    one, other = (
        math.sqrt(of_seeds) * random.standard_normal((sets, seeds, 1)) + math.sqrt(rest) * drawn(sets, seeds)
        for _ in range(2)
    )
    tables = list(zip(one + drawn(sets, 1), other, strict=True))
    found = covered([loss_interval(*pair, 0.95, questions) for pair in tables], 0.0)
    assert 0.93 <= found <= (0.99 if seeds == 3 else 0.985)
    if rest < 1:
        assert covered([loss_interval(*pair, 0.95, apart(TRIPLES)) for pair in tables[:300]], 0.0) < 0.9


def test_intervals_that_ignore_seeds_or_resample_them_cover_too_little() -> None:
    """What the test above can see: intervals over queries, and a percentile bootstrap over seeds and triples."""
    tables = crossed(seeds=3, share=0.95, rest=0.2, sets=500)
    alone = apart(TRIPLES).intervals(np.stack([(one - other).mean(0) for one, other in tables]), 0.95)
    assert covered(alone, 0.0) < 0.5
    random = np.random.default_rng(1)
    times = random.multinomial(TRIPLES, np.full(TRIPLES, 1 / TRIPLES), size=400) / TRIPLES
    means = np.zeros((500, 400))
    for sign, loss in ((1, 0), (-1, 1)):
        resampled = random.multinomial(3, np.full(3, 1 / 3), size=400) / 3
        stacked = np.stack([pair[loss] for pair in tables])
        means += sign * np.einsum("nst,bt,bs->nb", stacked, times, resampled, optimize=True)
    both = [Interval(float(a), float(b)) for a, b in np.quantile(means, [0.025, 0.975], axis=1).T]
    assert covered(both, 0.0) < 0.9


def test_an_interval_over_seeds_is_never_the_narrower_one() -> None:
    for one, other in crossed(seeds=3, share=0.1, rest=5.0, sets=100):
        over_seeds, per_triple = loss_interval(one, other, 0.95, apart(TRIPLES)), (one - other).mean(0)
        alone = student(0.95, TRIPLES - 1) * per_triple.std(ddof=1) / math.sqrt(TRIPLES)
        assert over_seeds.high - over_seeds.low >= 2 * alone * (1 - 1e-9)


# ---------------------------------------------------------------------------------------------------- verdicts


def values(tables: np.ndarray) -> list[dict[str, np.ndarray]]:
    """(S, T) values of one metric as those of all metrics."""
    return [dict.fromkeys(METRICS, row) for row in tables]


def test_a_planted_difference_is_found_and_a_missing_one_is_not() -> None:
    random = np.random.default_rng(3)
    hard, noise = random.uniform(0.2, 0.6, (1, TRIPLES)), lambda: 0.05 * random.standard_normal((3, TRIPLES))
    given = {"low": values(hard + noise()), "same": values(hard + noise()), "high": values(hard + 0.1 + noise())}
    found = differences(given, [("low", "same"), ("low", "high"), ("high", "same")], apart(TRIPLES))
    verdicts = {(d.first, d.second): d.verdict for d in found if d.metric == "mrr"}
    assert verdicts == {
        ("low", "same"): "not distinguishable",
        ("low", "high"): "high is better",
        ("high", "same"): "high is better",
    }
    planted = next(d for d in found if (d.first, d.second) == ("low", "high"))
    assert planted.value == pytest.approx(-0.1, abs=0.01)
    assert -0.1 in planted.over_seeds


def test_more_pairs_ask_for_more() -> None:
    given = {name: values(np.random.default_rng(i).uniform(size=(3, 50))) for i, name in enumerate("abc")}
    (alone, *_), (among, *_) = (
        differences(given, pairs, apart(50)) for pairs in ([("a", "b")], [("a", "b"), ("a", "c")])
    )
    assert (alone.level, among.level) == (0.95, 0.975)
    assert among.over_seeds.low < alone.over_seeds.low < alone.over_seeds.high < among.over_seeds.high
    assert among.over_queries.low < alone.over_queries.low
    assert among.value == alone.value


def test_a_loss_is_not_distinguishable_from_itself_under_other_seeds(tmp_path: Path) -> None:
    """Six seeds of one loss as if they were two losses; an untrained model as a third."""
    graph = ring()
    package.compare(graph, ["sce", "ns"], folder=tmp_path, seeds=6, budget="12steps", tune=1, **SMALL)
    runs = [Run.open(tmp_path / "sce" / f"seed-{seed}") for seed in range(1, 7)]
    trained = [triple_values(run.evaluate("test").frame) for run in runs]
    recipe = runs[0].recipe.changed(**{"optimizer.lr": 1e-9})
    untrained = []
    for seed in range(1, 4):
        run = package.train(graph, recipe, folder=tmp_path / f"untrained-{seed}", **{"train.seed": seed})
        untrained.append(triple_values(run.evaluate("test").frame))
    found = differences(
        {"one": trained[:3], "other": trained[3:], "untrained": untrained},
        [("one", "other"), ("one", "untrained")],
        Questions.of(graph.splits["test"].numpy()),
    )
    assert [d.verdict for d in found if d.metric == "mrr"] == ["not distinguishable", "one is better"]


# ------------------------------------------------------------------------------------------------------ budgets


@pytest.mark.parametrize(
    ("text", "budget"),
    [("2000steps", Budget(2000, "steps")), (" 1e9 scores ", Budget(1e9, "scores")), ("60s", Budget(60, "seconds")),
     ("1.5min", Budget(90, "seconds")), ("2h", Budget(7200, "seconds")), ("30 Epochs", Budget(30, "epochs"))],
)  # fmt: skip
def test_budgets_are_read(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "10", "steps", "10parsecs", "0steps", "-5s", "1e999s", "ten steps", "5 s s"])
def test_budgets_that_are_none_name_the_units(text: str) -> None:
    with pytest.raises(UserError, match=r"Legal units: epochs, steps, scores, s, min, h\."):
        parse_budget(text)


def test_a_budget_as_epochs() -> None:
    cost = Cost(steps=7, scores=1000)
    epochs = {text: parse_budget(text).settings(cost)["train.epochs"] for text in ("70steps", "73steps", "9e3scores")}
    assert epochs == {"70steps": 10, "73steps": 10, "9e3scores": 9}
    assert parse_budget("5min").settings(cost)["train.seconds"] == 300
    with pytest.raises(UserError, match="3 steps buys less than half an epoch, which takes 7 steps"):
        parse_budget("3steps").settings(cost)
    assert [str(parse_budget(text)) for text in ("2000steps", "1e10scores", "1min")] == [
        "2,000 steps", "1e+10 scores", "60 seconds",
    ]  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
def test_scores_of_an_epoch_by_counting_questions(loss: str) -> None:
    graph = ring()
    recipe = loss_recipe(loss, base_recipe(graph, "complex", SMALL), graph, {"noise.num": 5})
    triples = graph.splits["train"].tolist()
    questions = len({(h, r) for h, r, _ in triples}) + len({(r, t) for _, r, t in triples})
    drawn = recipe.noise["name"] != "all"
    rows = questions if not drawn and loss not in ("margin", "soft-margin", "sans") else 2 * len(triples)
    num = 5 if drawn else graph.num_entities
    # A mutated term has a row per triple; emu-unmutated and its like have two terms that share rows.
    expected = [
        (rows if term is None else 2 * len(triples)) * num + 2 * len(triples)
        for term in (recipe.mutation, *(term.mutation for term in recipe.terms))
    ]
    assert epoch_cost(assemble(recipe, graph)) == Cost(steps=6, scores=sum(expected))


def test_every_loss_trains_for_every_kind_of_model(tmp_path: Path) -> None:
    graph = ring()
    for model in ("complex", "transe"):
        for loss in LOSSES:
            recipe = loss_recipe(loss, base_recipe(graph, model, SMALL), graph, {})
            run = package.train(graph, recipe, folder=tmp_path / model / loss, **{"train.epochs": 1})
            assert run.recipe.name == loss
            offset = run.recipe.objective.get("offset")
            assert offset in (None, 9.0 if model == "transe" else 0.0)
            if "num" in run.recipe.noise:
                assert run.recipe.noise["num"] == 10, "a quarter of the entities"


def test_presets_pair_losses_that_exist() -> None:
    assert PRESETS["matched-pairs"] == (("ns", "sce"), ("sans", "sce-tempered"), ("ns-freq", "sce-bc"))
    sans, tempered = LOSSES["sans"]["objective"], LOSSES["sce-tempered"]["objective"]
    assert tempered["temperature"] == 1 / (1 + sans["inverse_temperature"])
    assert {loss for pairs in PRESETS.values() for pair in pairs for loss in pair} <= set(LOSSES)
    assert chosen_pairs(["a"][:0], "matched-pairs") == PRESETS["matched-pairs"]
    assert chosen_pairs(["ns", "sce", "bce"], None) == (("ns", "sce"), ("ns", "bce"), ("sce", "bce"))


# ------------------------------------------------------------------------------------------------- from end to end


def test_every_training_spends_the_same(compared: tuple[Comparison, Path]) -> None:
    found, folder = compared
    assert [(run.loss, run.seed) for run in found.trained] == [(x, s) for x in ("sce", "ns") for s in (1, 2, 3)]
    assert {(run.steps, run.epochs) for run in found.trained} == {(30, 5)}
    folders = [path.parent for path in folder.glob("*/*/recipe.toml")]
    assert sorted(path.name for path in folders) == sorted(["lr-0.03", "lr-0.1", "seed-1", "seed-2", "seed-3"] * 2)
    for path in folders:
        history = Run.open(path).history()
        assert [line["epoch"] for line in history if line.get("metrics")] == [1, 2, 3, 4, 5]
        assert history[-1]["step"] == 30
    seeds = {(path.parent.name, path.name): Run.open(path).recipe.train.seed for path in folders}
    assert len(set(seeds.values())) == 2 * (1 + 3), "trials of a loss share a seed, and nothing else shares any"


def test_learning_rates_are_chosen_by_validation(compared: tuple[Comparison, Path]) -> None:
    found, folder = compared
    for loss in ("sce", "ns"):
        trials = {trial.rate: trial.valid for trial in found.trials if trial.loss == loss}
        assert trials.keys() == {0.1, 0.03}
        for rate, valid in trials.items():
            history = Run.open(folder / loss / f"lr-{rate:g}").history()
            assert valid == max(line["metrics"]["mrr"] for line in history if line.get("metrics"))
            assert not (folder / loss / f"lr-{rate:g}" / "ranks.parquet").exists(), "a trial saw the test split"
        assert {run.rate for run in found.of(loss)} == {max(trials, key=lambda rate: trials[rate] or 0)}


def test_the_files_say_what_was_found(compared: tuple[Comparison, Path]) -> None:
    found, folder = compared
    about = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    assert about["setup"]["budget"] == {"amount": 30.0, "unit": "steps"}
    assert about["setup"]["graph_sha256"] == ring().sha256
    assert about["setup"]["protocol"]["name"] == "falsum"
    first = next(d for d in about["differences"] if d["metric"] == "mrr")
    mrr = {x: [run["metrics"]["mrr"] for run in about["trained"] if run["loss"] == x] for x in ("sce", "ns")}
    assert first["value"] == pytest.approx(np.mean(mrr["sce"]) - np.mean(mrr["ns"]))
    assert first["over_seeds"]["low"] <= first["over_queries"]["low"] < first["value"] < first["over_queries"]["high"]
    assert first["verdict"] in ("not distinguishable", "sce is better", "ns is better")

    text = (folder / "comparison.md").read_text(encoding="utf-8")
    assert text == markdown(found)
    assert f"| sce - ns | {first['value']:+.4f} |" in text
    assert "Budget of every training: 30 steps." in text
    assert "SHA-256 " + ring().sha256 in text

    words = Strict(page := (folder / "comparison.html").read_text(encoding="utf-8")).words()
    assert f"sce and ns: {first['verdict']} ({first['value']:+.4f})." in words
    for row in losses_frame(found).iter_rows(named=True):
        assert f"{row['loss']} {row['lr']} {row['mrr']:.4f}" in words
    assert "<script" not in page
    assert "://" not in page


def test_a_comparison_that_stopped_goes_on_to_the_same(compared: tuple[Comparison, Path], tmp_path: Path) -> None:
    whole, _ = compared
    settings = SMALL | {"noise.num": 5}
    plan = Study(ring(), "complex", (("sce", "ns"),), 3, parse_budget("30steps"), 2, tmp_path, settings)
    moments: Iterator[object] = plan.train()
    list(islice(moments, 200))
    moments.close()  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"is no run folder|not trained to its end"):
        plan.conclude()
    found = package.compare(ring(), ["sce", "ns"], folder=tmp_path, seeds=3, budget="30steps", tune=2, **settings)
    assert found.differences == whole.differences
    weights = (tmp_path / "ns" / "seed-3" / "model.safetensors").stat().st_mtime_ns
    again = package.compare(ring(), ["sce", "ns"], folder=tmp_path, seeds=3, budget="30steps", tune=2, **settings)
    assert again.differences == found.differences
    assert (tmp_path / "ns" / "seed-3" / "model.safetensors").stat().st_mtime_ns == weights, "trained again"


def test_budgets_of_scores_and_seconds(tmp_path: Path) -> None:
    graph = ring()
    cost = {
        x: epoch_cost(assemble(loss_recipe(x, base_recipe(graph, "complex", SMALL), graph, {}), graph))
        for x in ("ns", "sce")
    }
    budget = 4 * max(c.scores for c in cost.values())
    found = package.compare(
        graph, ["ns", "sce"], folder=tmp_path / "a", seeds=2, budget=f"{budget}scores", tune=1, **SMALL
    )
    for run in found.trained:
        assert run.epochs == round(budget / cost[run.loss].scores)
        assert run.scores == run.epochs * cost[run.loss].scores
    found = package.compare(graph, ["ns", "sce"], folder=tmp_path / "b", seeds=2, budget="0.2s", tune=1, **SMALL)
    for run in found.trained:
        assert run.seconds >= 0.2
        assert run.steps % 6 == 0, "an epoch is finished"
    assert any("Learning rate" in note and "not tuned" in note for note in notes(found))


def test_the_command(falsum: Command, tmp_path: Path) -> None:
    graph, folder = small_graph(tmp_path / "small"), tmp_path / "out"
    options = ["--seeds", 2, "--budget", "3epochs", "--tune", 2, "--dim", 8, "--set", "train.batch_size=25"]
    command = ["compare", graph, "--losses", "ns, sce", *options, "--out", folder]
    text = falsum.ok(*command)
    assert "8 trainings of 3 epochs each: for each of ns, sce, 2 to choose the learning rate and 2 seeds" in text
    assert f"folder {folder}" in text
    assert "ns, learning rate 0.1: validation MRR" in text
    assert "sce, seed 2: validation MRR" in text
    assert "12 steps in" in text
    for part in ("differences in mrr", "differences in hits@10", "ns - sce", "over queries and seeds", "distinguish"):
        assert part in text
    assert {path.name for path in folder.iterdir()} == {
        "ns", "sce", "comparison.html", "comparison.json", "comparison.md",
    }  # fmt: skip
    table = text[text.index("differences in mrr") :]
    assert falsum.ok(*command).endswith(table), "finished runs are kept, and say the same"

    message = falsum("compare", graph, "--losses", "ns,sce", *options, "--budget", "4epochs", "--out", folder).error
    assert "holds a run with other settings: train.epochs was 3 and would be 4" in message


def test_the_preset_compares_within_pairs(falsum: Command, tmp_path: Path) -> None:
    graph = small_graph(tmp_path / "small")
    text = falsum.ok(
        "compare", graph, "--preset", "matched-pairs", "--seeds", 2, "--budget", "1epochs", "--tune", 1, "--dim", 8,
        "--out", tmp_path / "out",
    )  # fmt: skip
    table = text[text.index("differences in mrr") : text.index("differences in hits@1")]
    assert [line.split("│")[1].strip() for line in table.splitlines() if line.startswith("│")] == [
        "ns - sce", "sans - sce-tempered", "ns-freq - sce-bc",
    ]  # fmt: skip
    assert "98.3 % each, for 3 pairs" in text


# --------------------------------------------------------------------------------------------------------- refusals

ERRORS = {
    "unknown loss": (["--losses", "ns,nonsense"], r"no loss 'nonsense'; legal: ns, ns-freq"),
    "one loss": (["--losses", "ns"], "two different losses or more"),
    "a loss twice": (["--losses", "ns,ns"], "two different losses or more"),
    "unknown preset": (["--preset", "all"], "no preset 'all'; legal: matched-pairs"),
    "losses and preset": (["--preset", "matched-pairs", "--losses", "ns"], "not both"),
    "budget": (["--budget", "10"], "Legal units: epochs, steps"),
    "too small a budget": (["--budget", "1scores"], "1 scores buys less than half an epoch"),
    "one seed": (["--seeds", "1"], "2 seeds or more"),
    "too many learning rates": (["--tune", "9"], "between 1 and 7"),
    "epochs": (["--set", "train.epochs=3"], r"'train.epochs' is not free in a comparison: --budget decides it"),
    "seed": (["--set", "train.seed=3"], "--seeds decides it"),
    "objective": (["--set", "objective=softmax"], "--losses decides it"),
    "test answers": (["--set", "validation.filter_test=true"], "never chosen by test answers"),
    "an option of no loss": (["--losses", "ns,sce", "--set", "objective.margin=2"], "belongs to none of the losses"),
    "an unknown setting": (["--set", "model.size=2"], "unknown key 'size'|'size'"),
    "an unknown model": (["--model", "bert"], "'bert' is no model"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    name: str, falsum: Command, tmp_path: Path
) -> None:
    options, pattern = ERRORS[name]
    message = falsum("compare", small_graph(tmp_path / "small"), *options, "--out", tmp_path / "out").error
    assert re.search(pattern, message), message
    assert not (tmp_path / "out").exists()


def test_splits_that_a_comparison_needs(falsum: Command, tmp_path: Path) -> None:
    no_test = write_graph(tmp_path / "a", train=facts(40), valid=facts(50)[40:])
    assert "fewer than 2 test triples" in falsum("compare", no_test, "--out", tmp_path / "x").error
    alike = write_graph(
        tmp_path / "c", train=facts(40), valid=facts(50)[40:], test=[("e0", "r0", f"e{i}") for i in (1, 2)]
    )
    assert (
        "All test triples of graph 'c' belong to one question"
        in falsum("compare", alike, "--out", tmp_path / "x").error
    )
    no_valid = write_graph(tmp_path / "b", train=facts(80), test=facts(100)[80:])
    assert "Without a validation split, use --tune 1" in falsum("compare", no_valid, "--out", tmp_path / "x").error
    text = falsum.ok(
        "compare", no_valid, "--losses", "ns,sce", "--tune", 1, "--seeds", 2, "--budget", "1epochs", "--dim", 8,
        "--out", tmp_path / "y",
    )  # fmt: skip
    assert "ns, seed 1: 1 steps in" in text


def test_learning_rates_that_diverge_lose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "FACTORS", (1e38, 1.0))
    settings = SMALL | {"optimizer": "sgd", "noise.num": 5}
    found = package.compare(ring(), ["ns", "sce"], folder=tmp_path / "a", seeds=2, budget="1epochs", tune=2, **settings)
    assert {trial.rate: trial.valid is None for trial in found.trials} == {1e37: True, 0.1: False}
    assert {run.rate for run in found.trained} == {0.1}
    assert "diverged" in (tmp_path / "a" / "comparison.html").read_text()
    monkeypatch.setattr(study, "FACTORS", (1e38, 3e37))
    with pytest.raises(UserError, match=r"Every learning rate of ns diverged \(1e\+37, 3e\+36\): set a lower"):
        package.compare(ring(), ["ns", "sce"], folder=tmp_path / "b", seeds=2, budget="1epochs", tune=2, **settings)
    monkeypatch.setattr(study, "FACTORS", (1e38,))
    with pytest.raises(Diverged):
        package.compare(ring(), ["ns", "sce"], folder=tmp_path / "c", seeds=2, budget="1epochs", tune=1, **settings)


def test_another_graph_in_the_same_folder_is_refused(compared: tuple[Comparison, Path]) -> None:
    _, folder = compared
    settings = SMALL | {"noise.num": 5}
    with pytest.raises(UserError, match="the graph is another one"):
        package.compare(ring(1), ["sce", "ns"], folder=folder, seeds=3, budget="30steps", tune=2, **settings)


def test_every_model_has_a_base_recipe() -> None:
    for model in MODELS:
        recipe = base_recipe(ring(), model, {})
        assert (recipe.model["name"], recipe.penalty) == (model, [])
