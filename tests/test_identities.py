"""What losses, weights and shifts have to do with each other: identities through the library's own parts.

That self-adversarial weights over all candidates temper the optimum to p^(1 / (1 + a)) is T6 of test_theory.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from falsum.graph.graph import Side
from falsum.graph.weighting import ERDNS, Subsampling, Weighting
from falsum.models import MODELS
from falsum.noise import Candidates, Expected
from falsum.objectives import (
    DoubleMargin,
    Focal,
    GeneralisedBCE,
    HardContrastive,
    InfoNCE,
    MarginRanking,
    NegativeSampling,
    Objective,
    Rivals,
    SelfAdversarial,
    SoftmaxCrossEntropy,
    TunableMass,
)
from falsum.objectives.base import others_logsumexp
from falsum.theory import distributions, graph_of, problem, solve
from falsum.theory.claims import COUNTS
from falsum.theory.sampled import mean_squared_error, sampled_optimum
from laws import worlds

GRAPH = graph_of(COUNTS)
P = COUNTS / COUNTS.sum(1, keepdim=True).double()
Q = COUNTS.sum(0) / COUNTS.sum().double()


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def differs(a: Tensor, b: Tensor) -> None:
    with pytest.raises(AssertionError):
        close(a, b, 1e-4)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value(objective: Objective, positive: Tensor, scores: Tensor, weight: Tensor | None = None) -> Tensor:
    """(b,) loss of one target a question, among 9 entities."""
    state = objective.summary.fold(scores, positive, weight)
    return objective.finish(positive, torch.arange(len(positive)), Rivals(state, False, 9))


def slopes(objective: Objective, positive: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    positive, scores = positive.clone().requires_grad_(), scores.clone().requires_grad_()
    value(objective, positive, scores).sum().backward()
    return positive.grad, scores.grad


# 1. In a softmax a weight is a shift


@pytest.mark.parametrize("objective", [SoftmaxCrossEntropy(), HardContrastive(beta=0.0)])
def test_in_a_softmax_a_weight_is_a_shift_and_elsewhere_it_is_not(objective: Objective) -> None:
    positive, scores, weight = numbers(4), numbers(4, 6, seed=1), numbers(4, 6, seed=2).exp()
    close(value(objective, positive, scores, weight), value(objective, positive, scores + weight.log()))
    pointwise = NegativeSampling()
    differs(value(pointwise, positive, scores, weight), value(pointwise, positive, scores + weight.log()))


def test_noise_contrastive_estimation_is_negative_sampling_of_shifted_scores() -> None:
    """With z = s - ln(k q) of target and draws the optimum is s = ln p, which normalises itself, whatever q and k."""
    num = 4.0
    optimum = solve(problem(GRAPH, NegativeSampling(), Expected(num, exponent=1.0)))  # of z
    close(optimum + (num * Q).log(), P.log(), 1e-8)
    differs(optimum, P.log())


# 2. The optimum of pointwise losses


MASSES: list[tuple[Objective, Callable[[float], float]]] = [
    (NegativeSampling(), lambda k: k),
    (NegativeSampling(reduction="mean"), lambda k: 1.0),
    (TunableMass(rho=0.0), lambda k: 1.0),
    (TunableMass(rho=0.5), math.sqrt),
    (TunableMass(rho=1.0), lambda k: k),
    (GeneralisedBCE(calibration=0.0), lambda k: k),
]


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize(("objective", "mass"), MASSES)
def test_scores_rest_at_log_p_minus_log_noise_minus_log_mass(
    objective: Objective, mass: Callable[[float], float], power: float
) -> None:
    num, q = 5.0, Q if power else torch.full((6,), 1 / 6, dtype=torch.float64)
    scores = solve(problem(GRAPH, objective, Expected(num, exponent=power)))
    close(scores, distributions.negative_sampling_scores(P, q, mass(num)), 1e-8)
    if mass(num) != 1:
        differs(scores, distributions.negative_sampling_scores(P, q, 1.0))


@pytest.mark.parametrize("weighting", [ERDNS(), Subsampling("freq", start=1.0)])
def test_weights_of_rivals_by_themselves_move_the_optimum(weighting: Weighting) -> None:
    """By the logarithm of what answers count, less that of what their rivals count."""
    task = problem(GRAPH, NegativeSampling(), Expected(3.0))
    weighted = problem(GRAPH, NegativeSampling(), Expected(3.0), weighting)
    own, rivals = (x.view(2, 6) for x in (weighted.query.weight, weighted.query.rival_weight))
    close(solve(weighted), solve(task) + (own / P).log() - rivals.sum(1, keepdim=True).log(), 1e-8)
    differs(solve(weighted), solve(task))


def test_calibrated_scores_are_probabilities() -> None:
    """gBCE: uniform draws of a share a of the entities. With t = 1, sigma(s) is p / (p + (1 - p)): p itself.

    A target is drawn as a negative too; counting a (1 - p) for its negatives, as the paper does, is exact once draws
    are of the other entities: two answers of shares p and 1 - p, each drawn from the other's rivals.
    """
    p, rate = torch.linspace(0.05, 0.95, 19, dtype=torch.float64), 0.25
    for calibration in (0.0, 0.5, 1.0):
        z = torch.zeros_like(p, requires_grad=True)
        built = GeneralisedBCE(calibration=calibration)
        state = (torch.zeros_like(p), torch.full_like(p, rate * 8))
        own = built.finish(z, torch.arange(19), Rivals(state, False, 9))  # beta sp(-z)
        (slope,) = torch.autograd.grad(own.sum(), z)
        beta = -2 * slope
        # beta p sigma(-z) = rate (1 - p) sigma(z)
        says = beta * p / (beta * p + rate * (1 - p))
        if calibration == 1:
            close(says, p)
        else:
            assert (says > p + 1e-3).all()


# 3. Margins and offsets are shifts


def test_margins_and_offsets_are_shifts() -> None:
    positive, scores = numbers(4), numbers(4, 6, seed=1)
    for built, plain in ((NegativeSampling(offset=9.0), NegativeSampling()), (Focal(offset=9.0), Focal())):
        close(value(built, positive, scores), value(plain, positive + 9, scores + 9))
    close(value(MarginRanking(margin=2.0), positive, scores), value(MarginRanking(margin=0.0), positive - 2, scores))
    close(value(InfoNCE(0.5, margin=0.3), positive, scores), value(InfoNCE(0.5), positive - 0.3, scores))
    shifted = value(DoubleMargin(at_least=3.0, at_most=2.0), positive + 2, scores + 2)
    close(value(DoubleMargin(), positive, scores), shifted)
    scores = solve(problem(GRAPH, NegativeSampling(offset=9.0), Expected(4.0)))
    close(scores + 9, distributions.negative_sampling_scores(P, torch.full_like(P, 1 / 6), 4.0), 1e-8)


def test_a_margin_meets_a_target_and_not_its_siblings() -> None:
    """Over all entities, with two targets: each meets the other's own score. A large margin costs no digit in fp32."""
    positive, rest, row = torch.tensor([40.0, 1.0, -2.0]), torch.tensor([0.5, -1.0]), torch.tensor([0, 0, 1])
    built, nothing = InfoNCE(0.5, margin=30.0), torch.zeros(2)
    values = built.finish(positive, row, Rivals((rest / 0.5, nothing, nothing), True))
    expected = [
        math.log1p((math.exp(2) + math.exp(1)) / math.exp(20)),
        math.log1p((math.exp(80) + math.exp(1)) / math.exp(-58)),
        math.log1p(math.exp(-2) / math.exp(-64)),
    ]
    torch.testing.assert_close(values, torch.tensor(expected), rtol=1e-5, atol=1e-9)


def test_log_sum_exp_of_the_others() -> None:
    values, row = numbers(6).requires_grad_(), torch.tensor([0, 0, 0, 1, 3, 3])
    found = others_logsumexp(values, row, 4)
    rest = [[1, 2], [0, 2], [0, 1], [], [5], [4]]
    expected = torch.stack([values[list(r)].logsumexp(0) if r else values.new_tensor(-torch.inf) for r in rest])
    close(found, expected)
    kept = [i for i, r in enumerate(rest) if r]
    ours, theirs = (torch.autograd.grad(x[kept].sum(), values)[0] for x in (found, expected))
    close(ours, theirs)


# 4. How hard candidates are pushed in all


def test_the_total_push_on_candidates() -> None:
    """The mean of a pointwise loss pushes by at most 1, the sum by at most K, a softmax by 1 - p of the target."""
    for seed in range(5):
        positive, scores = numbers(3, seed=seed), 3 * numbers(3, 8, seed=seed + 9)
        push = {
            name: slopes(objective, positive, scores)[1].sum(1)
            for name, objective in {
                "sum": NegativeSampling(),
                "mean": NegativeSampling(reduction="mean"),
                "adversarial": SelfAdversarial(),
                "softmax": SoftmaxCrossEntropy(),
            }.items()
        }
        every = torch.cat([positive[:, None], scores], 1)
        close(push["softmax"], 1 - every.softmax(1)[:, 0])
        close(push["sum"], scores.sigmoid().sum(1))
        close(push["sum"], 8 * push["mean"])
        assert (push["mean"] < 1).all()
        assert (push["adversarial"] < 1).all()
    high = slopes(NegativeSampling(), positive, scores + 50)[1].sum(1)
    close(high, torch.full_like(high, 8))


# 5. Mixtures of candidates


@pytest.mark.parametrize("name", MODELS)
def test_linear_scores_mix_and_distances_are_concave(name: str) -> None:
    """A mixture of two candidates scores what its parts do on average where the score is linear, so it is never harder
    than the harder one. Minus a distance is concave: the mixture scores at least the average, at times above both.
    transd is neither, since a row also says how it is projected, nor is hake, since a distance of angles is not convex.
    """
    parts = worlds.scoring(name, worlds.graph(), seed=1)
    query = worlds.graph().queries(worlds.graph().splits["train"], Side.TAIL, grouped=False)
    asked = parts.ask(query, Candidates(range(7)), 0)
    rows = parts.entities.values
    above = below = False
    for share in (0.2, 0.5, 0.9):
        mixed = share * rows[:, None] + (1 - share) * rows[None]
        score = asked.compare(asked.vector, mixed.flatten(0, 1)).view(len(query), 7, 7)
        ends = asked.compare(asked.vector, rows)
        average = share * ends[:, :, None] + (1 - share) * ends[:, None]
        if parts.model.compare.linear:
            close(score, average, 1e-9)
        else:
            below = below or bool((score < average - 1e-9).any())
            above = above or bool((score > torch.maximum(ends[:, :, None], ends[:, None]) + 1e-6).any())
    assert above is not parts.model.compare.linear
    assert below is (name in ("transd", "hake"))


# Tunable mass, focal, hard contrastive


def test_members_that_are_others_at_their_ends() -> None:
    positive, scores, weight = numbers(4), numbers(4, 6, seed=1), numbers(4, 6, seed=2).exp()
    for one, other in (
        (TunableMass(rho=1.0, offset=0.3), NegativeSampling(offset=0.3)),
        (TunableMass(rho=0.0), NegativeSampling(reduction="mean")),
        (Focal(gamma=0.0, offset=-0.4), NegativeSampling(offset=-0.4)),
        (GeneralisedBCE(calibration=0.0), NegativeSampling()),
        (HardContrastive(beta=0.0), SoftmaxCrossEntropy()),
        (HardContrastive(beta=0.0, detach=False), SoftmaxCrossEntropy()),
        (HardContrastive(0.3, beta=0.0), InfoNCE(0.3)),
    ):
        close(value(one, positive, scores, weight), value(other, positive, scores, weight), 1e-8)
        for a, b in zip(slopes(one, positive, scores), slopes(other, positive, scores), strict=True):
            close(a, b, 1e-8)  # torch's softplus is linear from 20 on
    differs(value(HardContrastive(), positive, scores), value(SoftmaxCrossEntropy(), positive, scores))
    everyone = Rivals(NegativeSampling().summary.fold(scores, positive), True, 7)
    plain = NegativeSampling().finish(positive, torch.arange(4), everyone)
    close(GeneralisedBCE(calibration=1.0).finish(positive, torch.arange(4), everyone), plain)


def test_detached_weights_are_constants_and_public_code_pulls_low_candidates_up() -> None:
    positive, scores = torch.zeros(1, dtype=torch.float64), torch.tensor([[-4.0, 0.0, 3.0]], dtype=torch.float64)
    held, through = (slopes(HardContrastive(beta=2.0, detach=detach), positive, scores)[1] for detach in (True, False))
    assert (held > 0).all()
    assert through[0, 0] < 0
    tilts, exponentials = (2 * scores).softmax(1), scores.exp()
    mass = 3 * (tilts * exponentials).sum(1)
    close(held, 3 * tilts * exponentials / (1 + mass)[:, None])


@pytest.mark.parametrize("high", [1.25, 5.0])
def test_at_the_floor_no_candidate_is_pushed(high: float) -> None:
    """Of the mean 1.86 a target of 1.25 leaves 0.23, one of 5 nothing."""
    positive, scores = torch.tensor([high], dtype=torch.float64), torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    for lowest, least in ((None, 1.0), (-1.0, math.exp(-1))):
        built = HardContrastive(beta=0.0, tau_plus=0.5, lowest=lowest)
        close(value(built, positive, scores), torch.log1p(2 * least * torch.exp(-positive)))
        by_positive, by_scores = slopes(built, positive, scores)
        assert by_scores.abs().max() == 0
        assert by_positive < 0


@pytest.mark.parametrize("beta", [0.0, 1.5])
def test_weights_of_suspects_are_the_loss_of_hasa(beta: float) -> None:
    """HaSa's g is (sum_j p_j e^(z_j) - tau sum_f p_f e^(z_f)) / (1 - tau), p tilted over all candidates j, f suspects.

    Suspects of weight 1 - tau give it up to a factor per question: 1 - tau where beta is 0.
    """
    positive, scores, tau = numbers(3), numbers(3, 6, seed=1), 0.3
    suspect = torch.tensor([0, 1, 0, 0, 1, 1], dtype=torch.float64).expand(3, 6)
    tilts = (beta * scores).softmax(1)
    g = ((tilts * scores.exp()).sum(1) - tau * (suspect * tilts * scores.exp()).sum(1)) / (1 - tau)
    weight = 1 - tau * suspect
    factor = (1 - tau) * weight.mean(1) / (tilts * weight).sum(1)
    if not beta:
        close(factor, torch.full_like(factor, 1 - tau))
    expected = torch.log1p(6 * factor * g * torch.exp(-positive))
    close(value(HardContrastive(beta=beta), positive, scores, weight), expected)
    differs(value(HardContrastive(beta=beta), positive, scores), expected)


# Sampled softmax: gradients


def test_a_softmax_of_shifted_draws_estimates_the_gradient_of_the_whole() -> None:
    """Draws of q, each z = s - ln(K q), beside the unshifted target that no draw hits: the refined form.

    Its gradient tends to that of the full softmax; shifts by ln q alone, without the count K, do not.
    """
    scores, q = numbers(12), (numbers(12, seed=4) / 3).exp()
    scores[0], q[0] = 3.0, 0.0  # the target leads, and is never drawn
    q, num = q / q.sum(), 2000
    whole = scores.softmax(0) - torch.eye(12, dtype=torch.float64)[0]
    drawn = torch.multinomial(q.expand(40, 12), num, replacement=True, generator=torch.Generator().manual_seed(0))
    positive = scores[:1].expand(40).clone().requires_grad_()
    for shift, right in ((num * q, True), (q, False)):
        z = (scores[drawn] - shift[drawn].log()).requires_grad_()
        value(SoftmaxCrossEntropy(), positive, z).sum().backward()
        found = torch.zeros(40, 12, dtype=torch.float64).scatter_add_(1, drawn, z.grad).mean(0)
        found[0] = positive.grad.mean()
        positive.grad = None
        error = (found - whole).abs().max()
        assert error < 0.01 if right else error > 0.05


# 8. Sampled estimators


@pytest.mark.parametrize("negatives", [1, 5, 20])
@pytest.mark.parametrize("power", [0.0, 0.75, -0.5])
def test_the_error_of_a_sample_is_what_the_theorem_says(negatives: int, power: float) -> None:
    """4,000 samples of 2,000 positives, within 10 %; and the estimator is where the library's own loss rests."""
    p, samples, trials = P[0], 2000, 4000
    q = distributions.normalised(p**power)
    random = torch.Generator().manual_seed(negatives)

    def counts(shares: Tensor, size: int) -> Tensor:
        """(trials, n) multinomial counts, as conditional binomials."""
        left, rest, found = torch.full((trials,), float(size), dtype=torch.float64), 1.0, []
        for share in shares[:-1].tolist():
            found.append(torch.binomial(left, torch.full_like(left, min(1.0, share / rest)), generator=random))
            left, rest = left - found[-1], rest - share
        return torch.stack([*found, left], 1)

    found = sampled_optimum(counts(p, samples), counts(q, negatives * samples))
    error = (found - distributions.negative_sampling_scores(p, q, negatives)).square().mean(0)
    torch.testing.assert_close(error, mean_squared_error(p, q, negatives, samples), rtol=0.1, atol=0)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(error, mean_squared_error(torch.ones(6), q, negatives, samples), rtol=0.1, atol=0)


def test_the_estimator_is_where_negative_sampling_rests() -> None:
    positives, negatives = torch.tensor([7.0, 2.0, 5.0]).double(), torch.tensor([3.0, 9.0, 4.0]).double()
    z = sampled_optimum(positives, negatives).requires_grad_()
    state = NegativeSampling().summary.fold(z[None].expand(3, 3), z, torch.diag(negatives / positives))
    own = NegativeSampling().finish(z, torch.arange(3), Rivals(state, False))
    (own * positives).sum().backward()
    close(z.grad, torch.zeros(3, dtype=torch.float64))
