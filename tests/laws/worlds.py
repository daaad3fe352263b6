"""Small graphs, models and candidate draws that the laws range over, and the oracle's view of a whole loss."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl
import torch
from torch import Tensor

import oracle
from falsum.curves import Constant, Guarded, LiveGradient, Ramp
from falsum.graph.graph import Graph, Query, Side
from falsum.models import MODELS
from falsum.mutations import Mutation
from falsum.noise import NOISES, Candidates, Live, Noise
from falsum.noise.counts import Rarer
from falsum.noise.pools import Admitted, Ball, Difference, Everyone, Intersection, SameType, Seen, StatedFalse, Union
from falsum.noise.proposals import (
    Above,
    Around,
    Best,
    Cached,
    Chain,
    Chains,
    Child,
    Closest,
    Counted,
    Diverse,
    Even,
    Generator,
    Influence,
    Mixture,
    Outside,
    Walk,
)
from falsum.noise.slots import OneSide
from falsum.noise.suspects import Confident, NearPositive, TwoHop
from falsum.objectives import OBJECTIVES, Objective
from falsum.rows.table import Table
from falsum.scan import loss as scan_loss
from falsum.scan.loss import loss
from falsum.scan.scoring import Scoring
from falsum.seeds import generator

# What a constructor needs besides its defaults.
MODEL_OPTIONS: Mapping[str, dict[str, Any]] = {
    "tucker": {"relation_dim": 3},
    "tucker3": {"relation_dim": 3},
    "transd": {"relation_dim": 5},
    "hake": {"bound": 0.125},  # its weights start at halves and sixteenths, which fp32 has exactly
}

# Settings of every objective that change its formula; a new objective is tested with its defaults at least.
OBJECTIVE_SETTINGS: Mapping[str, list[dict[str, Any]]] = {
    "softmax": [
        {},
        {"label_smoothing": 0.3},
        {"label_smoothing": 0.3, "spread": "all"},
        {"temperature": 0.5, "label_smoothing": 0.2},
    ],
    "infonce": [
        {},
        {"temperature": 0.7},
        {"temperature": 0.7, "temperature_lr": 0.01},
        {"temperature": 0.7, "margin": 0.4},
    ],
    "hard-contrastive": [
        {},
        {"temperature": 0.7, "beta": 0.0, "tau_plus": 0.1},
        {"beta": 0.5, "tau_plus": 0.3, "lowest": -1.0},
        {"beta": 0.7, "tau_plus": 0.2, "detach": False},
    ],
    "negative-sampling": [{}, {"offset": 1.5}, {"offset": -0.5, "reduction": "mean"}],
    "self-adversarial": [{}, {"inverse_temperature": 0.5, "offset": 2.0}, {"inverse_temperature": 0.0}],
    "unbounded-label-smoothing": [{}, {"label": 0.9}],
    "soft-negatives": [{}, {"label": 0.6, "inverse_temperature": 0.7, "offset": 0.5}],
    "gbce": [{}, {"calibration": 0.3, "offset": 0.6}],
    "tunable-mass": [{}, {"rho": 0.3, "offset": -0.4}],
    "focal": [{}, {"gamma": 0.5, "alpha": 0.25, "offset": 0.8, "reduction": "mean"}, {"gamma": 0.0}],
    "false-negative-aware": [{}, {"beta": 3.0, "offset": 0.7, "reduction": "mean"}],
    "positive-unlabelled": [{}, {"prior": 0.6, "offset": -0.5}],
    "bce": [{}, {"label_smoothing": 0.2}, {"label_smoothing": 0.1, "offset": 0.7}],
    "margin": [{}, {"margin": 2.5, "reduction": "mean"}],
    "soft-margin": [{}, {"margin": 1.5, "reduction": "mean"}],
    "double-margin": [{}, {"at_least": 2.0, "at_most": -0.5, "balance": 0.3, "reduction": "mean"}],
    "squared": [{}, {"positive": 0.5, "negative": 0.3, "true_score": 2.0, "false_score": -0.7}],
}

# One composition for every member of the families that noises are put together from, at least.
COMPOSED: list[dict[str, Any]] = [
    {"num": 3, "proposal": Counted(0.5, start=1.0, pool=Seen()), "correction": "classic", "filtered": True},
    {"num": 3, "proposal": Even(Union(Seen(), Everyone())), "count": Rarer(1.0), "correction": "refined"},
    {"num": 4, "proposal": Even(Intersection(Seen(), Seen())), "replacement": False},
    {"num": 5, "proposal": Even(Difference(Everyone(), Seen())), "slot": OneSide(many="neither")},
    {"num": 4, "proposal": Outside(Ball(1)), "correction": "refined", "suspects": TwoHop(0.3)},
    {"num": 3, "proposal": Walk(1), "correction": "classic", "filtered": True},
    {"num": 3, "proposal": Chain(2), "suspects": TwoHop(1.0), "replacement": False},
    {"num": 3, "proposal": Counted(1.0, pool=Intersection(Admitted(), SameType())), "filtered": True},
    {"num": 3, "proposal": Even(Union(StatedFalse(), Seen()))},
    {"num": 3, "proposal": Mixture(Cached(cache=4, buckets=3), Generator(dim=4, of=3, pool=Counted(0.5)))},
    {"num": 3, "proposal": Child(dim=4, of=3), "correction": "classic", "filtered": "target"},
    {"num": 3, "proposal": Around(Constant(2.0)), "correction": "refined", "filtered": "target"},
    {"num": 3, "proposal": Above(4, Even(Seen())), "suspects": NearPositive(reference=3)},
    {"num": 3, "proposal": Closest(4, Best(2), memory=3), "filtered": True},
    {"num": 3, "proposal": Diverse(5, Even(Seen())), "suspects": Confident(), "filtered": True},
    {"num": 3, "proposal": Influence(4, width=3, batch=3, negatives=2), "replacement": False},
    {"num": 7, "proposal": Chains(1.0, chains=3, steps=2), "count": Rarer(0.5), "filtered": True},
]

NOISE_SETTINGS: Mapping[str, list[dict[str, Any]]] = {
    "all": [{}, {"filtered": True}],
    "uniform": [
        {"num": 3, "num_head": 5, "shared": shared, "chunk": 2, "filtered": filtered, "replacement": replacement}
        for shared in ("query", "batch", "chunk")
        for filtered in (False, True)
        for replacement in (False, True)
    ]
    + [{"num": 3, "shared": "chunk", "chunk": 5, "filtered": True, "correction": "refined", "suspects": TwoHop(0.5)}],
    "frequency": [
        {"num": 3, "num_head": 5, "exponent": exponent, "shared": shared, "chunk": 2, "filtered": filtered}
        for exponent in (0.0, 0.75)
        for shared in ("query", "batch", "chunk")
        for filtered in (False, True)
    ],
    "frequency-weighted": [{"num": 3, "num_head": 5, "exponent": 0.5}],
    "bernoulli": [{"num": 3, "filtered": "target"}],
    "cardinality-aware": [{"num": 3, "num_head": 2}],
    "degree": [{"num": 3, "shared": "batch"}],
    "in-batch": [
        {"num": 3, "correction": "none"},
        {"num": 4},
        {"num": 4, "uniform": Constant(0.4), "correction": "classic"},
    ],
    "pseudo-typed": [{"num": 3}, {"num": 4, "correction": "refined", "uniform": Constant(0.0)}],
    "best-of": [{"num": 3, "num_head": 2, "of": 2, "filtered": filtered} for filtered in (False, True)],
    "composed": COMPOSED,
    "type-constrained": [{"num": 3}, {"num": 4, "correction": "refined", "uniform": Constant(0.5)}],
    "typed": [{"num": 3, "filtered": False, "correction": "classic"}],
    "type-excluded": [{"num": 3, "num_head": 2}, {"num": 3, "filtered": False, "correction": "refined"}],
    "relational": [{"num": 3}, {"num": 3, "filtered": False, "correction": "refined"}],
    "concepts": [{"num": 3, "threshold": threshold} for threshold in (1.0, 1.5, 9.0)],
    "k-hop": [{"num": 3, "hops": 1}, {"num": 3, "near": False, "correction": "refined"}],
    "random-walk": [
        {"num": 3, "hops": 1, "correction": "classic"},
        {"num": 3, "num_head": 5, "restart": False},
        {"num": 4, "uniform": Constant(0.4)},
    ],
    "nscaching": [{"num": 3, "cache": 4, "fresh": 3, "filtered": filtered} for filtered in (False, True)],
    "kbgan": [{"num": 3, "dim": 4, "of": 5, "filtered": filtered} for filtered in (False, True)],
    "child": [
        {"num": 3, "dim": 4, "model": "distmult"},
        {"num": 3, "dim": 4, "of": 4, "mode": "distilled", "correction": "classic", "temperature": Ramp(1.0, 0.5)},
    ],
    "curriculum": [{"num": 3}, {"num": 3, "share": LiveGradient()}, {"num": 3, "share": Guarded(Constant(0.5))}],
    "stated-false": [{"num": 3}],
    "expected": [{"num": 3.0, "num_head": 2.0, "exponent": exponent} for exponent in (0.0, 1.0)],
    "near-miss": [{"num": 2, "of": 4, "top": Constant(0.5)}],
    "above-positive": [{"num": 3, "num_head": 2, "of": 4}],
    "banded": [{"num": 2, "of": 4, "low": Constant(0.2), "high": Constant(0.9), "filtered": False}],
    "positive-aware": [{"num": 2, "of": 4, "top": Constant(0.5)}],
    "nearest-neighbour": [{"num": 2, "k": 3, "filtered": filtered} for filtered in (False, True)],
    "eans": [{"num": 3, "sigma": Constant(1.0)}, {"num": 4, "sigma": Constant(3.0), "correction": "refined"}],
    "sns": [{"num": 3, "num_head": 2, "of": 4, "memory": 2}],
    "mcns": [{"num": 5, "num_head": 2, "chains": 3}],
    "influence": [{"num": 3, "of": 5, "width": 4}],
    "hasa": [{"num": 3, "of": 4, "top": Constant(0.5)}],
    "hard-diverse": [{"num": 4, "of": 4}],
}


def settings_of(family: Mapping[str, Any], listed: Mapping[str, list[dict[str, Any]]]) -> list[tuple[str, dict]]:
    """(name, settings) for every member of a family; defaults where nothing is listed."""
    return [(name, each) for name in family for each in listed.get(name, [{}])]


def objectives() -> list[tuple[str, dict[str, Any]]]:
    return settings_of(OBJECTIVES, OBJECTIVE_SETTINGS)


def noises() -> list[tuple[str, dict[str, Any]]]:
    return settings_of(NOISES, NOISE_SETTINGS)


def meetings() -> list[tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]]:
    """Every noise with every objective, whose settings take turns: (noise, objective)."""
    by_name: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for objective in objectives():
        by_name.setdefault(objective[0], []).append(objective)
    turns = enumerate(noises())
    return [(noise, listed[turn % len(listed)]) for turn, noise in turns for listed in by_name.values()]


def some_meetings() -> list[tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]]:
    """A third of the meetings, each noise with others than the noise before it."""
    every = meetings()
    own = len(every) // len(noises())
    return [meeting for i, meeting in enumerate(every) if (i + i // own) % 3 == 0]


def label(value: object) -> str:
    """A readable pytest id for (name, settings)."""
    if isinstance(value, tuple):
        name, given = value
        return "-".join([name, *(f"{k}={v}" for k, v in given.items())])
    return str(value)


@contextmanager
def about(*members: object) -> Iterator[None]:
    """Names the members of families that a loop has come to below whatever fails inside."""
    try:
        yield
    except Exception as failure:
        failure.add_note("for " + ", ".join(map(label, members)))
        raise


def graph(num_entities: int = 7, num_relations: int = 2, sizes: Sequence[int] = (12, 4, 4), seed: int = 0) -> Graph:
    """Distinct random triples, dealt to train, valid and test."""
    pick = random.Random(seed)
    places = pick.sample(range(num_entities * num_relations * num_entities), sum(sizes))  # of (h, r, t) in order
    chosen = [
        (at // num_entities // num_relations, at // num_entities % num_relations, at % num_entities) for at in places
    ]
    splits, start = {}, 0
    for name, size in zip(("train", "valid", "test"), sizes, strict=False):
        splits[name] = torch.tensor(chosen[start : start + size], dtype=torch.int64).reshape(-1, 3)
        start += size
    return Graph(
        "random",
        splits,
        pl.Series("entity", [f"e{i}" for i in range(num_entities)], dtype=pl.String),
        pl.Series("relation", [f"r{i}" for i in range(num_relations)], dtype=pl.String),
        num_relations,
    )


def triples_of(g: Graph, splits: Sequence[str]) -> list[tuple[int, int, int]]:
    return [tuple(triple) for split in splits for triple in g.splits[split].tolist()]


def scoring(name: str, g: Graph, seed: int = 0, *, dim: int = 4, whole: bool = False, **rates: float) -> Scoring:
    """Random fp64 weights, evaluation mode. whole: integer entries, whose scores are exact and often tie."""
    model = MODELS[name](dim, **MODEL_OPTIONS.get(name, {}))
    entities, relations = Table(g.num_entities, dim), Table(g.num_relations, model.relation_width)
    draw = generator(seed)
    with torch.no_grad():
        matrices = [p for p in model.parameters() if p.dim() > 1]
        for weight in (entities.values, relations.values, *matrices):
            if whole:
                weight.copy_(torch.randint(-1, 2, weight.shape, generator=draw))
            else:
                weight.copy_(torch.randn(weight.shape, generator=draw))
    return Scoring(entities.double(), relations.double(), model.double().eval(), dtype=torch.float64, **rates)


def gradients(parts: Scoring) -> list[Tensor]:
    weights = [parts.entities.weight, parts.relations.weight, *parts.model.parameters()]
    return [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in weights]


def clear(parts: Scoring) -> None:
    for weight in (parts.entities.weight, parts.relations.weight, *parts.model.parameters()):
        weight.grad = None


def value_and_gradients(
    parts: Scoring,
    objective: Objective,
    query: Query,
    candidates: Candidates,
    seed: int = 0,
    mutation: Mutation | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """(loss of every target, gradients of a fixed uneven combination of them)."""
    clear(parts)
    values = loss(parts, objective, query, candidates, seed, mutation=mutation)
    by = torch.linspace(0.5, 1.5, len(values), dtype=values.dtype)
    (values * by).sum().backward()
    return values.detach(), gradients(parts)


def same(a: tuple[Tensor, list[Tensor]], b: tuple[Tensor, list[Tensor]], tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a[0], b[0], rtol=tolerance, atol=tolerance)
    for left, right in zip(a[1], b[1], strict=True):
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


def core_of(parts: Scoring) -> list[list[float]] | None:
    matrices = [p for p in parts.model.parameters() if p.dim() > 1]
    return matrices[0].tolist() if matrices else None


class Oracle:
    """The specification's scores of one set of weights, each worked out once."""

    def __init__(self, name: str, parts: Scoring) -> None:
        self.rule = oracle.SCORES[name]
        self.entities, self.relations = parts.entities.weight.tolist(), parts.relations.weight.tolist()
        self.core = core_of(parts)
        self.known: dict[tuple[int, int, int], float] = {}

    def triple(self, head: int, relation: int, tail: int) -> float:
        key = (head, relation, tail)
        if key not in self.known:
            rows = self.entities[head], self.relations[relation], self.entities[tail]
            self.known[key] = self.rule(*rows, self.core)
        return self.known[key]

    def score(self, query: Query, i: int, candidate: int) -> float:
        """The score of `candidate` in the open slot of question i."""
        anchor, relation = int(query.anchor[i]), int(query.relation[i])
        head, tail = (anchor, candidate) if query.side is Side.TAIL else (candidate, anchor)
        return self.triple(head, relation, tail)

    def loss(self, objective: tuple[str, dict[str, Any]], query: Query, candidates: Candidates) -> list[float]:
        """The loss of every target, in the order of query.target."""
        values: list[float] = []
        for i in range(len(query)):
            own = [place for place, row in enumerate(query.row.tolist()) if row == i]
            raised = [0.0] * len(own) if candidates.own_shift is None else candidates.own_shift[own].tolist()
            positives = [self.score(query, i, int(query.target[p])) + up for p, up in zip(own, raised, strict=True)]
            rivals = counted(query, candidates, i, len(self.entities))
            negatives = [self.score(query, i, e) + up for e, _, up in rivals]
            share = 1.0 if candidates.share is None else float(candidates.share[i])
            weights = [w for _, w, _ in rivals]
            losses = specified(objective, positives, negatives, weights, len(self.entities))
            values += [share * value for value in losses]
        return values


def specified(
    objective: tuple[str, dict[str, Any]],
    positives: Sequence[float],
    negatives: Sequence[float],
    weights: Sequence[float],
    num_entities: int,
) -> list[float]:
    """The specification's loss of every target of one question."""
    size = [num_entities] if objective[0] in oracle.SIZED else []
    return oracle.LOSSES[objective[0]](positives, negatives, weights, *size, **objective[1])


def targets_of(query: Query, i: int) -> list[int]:
    return [t for t, row in zip(query.target.tolist(), query.row.tolist(), strict=True) if row == i]


def counted(query: Query, candidates: Candidates, i: int, num_entities: int) -> list[tuple[int, float, float]]:
    """The entities that question i is held against, their weights and shifts; no targets of an exhaustive scan."""
    targets = set(targets_of(query, i))
    dropped: set[int] = set()
    if candidates.drop is not None:
        row, entity = (part.tolist() for part in candidates.drop)
        dropped = {e for e, owner in zip(entity, row, strict=True) if owner == i}
    if isinstance(candidates.ids, range):
        return [(e, 1.0, 0.0) for e in range(num_entities) if e not in dropped and e not in targets]
    ids = of_query(candidates.ids, query, i)
    weights = [1.0] * len(ids) if candidates.weight is None else of_query(candidates.weight, query, i)
    shifts = [0.0] * len(ids) if candidates.shift is None else of_query(candidates.shift, query, i)
    return [
        (e, w, up) for e, w, up in zip(ids, weights, shifts, strict=True) if e not in dropped and w and up > -math.inf
    ]


def of_query(shared: Tensor, query: Query, i: int) -> list[Any]:
    """The row of (c, n) that serves question i."""
    return shared[i // -(-len(query) // len(shared))].tolist()


def grouped(objective: Objective) -> bool:
    """Whether one row per distinct query is part of the objective's definition."""
    return objective.grouping == "always"


def live(g: Graph, model: str = "distmult") -> Live:
    """A model as a sampler may see it."""
    return scan_loss.live(scoring(model, g), 0.0)


def draw(noise: tuple[str, dict[str, Any]] | Noise, g: Graph, query: Query, seed: int) -> Candidates:
    """What a noise draws for a batch, before it has learned anything."""
    built = noise if isinstance(noise, Noise) else make_noise(noise)
    return built.bind(g, CPU).draw(query, seed, live(g))


def make_noise(noise: tuple[str, dict[str, Any]]) -> Noise:
    return NOISES[noise[0]](**noise[1])


def make_objective(objective: tuple[str, dict[str, Any]]) -> Objective:
    return OBJECTIVES[objective[0]](**objective[1])


CPU = torch.device("cpu")
