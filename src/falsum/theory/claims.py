"""Table 1 of Kamigaito & Hayashi 2021, predicted and measured: to what each loss and noise makes a model converge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from falsum.graph.weighting import BackwardCorrection, Equal, Weighting
from falsum.noise import All, Expected, Noise
from falsum.objectives.base import Objective
from falsum.objectives.logistic import NegativeSampling, SelfAdversarial
from falsum.objectives.softmax import SoftmaxCrossEntropy
from falsum.theory import distributions
from falsum.theory.tabular import graph_of, over_every_draw, problem, solve

# Two queries over six answers. The first has shares .40 .25 .15 .10 .07 .03; the second makes the frequencies of the
# answers .05 .10 .30 .25 .20 .10.
COUNTS = torch.tensor([[40, 25, 15, 10, 7, 3], [40, 135, 465, 390, 313, 157]])

Prediction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Claim:
    """What a loss with a noise converges to, softmax(score), as a formula and as a function of (p, q).

    p: (b, n) shares of the answers of each query. q: (n,) their frequencies. draws: the expectation is over this many
    uniform draws instead of all entities. paper: what Table 1 says where that differs. predict: None where there is no
    closed form.
    """

    loss: str
    noise_name: str
    formula: str
    objective: Objective
    noise: Noise
    predict: Prediction | None
    weighting: Weighting = field(default_factory=Equal)
    draws: int = 0
    paper: str = ""


@dataclass(frozen=True)
class Measured:
    """A claim with the softmax of the scores that it was solved to, both (b, n), and their largest difference."""

    claim: Claim
    predicted: Tensor | None
    measured: Tensor

    @property
    def difference(self) -> float | None:
        return None if self.predicted is None else float((self.predicted - self.measured).abs().max())


def _p(p: Tensor, q: Tensor) -> Tensor:
    return p


def _odds(p: Tensor, q: Tensor) -> Tensor:
    return distributions.all_negatives(p)


def _over_frequency(p: Tensor, q: Tensor) -> Tensor:
    return distributions.negative_sampling(p, q)


def _tempered(exponent: float) -> Prediction:
    return lambda p, q: distributions.tempered(p, exponent)


SCE, NS = SoftmaxCrossEntropy, NegativeSampling
UNIFORM, FREQUENCY = Expected(num=4.0), Expected(num=4.0, exponent=1.0)
SANS_PAPER = "no closed form; nearly (1 - l) p + l / n"

CLAIMS: tuple[Claim, ...] = (
    Claim("NS", "uniform", "p", NS(), UNIFORM, _p),
    Claim("NS, offset 9", "uniform", "p", NS(offset=9.0), UNIFORM, _p),
    Claim("NS", "frequency", "p / q", NS(), FREQUENCY, _over_frequency),
    Claim("NS", "all but the target", "p / (1 - p)", NS(), All(), _odds, paper="p"),
    Claim("SANS, a = 1", "uniform", "p^(1/2)", SelfAdversarial(1.0), UNIFORM, _tempered(1 / 2), paper=SANS_PAPER),
    Claim("SANS, a = 0.5", "uniform", "p^(2/3)", SelfAdversarial(0.5), UNIFORM, _tempered(2 / 3), paper=SANS_PAPER),
    Claim("SANS, a = 1", "1 uniform draw", "p", SelfAdversarial(1.0), UNIFORM, _p, draws=1, paper=SANS_PAPER),
    Claim("SANS, a = 1", "2 uniform draws", "", SelfAdversarial(1.0), UNIFORM, None, draws=2, paper=SANS_PAPER),
    Claim("SANS, a = 1", "4 uniform draws", "", SelfAdversarial(1.0), UNIFORM, None, draws=4, paper=SANS_PAPER),
    Claim("SANS, a = 1", "all but the target", "", SelfAdversarial(1.0), All(), None, paper=SANS_PAPER),
    Claim("SCE", "all", "p", SCE(), All(), _p),
    Claim("SCE, temperature 1/2", "all", "p^(1/2)", SCE(temperature=0.5), All(), _tempered(1 / 2), paper="not there"),
    Claim(
        "SCE, smoothing 0.3 to others", "all", "(1 - l) p + l (1 - p) / (n - 1)", SCE(label_smoothing=0.3), All(),
        lambda p, q: distributions.smoothed_others(p, 0.3), paper="(1 - l) p + l / n",
    ),
    Claim(
        "SCE, smoothing 0.3 to all", "all", "(1 - l) p + l / n", SCE(label_smoothing=0.3, spread="all"), All(),
        lambda p, q: distributions.smoothed_all(p, 0.3),
    ),
    Claim("SCE, #x / #y", "all", "p / q", SCE(), All(), _over_frequency, BackwardCorrection("ratio")),
    Claim(
        "SCE, exact correction", "all", "p / q", SCE(), All(), _over_frequency, BackwardCorrection("exact"),
        paper="not there",
    ),
)  # fmt: skip


def measure(claims: tuple[Claim, ...] = CLAIMS, counts: Tensor = COUNTS) -> Iterator[Measured]:
    """Solve every claim on the tabular problem of `counts` (b, n) int64, all positive, b <= n."""
    graph = graph_of(counts)
    p, q = counts / counts.sum(1, keepdim=True).double(), counts.sum(0) / counts.sum().double()
    for claim in claims:
        task = problem(graph, claim.objective, claim.noise, claim.weighting)
        task = over_every_draw(task, claim.draws) if claim.draws else task
        predicted = None if claim.predict is None else claim.predict(p, q)
        yield Measured(claim, predicted, solve(task).softmax(-1))


def exponent(p: Tensor, measured: Tensor) -> Tensor:
    """(b,): the slope of ln(measured) over ln(p), the power of p that fits best."""
    x, y = (each.log() - each.log().mean(-1, keepdim=True) for each in (p, measured))
    return (x * y).sum(-1) / (x * x).sum(-1)
