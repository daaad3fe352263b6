"""Ranks are the oracle's counts, exactly, for any block, tie and filter; metrics and protocols follow from them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import oracle
from falsum.errors import UserError
from falsum.evaluation.metrics import macro, metric_intervals, metrics, sliced, with_rank
from falsum.evaluation.protocol import PROTOCOLS, evaluate
from falsum.evaluation.questions import Interval, student
from falsum.evaluation.ranks import rank
from falsum.graph.graph import Graph, Side
from falsum.models import MODELS
from falsum.scan.scoring import Scoring
from laws import worlds

ALL = ("train", "valid", "test")
# Models whose scores of integer rows are sums and products of integers, so that ties are exact.
INTEGER = ("distmult", "complex", "cp", "rescal", "tucker3", "transe")

Counts = dict[tuple[int, int, int, str], tuple[int, int, int]]


def truth(
    name: str,
    parts: Scoring,
    g: Graph,
    triples: Sequence[tuple[int, int, int]],
    filters: Sequence[str],
    hidden: set[int] = frozenset(),  # type: ignore[assignment]
    tolerance: tuple[float, float] = (0.0, 0.0),
) -> Counts:
    scores, known = worlds.Oracle(name, parts), worlds.triples_of(g, filters)
    found = {}
    for head, relation, tail in triples:
        for slot, anchor, target in (("tail", head, tail), ("head", tail, head)):
            if slot == "tail":
                row = [scores.triple(head, relation, e) for e in range(g.num_entities)]
            elif g.has_inverses:
                row = [scores.triple(tail, relation + g.num_base_relations, e) for e in range(g.num_entities)]
            else:
                row = [scores.triple(e, relation, tail) for e in range(g.num_entities)]
            out = hidden | oracle.answers(known, anchor, relation, slot)
            found[head, relation, tail, slot] = oracle.rank_counts(row, target, out, *tolerance)
    return found


def counts(frame: pl.DataFrame) -> Counts:
    names = ("head", "relation", "tail", "side", "greater", "equal", "candidates")
    return {row[:4]: row[4:] for row in frame.select(names).iter_rows()}


@pytest.mark.parametrize("name", MODELS)
@given(
    entities=st.integers(3, 9),
    seed=st.integers(0, 10**6),
    filters=st.sampled_from([(), ("train",), ("train", "valid"), ALL]),
    inverses=st.booleans(),
    budget=st.sampled_from([1, 40, 100, 1 << 27]),
)
@settings(max_examples=25, deadline=None)
def test_ranks_are_the_oracles(
    name: str, entities: int, seed: int, filters: Sequence[str], inverses: bool, budget: int
) -> None:
    size = entities * entities // 2
    g = worlds.graph(entities, 2, sizes=(size, size // 2, size // 2), seed=seed)
    g = g.with_inverses() if inverses else g
    parts = worlds.scoring(name, g, seed, whole=name in INTEGER and seed % 3 > 0)
    expected = truth(name, parts, g, worlds.triples_of(g, ["test"]), filters)
    assume(any(equal + 1 < candidates for _, equal, candidates in expected.values()))
    frame = rank(parts, g, g.splits["test"], filter_splits=filters, budget=budget).frame
    assert counts(frame) == expected


def test_integer_rows_do_tie() -> None:
    """Guards the law above: it is about ties only if there are some."""
    g = worlds.graph(9, 2, sizes=(30, 10, 10))
    for name in INTEGER:
        frame = rank(worlds.scoring(name, g, whole=True), g, g.splits["test"]).frame
        assert frame["equal"].sum() >= 5


def test_the_comparison_of_ranks_can_fail() -> None:
    g = worlds.graph(9, 2, sizes=(30, 10, 10))
    parts, triples = worlds.scoring("complex", g), worlds.triples_of(g, ["test"])
    frame = rank(parts, g, g.splits["test"]).frame
    assert counts(frame) == truth("complex", parts, g, triples, ALL)
    assert counts(frame) != truth("distmult", parts, g, triples, ALL)
    assert counts(frame) != truth("complex", parts, g, triples, ["train"])


@pytest.mark.parametrize("tolerance", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.7), (0.2, 0.2)])
def test_scores_within_the_tolerance_tie(tolerance: tuple[float, float]) -> None:
    g = worlds.graph(9, 2, sizes=(30, 10, 10))
    for name in ("distmult", "transe"):
        parts = worlds.scoring(name, g)
        frame = rank(parts, g, g.splits["test"], tolerance=tolerance).frame
        assert counts(frame) == truth(name, parts, g, worlds.triples_of(g, ["test"]), ALL, tolerance=tolerance)


@pytest.mark.parametrize("name", ["complex", "transe"])
def test_unseen_entities_are_no_rivals_on_request(name: str) -> None:
    """They keep a rank of their own where they are the answer."""
    g = worlds.graph(9, 2, sizes=(5, 8, 12), seed=1)
    unseen = set(range(9)) - {e for h, _, t in worlds.triples_of(g, ["train"]) for e in (h, t)}
    assert unseen & {e for h, _, t in worlds.triples_of(g, ["test"]) for e in (h, t)}
    parts = worlds.scoring(name, g)
    frame = rank(parts, g, g.splits["test"], seen_only=True).frame
    assert counts(frame) == truth(name, parts, g, worlds.triples_of(g, ["test"]), ALL, hidden=unseen)


def single(parts: Scoring) -> Scoring:
    """The same weights in fp32."""
    return Scoring(parts.entities.float(), parts.relations.float(), parts.model.float())


def nearly_equal_rows(name: str, num: int, dim: int, triples: int, *, whole: bool) -> tuple[Scoring, Graph]:
    """fp32 weights in which all entities but the last have one row, and a graph whose triples leave the last out.

    With the last one, the model is not refused as constant. It is no integer, so it ties with nobody.
    """
    g = worlds.graph(num - 1, 2, sizes=(triples, 0, 0))
    g = Graph("odd", g.splits, pl.Series([str(i) for i in range(num)]), g.relations, 2)
    parts = worlds.scoring(name, g, dim=dim, whole=whole)
    with torch.no_grad():
        parts.entities.weight[: num - 1] = parts.entities.weight[0].clone()
        parts.entities.weight[num - 1] += 0.1 * torch.randn(dim, generator=torch.Generator().manual_seed(1))
    return single(parts), g


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("num", [3, 97, 1001])
def test_ranks_of_all_entities_to_one_question_have_the_mean_of_a_ranking(name: str, num: int) -> None:
    """(n + 1) / 2 exactly, ties and all, however a machine rounds: a target scored by another operation than its rivals
    would tie with nobody, or rank first or last every time."""
    parts, _ = nearly_equal_rows(name, num, 50, 2, whole=False)
    g = worlds.graph(num, 2, sizes=(2, 0, 0))
    every, fixed = torch.arange(num), torch.zeros(num, dtype=torch.int64)
    for side, columns in ((Side.TAIL, (fixed, fixed, every)), (Side.HEAD, (every, fixed, fixed))):
        frame = rank(parts, g, torch.stack(columns, 1), sides=[side], filter_splits=()).frame
        assert with_rank(frame)["rank"].sum() == num * (num + 1) / 2


@pytest.mark.parametrize("name", MODELS)
def test_all_but_one_equal_rank_in_the_middle_of_the_rest(name: str) -> None:
    """Exactly where all scores are integers, within rounding elsewhere: a machine may round equal sums differently at
    the edge of a block."""
    num, exact = 501, name in INTEGER
    parts, g = nearly_equal_rows(name, num, 40, 40, whole=exact)
    tolerance = (0.0, 0.0) if exact else (1e-5, 1e-5)
    frame = rank(parts, g, g.splits["train"], filter_splits=(), tolerance=tolerance).frame
    assert (frame["equal"] == num - 2).all()
    assert set(frame["greater"]) <= {0, 1}
    assert set(with_rank(frame)["rank"]) <= {num / 2, num / 2 + 1}


def test_a_constant_model_is_refused() -> None:
    g = worlds.graph()
    parts = worlds.scoring("distmult", g)
    with torch.no_grad():
        parts.entities.weight.zero_()
    with pytest.raises(UserError, match="same score"):
        rank(parts, g, g.splits["test"])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["distmult", "transe"])
def test_scores_that_are_not_finite_are_refused(name: str, value: float) -> None:
    g = worlds.graph()
    parts = worlds.scoring(name, g)
    with torch.no_grad():
        parts.entities.weight[3, 1] = value
    with pytest.raises(UserError, match="not finite"):
        rank(parts, g, g.splits["test"])


@pytest.mark.parametrize("name", MODELS)
def test_names_of_entities_do_not_matter(name: str) -> None:
    g = worlds.graph(9, 2, sizes=(30, 10, 10))
    parts = worlds.scoring(name, g, whole=name in INTEGER)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    place = order.argsort()
    splits = {s: torch.stack([place[t[:, 0]], t[:, 1], place[t[:, 2]]], 1) for s, t in g.splits.items()}
    moved = Graph("moved", splits, g.entities[order.tolist()], g.relations, 2)
    before = metrics(rank(parts, g, g.splits["test"]).frame)
    with torch.no_grad():
        parts.entities.weight[:] = parts.entities.weight[order].clone()
    assert metrics(rank(parts, moved, moved.splits["test"]).frame) == pytest.approx(before, rel=1e-12)


@given(entities=st.integers(3, 9), seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_order_of_ranks(entities: int, seed: int) -> None:
    """Filtered <= raw, optimistic <= realistic <= pessimistic, all within [1, candidates]."""
    size = entities * entities // 2
    g = worlds.graph(entities, 2, sizes=(size, size // 2, size // 2), seed=seed)
    parts = worlds.scoring("complex", g, seed, whole=True)
    try:
        filtered, raw = (rank(parts, g, g.splits["test"], filter_splits=s).frame for s in (ALL, ()))
    except UserError:  # all scores tie
        assume(False)
    keys = ["head", "relation", "tail", "side"]
    assert filtered.select(keys).equals(raw.select(keys))
    for frame in (filtered, raw):
        best, middle, worst = (with_rank(frame, tie)["rank"] for tie in ("optimistic", "realistic", "pessimistic"))
        assert (best >= 1).all()
        assert (best <= middle).all()
        assert (middle <= worst).all()
        assert (worst <= frame["candidates"]).all()
    assert (raw["candidates"] == entities).all()
    assert (with_rank(filtered)["rank"] <= with_rank(raw)["rank"]).all()


def test_repeated_triples_are_ranked_each_time() -> None:
    g = worlds.graph()
    frame = rank(worlds.scoring("complex", g), g, g.splits["test"][[0, 0, 1]]).frame
    assert len(frame) == 6
    assert frame.unique().height == 4


def test_no_triples_give_no_ranks() -> None:
    g = worlds.graph()
    for name in MODELS:
        frame = rank(worlds.scoring(name, g), g, g.splits["test"][:0]).frame
        assert len(frame) == 0
    assert all(math.isnan(value) for value in metrics(frame).values())


def test_progress_counts_triples_and_sides() -> None:
    g, seen = worlds.graph(), []
    rank(worlds.scoring("complex", g), g, g.splits["test"], budget=1, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 2 * len(g.splits["test"])


# Metrics


def frame_of(
    greater: Sequence[int], equal: Sequence[int], candidates: Sequence[int] | int, relation: Sequence[int] | int = 0
) -> pl.DataFrame:
    rows = range(len(greater))
    return pl.DataFrame(
        {
            "head": rows,
            "relation": [relation] * len(greater) if isinstance(relation, int) else relation,
            "tail": rows,
            "side": ["tail"] * len(greater),
            "greater": greater,
            "equal": equal,
            "candidates": [candidates] * len(greater) if isinstance(candidates, int) else candidates,
        }
    )


# Ranks 1, 2.5, 4, 11 of 11, 11, 9, 21 candidates: one tie of three, broken to 2, 2.5, 3 or 4.
HAND = frame_of([0, 1, 3, 10], [0, 3, 0, 0], [11, 11, 9, 21])


@pytest.mark.parametrize(
    ("tie", "ranks"),
    [
        ("realistic", [1, 3.5, 4, 11]),
        ("optimistic", [1, 2, 4, 11]),
        ("pessimistic", [1, 5, 4, 11]),
        ("rounded", [1, 4, 4, 11]),  # four candidates tie with themselves counted: 4 // 2 are put above
    ],
)
def test_tie_rules_by_hand(tie: str, ranks: list[float]) -> None:
    frame = with_rank(HAND, tie)
    assert frame["rank"].to_list() == ranks
    values = metrics(HAND, tie)
    assert values["mrr"] == pytest.approx(sum(1 / r for r in ranks) / 4, rel=1e-12)
    assert values["mr"] == pytest.approx(sum(ranks) / 4, rel=1e-12)
    for k in (1, 3, 10):
        assert values[f"hits@{k}"] == sum(r <= k for r in ranks) / 4


def test_metrics_by_hand() -> None:
    """Ranks 1, 2, 4: mrr = (1 + 1/2 + 1/4) / 3 = 7/12, mr = 7/3. Of 11, 11, 5 candidates chance ranks 6, 6, 3 on
    average, 5 in the mean: amri = 1 - (7/3 - 1) / (5 - 1) = 2/3."""
    values = metrics(frame_of([0, 1, 3], [0, 0, 0], [11, 11, 5]))
    assert values == pytest.approx(
        {"mrr": 7 / 12, "hits@1": 1 / 3, "hits@3": 2 / 3, "hits@10": 1, "mr": 7 / 3, "amri": 2 / 3}, rel=1e-12
    )


def test_metrics_do_not_depend_on_where_a_frame_lies_in_memory() -> None:
    """A frame read from a file is one piece, one of two sides is two: sums of them must not be rounded differently."""
    random = np.random.default_rng(0)
    for _ in range(20):
        sides = [frame_of(random.geometric(0.05, 300).tolist(), [0] * 300, 400) for _ in range(2)]
        pieces = pl.concat(sides, rechunk=False)
        assert pieces.n_chunks() == 2
        assert metrics(pieces) == metrics(pieces.rechunk())
        assert sliced(pieces, "relation").equals(sliced(pieces.rechunk(), "relation"))


def test_amri_of_perfect_chance_and_worst_ranks() -> None:
    assert metrics(frame_of([0, 0], [0, 0], 9))["amri"] == 1
    assert metrics(frame_of([4, 4], [0, 0], 9))["amri"] == 0
    assert metrics(frame_of([0, 0], [8, 8], 9))["amri"] == 0
    assert metrics(frame_of([8, 8], [0, 0], 9))["amri"] == -1


def test_slices_and_their_macro_mean_by_hand() -> None:
    """Relation 0 has ranks 1, 2, 1 and relation 1 has rank 4: the slices weigh 3 to 1 pooled, 1 to 1 in the mean."""
    frame = frame_of([0, 1, 3, 0], [0, 0, 0, 0], 11, [0, 0, 1, 0])
    table = sliced(frame, "relation")
    assert table["count"].to_list() == [3, 1]
    assert table["mrr"].to_list() == pytest.approx([2.5 / 3, 0.25])
    assert macro(frame, "relation")["mrr"] == pytest.approx((2.5 / 3 + 0.25) / 2)
    assert metrics(frame)["mrr"] == pytest.approx(2.75 / 4)
    assert sliced(frame, ["relation", "side"]).height == 2


def test_slices_pool_to_the_whole() -> None:
    g = worlds.graph(9, 2, sizes=(30, 10, 20))
    frame = rank(worlds.scoring("complex", g), g, g.splits["test"]).frame
    for by in ("side", "relation"):
        table = sliced(frame, by)
        for name, value in metrics(frame).items():
            if name != "amri":
                pooled = (table[name] * table["count"]).sum() / table["count"].sum()
                assert pooled == pytest.approx(value, rel=1e-12)


def test_intervals_of_nothing_are_nothing() -> None:
    g = worlds.graph()
    frame = rank(worlds.scoring("complex", g), g, g.splits["test"][:0]).frame
    assert all(math.isnan(end) for found in metric_intervals(frame).values() for end in (found.low, found.high))
    assert metric_intervals(frame).keys() == metrics(frame).keys()


def test_intervals_hold_the_metrics_and_end_where_they_do() -> None:
    frame = frame_of(list(range(30)), [0] * 30, 40)
    assert list(metric_intervals(frame)) == list(metrics(frame))
    for name, found in metric_intervals(frame).items():
        assert found.low < metrics(frame)[name] < found.high, name
        narrow = metric_intervals(frame, level=0.5)[name]
        assert found.low < narrow.low < narrow.high < found.high, name
    assert metric_intervals(frame, "pessimistic") == metric_intervals(frame)
    tied = frame.with_columns(equal=pl.lit(2))
    assert metric_intervals(tied, "pessimistic")["mr"].low > metric_intervals(tied)["mr"].low
    assert metric_intervals(frame_of([0, 0], [0, 0], 9))["hits@1"] == Interval(1, 1), "no spread, no width"
    alone = metric_intervals(frame_of([0], [0], 9))
    assert (alone["mrr"], alone["mr"], alone["amri"]) == (Interval(0, 1), Interval(1, 9), Interval(-1, 1))


def test_the_interval_of_amri_is_that_of_a_ratio_of_means() -> None:
    """Beside the jackknife of the ratio itself: every triple, a question of its own, left out once."""
    random = np.random.default_rng(0)
    candidates = random.integers(50, 500, 200)
    frame = frame_of((random.random(200) ** 3 * candidates).astype(int).tolist(), [0] * 200, candidates.tolist())
    without = [metrics(frame.filter(pl.col("head") != i))["amri"] for i in range(200)]
    error = math.sqrt(199 / 200 * sum((value - metrics(frame)["amri"]) ** 2 for value in without))
    found = metric_intervals(frame)["amri"]
    assert (found.high - found.low) / 2 == pytest.approx(student(0.95, 199) * error, rel=0.01)


def test_intervals_take_both_sides_of_a_triple_together() -> None:
    """300 worlds of 60 triples, both sides of a triple alike. Nominal 0.9; apart they would cover 0.75 of the time."""
    random = np.random.default_rng(0)
    chances = np.arange(1, 21) ** -1.2
    chances /= chances.sum()
    mean = float((chances / np.arange(1, 21)).sum())
    covered = 0
    for _ in range(300):
        greater = random.choice(20, size=60, p=chances)
        frame = frame_of(greater.tolist(), [0] * 60, 20)
        frame = pl.concat([frame, frame.with_columns(side=pl.lit("head"))])
        covered += mean in metric_intervals(frame, level=0.9)["mrr"]
    assert 0.86 < covered / 300 < 0.95


# Protocols


def protocol_graph() -> Graph:
    """Seven entities and three relations; entities 5 and 6 and relation 2 are not in training; the first test triple is
    there twice."""
    splits = {
        "train": torch.tensor([[0, 0, 1], [1, 0, 2], [2, 1, 3], [3, 1, 4], [4, 0, 0], [0, 1, 2]]),
        "valid": torch.tensor([[1, 1, 0], [5, 0, 1]]),
        "test": torch.tensor([[0, 0, 2], [0, 0, 2], [3, 0, 4], [6, 1, 1], [2, 0, 5], [1, 1, 3], [1, 2, 3]]),
    }
    return Graph("small", splits, pl.Series([f"e{i}" for i in range(7)]), pl.Series(["r", "s", "t"]), 3)


def keys(frame: pl.DataFrame) -> list[tuple[int, ...]]:
    return sorted(frame.filter(pl.col("side") == "tail").select("head", "relation", "tail").iter_rows())


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_the_oracle_under_its_rules(name: str) -> None:
    g = protocol_graph()
    parts = worlds.scoring("complex", g, whole=True)
    rules = PROTOCOLS[name]
    for split in ("valid", "test"):
        result = evaluate(parts, g, split, rules)
        filters = [] if not rules.filtered else ALL if split == "test" or rules.filter_test_in_valid else ALL[:2]
        triples = worlds.triples_of(g, [split])
        hidden: set[int] = set()
        if rules.unseen == "drop":
            hidden = {5, 6}
            triples = [t for t in triples if not {t[0], t[2]} & hidden and t[1] != 2]
        assert counts(result.frame) == truth("complex", parts, g, triples, filters, hidden, rules.tolerance)
        assert keys(result.frame) == sorted(set(triples) if rules.distinct else triples)
        assert result.metrics() == metrics(result.frame, rules.tie)
        assert result.card["filter_splits"] == list(filters)
        assert result.card["triples"] == len(keys(result.frame))
        assert set(result.frame["split"]) == {split}


def test_pykeens_protocol_drops_what_training_never_saw() -> None:
    for g in (protocol_graph(), protocol_graph().with_inverses()):
        result = evaluate(worlds.scoring("complex", g), g, "test", PROTOCOLS["pykeen"])
        assert keys(result.frame) == [(0, 0, 2), (1, 1, 3), (3, 0, 4)]
        assert result.card["dropped_triples"] == 3, "two with an unseen entity, one with an unseen relation"
        assert result.frame["candidates"].max() <= 5


def test_libkges_protocol_ties_nearly_equal_scores_and_rounds() -> None:
    """Scores 1, 1 + 2e-5, 1 - 2e-5 and 0.9: the first three tie under LibKGE, rank 1 + 3 // 2 = 2, and nowhere else."""
    g = Graph(
        "ties",
        {"train": torch.tensor([[0, 0, 1]]), "test": torch.tensor([[0, 0, 0]])},
        pl.Series(["a", "b", "c", "d"]),
        pl.Series(["r"]),
        1,
    )
    parts = worlds.scoring("distmult", g, dim=1)
    with torch.no_grad():
        parts.relations.weight[:] = 1
        parts.entities.weight[:] = torch.tensor([[1.0], [1 + 2e-5], [1 - 2e-5], [0.9]], dtype=torch.float64)
    theirs = evaluate(parts, g, "test", PROTOCOLS["libkge"], sides=[Side.HEAD])
    ours = evaluate(parts, g, "test", PROTOCOLS["falsum"], sides=[Side.HEAD])
    assert theirs.frame.select("greater", "equal").row(0) == (0, 2)
    assert theirs.metrics()["mr"] == 2
    assert ours.frame.select("greater", "equal").row(0) == (1, 0)
    assert ours.metrics()["mr"] == 2
    assert ours.metrics("optimistic")["mr"] == 2


def test_evaluation_ranks_without_dropout_whatever_mode_the_model_is_in() -> None:
    g = protocol_graph()
    parts = worlds.scoring("tucker", g, dropout_entity=0.5, dropout_relation=0.5)
    parts.model.train()
    first = evaluate(parts, g, "test", PROTOCOLS["falsum"]).frame
    parts.model.train()
    assert first.equals(evaluate(parts, g, "test", PROTOCOLS["falsum"]).frame)
