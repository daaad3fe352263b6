"""Intervals of means over questions: by hand, and with a known truth that they must cover as often as they say."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from falsum.evaluation.metrics import metric_intervals
from falsum.evaluation.questions import Interval, Questions, student

LEVEL = 0.95


@pytest.mark.parametrize(
    ("level", "freedom", "t"),
    [(0.95, 1, 12.7062), (0.95, 2, 4.30265), (0.95, 3, 3.18245), (0.95, 4, 2.77645), (0.95, 10, 2.22814),
     (0.99, 5, 4.03214), (0.9, 29, 1.69913), (0.95, 100, 1.98397), (0.95, 100_000, 1.95999)],
)  # fmt: skip
def test_quantiles_of_student(level: float, freedom: int, t: float) -> None:
    """Printed tables."""
    assert student(level, freedom) == pytest.approx(t, abs=1e-5 * max(1, t))


def test_variances_by_hand() -> None:
    """Three by three triples: without a row of the table the mean is 2.5, 2 or 1.5, without a column the same."""
    grid = np.array([(head, 0, 10 + tail) for head in range(3) for tail in range(3)])
    values = np.array([[0, 1, 2, 1, 2, 3, 2, 3, 4.0]])
    questions = Questions.of(grid)
    assert questions.parts(values).ravel() == pytest.approx([1 / 3, 1 / 3, 1 / 6])
    assert questions.variance(values) == pytest.approx([1 / 2])
    assert questions.freedom == 2
    half = 4.302653 * math.sqrt(1 / 2)
    assert questions.intervals(values, 0.95) == [Interval(pytest.approx(2 - half), pytest.approx(2 + half))]


def test_a_variance_is_never_less_than_that_over_one_kind_of_question() -> None:
    """Values 1, 2 of one head and 6 of another; 1 and 6 have one tail. Groups of 2 and 1 are 9 / 5 equal groups."""
    questions = Questions.of(np.array([[0, 0, 1], [0, 0, 2], [3, 0, 1]]))
    assert questions.parts(np.array([[1, 2, 6.0]])).ravel() == pytest.approx([5.625, 0.625, 7 / 3])
    assert questions.variance(np.array([[1, 2, 6.0]])) == pytest.approx([5.625])
    assert questions.freedom == 1


def test_relations_tell_questions_apart_and_repeated_triples_belong_together() -> None:
    asked = Questions.of(np.array([[0, 0, 1], [0, 1, 1], [0, 0, 1], [1, 0, 0]]))
    assert asked.tail.tolist() == [0, 1, 0, 2]
    assert asked.head.tolist() == [1, 2, 1, 0]
    assert asked.triple.tolist() == [0, 1, 0, 2]


def test_triples_that_share_no_question_have_the_usual_variance() -> None:
    rows = np.random.default_rng(0).gamma(1, size=(3, 50))
    apart = Questions.of(np.stack([np.arange(50)] * 3, 1))
    assert apart.variance(rows) == pytest.approx(rows.var(1, ddof=1) / 50)
    assert apart.freedom == 49


def test_one_question_says_nothing() -> None:
    for triples in ([[0, 0, 1], [0, 0, 2]], [[1, 0, 0], [2, 0, 0]], [[1, 2, 3]]):
        questions = Questions.of(np.array(triples))
        rows = np.random.default_rng(0).random((2, len(triples)))
        assert questions.freedom == 0
        assert questions.variance(rows).tolist() == [math.inf] * 2
        assert questions.intervals(rows, 0.95) == [Interval(-math.inf, math.inf)] * 2


# --------------------------------------------------------------------------------------------------- coverage


def sampled(random: np.random.Generator, count: int, kinds: int, uneven: float) -> np.ndarray:
    """`count` of `kinds` things, the i-th drawn in proportion to 1 / i^uneven."""
    chances = np.arange(1.0, kinds + 1) ** -uneven
    return random.choice(kinds, count, p=chances / chances.sum())


def effects(random: np.random.Generator, shape: tuple[int, ...], skewed: bool) -> np.ndarray:
    return random.exponential(1, shape) - 1 if skewed else random.standard_normal(shape)


def over_triples(random: np.random.Generator, rows: np.ndarray, samples: int = 200) -> list[Interval]:
    """The percentile bootstrap that draws triples: what ignores that they share questions."""
    count = rows.shape[1]
    means = random.multinomial(count, np.full(count, 1 / count), size=samples) @ rows.T / count
    ends = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return [Interval(float(low), float(high)) for low, high in ends.T]


def covered(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([truth in interval for interval in intervals]))


@pytest.mark.parametrize("skewed", [False, True], ids=["normal", "skewed"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.45])
@pytest.mark.parametrize(
    ("triples", "tails", "heads", "uneven"),
    [(300, 300, 300, 0.0), (400, 200, 100, 0.5), (600, 400, 150, 0.8), (900, 800, 400, 1.0)],
)
def test_intervals_cover_what_they_claim_whatever_questions_share(
    triples: int, tails: int, heads: int, uneven: float, share: float, skewed: bool
) -> None:
    """1,000 test sets with expected mean 0. share: of the variance, due to either kind of question.

    The hardest: one question has a seventh of all triples, and half of the variance is due to few skewed effects.
    """
    random = np.random.default_rng(0)
    first, second = sampled(random, triples, tails, uneven), sampled(random, triples, heads, uneven)
    questions = Questions.of(np.stack([first, 0 * first, second], 1))
    kinds = [effects(random, (1000, count), skewed) * math.sqrt(share) for count in (tails, heads)]
    own = effects(random, (1000, triples), skewed) * math.sqrt(1 - 2 * share)
    rows = kinds[0][:, first] + kinds[1][:, second] + own
    assert (0.9 if skewed and uneven == 1 else 0.92) <= covered(questions.intervals(rows, LEVEL), 0) <= 0.98
    ignored = covered(over_triples(random, rows[:200]), 0)
    if share == 0:
        assert ignored > 0.9
    elif uneven:  # else few triples share a question
        assert ignored < 0.91


def test_intervals_of_metrics_cover_the_metric_of_correlated_questions() -> None:
    """400 test sets of 400 triples and 800 ranks. What the interval says is of MRR and Hits@10 under new questions."""
    random = np.random.default_rng(1)

    def ranks(shared: np.ndarray) -> np.ndarray:
        """Both sides of triples whose questions are as hard as `shared`."""
        noise = random.normal(0, [0.6, 0.4], (*shared.shape, 2))
        return 1 + np.floor(np.exp(1.2 + shared[..., None] + noise[..., :1] + noise[..., 1:] * [[1, -1]]))

    population = ranks(1.2 * random.standard_normal(400_000) + 0.9 * random.standard_normal(400_000))
    truths = {"mrr": float((1 / population).mean()), "hits@10": float((population <= 10).mean())}
    found: dict[str, list[Interval]] = {name: [] for name in truths}
    ignored: list[Interval] = []
    for _ in range(400):
        head, tail = sampled(random, 400, 200, 0.5), sampled(random, 400, 100, 0.5)
        hard = 1.2 * random.standard_normal(200)[head] + 0.9 * random.standard_normal(100)[tail]
        both = ranks(hard)
        frames = [
            pl.DataFrame({"head": head, "relation": 0 * head, "tail": tail, "greater": side.astype(int) - 1})
            for side in both.T
        ]
        frame = pl.concat(frames).with_columns(equal=pl.lit(0), candidates=pl.lit(10**6))
        for name, interval in metric_intervals(frame).items():
            if name in truths:
                found[name].append(interval)
        ignored += over_triples(random, (1 / both).mean(1)[None])
    for name, truth in truths.items():
        assert 0.92 <= covered(found[name], truth) <= 0.98, name
    assert covered(ignored, truths["mrr"]) < 0.88
