"""The specification in loops over Python floats: scores, losses, ranks, penalties, optimizer updates.

Nothing here is fast and nothing uses a tensor; the library is compared with it, never the other way round.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable, Sequence

Row = Sequence[float]


# scores: s(h, r, t), whichever side is asked


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def halves(row: Row) -> list[complex]:
    """[real | imaginary] as complex numbers."""
    half = len(row) // 2
    return [complex(row[k], row[half + k]) for k in range(half)]


def distmult(h: Row, r: Row, t: Row, core: Sequence[Row] | None) -> float:
    return sum(h[k] * r[k] * t[k] for k in range(len(h)))


def complex_(h: Row, r: Row, t: Row, core: Sequence[Row] | None) -> float:
    return sum((a * b * c.conjugate()).real for a, b, c in zip(halves(h), halves(r), halves(t), strict=True))


def cp(h: Row, r: Row, t: Row, core: Sequence[Row] | None) -> float:
    half = len(h) // 2
    return sum(h[k] * r[k] * t[half + k] for k in range(half))


def rescal(h: Row, r: Row, t: Row, core: Sequence[Row] | None) -> float:
    dim = len(h)
    return sum(h[i] * r[i * dim + j] * t[j] for i in range(dim) for j in range(dim))


def tucker3(h: Row, r: Row, t: Row, core: Sequence[Row] | None) -> float:
    assert core is not None
    matrix = [sum(weight * part for weight, part in zip(line, r, strict=True)) for line in core]
    return rescal(h, matrix, t, None)


def tucker(h: Row, r: Row, t: Row, core: Sequence[Row] | None) -> float:
    """In evaluation; a fresh batch norm has mean 0 and variance 1, and divides by sqrt(1 + 1e-5)."""
    return tucker3(h, r, t, core) / (1 + 1e-5)


def transe(h: Row, r: Row, t: Row, core: Sequence[Row] | None) -> float:
    return -sum(abs(h[k] + r[k] - t[k]) for k in range(len(h)))


def transe_l2(h: Row, r: Row, t: Row, core: Sequence[Row] | None) -> float:
    return -math.sqrt(sum((h[k] + r[k] - t[k]) ** 2 for k in range(len(h))))


def rotate(h: Row, r: Row, t: Row, core: Sequence[Row] | None) -> float:
    return -sum(abs(a * cmath.exp(1j * phase) - c) for a, phase, c in zip(halves(h), r, halves(t), strict=True))


def hake(h: Row, r: Row, t: Row, core: Sequence[Row] | None) -> float:
    """Weights 0.5 * 0.125 and 1, angles in units of pi / 0.125."""
    half, unit = len(h) // 2, math.pi / 0.125
    angle = sum(abs(math.sin(unit * (h[k] + r[k] - t[k]) / 2)) for k in range(half))
    gaps = []
    for k in range(half):
        size = abs(1 + r[half + k])
        bias = max(min(r[2 * half + k], 1.0), -size)
        gaps.append(h[half + k] * (size + bias) - t[half + k] * (1 - bias))
    return -0.0625 * angle - math.sqrt(sum(gap * gap for gap in gaps))


def transh(h: Row, r: Row, t: Row, core: Sequence[Row] | None) -> float:
    """r is [translation | normal of the plane]; both ends are dropped onto the plane."""
    dim = len(h)
    length = math.sqrt(sum(x * x for x in r[dim:]))
    normal = [x / length for x in r[dim:]]
    ends = []
    for e in (h, t):
        along = sum(a * b for a, b in zip(e, normal, strict=True))
        ends.append([a - along * b for a, b in zip(e, normal, strict=True)])
    return -sum((ends[0][k] + r[k] - ends[1][k]) ** 2 for k in range(dim))


def transd(h: Row, r: Row, t: Row, core: Sequence[Row] | None) -> float:
    """h, t are [entity | own vector], r is [translation | own vector]: e' = (r_p e_p^T + I) e."""
    dim, size = len(h) // 2, len(r) // 2
    ends = []
    for e in (h, t):
        matrix = [[r[size + i] * e[dim + j] + (i == j) for j in range(dim)] for i in range(size)]
        ends.append([sum(matrix[i][j] * e[j] for j in range(dim)) for i in range(size)])
    return -sum((ends[0][i] + r[i] - ends[1][i]) ** 2 for i in range(size))


SCORES = {
    "distmult": distmult,
    "complex": complex_,
    "cp": cp,
    "rescal": rescal,
    "tucker": tucker,
    "tucker3": tucker3,
    "transe": transe,
    "transe-l2": transe_l2,
    "rotate": rotate,
    "hake": hake,
    "transh": transh,
    "transd": transd,
}


# objectives: the loss of each target of one query
# held: where weights are held constant, the scores of the negatives that they are of, if not these
# positives: scores of the targets of the query, negatives: scores of the counted candidates, no target among them
# unless a draw hit it; weights: how often each negative counts. The sets that an objective wants (target inside or
# outside) are made here.


def rivals_of(i: int, positives: Row, negatives: Row, weights: Row) -> list[tuple[float, float]]:
    """(score, weight) of what target i is held against: the negatives, and the other targets once each."""
    others = [*positives[:i], *positives[i + 1 :]]
    return [*zip(negatives, weights, strict=True), *((score, 1.0) for score in others)]


def softmax(
    positives: Row,
    negatives: Row,
    weights: Row,
    *,
    label_smoothing: float = 0.0,
    spread: str = "others",
    temperature: float = 1.0,
) -> list[float]:
    values = []
    for i, positive in enumerate(positives):
        rivals = [(s / temperature, w) for s, w in rivals_of(i, positives, negatives, weights)]
        own = positive / temperature
        peak = max([own, *(s for s, _ in rivals)])
        normaliser = peak + math.log(math.exp(own - peak) + sum(w * math.exp(s - peak) for s, w in rivals))
        number = sum(w for _, w in rivals)
        share = label_smoothing / (number or 1) if spread == "others" else label_smoothing / (number + 1)
        label = 1 - label_smoothing + (share if spread == "all" else 0)
        if not rivals:
            values.append(0.0)  # with no other candidate the target keeps the taken mass, and is certain
            continue
        values.append(-label * (own - normaliser) - sum(w * share * (s - normaliser) for s, w in rivals))
    return values


def infonce(
    positives: Row,
    negatives: Row,
    weights: Row,
    *,
    temperature: float = 0.05,
    temperature_lr: float = 0.0,
    margin: float = 0.0,
) -> list[float]:
    values = []
    for i, positive in enumerate(positives):
        terms = [((positive - margin) / temperature, 1.0)]
        terms += [(s / temperature, w) for s, w in rivals_of(i, positives, negatives, weights)]
        peak = max(s for s, w in terms)
        values.append(peak + math.log(sum(w * math.exp(s - peak) for s, w in terms)) - terms[0][0])
    return values


def hard_contrastive(
    positives: Row,
    negatives: Row,
    weights: Row,
    *,
    temperature: float = 1.0,
    beta: float = 1.0,
    tau_plus: float = 0.0,
    detach: bool = True,
    lowest: float | None = None,
    held: Row | None = None,
) -> list[float]:
    (positive,) = positives
    number = sum(weights)
    if not number:
        return [0.0]
    tilts = [w * math.exp(beta * s / temperature) for s, w in zip(held or negatives, weights, strict=True)]
    rivals = [math.exp(s / temperature) for s in negatives]
    mean = sum(t * e for t, e in zip(tilts, rivals, strict=True)) / sum(tilts)
    g = (mean - tau_plus * math.exp(positive / temperature)) / (1 - tau_plus)
    if tau_plus:
        least = min(held or negatives) if lowest is None else lowest
        g = max(g, math.exp(least / temperature))
    return [math.log(1 + number * g / math.exp(positive / temperature))]


def negative_sampling(
    positives: Row, negatives: Row, weights: Row, *, offset: float = 0.0, reduction: str = "sum"
) -> list[float]:
    values = []
    for i, positive in enumerate(positives):
        rivals = rivals_of(i, positives, negatives, weights)
        total = sum(w * softplus(s + offset) for s, w in rivals)
        number = sum(w for _, w in rivals) or 1
        values.append(softplus(-positive - offset) + (total / number if reduction == "mean" else total))
    return values


def sigma(x: float) -> float:
    return math.exp(-softplus(-x))


def gbce(
    positives: Row,
    negatives: Row,
    weights: Row,
    num_entities: int,
    *,
    calibration: float = 0.75,
    offset: float = 0.0,
) -> list[float]:
    values = []
    for i, positive in enumerate(positives):
        rivals = rivals_of(i, positives, negatives, weights)
        rate = min(1.0, sum(w for _, w in rivals) / (num_entities - 1))
        # With nothing to sample from, a (t (1 - 1/a) + 1/a) goes to 1 - t.
        beta = rate * (calibration * (1 - 1 / rate) + 1 / rate) if rate else 1 - calibration
        values.append(-math.log(sigma(positive + offset) ** beta) + sum(w * softplus(s + offset) for s, w in rivals))
    return values


def tunable_mass(positives: Row, negatives: Row, weights: Row, *, rho: float = 0.5, offset: float = 0.0) -> list[float]:
    values = []
    for i, positive in enumerate(positives):
        rivals = rivals_of(i, positives, negatives, weights)
        number = sum(w for _, w in rivals) or 1
        mean = sum(w * softplus(s + offset) for s, w in rivals) / number
        values.append(softplus(-positive - offset) + number**rho * mean)
    return values


def focal(
    positives: Row,
    negatives: Row,
    weights: Row,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    offset: float = 0.0,
    reduction: str = "sum",
) -> list[float]:
    values = []
    for i, positive in enumerate(positives):
        rivals = rivals_of(i, positives, negatives, weights)
        p = sigma(positive + offset)
        total = sum(-w * sigma(s + offset) ** gamma * math.log(sigma(-s - offset)) for s, w in rivals)
        total /= (sum(w for _, w in rivals) or 1) if reduction == "mean" else 1
        own = -((1 - p) ** gamma) * math.log(p)
        values.append(own + total if alpha is None else alpha * own + (1 - alpha) * total)
    return values


def false_negative_aware(
    positives: Row,
    negatives: Row,
    weights: Row,
    *,
    beta: float = 2.0,
    offset: float = 0.0,
    reduction: str = "sum",
    held: Row | None = None,
) -> list[float]:
    values = []
    for i, positive in enumerate(positives):
        rivals = rivals_of(i, positives, negatives, weights)
        sure = [sigma(s + offset) for s, _ in rivals_of(i, positives, held or negatives, weights)]
        total = sum(beta * w * p * (1 - p) * softplus(s + offset) for p, (s, w) in zip(sure, rivals, strict=True))
        total /= (sum(w for _, w in rivals) or 1) if reduction == "mean" else 1
        values.append(softplus(-positive - offset) + total)
    return values


def positive_unlabelled(
    positives: Row, negatives: Row, weights: Row, *, prior: float = 0.1, offset: float = 0.0
) -> list[float]:
    values = []
    for i, positive in enumerate(positives):
        rivals = rivals_of(i, positives, negatives, weights)
        unlabelled = sum(w * softplus(s + offset) for s, w in rivals) / (sum(w for _, w in rivals) or 1)
        values.append(prior * softplus(-positive - offset) + max(0.0, unlabelled - prior * softplus(positive + offset)))
    return values


def adversarial_weights(negatives: Row, weights: Row, inverse_temperature: float) -> list[float]:
    peak = max((inverse_temperature * s for s in negatives), default=0.0)
    tilts = [w * math.exp(inverse_temperature * s - peak) for s, w in zip(negatives, weights, strict=True)]
    return [t / sum(tilts) for t in tilts]


def self_adversarial(
    positives: Row,
    negatives: Row,
    weights: Row,
    *,
    inverse_temperature: float = 1.0,
    offset: float = 0.0,
    held: Row | None = None,
) -> list[float]:
    (positive,) = positives
    shares = adversarial_weights(held or negatives, weights, inverse_temperature)
    negative = sum(w * softplus(s + offset) for w, s in zip(shares, negatives, strict=True))
    return [softplus(-positive - offset) + negative]


def unbounded_label_smoothing(positives: Row, negatives: Row, weights: Row, *, label: float = 0.25) -> list[float]:
    values = []
    for i, positive in enumerate(positives):
        rivals = rivals_of(i, positives, negatives, weights)
        peak = max([positive, *(s for s, _ in rivals)])
        normaliser = peak + math.log(math.exp(positive - peak) + sum(w * math.exp(s - peak) for s, w in rivals))
        own = normaliser - positive + label * sum(w * (normaliser - s) for s, w in rivals)
        number = sum(w for _, w in rivals)
        values.append(own / number if number else 0.0)
    return values


def soft_negatives(
    positives: Row,
    negatives: Row,
    weights: Row,
    *,
    label: float = 0.25,
    inverse_temperature: float = 0.0,
    offset: float = 0.0,
    held: Row | None = None,
) -> list[float]:
    (positive,) = positives
    shares = adversarial_weights(held or negatives, weights, inverse_temperature)
    values = [softplus(s + offset) - label * (s + offset) for s in negatives]
    return [softplus(-positive - offset) + sum(w * v for w, v in zip(shares, values, strict=True))]


def bce(
    positives: Row, negatives: Row, weights: Row, *, label_smoothing: float = 0.0, offset: float = 0.0
) -> list[float]:
    labels = len(positives) + sum(weights)
    value = 0.0
    for truth, scores, counts in ((1.0, positives, [1.0] * len(positives)), (0.0, negatives, weights)):
        for score, count in zip(scores, counts, strict=True):
            label = (1 - label_smoothing) * truth + label_smoothing / labels
            value += count * (label * softplus(-score - offset) + (1 - label) * softplus(score + offset))
    return [value / labels / len(positives)] * len(positives)


def margin(positives: Row, negatives: Row, weights: Row, *, margin: float = 1.0, reduction: str = "sum") -> list[float]:
    (positive,) = positives
    total = sum(w * max(0.0, margin + s - positive) for s, w in zip(negatives, weights, strict=True))
    return [total / (sum(weights) or 1) if reduction == "mean" else total]


def soft_margin(
    positives: Row, negatives: Row, weights: Row, *, margin: float = 0.0, reduction: str = "sum"
) -> list[float]:
    (positive,) = positives
    total = sum(w * softplus(margin + s - positive) for s, w in zip(negatives, weights, strict=True))
    return [total / (sum(weights) or 1) if reduction == "mean" else total]


def double_margin(
    positives: Row,
    negatives: Row,
    weights: Row,
    *,
    at_least: float = 1.0,
    at_most: float = 0.0,
    balance: float = 1.0,
    reduction: str = "sum",
) -> list[float]:
    values = []
    for i, positive in enumerate(positives):
        rivals = rivals_of(i, positives, negatives, weights)
        total = sum(w * max(0.0, s - at_most) for s, w in rivals)
        total /= (sum(w for _, w in rivals) or 1) if reduction == "mean" else 1
        values.append(max(0.0, at_least - positive) + balance * total)
    return values


def squared(
    positives: Row,
    negatives: Row,
    weights: Row,
    *,
    positive: float = 1.0,
    negative: float = 0.001,
    true_score: float = 1.0,
    false_score: float = 0.0,
) -> list[float]:
    rest = negative * sum(w * (s - false_score) ** 2 for s, w in zip(negatives, weights, strict=True))
    return [positive * (s - true_score) ** 2 + rest / len(positives) for s in positives]


LOSSES = {
    "softmax": softmax,
    "unbounded-label-smoothing": unbounded_label_smoothing,
    "soft-negatives": soft_negatives,
    "infonce": infonce,
    "negative-sampling": negative_sampling,
    "self-adversarial": self_adversarial,
    "bce": bce,
    "margin": margin,
    "soft-margin": soft_margin,
    "hard-contrastive": hard_contrastive,
    "gbce": gbce,
    "tunable-mass": tunable_mass,
    "focal": focal,
    "false-negative-aware": false_negative_aware,
    "positive-unlabelled": positive_unlabelled,
    "double-margin": double_margin,
    "squared": squared,
}

# Those that also ask how many entities there are.
SIZED = {"gbce"}


# what is known, and ranks


def answers(triples: Iterable[tuple[int, int, int]], anchor: int, relation: int, open_slot: str) -> set[int]:
    """Every known answer of (anchor, relation, ?) or (?, relation, anchor)."""
    known = set()
    for head, r, tail in triples:
        given, wanted = (head, tail) if open_slot == "tail" else (tail, head)
        if r == relation and given == anchor:
            known.add(wanted)
    return known


def rank_counts(
    scores: Row, target: int, hidden: set[int], relative: float = 0.0, absolute: float = 0.0
) -> tuple[int, int, int]:
    """(greater, equal, candidates) of the target among all entities but the `hidden` ones; the target always counts."""
    slack = absolute + relative * abs(scores[target])
    greater = equal = 0
    rivals = [e for e in range(len(scores)) if e != target and e not in hidden]
    for entity in rivals:
        if scores[entity] > scores[target] + slack:
            greater += 1
        elif scores[entity] >= scores[target] - slack:
            equal += 1
    return greater, equal, len(rivals) + 1


# penalties


def power_sum(row: Row, p: float) -> float:
    return sum(abs(x) ** p for x in row)


def lp(
    anchor: Row, relation: Row, target: Row, query: Row, moduli: bool, *, p: float, entity: float, weight: float
) -> float:
    entities = power_sum(anchor, p) + power_sum(target, p)
    return entity / p * entities + weight / p * power_sum(relation, p)


def n3(anchor: Row, relation: Row, target: Row, query: Row, moduli: bool, *, weight: float) -> float:
    """moduli: whether rows are [real | imaginary] and count by their complex moduli."""
    rows = [[abs(z) for z in halves(row)] if moduli else row for row in (anchor, relation, target)]
    return weight * sum(power_sum(row, 3) for row in rows)


def dura(
    anchor: Row, relation: Row, target: Row, query: Row, moduli: bool, *, weight: float, norms: float, products: float
) -> float:
    return weight * (norms * power_sum(target, 2) + products * power_sum(query, 2))


def table_lp(entities: Sequence[Row], relations: Sequence[Row], *, p: float, entity: float, relation: float) -> float:
    return entity / p * sum(power_sum(row, p) for row in entities) + relation / p * sum(
        power_sum(row, p) for row in relations
    )


# optimizers: one number at a time


def adagrad(x: float, grads: Row, *, lr: float, eps: float, initial: float) -> float:
    total = initial
    for g in grads:
        total += g * g
        x -= lr * g / (math.sqrt(total) + eps)
    return x


def adam(x: float, grads: Sequence[float | None], *, lr: float, beta1: float, beta2: float, eps: float) -> float:
    """None: a step that did not touch the number, which lazy Adam leaves alone while its step count goes on."""
    first = second = 0.0
    for step, g in enumerate(grads, 1):
        if g is None:
            continue
        first = beta1 * first + (1 - beta1) * g
        second = beta2 * second + (1 - beta2) * g * g
        x -= lr * (first / (1 - beta1**step)) / (math.sqrt(second / (1 - beta2**step)) + eps)
    return x


def sgd(x: float, grads: Row, *, lr: float) -> float:
    for g in grads:
        x -= lr * g
    return x


# dropout: the hash in arbitrary-precision integers


def kept(seed: int, row: int, column: int, rate: float) -> bool:
    """Whether counter-based dropout keeps an entry: 32-bit unsigned arithmetic throughout."""
    mask = 0xFFFFFFFF
    x = (row * 2654435769 + (seed & 0x7FFFFFFF) + column * 3266489909) & mask
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & mask
    x = ((x ^ (x >> 15)) * 0xD35A2D97) & mask
    x ^= x >> 15
    return (x & 0xFFFF) >= round(rate * 65536)
