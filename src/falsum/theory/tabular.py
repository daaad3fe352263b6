"""The exact tabular trainer: a free score per query and answer, exact expectations, float64.

It uses the library itself. A RESCAL model whose entity rows are the unit vectors has score M_r[h, t], a free number for
every triple, so what is solved here is `falsum.scan.loss` with the library's own objectives, noises and weightings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import polars as pl
import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.graph.graph import Graph, Query, Side
from falsum.graph.weighting import Equal, Weighting
from falsum.models.bilinear import RESCAL
from falsum.noise import Candidates, Noise
from falsum.objectives import Objective
from falsum.rows.table import Table
from falsum.scan.loss import live, loss
from falsum.scan.scoring import Scoring

CPU = torch.device("cpu")

Draw = Callable[[Query, int], Candidates]


def graph_of(counts: Tensor) -> Graph:
    """A graph in which query (i, r, ?) has answer j counts[i, j] times. counts: (b, n) int64 with b <= n."""
    rows, answers = counts.nonzero().unbind(1)
    times = counts[rows, answers]
    triples = torch.stack([rows, torch.zeros_like(rows), answers], 1).repeat_interleave(times, 0)
    labels = pl.Series("entity", [f"e{i}" for i in range(counts.shape[1])])
    return Graph("tabular", {"train": triples}, labels, pl.Series("relation", ["r"]), 1)


@dataclass(frozen=True)
class Problem:
    """The tail questions of a graph with one relation, each answer once and weighted by its share of the query.

    scoring: holds the scores. query: (anchor, answer) pairs, weight = share x weighting. draw: candidates.
    """

    scoring: Scoring
    objective: Objective
    query: Query
    draw: Draw
    num_queries: int

    @property
    def scores(self) -> Tensor:
        """(b, n) float64: the scores of every answer to every query."""
        size = self.scoring.entities.num
        return self.scoring.relations.values.view(size, size)[: self.num_queries]

    @torch.no_grad()
    def put(self, scores: Tensor) -> None:
        """Replace the scores by a (b, n) tensor."""
        self.scores.copy_(scores)

    def values(self, seed: int = 0) -> Tensor:
        """(t,) loss of every answer; differentiable by the scores."""
        return loss(self.scoring, self.objective, self.query, self.draw(self.query, seed), seed)

    def value(self, seed: int = 0) -> float:
        """The loss, each query counting as its weighting says."""
        with torch.no_grad():
            return float((self.values(seed) * self.query.weight).sum())

    def gradient(self, seed: int = 0) -> Tensor:
        """(b, n): the derivative of the loss by every score. For self-adversarial weights, which are held constant,
        it is the direction in which training moves and no derivative of anything.
        """
        relations = self.scoring.relations
        relations.sink().zero_()
        (self.values(seed) * self.query.weight).sum().backward()
        return relations.sink().view(self.scoring.entities.num, -1)[: self.num_queries].clone()


def problem(graph: Graph, objective: Objective, noise: Noise | Draw, weighting: Weighting | None = None) -> Problem:
    """The tabular problem of a graph with one relation, scores 0. noise: bound to the graph here unless it is a draw.

    Raises UserError for a graph with more than one relation, or an objective that needs grouped queries.
    """
    if graph.num_relations != 1:
        raise UserError("The tabular trainer takes graphs with one relation.")
    if objective.grouping == "always":
        raise UserError(f"{type(objective).__name__} is defined on grouped queries; the tabular trainer asks singly.")
    size = graph.num_entities
    entities, relations, model = Table(size, size), Table(1, size * size), RESCAL(size)
    entities.put(torch.arange(size), torch.eye(size))
    relations.values.zero_()
    scoring = Scoring(entities.double().requires_grad_(False), relations.double(), model.double(), dtype=torch.float64)
    scoring.model.eval()
    draw = _draw(noise, graph, scoring) if isinstance(noise, Noise) else noise
    query = _questions(graph, weighting or Equal())
    return Problem(scoring, objective, query, draw, int(query.anchor.max()) + 1)


def _draw(noise: Noise, graph: Graph, scoring: Scoring) -> Draw:
    sampler = noise.bind(graph, CPU)
    return lambda query, seed: sampler.draw(query, seed, live(scoring, 0.0))


def _questions(graph: Graph, weighting: Weighting) -> Query:
    """Distinct tail questions, weighted by the share of each answer in its query times its weighting."""
    train = graph.splits["train"]
    distinct, index = torch.unique(train, dim=0, return_inverse=True)
    per_query = torch.bincount(train[:, 0]).double()
    query = graph.queries(distinct, Side.TAIL, grouped=False)

    def shares(weight: Tensor) -> Tensor:
        total = torch.zeros(len(distinct), dtype=torch.float64).index_add_(0, index, weight.double())
        return total / per_query[query.anchor]

    rivals = weighting.rivals(graph, Side.TAIL)
    rival_weight = None if rivals is None else shares(rivals)
    return replace(query, weight=shares(weighting(graph, Side.TAIL)), rival_weight=rival_weight)


def solve(task: Problem, *, tolerance: float = 1e-12, most: int = 200) -> Tensor:
    """(b, n): the scores at which the gradient of every query vanishes, found from the scores as they are.

    Damped Newton, all queries at once since none reads another's scores. A loss
    that does not see a shift (softmax) keeps the mean of its scores. Raises UserError when it does not get there within
    `most` steps, as where an answer never occurs and its best score is minus infinity.
    """
    scores = task.scores.clone()
    for _ in range(most):
        task.put(scores)
        gradient = task.gradient()
        if float(gradient.abs().max()) < tolerance:
            return scores
        jacobian = curvature(task, scores)
        step = torch.linalg.lstsq(jacobian, -gradient.unsqueeze(-1), driver="gelsd", rcond=1e-9).solution.squeeze(-1)
        largest = step.abs().amax(-1, keepdim=True).clamp(min=1e-300)
        scores = scores + step * (1.0 / largest).clamp(max=1.0)
    raise UserError(
        f"No stationary scores within {most} steps; the gradient is still {float(gradient.abs().max()):.1e}."
    )


def curvature(task: Problem, scores: Tensor, width: float = 1e-5) -> Tensor:
    """(b, n, n): d gradient[i, j] / d scores[i, k] by central differences, all queries at once."""
    columns = []
    for k in range(scores.shape[1]):
        moved = torch.zeros_like(scores)
        moved[:, k] = width
        sides = []
        for sign in (1, -1):
            task.put(scores + sign * moved)
            sides.append(task.gradient())
        columns.append((sides[0] - sides[1]) / (2 * width))
    task.put(scores)
    return torch.stack(columns, -1)


def descend(
    task: Problem, steps: int, rate: Callable[[int], float] = lambda step: 1.0, *, average: bool = False
) -> Tensor:
    """(b, n): scores after plain gradient descent, a new draw every step; or their mean over the second half."""
    total, scores = torch.zeros_like(task.scores), task.scores.clone()
    for step in range(steps):
        scores = scores - rate(step) * task.gradient(seed=step)
        task.put(scores)
        if step >= steps // 2:
            total += scores
    return total / (steps - steps // 2) if average else scores


def over_every_draw(task: Problem, num: int) -> Problem:
    """The problem with its noise replaced by the exact expectation over `num` uniform draws: every query once per
    possible draw, so E^num rows for each answer.
    """
    size = task.scoring.entities.num
    draws = torch.tensor(list(product(range(size), repeat=num)))
    many = task.query.select(torch.arange(len(task.query)).repeat_interleave(len(draws)))
    query = replace(many, weight=many.weight / len(draws))
    candidates = Candidates(draws.repeat(len(task.query), 1))
    return replace(task, query=query, draw=lambda asked, seed: candidates)
