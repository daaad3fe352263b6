"""Mutated terms are the oracle's on finished rows, for every model and objective, however they are blocked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import falsum.scan.dot_softmax
import falsum.scan.paths
import falsum.scan.scoring
from falsum.graph.graph import BOTH_SIDES, Query, Side
from falsum.kernels.compare import DOT
from falsum.kernels.dropout import keep_mask, uniform_of
from falsum.models import MODELS
from falsum.mutations import EMU, MUTATIONS, CutMix, EMUNormal, Mix, Mixup, Mutation
from falsum.noise import Candidates
from falsum.objectives import NegativeSampling, SoftmaxCrossEntropy, UnboundedLabelSmoothing
from falsum.scan.loss import loss
from falsum.scan.mutated import mixed_scores
from falsum.scan.paths import PATHS
from falsum.scan.scoring import Scoring
from falsum.seeds import derive
from laws import worlds

GRAPHS = [worlds.graph(), worlds.graph().with_inverses()]
SHAPES = [
    ("all", {}),
    ("uniform", {"num": 3, "filtered": True}),
    ("uniform", {"num": 3, "shared": "batch"}),
    ("uniform", {"num": 3, "shared": "chunk", "chunk": 5}),
    ("expected", {"num": 2.0}),
]


@dataclass(frozen=True)
class Exchange(Mutation):
    """Entry by entry the target's or the candidate's own: a coefficient per entry."""

    def mix(self, ids: Tensor, rows: Tensor, seed: int) -> Mix:
        mask = keep_mask(ids.flatten(), rows.shape[-1], 0.4, seed).view(rows.shape)
        return Mix(rows, 1 - mask.to(rows.dtype))


MUTATION_SETTINGS: dict[str, list[dict[str, Any]]] = {
    "emu": [{"take_positive": 0.4}, {"take_positive": 0.4, "exact": True}, {"take_positive": 0.6, "tied": True}],
    "emu-normal": [{"take_positive": 0.4}],
    "emu-annealed": [{"take_positive": 0.4}],
    "mixup": [{}],
    "cutmix": [{"take_positive": 0.5}],
    "mixkg": [{}],
    "gaussian": [{"scale": 0.5}],
    "demix": [{"margin": 0.5}],
}
CASES = [*(MUTATIONS[name](**given) for name, each in MUTATION_SETTINGS.items() for given in each), Exchange()]


def fitting(model: str) -> list[Mutation]:
    """The mutations that a model takes, and whose candidates are mixed one by one."""
    linear = MODELS[model].compare.linear
    return [case for case in CASES if (linear or not case.linear_only) and not case.drawn_only]


def test_every_mutation_is_tried() -> None:
    assert set(MUTATION_SETTINGS) == set(MUTATIONS)


def mixed_score(
    mutation: Mutation, table: Tensor, entity: int, answer: Tensor, score: Callable[[list[float]], float], seed: int
) -> float:
    """The score of one candidate, mutated by itself."""
    ids = torch.tensor([entity])
    rows, take, spread = mutation.mix(ids, table[ids], seed)
    plain = score(table[entity].tolist())
    if mutation.selective:
        judged = mutation.chosen(torch.tensor([[plain]]), torch.tensor([score(answer.tolist())]))
        if not bool(judged):
            return plain
    value = score((take[0] * answer + (1 - take[0]) * rows[0]).tolist())
    if spread is None:
        return value
    gaps = (answer - rows[0]).tolist()
    nothing = score([0.0] * len(gaps))
    moves = [score([gap if k == i else 0.0 for k in range(len(gaps))]) - nothing for i, gap in enumerate(gaps)]
    variance = float(spread.variance[0]) * sum(move**2 for move in moves)
    return value + (variance / 2 if spread.normal is None else math.sqrt(variance) * float(spread.normal[0]))


def mixed_loss(
    name: str,
    parts: Scoring,
    mutation: Mutation,
    objective: tuple[str, dict],
    query: Query,
    drawn: Candidates,
    known: dict[tuple[int, Side, int, int, int, int], float] | None = None,
) -> Tensor:
    """The loss of every target from rows that were mixed one by one. known: scores that were worked out already."""
    truth, known = worlds.Oracle(name, parts), {} if known is None else known
    seed = derive(parts.ask(query, drawn, 4).seed, "mutation")
    values = []
    for target, row in zip(query.target.tolist(), query.row.tolist(), strict=True):
        own = query.select(torch.tensor([row]))
        rivals = worlds.counted(query, drawn, row, parts.entities.num)
        if isinstance(drawn.ids, range):  # the query's other targets are rivals of this one, mutated like the rest
            rivals = sorted(rivals + [(e, 1.0, 0.0) for e in worlds.targets_of(query, row) if e != target])
        anchor, relation = truth.entities[int(own.anchor[0])], truth.relations[int(own.relation[0])]

        def score(candidate: list[float], anchor: Any = anchor, relation: Any = relation) -> float:
            ends = (anchor, candidate) if query.side is Side.TAIL else (candidate, anchor)
            return truth.rule(ends[0], relation, ends[1], truth.core)

        answer = parts.entities.values[target]
        scores = []
        for entity, *_ in rivals:
            key = (seed, query.side, int(own.anchor[0]), int(own.relation[0]), target, entity)
            if key not in known:
                known[key] = mixed_score(mutation, parts.entities.values, entity, answer, score, seed)
            scores.append(known[key])
        positive = truth.score(query, row, target)
        weights = [w for _, w, _ in rivals]
        values += worlds.specified(objective, [positive], scores, weights, len(truth.entities))
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("model", MODELS)
def test_mutated_scores_are_the_oracles_for_every_model(model: str) -> None:
    plain, inverse = GRAPHS
    for g, mutation in [*((plain, each) for each in fitting(model)), (inverse, Exchange())]:
        parts, known = worlds.scoring(model, g, seed=3), {}
        for side in BOTH_SIDES if mutation in (EMU(0.4), Exchange()) else BOTH_SIDES[:1]:
            query = g.queries(g.splits["train"], side, grouped=False)
            for noise in SHAPES:
                drawn = worlds.draw(noise, g, query, 2)
                values = loss(parts, NegativeSampling(), query, drawn, 4, mutation=mutation).detach()
                expected = mixed_loss(model, parts, mutation, ("negative-sampling", {}), query, drawn, known)
                # A root of what cancels has half of its digits.
                close = 1e-7 if isinstance(mutation, EMUNormal) else 1e-9
                torch.testing.assert_close(
                    values, expected, rtol=close, atol=close, msg=lambda m, c=mutation: f"{c}: {m}"
                )


@pytest.mark.parametrize("objective", worlds.objectives(), ids=worlds.label)
def test_mutated_terms_take_every_objective(objective: tuple[str, dict]) -> None:
    """Also from grouped questions: each target mixes with its own candidates."""
    g = GRAPHS[0]
    parts = worlds.scoring("distmult", g, seed=3)
    for grouped in (False, True):
        query = g.queries(g.splits["train"], Side.TAIL, grouped=grouped)
        for noise, mutation in itertools.product(
            (("uniform", {"num": 4, "shared": "batch"}), SHAPES[0]), (Mixup(), EMU(0.4))
        ):
            drawn = worlds.draw(noise, g, query, 2)
            values = loss(parts, worlds.make_objective(objective), query, drawn, 4, mutation=mutation).detach()
            expected = mixed_loss("distmult", parts, mutation, objective, query, drawn)
            torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-9)


def test_the_comparison_can_fail() -> None:
    g = GRAPHS[0]
    parts, query = worlds.scoring("distmult", g, seed=3), g.queries(g.splits["train"], Side.TAIL, grouped=False)
    drawn = worlds.draw(("uniform", {"num": 4}), g, query, 2)
    plain = loss(parts, NegativeSampling(), query, drawn, 4).detach()
    expected = mixed_loss("distmult", parts, Mixup(), ("negative-sampling", {}), query, drawn)
    assert (plain - expected).abs().max() > 0.01


@pytest.mark.parametrize("model", ["distmult", "rotate", "transh", "tucker"])
@pytest.mark.parametrize("noise", SHAPES, ids=worlds.label)
def test_any_blocking_mutates_alike(noise: tuple[str, dict], model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients, with dropout."""
    g = GRAPHS[0]
    parts = worlds.scoring(model, g, seed=5, dropout_entity=0.25)
    parts.model.train(model != "tucker")
    query = g.queries(g.splits["train"], Side.HEAD, grouped=False)
    drawn = worlds.draw(noise, g, query, 1)
    objective = worlds.make_objective(("self-adversarial", {}))
    for mutation in fitting(model)[::2]:
        monkeypatch.setattr(falsum.scan.scoring, "BLOCK", 1 << 22)
        whole = worlds.value_and_gradients(parts, objective, query, drawn, 4, mutation)
        for block in (1, 2 * len(query), 3 * len(query) * parts.model.dim):
            monkeypatch.setattr(falsum.scan.scoring, "BLOCK", block)
            worlds.same(whole, worlds.value_and_gradients(parts, objective, query, drawn, 4, mutation))


def test_the_fused_softmax_of_mixed_rows_is_the_generic_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients, with dropout, smoothing and more queries than are kept at a time."""
    g = worlds.graph(23, 2, sizes=(40, 2, 2))
    parts = worlds.scoring("distmult", g, seed=5, dropout_entity=0.25)
    parts.model.train()
    query, everyone = g.queries(g.splits["train"], Side.TAIL, grouped=False), Candidates(range(23))
    for mutation, objective in itertools.product(
        (Mixup(), EMU(0.4), CutMix(0.5)), (UnboundedLabelSmoothing(), SoftmaxCrossEntropy(temperature=0.5))
    ):
        monkeypatch.setattr(falsum.scan.dot_softmax, "BLOCK", 8)
        found = []
        for kept, paths in ((1 << 30, PATHS), (2000, PATHS), (1 << 30, {})):
            monkeypatch.setattr(falsum.scan.dot_softmax, "KEPT_BYTES", kept)
            monkeypatch.setattr(falsum.scan.paths, "PATHS", paths)
            found.append(worlds.value_and_gradients(parts, objective, query, everyone, 4, mutation))
        worlds.same(found[0], found[2])
        worlds.same(found[1], found[2])


def test_two_products_are_the_mixed_rows() -> None:
    """To 1e-12, shared and by index, against rows that were mixed one by one."""
    vector, target, rows = (torch.randn(n, 12, dtype=torch.float64) for n in (6, 6, 9))
    ids, index = torch.arange(9), torch.randint(9, (6, 5))
    for mutation in (EMU(0.4), Mixup(), CutMix(0.5)):
        mix = mutation.mix(ids, rows, 3)
        finished = mix.take * target[:, None] + (1 - mix.take) * rows
        expected = (vector[:, None] * finished).sum(-1)
        for at, right in ((None, expected), (index, expected.gather(1, index))):
            found = mixed_scores(DOT, vector, target, mix, torch.float64, at)
            torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)


def test_inner_products_with_shared_candidates_are_mixed_without_their_rows() -> None:
    """Nothing of size queries x candidates x width is made on the way, forward or back."""
    g = worlds.graph(60, 2, sizes=(50, 2, 2))
    query = g.queries(g.splits["train"], Side.TAIL, grouped=False)
    parts, sizes = worlds.scoring("distmult", g, dim=32), []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            sizes.append(out.numel() if isinstance(out, Tensor) else 0)
            return out

    for mutation in CASES:
        drawn = worlds.draw(("uniform", {"num": 40, "shared": "batch"}), g, query, 1)
        with Watch():
            loss(parts, NegativeSampling(), query, drawn, 0, mutation=mutation).sum().backward()
        assert 0 < max(sizes) <= 2 * 60 * 32  # the table; 50 x 40 x 32 would be 64,000


@pytest.mark.parametrize("concentration", [0.5, 1.0, 2.0, 8.0])
def test_mixup_keeps_a_beta_share_of_the_candidate(concentration: float) -> None:
    """Mean a / (a + 1) within 5 standard errors, and the distribution function x^a at its quartiles within 2 %."""
    ids = torch.arange(20_000)[None]
    keep = 1 - Mixup(concentration).mix(ids, torch.zeros(1, 20_000, 3, dtype=torch.float64), 7).take
    mean = concentration / (concentration + 1)
    deviation = (concentration / ((concentration + 1) ** 2 * (concentration + 2))) ** 0.5
    assert abs(keep.mean().item() - mean) < 5 * deviation / 20_000**0.5
    for quantile in (0.25, 0.5, 0.75):
        assert (keep <= quantile ** (1 / concentration)).double().mean().item() == pytest.approx(quantile, abs=0.02)
    assert keep.shape == (1, 20_000, 1)
    with pytest.raises(ValueError, match="concentration must lie in"):
        Mixup(0.0)


def test_numbers_by_id_are_uniform_and_independent_of_the_order() -> None:
    ids = torch.arange(50_000)
    drawn = uniform_of(ids, 3)
    counts = torch.histc(drawn, bins=20, min=0, max=1)
    assert ((counts - 2500) ** 2 / 2500).sum() < 63  # chi-square, 19 degrees of freedom: beyond it 1 in 10^6
    assert torch.equal(uniform_of(ids.flip(0), 3), drawn.flip(0))
    assert drawn.min() > 0
    assert drawn.max() < 1
    other = uniform_of(ids, 4)
    assert abs(torch.corrcoef(torch.stack([drawn, other]))[0, 1].item()) < 5 / 50_000**0.5
