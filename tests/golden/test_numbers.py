"""Numbers worked out by hand, one at least for every member of every family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
import torch

from falsum.curves import Constant
from falsum.evaluation.metrics import metrics
from falsum.evaluation.protocol import PROTOCOLS, evaluate
from falsum.evaluation.ranks import rank
from falsum.graph.graph import Graph, Pairs, Query, Side
from falsum.graph.weighting import ERDNS, WEIGHTINGS, Subsampling
from falsum.graph.weighting.counts import EQUAL
from falsum.kernels.compare import DOT
from falsum.models import MODELS, Relations
from falsum.mutations import MUTATIONS
from falsum.noise import NOISES, Live
from falsum.objectives import OBJECTIVES, Rivals
from falsum.objectives.penalties import PENALTIES, Factors
from falsum.objectives.summaries import Scores
from falsum.rows.initialisers import INITIALISERS
from falsum.rows.table import Table
from falsum.scan.paths import Scan, state_of
from falsum.scan.scoring import Asked, Scoring
from falsum.training.optimizers import OPTIMIZERS, Updater
from falsum.training.schedules import SCHEDULES


def real(*rows: Any) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# Scores: model, settings, core, h, r, t, score
CORE = [[1, 0], [0, 1], [1, 1], [2, 0]]
SCORES: list[tuple[str, dict[str, Any], Any, Sequence[float], Sequence[float], Sequence[float], float]] = [
    # 1 * 2 * 3 + 2 * (-1) * 5
    ("distmult", {}, None, (1, 2), (2, -1), (3, 5), -4),
    # (1 + 2i)(3 - i) = 5 + 5i, times conj(2 + 5i) is 10 - 25i + 10i + 25 = 35 - 15i
    ("complex", {}, None, (1, 2), (3, -1), (2, 5), 35),
    # The head half of h and the tail half of t: 1 * 2 * 5, the 9 and the 8 are not read
    ("cp", {}, None, (1, 9), (2,), (8, 5), 10),
    # (1, -1) [[1, 2], [3, 4]] = (-2, -2), times (2, 5)
    ("rescal", {}, None, (1, -1), (1, 2, 3, 4), (2, 5), -14),
    # core (2, 3) = [[2, 3], [5, 4]], (1, -1) times it is (-3, -1), times (2, 5)
    ("tucker3", {"relation_dim": 2}, CORE, (1, -1), (2, 3), (2, 5), -11),
    # The same, and two batch norms that have seen nothing: each divides by sqrt(1 + 1e-5)
    ("tucker", {"relation_dim": 2}, CORE, (1, -1), (2, 3), (2, 5), -11 / 1.00001),
    ("tucker", {"relation_dim": 2, "batch_norm": False}, CORE, (1, -1), (2, 3), (2, 5), -11),
    # (1, 2) + (3, -1) - (2, 5) = (2, -4)
    ("transe", {}, None, (1, 2), (3, -1), (2, 5), -6),
    ("transe-l2", {}, None, (1, 2), (3, -1), (2, 5), -math.sqrt(20)),
    # A quarter turn takes 1 + 2i to -2 + i, from which 1 + 5i is 3 + 4i away
    ("rotate", {}, None, (1, 2), (math.pi / 2,), (1, 5), -5),
    # Angles in units of pi / 2: (1 + 2 - 2) of them are a quarter turn, half of it pi / 4, twice sin of that. Length
    # |1 + 1| of the relation, bias 0.5: 3 * (2 + 0.5) - 9 * (1 - 0.5) = 3
    ("hake", {"phase_weight": 1.0, "bound": 2.0}, None, (1, 3), (2, 1, 0.5), (2, 9), -math.sqrt(2) - 3),
    # A bias of 3 counts as 1, one of -4 as -|1 - 3|: 3 * 3 - 0, and 0 - 9 * 3
    ("hake", {"bound": 1.0}, None, (0, 3), (0, 1, 3), (0, 9), -9),
    ("hake", {"bound": 1.0}, None, (0, 3), (0, -3, -4), (0, 9), -27),
    # The normal (0, 2) takes the second entry of both ends: (1, 0) + (3, -1) - (2, 0) = (2, -1)
    ("transh", {}, None, (1, 2), (3, -1, 0, 2), (2, 5), -5),
    # (1, 2).(1, 0) = 1 and (2, 5).(1, 1) = 7 times (0, 1): (1, 3) + (3, -1) - (2, 12) = (2, -10)
    ("transd", {}, None, (1, 2, 1, 0), (3, -1, 0, 1), (2, 5, 1, 1), -104),
    # Into three entries: (1, 2, 0) + (1, 0, 1) + (0, 0, 1) - (2, 5, 0) - 7 (1, 0, 1) = (-7, -3, -5)
    ("transd", {"relation_dim": 3}, None, (1, 2, 1, 0), (0, 0, 1, 1, 0, 1), (2, 5, 1, 1), -83),
]


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("name", "settings", "core", "h", "r", "t", "expected"), SCORES)
def test_scores(
    name: str,
    settings: dict[str, Any],
    core: Any,
    h: Sequence[float],
    r: Sequence[float],
    t: Sequence[float],
    expected: float,
    side: Side,
) -> None:
    model = MODELS[name](len(h), **settings).double().eval()
    if core is not None:
        with torch.no_grad():
            model.core.copy_(real(*core))
    anchor, candidate = (real(h), real(t)) if side is Side.TAIL else (real(t), real(h))
    vector = model.query(anchor, Relations(real(r), torch.tensor([0])), side, 0)
    assert model.compare(vector, candidate).item() == pytest.approx(expected, rel=1e-12)


# Objectives. The target scores ln 2, the candidates ln 3, ln 1 and ln 1/2: e^s are 2 and 3, 1, 1/2, their sum 6.5.
# sp(x) = ln(1 + e^x), so sp(-ln 2) = ln 1.5 and sp of the candidates is ln 4, ln 2, ln 1.5.
OBJECTIVE_VALUES: list[tuple[str, dict[str, Any], float]] = [
    # ln(6.5 / 2)
    ("softmax", {}, 1.178654996342),
    # ln 6.5 - 0.7 ln 2 - 0.1 (ln 3 + ln 1 + ln 0.5)
    ("softmax", {"label_smoothing": 0.3}, 1.346052639699),
    # ln 6.5 - 0.7 ln 2 - 0.075 ln(2 * 3 * 1 * 0.5)
    ("softmax", {"label_smoothing": 0.3, "spread": "all"}, 1.304203228860),
    # Scores doubled: e^s are 4 and 9, 1, 1/4, ln(14.25 / 4)
    ("softmax", {"temperature": 0.5}, 1.270462545595),
    # n = 3 and S = 1.75: (1.75 ln 6.5 - ln 2 - 0.25 ln(3 * 1 * 0.5)) / 3
    ("unbounded-label-smoothing", {"label": 0.25}, 0.827046783997),
    # ln 1.5 + (ln 4 + ln 2 + ln 1.5 - 0.25 ln 1.5) / 3
    ("soft-negatives", {"label": 0.25}, 1.199978565695),
    # Shares 3, 1, 0.5 of 4.5: ln 1.5 + (3 ln 4 + ln 2 + 0.5 ln 1.5 - 0.25 (3 ln 3 - 0.5 ln 2)) / 4.5
    ("soft-negatives", {"label": 0.25, "inverse_temperature": 1.0}, 1.364897774562),
    # The same, and with e^(s / T) of 16 and 81, 1, 1/16: ln(98.0625 / 16)
    ("infonce", {"temperature": 0.5}, 1.270462545595),
    ("infonce", {"temperature": 0.25, "temperature_lr": 0.1}, 1.813016308253),
    # ln 2 taken from the target, which is 1 then: ln((1 + 4.5) / 1); doubled, ln((1 + 10.25) / 1)
    ("infonce", {"temperature": 1.0, "margin": math.log(2)}, 1.704748092238),
    ("infonce", {"temperature": 0.5, "margin": math.log(2)}, 2.420368128650),
    # Of 3, 1, 1/2 in proportion to themselves the mean is 10.25 / 4.5: ln(1 + 3 * 2.2777 / 2)
    ("hard-contrastive", {}, 1.485385263764),
    # The softmax
    ("hard-contrastive", {"beta": 0.0}, 1.178654996342),
    # (1.5 - 2/4) / (3/4) = 4/3: ln(1 + 3 * 4/3 / 2)
    ("hard-contrastive", {"beta": 0.0, "tau_plus": 0.25}, 1.098612288668),
    # 1.5 - 2 * 3/4 leaves nothing: the least candidate, 1/2, or e^0
    ("hard-contrastive", {"beta": 0.0, "tau_plus": 0.75}, 0.559615787935),
    ("hard-contrastive", {"beta": 0.0, "tau_plus": 0.75, "lowest": 0.0}, 0.916290731874),
    # Used by itself, an annealed objective stands at its end
    ("softmax", {"label_smoothing": 0.3, "anneal_epochs": 5.0}, 1.346052639699),
    # ln(1.5 * 4 * 2 * 1.5)
    ("negative-sampling", {}, 2.890371757896),
    # ln 1.5 + ln(4 * 2 * 1.5) / 3
    ("negative-sampling", {"reduction": "mean"}, 1.233767324704),
    # Scores doubled under the exponential: ln(1 + 1/4) + ln 7 + ln 3 + ln 2
    ("negative-sampling", {"offset": math.log(2)}, 3.960813169598),
    # Weights 3, 1, 1/2 over 4.5: ln 1.5 + 2/3 ln 4 + 2/9 ln 2 + 1/9 ln 1.5
    ("self-adversarial", {}, 1.528745734325),
    # Equal weights: the mean
    ("self-adversarial", {"inverse_temperature": 0.0}, 1.233767324704),
    # Three of six others: the rate is 1/2, beta 1 - t / 2. beta ln 1.5 + ln 12
    ("gbce", {"calibration": 0.5}, 2.789005480869),
    ("gbce", {"calibration": 1.0}, 2.687639203842),
    # ln 1.5 + sqrt 3 ln 12 / 3
    ("tunable-mass", {}, 1.840126631274),
    # sigma is 2/3 of the target and 3/4, 1/2, 1/3: ln 1.5 / 3 + 3/4 ln 4 + 1/2 ln 2 + 1/3 ln 1.5
    ("focal", {"gamma": 1.0}, 1.656604433192),
    # 1/4 * 1/9 ln 1.5 + 3/4 (9/16 ln 4 + 1/4 ln 2 + 1/9 ln 1.5) / 3
    ("focal", {"alpha": 0.25, "reduction": "mean"}, 0.260795182657),
    # ln 1.5 + 2 (3/16 ln 4 + 1/4 ln 2 + 2/9 ln 1.5)
    ("false-negative-aware", {}, 1.452105798523),
    # ln 1.5 / 2 + ln 12 / 3 - ln 3 / 2; with 0.9 ln 3 > ln 12 / 3 only 0.9 ln 1.5 is left
    ("positive-unlabelled", {"prior": 0.5}, 0.481728626316),
    ("positive-unlabelled", {"prior": 0.9}, 0.364918597297),
    # Mean over four labels: ln(1.5 * 4 * 2 * 1.5) / 4
    ("bce", {}, 0.722592939474),
    # Labels 0.85 and 0.05: (ln(3 * 4 * 2 * 1.5) - 0.85 ln 2 - 0.05 (ln 3 + ln 1 + ln 0.5)) / 4
    ("bce", {"label_smoothing": 0.2}, 0.743517644894),
    # (1 + ln 1.5) + (1 - ln 2) + max(0, 1 - ln 4) with ln 4 > 1
    ("margin", {}, 1.712317927548),
    ("margin", {"reduction": "mean"}, 0.570772642516),
    # ln(1 + 3/2) + ln(1 + 1/2) + ln(1 + 1/4)
    ("soft-margin", {}, 1.544899391297),
    ("soft-margin", {"reduction": "mean"}, 0.514966463766),
    # (1 - ln 2) + ln 3; (1 - ln 2) + 2 (ln 6 + ln 2 + 0) / 3
    ("double-margin", {}, 1.405465108108),
    ("double-margin", {"at_most": -math.log(2), "balance": 2.0, "reduction": "mean"}, 1.963457252633),
    # (ln 2 - 1)^2 + (ln^2 3 + 0 + ln^2 2) / 2; 2 (ln 2 - 2)^2 + ((ln 3 + 1)^2 + 1 + (1 - ln 2)^2) / 10
    ("squared", {"negative": 0.5}, 0.937859640164),
    ("squared", {"positive": 2.0, "negative": 0.1, "true_score": 2.0, "false_score": -1.0}, 3.965561802452),
]


@pytest.mark.parametrize(("name", "settings", "expected"), OBJECTIVE_VALUES)
def test_objectives(name: str, settings: dict[str, Any], expected: float) -> None:
    objective = OBJECTIVES[name](**settings)
    positive, candidates = real(math.log(2)), [math.log(3), 0.0, math.log(0.5)]
    state = objective.summary.fold(real(candidates), positive)
    value = objective.finish(positive, torch.tensor([0]), Rivals(state, False, num_entities=7))
    assert value.item() == pytest.approx(expected, abs=1e-12)


def test_the_binary_value_of_a_query_is_shared_by_its_targets() -> None:
    """Targets ln 2, ln 3, candidates ln 1, ln 1/2: (ln 1.5 + ln 4/3 + ln 2 + ln 1.5) / 4 = ln 6 / 4, half each."""
    objective = OBJECTIVES["bce"]()
    positive = real(math.log(2), math.log(3))
    state = objective.summary.fold(real([0.0, math.log(0.5)]), positive)
    value = objective.finish(positive, torch.tensor([0, 0]), Rivals(state, False))
    assert value.tolist() == pytest.approx([math.log(6) / 8] * 2, rel=1e-12)


# Penalties of anchor (1, -2), relation (3, 0), target (2, 2), query (4, -1). Cubes: 9, 27, 16. Squares of target and
# query: 8, 17.
PENALTY_VALUES: list[tuple[str, dict[str, float], str, float]] = [
    # 0.3 / 3 * (9 + 16) + 0.6 / 3 * 27
    ("lp", {"p": 3.0, "entity": 0.3, "relation": 0.6}, "distmult", 7.9),
    # 0.5 / 2 * (5 + 8)
    ("lp", {"p": 2.0, "entity": 0.5}, "distmult", 3.25),
    ("n3", {"weight": 0.1}, "distmult", 5.2),
    # Moduli sqrt 5, 3, sqrt 8: 0.1 (5^1.5 + 27 + 8^1.5)
    ("n3", {"weight": 0.1}, "complex", 6.080775688547),
    ("dura", {"weight": 0.5}, "distmult", 12.5),
    # 0.5 (0.5 * 8 + 1.5 * 17)
    ("dura", {"weight": 0.5, "norms": 0.5, "products": 1.5}, "distmult", 14.75),
]


@pytest.mark.parametrize(("name", "settings", "model", "expected"), PENALTY_VALUES)
def test_penalties(name: str, settings: dict[str, float], model: str, expected: float) -> None:
    one = torch.tensor([0])
    factors = Factors(
        anchor=real((1, -2)),
        relation=real((3, 0)),
        target=real((2, 2)),
        row=one,
        relation_row=one,
        moduli=MODELS[model](2).moduli,
        query=lambda: real((4, -1)),
    )
    assert PENALTIES[name](**settings).of_batch(factors).item() == pytest.approx(expected, rel=1e-12)


def test_the_penalty_of_tables() -> None:
    """0.5 / 2 * (1 + 4 + 9 + 0) + 1 / 2 * 4."""
    penalty = PENALTIES["table-lp"](p=2.0, entity=0.5, relation=1.0)
    assert penalty.of_tables(lambda: real((1, -2), (3, 0)), lambda: real((2,))).item() == pytest.approx(5.5, rel=1e-12)


# Optimizers: from 0, gradients 1 and 2.
OPTIMIZER_VALUES: list[tuple[str, dict[str, Any], float]] = [
    # -1 / sqrt 1 - 2 / sqrt(1 + 4)
    ("adagrad", {"lr": 1.0, "eps": 0.0}, -1.894427191),
    # Moments 0.5, 0.5 become 1.25 and 2.25, corrected by 0.5 and then 0.75: -1 - (5/3) / sqrt 3
    ("adam", {"lr": 1.0, "beta1": 0.5, "beta2": 0.5, "eps": 0.0}, -1.962250448649),
    ("adam", {"lr": 1.0, "beta1": 0.5, "beta2": 0.5, "eps": 0.0, "lazy": True}, -1.962250448649),
    ("sgd", {"lr": 0.5}, -1.5),
]


@pytest.mark.parametrize("rows", [False, True], ids=["dense", "row-wise"])
@pytest.mark.parametrize(("name", "settings", "expected"), OPTIMIZER_VALUES)
def test_optimizers(name: str, settings: dict[str, Any], expected: float, rows: bool) -> None:
    table = Table(1, 1, row_wise=rows).double()
    table.values.zero_()
    updater = Updater(OPTIMIZERS[name](**settings), {} if rows else {"w": table.whole()}, {"w": table} if rows else {})
    for grad in (1.0, 2.0):
        table.add(torch.tensor([0]), real((grad,)))
        updater.step()
    assert table.values.item() == pytest.approx(expected, rel=1e-9)


SCHEDULE_VALUES: list[tuple[str, dict[str, Any], tuple[int, float, list[float]], float]] = [
    ("constant", {"warmup": 8}, (1, 0.1, []), 0.25),
    # Best 0.5, then two without a gain of 10 %: one cut; 0.6 gains, two more: another
    ("plateau", {"decay": 0.1, "patience": 1, "threshold": 0.1}, (9, 9.0, [0.5, 0.5, 0.54, 0.6, 0.1, 0.6]), 0.01),
    ("step", {"every": 10, "decay": 0.5}, (99, 39.9, []), 0.125),
    # Three quarters of the way from 1 to 0.2
    ("linear", {"epochs": 40, "last": 0.2}, (99, 30.0, []), 0.4),
]


@pytest.mark.parametrize(("name", "settings", "place", "expected"), SCHEDULE_VALUES)
def test_schedules(name: str, settings: dict[str, Any], place: tuple[int, float, list[float]], expected: float) -> None:
    assert SCHEDULES[name](**settings).factor(*place) == pytest.approx(expected, rel=1e-12)


def torchs(seed: int) -> torch.Generator:
    """What torch draws from a seed is its own business: it may change with its version."""
    return torch.Generator().manual_seed(seed)


# Initialisers of a (1, 2) table with seed 0, from what torch draws of N(0, 1) and U(0, 1). Xavier: rows + width = 3.
NORMAL, UNIFORM = torch.randn(2, generator=torchs(0)).tolist(), torch.rand(2, generator=torchs(0)).tolist()
INITIAL_VALUES: list[tuple[str, dict[str, float], list[float]]] = [
    ("normal", {"std": 2.0}, [2 * x for x in NORMAL]),
    ("uniform", {"low": -1.0, "high": 3.0}, [4 * u - 1 for u in UNIFORM]),
    ("xavier_normal", {}, [x * math.sqrt(2 / 3) for x in NORMAL]),
    ("xavier_uniform", {"gain": 2.0}, [(2 * u - 1) * 2 * math.sqrt(2) for u in UNIFORM]),
]


@pytest.mark.parametrize(("name", "settings", "expected"), INITIAL_VALUES)
def test_initialisers(name: str, settings: dict[str, float], expected: list[float]) -> None:
    weight = torch.empty(1, 2)
    INITIALISERS[name](weight, 0, **settings)
    assert weight[0].tolist() == pytest.approx(expected, abs=3e-6)


# Seven entities, one triple (0, 0, 1) in training, asked for its tail twice.
SEVENTHS = (torch.rand(2, 3, generator=torchs(5), dtype=torch.float64) * 7).long().tolist()
# One of a, c, d, e, f, g
SIXTHS = [(0, 2, 3, 4, 5, 6)[i] for i in (torch.rand(6, generator=torchs(5), dtype=torch.float64) * 6).long().tolist()]
SMALL = Graph("small", {"train": torch.tensor([[0, 0, 1]])}, pl.Series([*"abcdefg"]), pl.Series(["r"]), 1)
# A model as samplers see it: the score of an entity is its id.
LIVE = Live(
    score=lambda query, ids: ids.expand(len(query), -1).double(),
    rows=lambda ids: ids[..., None].double(),
    against=lambda query, rows: rows.sum(-1),
    epoch=0.0,
)
# Six draws of seven at seed 5, in two rows
DRAWN = torch.randint(7, (2, 3), generator=torchs(5)).tolist()
# a and b have 3.5 places of 7 each: a keeps half of its own and takes c, d, e; b has the other half, its own, f and g
PLACES = torch.rand(2, 3, generator=torchs(5), dtype=torch.float64) * 7
HALVES = [[int(not (x < 0.5 or 2 <= x < 5)) for x in row] for row in PLACES.tolist()]
NOISE_VALUES: list[tuple[str, dict[str, Any], range | list[list[int]], Pairs | None]] = [
    ("all", {}, range(7), None),
    ("all", {"filtered": True}, range(7), Pairs(torch.tensor([0, 1]), torch.tensor([1, 1]))),
    ("uniform", {"num": 3}, DRAWN, None),
    ("uniform", {"num": 6, "shared": "batch"}, [DRAWN[0] + DRAWN[1]], None),
    # Only b has ever been a tail, so it has all the odds; with exponent 0 all seven have the same
    ("frequency", {"num": 2}, [[1, 1], [1, 1]], None),
    ("frequency", {"num": 3, "exponent": 0.0}, DRAWN, None),
    ("bernoulli", {"num": 3}, DRAWN, None),
    ("cardinality-aware", {"num": 3, "filtered": False}, DRAWN, None),
    # a and b stand in the one triple once each
    ("degree", {"num": 3}, HALVES, None),
    ("in-batch", {"num": 2}, [[1, 1]], None),
    ("pseudo-typed", {"num": 2, "filtered": False, "uniform": Constant(0.0)}, [[1, 1], [1, 1]], None),
    ("composed", {"num": 3}, DRAWN, None),
    # b is the only tail, so the only one of its type, and the only neighbour of a
    ("type-constrained", {"num": 2, "filtered": False}, [[1, 1], [1, 1]], None),
    ("typed", {"num": 2, "filtered": False}, [[1, 1], [1, 1]], None),
    ("type-excluded", {"num": 3, "filtered": False}, [SIXTHS[:3], SIXTHS[3:]], None),
    # a has no other relation, so everybody is drawn
    ("relational", {"num": 3, "filtered": False}, SEVENTHS, None),
    # r has one tail: the target's own type
    ("concepts", {"num": 2, "filtered": False}, [[1, 1], [1, 1]], None),
    ("k-hop", {"num": 2, "filtered": False}, [[1, 1], [1, 1]], None),
    # From a to b and back again, which counts as b
    ("random-walk", {"num": 2, "filtered": False}, [[1, 1], [1, 1]], None),
    ("frequency-weighted", {"num": 3}, DRAWN, None),
    ("expected", {"num": 14.0}, [[0, 1, 2, 3, 4, 5, 6]], None),
    # The highest id of each row
    ("best-of", {"num": 1, "of": 3, "filtered": False}, [[max(DRAWN[0])], [max(DRAWN[1])]], None),
    # One candidate is no choice; nothing is hard before the rise, nor where a share is 0
    ("kbgan", {"of": 1}, [[DRAWN[0][0]], [DRAWN[0][1]]], None),
    ("child", {"num": 3, "filtered": False, "correction": "none", "share": Constant(0.0)}, DRAWN, None),
    ("curriculum", {"num": 3, "filtered": False}, DRAWN, None),
    ("stated-false", {"num": 3, "share": Constant(0.0)}, DRAWN, None),
    # Of g f e d c a, all but the answer b: the first sixth, the second sixth, what scores at least 1 + 5
    ("near-miss", {"num": 1, "of": 0, "top": Constant(1 / 6)}, [[6], [6]], None),
    ("banded", {"num": 1, "of": 0, "low": Constant(1 / 6), "high": Constant(1 / 3)}, [[5], [5]], None),
    ("above-positive", {"num": 1, "of": 0, "slack": -5.0}, [[6], [6]], None),
    # The answer scores 1, below the mean of the others, so it sets no ceiling
    ("positive-aware", {"num": 1, "of": 0, "top": Constant(1 / 6)}, [[6], [6]], None),
    ("hasa", {"num": 1, "of": 0, "top": Constant(1 / 6), "hard": Constant(1.0)}, [[6], [6]], None),
    ("hard-diverse", {"num": 1, "of": 0, "share": Constant(1.0)}, [[6], [6]], None),
    # e^(1000 id) is all at g
    ("mcns", {"num": 2, "alpha": 1000.0, "steps": 100}, [[6, 6], [6, 6]], None),
]
NOISE_WEIGHTS: list[tuple[str, dict[str, Any], list[list[float]] | None]] = [
    ("uniform", {"num": 3}, None),
    # Where b is drawn it counts its whole probability 1, the others 0; or 1/7 each
    ("frequency-weighted", {"num": 3}, [[float(entity == 1) for entity in row] for row in DRAWN]),
    ("frequency-weighted", {"num": 3, "exponent": 0.0}, [[1 / 7] * 3] * 2),
    # 14 draws from 7 entities show each twice; from b alone, b 14 times
    ("expected", {"num": 14.0}, [[2] * 7]),
    ("expected", {"num": 14.0, "exponent": 1.0}, [[0, 14, 0, 0, 0, 0, 0]]),
]


@pytest.mark.parametrize(("name", "settings", "weight"), NOISE_WEIGHTS)
def test_weights_of_noises(name: str, settings: dict[str, Any], weight: list[list[float]] | None) -> None:
    zero, rows = torch.zeros(2, dtype=torch.int64), torch.arange(2)
    query = Query(zero, zero, zero + 1, rows, torch.ones(2), Side.TAIL, Side.TAIL)
    candidates = NOISES[name](**settings).bind(SMALL, torch.device("cpu")).draw(query, 5, LIVE)
    assert (candidates.weight is None) == (weight is None)
    if weight is not None:
        torch.testing.assert_close(candidates.weight, torch.tensor(weight, dtype=torch.float64))


FOUR = Graph(
    "four", {"train": torch.tensor([[0, 0, 1], [0, 0, 2], [3, 0, 1]])}, pl.Series([*"abcd"]), pl.Series(["r"]), 1
)
# Triples a r b, a r c, d r b. Tails: query (a, r) twice, (d, r) once; b answers twice, c once.
# Heads: query (?, r, b) twice, (?, r, c) once; a answers twice, d once.
WEIGHTS: list[tuple[str, dict[str, Any], list[float], list[float]]] = [
    ("equal", {}, [1, 1, 1], [1, 1, 1]),
    # #x / #y: 2/2, 2/1, 1/2 and 2/2, 1/2, 2/1
    ("backward-correction", {"form": "ratio"}, [1, 2, 0.5], [1, 0.5, 2]),
    # Of (a, r): 1/2 and 1 over their mean 3/4; alone, d has 1. Heads: (?, r, b) has 1/2 and 1, (?, r, c) one answer
    ("backward-correction", {"form": "exact"}, [2 / 3, 4 / 3, 1], [2 / 3, 1, 4 / 3]),
    # #x + #x' is 2 + 2, 2 + 1, 1 + 2, and the same from the other side; 1/4, 1/3, 1/3 over their mean 11/36
    ("subsampling", {"start": 1.0, "exponent": 1.0}, [9 / 11, 12 / 11, 12 / 11], [9 / 11, 12 / 11, 12 / 11]),
    # Each count 3 more: 10, 9, 9, and 1/10, 1/9, 1/9 over their mean 29/270
    ("subsampling", {"exponent": 1.0}, [27 / 29, 30 / 29, 30 / 29], [27 / 29, 30 / 29, 30 / 29]),
    # 1/2, 1/2, 1 and 1/2, 1, 1/2 over their mean 2/3
    ("subsampling", {"variant": "uniq", "start": 1.0, "exponent": 1.0}, [3 / 4, 3 / 4, 3 / 2], [3 / 4, 3 / 2, 3 / 4]),
    ("erdns", {}, [1, 1, 1], [1, 1, 1]),
    # A tail scores e^s = 2 for b and 3 for c: #x is 5, 5, 2 and #x' 4, 3, 4, their sums 9, 8, 6.
    # A head scores e^s = 1 for a and 4 for d: #x is 5, 1, 5 and #x' 2, 2, 4, their sums 7, 3, 9
    ("model-based", {"source": "run", "temperature": 1.0}, [24 / 29, 27 / 29, 36 / 29], [27 / 37, 63 / 37, 21 / 37]),
    # Half of the first, half of 1
    (
        "model-based",
        {"source": "run", "temperature": 1.0, "share": 0.5, "counts": EQUAL},
        [53 / 58, 56 / 58, 65 / 58],
        [64 / 74, 100 / 74, 58 / 74],
    ),
    ("tans", {"counts": Subsampling("uniq", 1.0, 1.0)}, [3 / 4, 3 / 4, 3 / 2], [3 / 4, 3 / 2, 3 / 4]),
]
# Those of rivals: #x^-exponent over its mean, #x 2, 2, 1 and 2, 1, 2; and of the model, #x 5, 5, 2 and 5, 1, 5
RIVAL_WEIGHTS: list[tuple[str, dict[str, Any], list[float], list[float]]] = [
    ("subsampling", {"variant": "freq", "start": 1.0, "exponent": 1.0}, [3 / 4, 3 / 4, 3 / 2], [3 / 4, 3 / 2, 3 / 4]),
    ("erdns", {}, [3 / 4, 3 / 4, 3 / 2], [3 / 4, 3 / 2, 3 / 4]),
    # #x^-2: 1/4, 1/4, 1
    ("erdns", {"kappa": 2.0}, [1 / 2, 1 / 2, 2], [1 / 2, 2, 1 / 2]),
    ("tans", {"counts": ERDNS()}, [3 / 4, 3 / 4, 3 / 2], [3 / 4, 3 / 2, 3 / 4]),
    (
        "model-based",
        {"source": "run", "variant": "freq", "temperature": 1.0},
        [2 / 3, 2 / 3, 5 / 3],
        [3 / 7, 15 / 7, 3 / 7],
    ),
]


def counted_score(query: Query, ids: torch.Tensor) -> torch.Tensor:
    """A model whose e^score is 1 + the id of the entity."""
    return (1.0 + ids.expand(len(query), -1)).log()


def trained(source: str) -> Live:
    assert source == "run"
    return Live(counted_score, LIVE.rows, LIVE.against, 0.0)


@pytest.mark.parametrize(("name", "settings", "tails", "heads"), WEIGHTS)
def test_weightings(name: str, settings: dict[str, Any], tails: list[float], heads: list[float]) -> None:
    weighting = WEIGHTINGS[name](**settings)
    for each in (FOUR, FOUR.with_inverses()):
        assert weighting(each, Side.TAIL, trained).tolist() == pytest.approx(tails, rel=1e-6)
        assert weighting(each, Side.HEAD, trained).tolist() == pytest.approx(heads, rel=1e-6)
        assert weighting.separates == (weighting.rivals(each, Side.TAIL, trained) is not None)


@pytest.mark.parametrize(("name", "settings", "tails", "heads"), RIVAL_WEIGHTS)
def test_weights_of_rivals(name: str, settings: dict[str, Any], tails: list[float], heads: list[float]) -> None:
    weighting = WEIGHTINGS[name](**settings)
    assert weighting.separates
    for each in (FOUR, FOUR.with_inverses()):
        assert weighting.rivals(each, Side.TAIL, trained).tolist() == pytest.approx(tails, rel=1e-6)
        assert weighting.rivals(each, Side.HEAD, trained).tolist() == pytest.approx(heads, rel=1e-6)


# Their numbers stand in tests/laws/test_noise.py and test_hard.py.
NOISES_ELSEWHERE = {"nscaching", "nearest-neighbour", "eans", "sns", "influence"}


@pytest.mark.parametrize(("name", "settings", "ids", "drop"), NOISE_VALUES)
def test_noises(name: str, settings: dict[str, Any], ids: range | list[list[int]], drop: Pairs | None) -> None:
    zero, rows = torch.zeros(2, dtype=torch.int64), torch.arange(2)
    query = Query(zero, zero, zero + 1, rows, torch.ones(2), Side.TAIL, Side.TAIL)
    candidates = NOISES[name](**settings).bind(SMALL, torch.device("cpu")).draw(query, 5, LIVE)
    drawn = candidates.ids.tolist() if isinstance(candidates.ids, torch.Tensor) else candidates.ids
    assert drawn == ids
    assert (candidates.drop is None) == (drop is None)
    if drop is not None:
        assert [part.tolist() for part in candidates.drop] == [part.tolist() for part in drop]


# A graph of six triples that can be ranked on paper


def test_the_ranks_of_six_triples() -> None:
    """DistMult with one number per row: a = 1, b = 2, c = 3, d = -1, and r = 1, so s(x, r, y) = x y.

    Test triple (a, r, b). Tail: (a, ?) scores 1, 2, 3, -1 over a, b, c, d, so b is second to c, and first once the
    known (a, r, c) is filtered. Head: (?, b) scores 2, 4, 6, -2, so a is third, and second once (c, r, b) is filtered.
    Test triple (d, r, d). Tail: -1, -2, -3, 1, first of 4. Head: the same, first; (a, r, d) is filtered, 3 are left.
    """
    splits = {
        "train": torch.tensor([[0, 0, 2], [2, 0, 1], [0, 0, 3]]),
        "valid": torch.tensor([[1, 0, 0]]),
        "test": torch.tensor([[0, 0, 1], [3, 0, 3]]),
    }
    g = Graph("six", splits, pl.Series([*"abcd"]), pl.Series(["r"]), 1)
    entities, relations = Table(4, 1), Table(1, 1)
    with torch.no_grad():
        entities.values.copy_(torch.tensor([[1.0], [2.0], [3.0], [-1.0]]))
        relations.values.fill_(1.0)
    parts = Scoring(entities, relations, MODELS["distmult"](1).eval())
    frame = rank(parts, g, splits["test"]).frame.sort("head", "side")
    # Order: (a r b) head, tail; (d r d) head, tail. Known tails of a are b, c and d: only a and b are candidates there.
    assert frame["greater"].to_list() == [1, 0, 0, 0]
    assert frame["equal"].to_list() == [0, 0, 0, 0]
    assert frame["candidates"].to_list() == [3, 2, 3, 4]
    values = evaluate(parts, g, "test", PROTOCOLS["falsum"]).metrics()
    # Chance ranks 2, 1.5, 2, 2.5 on average, 2 in the mean: amri = 1 - 0.25 / 1
    assert values == pytest.approx(
        {"mrr": 0.875, "hits@1": 0.75, "hits@3": 1, "hits@10": 1, "mr": 1.25, "amri": 0.75}, rel=1e-12
    )
    raw = evaluate(parts, g, "test", PROTOCOLS["raw"])
    assert raw.frame.sort("head", "side")["greater"].to_list() == [2, 1, 0, 0]
    assert metrics(raw.frame)["mrr"] == pytest.approx((1 / 3 + 1 / 2 + 1 + 1) / 4, rel=1e-12)


# What the score of a candidate (0, 1) may be under the query (1, 2): 2 by itself, 1 if it were the target (3, -1), 4 if
# it were the next candidate (4, 0). Intervals where chance decides.
MUTATION_VALUES: list[tuple[str, dict[str, Any], tuple[tuple[float, float], ...]]] = [
    ("emu", {"take_positive": 0.0}, ((2, 2),)),
    ("emu", {"take_positive": 1.0}, ((1, 1),)),
    # One entry of two is the target's: (3, 1) or (0, -1)
    ("emu", {"take_positive": 0.5, "exact": True}, ((5, 5), (-2, -2))),
    # Both or neither
    ("emu", {"take_positive": 0.5, "tied": True}, ((2, 2), (1, 1))),
    # Mean 0.5 * 1 + 0.5 * 2, and half the variance 0.25 (1 * 3^2 + 4 * 2^2)
    ("emu-annealed", {"take_positive": 0.5}, ((4.625, 4.625),)),
    # The mean, and four deviations of 2.5
    ("emu-normal", {"take_positive": 0.5}, ((-8.5, 11.5),)),
    ("mixup", {}, ((1, 2),)),
    ("cutmix", {"take_positive": 0.5}, ((5, 5), (-2, -2))),
    ("mixkg", {}, ((2, 4),)),
    # Four times 0.1 sqrt(1/2) (1 + 2)
    ("gaussian", {"scale": 0.1}, ((1.15, 2.85),)),
    # 2 lies above the target's 1; by 1, which is not more than is asked for
    ("demix", {}, ((1, 1.9999),)),
    ("demix", {"margin": -1.0}, ((2, 2),)),
]


@pytest.mark.parametrize(("name", "settings", "possible"), MUTATION_VALUES)
def test_mutations(name: str, settings: dict[str, Any], possible: tuple[tuple[float, float], ...]) -> None:
    entities = Table(3, 2)
    with torch.no_grad():
        entities.values.copy_(torch.tensor([[3.0, -1.0], [0.0, 1.0], [4.0, 0.0]]))
    vector, target = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    nothing = Factors(target, target, target, torch.zeros(1), torch.zeros(1), torch.abs, lambda: target)
    asked = Asked(vector, target, entities, DOT, torch.float32, 0.0, 5, lambda: nothing)
    scan = Scan(asked, Scores(), torch.ones(1), torch.tensor([[1, 2]]), None, None, MUTATIONS[name](**settings))
    value = state_of(scan)[0][0, 0].item()
    assert any(low - 1e-6 <= value <= high + 1e-6 for low, high in possible), value


@pytest.mark.parametrize(
    ("family", "cases"),
    [
        (MODELS, {case[0] for case in SCORES}),
        (OBJECTIVES, {case[0] for case in OBJECTIVE_VALUES}),
        (PENALTIES, {case[0] for case in PENALTY_VALUES} | {"table-lp"}),
        (NOISES, {case[0] for case in NOISE_VALUES} | NOISES_ELSEWHERE),
        (MUTATIONS, {case[0] for case in MUTATION_VALUES}),
        (WEIGHTINGS, {case[0] for case in WEIGHTS}),
        (OPTIMIZERS, {case[0] for case in OPTIMIZER_VALUES}),
        (SCHEDULES, {case[0] for case in SCHEDULE_VALUES}),
        (INITIALISERS, {case[0] for case in INITIAL_VALUES}),
    ],
    ids=[
        "models",
        "objectives",
        "penalties",
        "noises",
        "mutations",
        "weightings",
        "optimizers",
        "schedules",
        "initialisers",
    ],
)
def test_every_member_has_a_golden_case(family: dict[str, Any], cases: set[str]) -> None:
    assert set(family) == cases
