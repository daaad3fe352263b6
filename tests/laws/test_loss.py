"""loss() is the specification, for every model, objective and noise; and no blocking, order or grouping changes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from inspect import signature

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import falsum.scan.dot_softmax
import falsum.scan.gathered
import falsum.scan.paths
import falsum.scan.scoring
import oracle
from falsum.evaluation.ranks import score_matrix
from falsum.graph.graph import BOTH_SIDES, Graph, Pairs, Query, Side
from falsum.models import MODELS
from falsum.noise import Candidates
from falsum.objectives import (
    OBJECTIVES,
    InfoNCE,
    NegativeSampling,
    Objective,
    Rivals,
    SoftmaxCrossEntropy,
)
from falsum.scan.loss import loss
from falsum.scan.scoring import Scoring, pair_scores
from laws import worlds

GRAPH = worlds.graph()
GRAPHS = [GRAPH, GRAPH.with_inverses()]


def questions(g: Graph, side: Side, grouped: bool) -> Query:
    return g.queries(g.splits["train"], side, grouped=grouped)


def agree(values: torch.Tensor, expected: Sequence[float]) -> None:
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)


def scores_to_targets(parts: Scoring, query: Query) -> torch.Tensor:
    asked = parts.ask(query, Candidates(range(7)), 0)
    return pair_scores(asked.compare, asked.vector, asked.target, asked.dtype).detach()


@cache
def world(model: str, index: int) -> tuple[Scoring, worlds.Oracle]:
    parts = worlds.scoring(model, GRAPHS[index], seed=3)
    return parts, worlds.Oracle(model, parts)


# One of each shape that candidates have: every pair of model and objective meets these.
SHAPES = [
    ("all", {}),
    ("all", {"filtered": True}),
    ("uniform", {"num": 3, "num_head": 5, "filtered": True}),
    ("uniform", {"num": 3, "shared": "chunk", "chunk": 2}),
    ("expected", {"num": 3.0, "exponent": 1.0}),
]


def compare_with_oracle(model: str, objective: tuple[str, dict], noise: tuple[str, dict], turn: int) -> None:
    """On one of the graphs and one of the sides; turns take all four."""
    built, g, side = worlds.make_objective(objective), GRAPHS[turn % 2], BOTH_SIDES[turn // 2 % 2]
    parts, truth = world(model, turn % 2)
    query = questions(g, side, worlds.grouped(built))
    candidates = worlds.draw(noise, g, query, 11)
    with torch.no_grad():
        values = loss(parts, built, query, candidates, 0)
    agree(values, truth.loss(objective, query, candidates))


@pytest.mark.parametrize("model", MODELS)
def test_loss_is_the_oracles_for_every_model(model: str) -> None:
    for first, objective in enumerate(worlds.objectives(), list(MODELS).index(model)):
        for turn, noise in enumerate(SHAPES, first):  # graphs and sides in turn
            with worlds.about(objective, noise):
                compare_with_oracle(model, objective, noise, turn)


@pytest.mark.parametrize("noise", worlds.noises(), ids=worlds.label)
def test_loss_is_the_oracles_for_every_noise(noise: tuple[str, dict]) -> None:
    for objective in (objective for own, objective in worlds.meetings() if own == noise):
        turn = worlds.noises().index(noise) + worlds.objectives().index(objective)
        with worlds.about(objective):
            compare_with_oracle(("complex", "transe")[turn // 4 % 2], objective, noise, turn)


def test_the_oracle_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    query = questions(GRAPH, Side.TAIL, False)
    parts = worlds.scoring("complex", GRAPH)
    values = loss(parts, SoftmaxCrossEntropy(), query, Candidates(range(7)), 0).detach()
    agree(values, worlds.Oracle("complex", parts).loss(("softmax", {}), query, Candidates(range(7))))
    monkeypatch.setitem(oracle.SCORES, "complex", oracle.distmult)
    with pytest.raises(AssertionError):
        agree(values, worlds.Oracle("complex", parts).loss(("softmax", {}), query, Candidates(range(7))))


def test_the_gradient_comparison_can_fail() -> None:
    parts = worlds.scoring("complex", GRAPH)
    query = questions(GRAPH, Side.TAIL, False)
    a = worlds.value_and_gradients(parts, SoftmaxCrossEntropy(), query, Candidates(range(7)))
    a[1][0][0, 0] += 1e-6
    with pytest.raises(AssertionError):
        worlds.same(a, worlds.value_and_gradients(parts, SoftmaxCrossEntropy(), query, Candidates(range(7))))


@pytest.mark.parametrize("noise", worlds.noises(), ids=worlds.label)
def test_any_blocking_is_the_same_loss_and_gradient(noise: tuple[str, dict], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every noise with a third of the objectives, on one of three models, in turn."""
    for objective in (objective for own, objective in worlds.some_meetings() if own == noise):
        with worlds.about(objective):
            blocks_agree(noise, objective, monkeypatch)


def blocks_agree(noise: tuple[str, dict], objective: tuple[str, dict], monkeypatch: pytest.MonkeyPatch) -> None:
    built = worlds.make_objective(objective)
    turn = worlds.objectives().index(objective) + worlds.noises().index(noise)
    model = ("distmult", "rotate", "tucker")[turn % 3]
    parts = worlds.scoring(model, GRAPH, seed=5, dropout_entity=0.25)
    query = questions(GRAPH, Side.HEAD, worlds.grouped(built))
    candidates = worlds.draw(noise, GRAPH, query, 1)
    parts.model.train(model != "tucker")
    whole = worlds.value_and_gradients(parts, built, query, candidates, 4)
    for block, rows in ((1, 1), (2 * len(query), 96), (3 * len(query) * parts.model.dim, 200)):
        with monkeypatch.context() as patch:
            patch.setattr(falsum.scan.scoring, "BLOCK", block)
            patch.setattr(falsum.scan.gathered, "ROWS_BYTES", rows)
            patch.setattr(falsum.scan.dot_softmax, "BLOCK", block % 5 + 1)
            patch.setattr(falsum.scan.dot_softmax, "KEPT_BYTES", rows)
            worlds.same(whole, worlds.value_and_gradients(parts, built, query, candidates, 4))


@given(
    data=st.data(),
    count=st.integers(2, 9),
    parts=st.integers(1, 4),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=25, deadline=None)
def test_folds_merge_in_any_order(data: st.DataObject, count: int, parts: int, seed: int) -> None:
    """Any partition of any permutation of the candidates, merged as any tree, finishes to the same value."""
    order = torch.tensor(data.draw(st.permutations(range(count))))
    merges = [
        (data.draw(st.integers(0, left - 1)), data.draw(st.integers(0, left - 2))) for left in range(parts, 1, -1)
    ]
    for objective in worlds.objectives():
        with worlds.about(objective):
            folds_merge(worlds.make_objective(objective), order, parts, merges, seed)


def folds_merge(built: Objective, order: torch.Tensor, parts: int, merges: list[tuple[int, int]], seed: int) -> None:
    """merges: which states, of those that are left, are merged next."""
    summary, count = built.summary, len(order)
    draw = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(2, count, generator=draw, dtype=torch.float64)
    scores[torch.rand(2, count, generator=draw) < 0.3] = -torch.inf
    positive, row = torch.randn(2, generator=draw, dtype=torch.float64), torch.arange(2)
    whole = built.finish(positive, row, Rivals(summary.fold(scores, positive), False))
    states = [summary.fold(block, positive) for block in scores[:, order].tensor_split(parts, 1) if block.shape[1]]
    for first, second in merges[parts - len(states) :]:
        a = states.pop(first)
        b = states.pop(second)
        states.append(summary.merge(a, b))
    assert len(states) == 1
    merged = built.finish(positive, row, Rivals(states[0], False))
    torch.testing.assert_close(merged, whole, rtol=1e-10, atol=1e-10)


GROUPING = [each for each in worlds.noises() if worlds.make_noise(each).groups]
SHARING = [
    (noise, objective)
    for noise, objective in worlds.meetings()
    if noise in GROUPING and not worlds.grouped(worlds.make_objective(objective))
]


def test_the_noises_that_group() -> None:
    assert {name for name, _ in GROUPING} == {"all", "uniform", "frequency", "expected", "degree", "in-batch"}


@pytest.mark.parametrize("noise", GROUPING, ids=worlds.label)
def test_grouping_changes_the_cost_and_not_the_loss(noise: tuple[str, dict]) -> None:
    """Under every noise that groups: equal sums over targets and equal gradients, where one row per distinct query is
    not part of the definition. Single-row objectives are given a row per target.
    """
    for objective in (objective for own, objective in SHARING if own == noise):
        with worlds.about(objective):
            groups_agree(noise, objective)


def groups_agree(noise: tuple[str, dict], objective: tuple[str, dict]) -> None:
    built = worlds.make_objective(objective)
    for model, g, side in zip(("complex", "transh"), GRAPHS, BOTH_SIDES, strict=True):
        parts = worlds.scoring(model, g, seed=2)
        results = []
        for grouped in (False, True):
            query = questions(g, side, grouped)
            worlds.clear(parts)
            values = loss(parts, built, query, worlds.draw(noise, g, query, 5), 0)
            values.sum().backward()
            results.append((values.sum().detach(), worlds.gradients(parts)))
        worlds.same(*results)


def test_the_grouping_law_can_fail() -> None:
    """Binary cross-entropy is another loss when its questions are grouped."""
    g, parts, values = GRAPH, worlds.scoring("distmult", GRAPH), []
    for grouped in (False, True):
        query = questions(g, Side.TAIL, grouped)
        values.append(loss(parts, OBJECTIVES["bce"](), query, Candidates(range(7)), 0).sum().detach())
    assert abs(values[0] - values[1]) > 1e-3


@pytest.mark.parametrize("shared", ["query", "chunk"])
@pytest.mark.parametrize("name", ["softmax", "self-adversarial"])
def test_draws_of_grouped_rows_belong_to_each_of_their_targets(name: str, shared: str) -> None:
    """No combination is refused: own draws of a shared row serve all of its targets."""
    query = questions(GRAPH, Side.TAIL, True)
    parts = worlds.scoring("distmult", GRAPH)
    drawn = worlds.draw(("uniform", {"num": 3, "shared": shared, "chunk": 2, "filtered": True}), GRAPH, query, 0)
    values = loss(parts, OBJECTIVES[name](), query, drawn, 0).detach()
    share = -(-len(query) // len(drawn.ids))
    for value, row, target in zip(values, query.row.tolist(), query.target, strict=True):
        alone = replace(query.select(torch.tensor([row])), target=target[None], row=torch.tensor([0]))
        alone = replace(alone, weight=torch.ones(1))
        shift = None if drawn.shift is None else drawn.shift[row][None]
        single = loss(parts, OBJECTIVES[name](), alone, Candidates(drawn.ids[row // share][None], shift=shift), 0)
        torch.testing.assert_close(value, single.detach()[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spread", ["others", "all"])
def test_a_softmax_with_no_rival_is_certain(spread: str) -> None:
    """However the label is smoothed, and for draws of little weight without cancellation in fp32."""
    query = Query(*(torch.tensor([i]) for i in (0, 0, 1, 0)), torch.ones(1), Side.TAIL, Side.TAIL)
    everyone = Pairs(torch.zeros(7, dtype=torch.int64), torch.arange(7))
    objective = SoftmaxCrossEntropy(label_smoothing=0.3, spread=spread)
    parts = worlds.scoring("distmult", GRAPH)
    for candidates in (Candidates(range(7), drop=everyone), Candidates(torch.tensor([[2, 3]]), drop=everyone)):
        assert loss(parts, objective, query, candidates, 0).item() == pytest.approx(0, abs=1e-12)
    one = Candidates(torch.tensor([[2, 3, 4, 5]]), weight=torch.full((1, 4), 1e-5))
    exact = loss(parts, objective, query, one, 0).item()
    narrow = Scoring(parts.entities.float(), parts.relations.float(), parts.model.float())
    assert loss(narrow, objective, query, one, 0).item() == pytest.approx(exact, abs=1e-7)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("shared", ["all", "batch", "query"])
def test_a_softmax_loss_in_bf16_is_never_negative(smoothing: float, shared: str) -> None:
    """A target that leads by far is rounded as its rivals are: the loss of the truth stays above 0."""
    g = worlds.graph(64, 2, sizes=(60, 2, 2))
    for seed in range(3):
        parts = worlds.scoring("complex", g, seed=seed, dim=16)
        with torch.no_grad():
            parts.entities.values.mul_(2)
        rounded = Scoring(parts.entities.float(), parts.relations.float(), parts.model.float(), dtype=torch.bfloat16)
        query = questions(g, Side.TAIL, False)
        best = score_matrix(rounded, query).argmax(1)
        query = replace(query, target=best)
        noise = ("all", {}) if shared == "all" else ("uniform", {"num": 40, "shared": shared})
        values = loss(
            rounded, SoftmaxCrossEntropy(label_smoothing=smoothing), query, worlds.draw(noise, g, query, 1), 0
        )
        assert values.min() >= 0


def test_a_draw_of_the_target_scores_as_the_target_in_bf16() -> None:
    """A sampled softmax whose one draw is the target is ln 2, up to one rounding of a product sum."""
    parts = worlds.scoring("complex", GRAPH, dim=16)
    rounded = Scoring(parts.entities.float(), parts.relations.float(), parts.model.float(), dtype=torch.bfloat16)
    query = questions(GRAPH, Side.TAIL, False)
    values = loss(rounded, SoftmaxCrossEntropy(), query, Candidates(query.target[:, None]), 0).detach()
    scores = scores_to_targets(rounded, query).abs()
    assert ((values - math.log(2)).abs() <= 2**-8 * scores + 1e-6).all()
    assert (values - math.log(2)).abs().median() < 1e-6


@pytest.mark.parametrize("objective", worlds.objectives(), ids=worlds.label)
@pytest.mark.parametrize("sampled", [False, True])
def test_without_candidates_the_loss_is_finite_and_moves_no_candidate(
    objective: tuple[str, dict], sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(falsum.scan.scoring, "BLOCK", 1)
    built = worlds.make_objective(objective)
    parts = worlds.scoring("distmult", GRAPH)
    one, row = torch.tensor([0]), torch.tensor([0])
    query = Query(one, one, torch.tensor([1]), row, torch.ones(1), Side.TAIL, Side.TAIL)
    everyone = Pairs(torch.zeros(7, dtype=torch.int64), torch.arange(7))
    candidates = Candidates(torch.tensor([[2, 3, 4]]) if sampled else range(7), drop=everyone)
    value, (by_entity, *_) = worlds.value_and_gradients(parts, built, query, candidates)
    agree(value, worlds.Oracle("distmult", parts).loss(objective, query, candidates))
    assert torch.isfinite(by_entity).all()
    assert (by_entity[2:] == 0).all()


@pytest.mark.parametrize("objective", worlds.objectives(), ids=worlds.label)
@pytest.mark.parametrize("shared", [True, False])
def test_a_weight_of_k_is_k_candidates(objective: tuple[str, dict], shared: bool) -> None:
    """Also of 0; for every objective, value and gradients."""
    built = worlds.make_objective(objective)
    parts = worlds.scoring("complex", GRAPH)
    query = questions(GRAPH, Side.TAIL, False)
    rows = 1 if shared else len(query)
    ids = torch.tensor([[5, 0, 3, 2]]).expand(rows, 4)
    times = torch.tensor([2, 0, 1, 3])
    weighted = Candidates(ids, weight=times.double().expand(rows, 4))
    repeated = Candidates(ids.repeat_interleave(times, 1))
    once = Candidates(ids)
    value = worlds.value_and_gradients(parts, built, query, weighted)
    worlds.same(value, worlds.value_and_gradients(parts, built, query, repeated))
    with pytest.raises(AssertionError):
        worlds.same(value, worlds.value_and_gradients(parts, built, query, once))


def test_an_annealed_objective_reaches_its_smoothing_and_stays() -> None:
    objective = SoftmaxCrossEntropy(label_smoothing=0.4, anneal_epochs=8)
    assert [objective.at(epoch, {}).label_smoothing for epoch in (0, 2, 8, 50)] == [0, 0.1, 0.4, 0.4]
    assert SoftmaxCrossEntropy(label_smoothing=0.4).at(0, {}).label_smoothing == 0.4
    for name, each in worlds.objectives():
        assert worlds.make_objective((name, each)).at(3, {}) == worlds.make_objective((name, each))


@pytest.mark.parametrize("noise", worlds.noises(), ids=worlds.label)
def test_permuting_the_candidates_changes_nothing(noise: tuple[str, dict]) -> None:
    for objective in (objective for own, objective in worlds.some_meetings() if own == noise):
        built = worlds.make_objective(objective)
        parts = worlds.scoring("transe", GRAPH, dropout_entity=0.5)
        parts.model.train()
        query = questions(GRAPH, Side.TAIL, worlds.grouped(built))
        candidates = worlds.draw(noise, GRAPH, query, 1)
        if isinstance(candidates.ids, range):
            if built.grouping == "free":
                query = questions(GRAPH, Side.TAIL, False)
            targets = Pairs(query.row, query.target)
            drop = candidates.drop or Pairs(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
            row, entity = torch.cat([drop.row, targets.row]), torch.cat([drop.entity, targets.entity])
            order = row.argsort(stable=True)
            everyone = torch.randperm(7, generator=torch.Generator().manual_seed(1))[None]
            shuffled = Candidates(everyone, None, Pairs(row[order], entity[order]))
        else:
            weight, shift = (None if x is None else x.flip(1) for x in (candidates.weight, candidates.shift))
            shuffled = replace(candidates, ids=candidates.ids.flip(1), weight=weight, shift=shift)
        worlds.same(
            worlds.value_and_gradients(parts, built, query, candidates),
            worlds.value_and_gradients(parts, built, query, shuffled),
        )


def smoothed(objective: tuple[str, dict]) -> bool:
    return bool(objective[1].get("label_smoothing"))


def alone(built: Objective, positive: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
    """The loss of one target, positive (), among candidates (n,)."""
    state = built.summary.fold(negatives[None], positive[None])
    return built.finish(positive[None], torch.tensor([0]), Rivals(state, False, 9))[0]


def holds(objective: tuple[str, dict]) -> bool:
    """Whether weights that follow from the scores are held constant, so that the gradient is not that of the value."""
    return "held" in signature(oracle.LOSSES[objective[0]]).parameters and objective[1].get("detach", True)


def ordered(objective: tuple[str, dict]) -> bool:
    """Whether a higher target is always better and a higher candidate never.

    Label smoothing wants every candidate to score, see below, and so do labels of candidates; a square has a level that
    it wants. Where gradients flow through the weights of hard negatives, low ones are pulled up.
    """
    levels = ("squared", "unbounded-label-smoothing", "soft-negatives")
    return not (smoothed(objective) or objective[0] in levels or objective[1].get("detach") is False)


@given(scores=st.lists(st.floats(-8, 8), min_size=1, max_size=5), positive=st.floats(-8, 8))
@settings(max_examples=50, deadline=None)
def test_a_target_is_driven_up_and_candidates_down(scores: list[float], positive: float) -> None:
    for objective in (o for o in worlds.objectives() if ordered(o)):
        target, negatives = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (positive, scores))
        with worlds.about(objective):
            alone(worlds.make_objective(objective), target, negatives).backward()
            assert target.grad <= 1e-12
            assert negatives.grad.min() >= -1e-12


@given(
    scores=st.lists(st.floats(-8, 8), min_size=1, max_size=5),
    positive=st.floats(-8, 8),
    up=st.floats(0.01, 4),
    at=st.integers(0, 4),
)
@settings(max_examples=50, deadline=None)
def test_order_of_the_loss_in_its_scores(scores: list[float], positive: float, up: float, at: int) -> None:
    """Raising the positive never raises the loss; raising a negative never lowers it."""
    raised = list(scores)
    raised[at % len(scores)] += up

    def value(built: Objective, positive: float, negatives: list[float]) -> float:
        target, others = (torch.tensor(x, dtype=torch.float64) for x in (positive, negatives))
        return float(alone(built, target, others))

    for objective in (o for o in worlds.objectives() if ordered(o) and not holds(o)):
        with worlds.about(objective):
            built = worlds.make_objective(objective)
            before = value(built, positive, scores)
            assert value(built, positive + up, scores) <= before + 1e-12
            assert value(built, positive, raised) >= before - 1e-12


def labels(objective: tuple[str, dict], n: int) -> tuple[float, float]:
    """What smoothing makes of the labels 1 and 0 of a target among n other candidates."""
    name, options = objective
    mass = options["label_smoothing"]
    if name == "softmax" and options.get("spread", "others") == "others":
        return 1 - mass, mass / n
    return 1 - mass + mass / (n + 1), mass / (n + 1)


@pytest.mark.parametrize("objective", [o for o in worlds.objectives() if smoothed(o)], ids=worlds.label)
@given(scores=st.lists(st.floats(-8, 8), min_size=1, max_size=5), positive=st.floats(-8, 8))
@settings(max_examples=50, deadline=None)
def test_with_smoothing_a_score_falls_just_where_it_says_more_than_its_label(
    objective: tuple[str, dict], scores: list[float], positive: float
) -> None:
    """The gradient by every score is what the model makes of the score minus its smoothed label, up to a factor: no
    score, of a target or of a candidate, is driven without end."""
    built = worlds.make_objective(objective)
    target, negatives = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (positive, scores))
    gradients = torch.autograd.grad(alone(built, target, negatives), (target, negatives))
    own, other = labels(objective, len(scores))
    every = torch.cat([target[None], negatives]).detach()
    if objective[0] == "softmax":
        said, factor = (every / built.temperature).softmax(0), 1 / built.temperature
    else:
        said, factor = (every + built.offset).sigmoid(), 1 / (len(scores) + 1)
    expected = factor * (said - torch.tensor([own] + [other] * len(scores), dtype=torch.float64))
    torch.testing.assert_close(torch.cat([gradients[0][None], gradients[1]]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("objective", worlds.objectives(), ids=worlds.label)
def test_gradients_of_objectives_by_finite_differences(objective: tuple[str, dict]) -> None:
    """Where weights are held constant, the gradient is that of the loss with the weights as numbers."""
    built = worlds.make_objective(objective)
    scores = torch.tensor([[0.3, -1.2, 0.8], [2.0, 0.1, -0.4]], dtype=torch.float64, requires_grad=True)
    positive = torch.tensor([0.7, -0.35], dtype=torch.float64, requires_grad=True)
    row = torch.arange(2)

    def run(scores: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        return built.finish(positive, row, Rivals(built.summary.fold(scores, positive), False, 9))

    if not holds(objective):
        assert torch.autograd.gradcheck(run, (scores, positive))
        return
    run(scores, positive).sum().backward()
    spec, step = partial(oracle.LOSSES[objective[0]], **objective[1]), 1e-6
    for i in range(2):
        target, negatives = positive[i].item(), scores[i].tolist()
        slopes = []
        for j in range(4):  # the target and its negatives
            ends = []
            for up in (step, -step):
                own, moved = target + up * (j == 3), [s + up * (j == k) for k, s in enumerate(negatives)]
                ends += spec([own], moved, [1.0] * 3, held=negatives)
            slopes.append((ends[0] - ends[1]) / (2 * step))
        found = torch.cat([scores.grad[i], positive.grad[i, None]])
        torch.testing.assert_close(found, torch.tensor(slopes, dtype=torch.float64), rtol=1e-6, atol=1e-8)


def test_noise_and_objective_meet_only_in_candidates() -> None:
    """The positive of a sampled softmax is a candidate exactly once, even if every draw is filtered away."""
    parts = worlds.scoring("distmult", GRAPH)
    query = questions(GRAPH, Side.TAIL, False)
    drop = Pairs(query.row, query.target)
    candidates = Candidates(query.target[:, None], drop=drop)
    values = loss(parts, SoftmaxCrossEntropy(), query, candidates, 0).detach()
    agree(values, [0.0] * len(query))
    values = loss(parts, NegativeSampling(), query, candidates, 0).detach()
    agree(values, worlds.Oracle("distmult", parts).loss(("negative-sampling", {}), query, candidates))


def test_the_fused_softmax_is_what_runs_for_inner_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the laws above: linear models under noise "all" do exercise the fused path."""
    called = []
    real = falsum.scan.paths.dot_softmax
    monkeypatch.setattr(falsum.scan.paths, "dot_softmax", lambda *args, **more: called.append(1) or real(*args, **more))
    query = questions(GRAPH, Side.TAIL, True)
    for name in MODELS:
        for objective in (SoftmaxCrossEntropy(), InfoNCE()):
            called.clear()
            parts = worlds.scoring(name, GRAPH)
            loss(parts, objective, query, Candidates(range(7)), 0)
            assert bool(called) == parts.model.compare.linear
