"""EMU's unbounded label smoothing and the margin at which its loss comes to rest (Takamoto et al., TMLR 2025).

L = L_EMU + alpha L_CE: softmax cross-entropy over n negatives as they are, and over mutated ones with the label beta
for every negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.recipes import takamoto2025
from falsum.recipes.takamoto2025.settings import FB, NSCACHING, SETTINGS, TABLE_12, YAGO, Emu, Reading

# Bisection halves an interval of margins this often.
HALVINGS = 200


def unbounded(positive: Tensor, negatives: Tensor, label: float) -> Tensor:
    """(...) unbounded label smoothing of scores (...) and (..., n): (S lse - s+ - beta sum s-) / n, S = 1 + beta n.

    It is -[log p_0 + beta sum_k log p_k] / n with p the softmax over all 1 + n (Eq. 21). The division by n is in the
    released code only.
    """
    n = negatives.shape[-1]
    total = torch.logaddexp(positive, negatives.logsumexp(-1))
    return ((1 + label * n) * total - positive - label * negatives.sum(-1)) / n


def smoothed(positive: Tensor, negatives: Tensor, amount: float) -> Tensor:
    """(...) cross-entropy with ordinary label smoothing: 1 - l for the positive, l spread over all 1 + n (Eq. 20)."""
    n = negatives.shape[-1]
    total = torch.logaddexp(positive, negatives.logsumexp(-1))
    return total - (1 - amount) * positive - amount * (positive + negatives.sum(-1)) / (n + 1)


@dataclass(frozen=True)
class Equivalent:
    """Ordinary label smoothing by `amount`, times `scale`."""

    amount: float
    scale: float


def equivalent(label: float, negatives: int) -> Equivalent:
    """What unbounded smoothing is: S / n times label smoothing of (n + 1) beta / S, with S = 1 + beta n. Exactly.

    So it is no new family, but the old one with a constant near 1: beta = .25 of 256 negatives smooths by .988.
    """
    total = 1 + label * negatives
    return Equivalent((negatives + 1) * label / total, total / negatives)


def label_of(amount: float, negatives: int) -> float:
    """The label beta of a negative whose ratio to the positive's is that of ordinary smoothing by `amount`."""
    share = amount / (negatives + 1)
    return share / (1 - amount + share)


def cap(label: float) -> float:
    """ln(1 / beta): the margin s+ - s- at which unbounded smoothing has no gradient, for all negatives alike."""
    return math.inf if label == 0 else -math.log(label)


def push(margin: float, alpha: float, negatives: int) -> float:
    """-dL/dD of alpha times softmax cross-entropy where all margins are D: alpha n e^-D / (1 + n e^-D)."""
    own = negatives * math.exp(-margin)
    return alpha * own / (1 + own)


def pull(margin: float, label: float, take_positive: float, negatives: int) -> float:
    """dL/dD of L_EMU where all margins are D, those of mutated negatives (1 - q) D:

        (1 - q) / n [(1 + beta n) / (1 + n e^(-(1-q) D)) - 1] = (1 - q) (beta - e^(-(1-q) D)) / (1 + n e^(-(1-q) D)).

    Below 0 it widens margins, by (1 - q) / n at most; above 0 it narrows them, by (1 - q) beta at most. It changes sign
    at (1 - q) D = ln(1 / beta), and is weak until (1 - q) D comes near ln n: the cap is soft.
    """
    keep = 1 - take_positive
    mutated = math.exp(-keep * margin)
    return keep * (label - mutated) / (1 + negatives * mutated)


def equilibrium(alpha: float, label: float, take_positive: float, negatives: int) -> float:
    """The margin D of unmutated negatives at which `push` and `pull` balance.

    Our own model, not the paper's, and a heuristic one: equal margins, scores linear in the row. The push falls
    in D and the pull grows, so there is one D; at alpha = 0 it is ln(1 / beta) / (1 - q). Infinite where nothing
    pulls back: beta = 0 or q = 1.
    """
    in_range("[0, 1e6]", alpha=alpha)
    in_range("[0, 1]", label=label, take_positive=take_positive)
    in_range("[1, 1e9]", negatives=negatives)
    if label == 0 or take_positive == 1:
        return math.inf

    def excess(margin: float) -> float:
        return push(margin, alpha, negatives) - pull(margin, label, take_positive, negatives)

    low, high = 0.0, 1.0
    while excess(high) > 0:
        low, high = high, 2 * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return (low + high) / 2


def softmax_share(margin: float, negatives: int) -> float:
    """The softmax share of the positive where all margins are `margin`."""
    return 1 / (1 + negatives * math.exp(-margin))


def wanted_margin(negatives: int) -> float:
    """ln n + 1: the margin at which the positive has e / (1 + e) = .73 of the softmax."""
    return math.log(negatives) + 1


def tuned(alpha: float, take_positive: float, negatives: int, margin: float) -> float:
    """The label beta at which `equilibrium` is `margin`: its equation solved for beta, which is in it once.

    At alpha = 0 it is exp(-(1 - q) D), the label whose cap on mutated negatives is (1 - q) D. Cross-entropy on top
    lifts margins, so a larger alpha asks for a larger label. Above 1 there is none, since no label holds so strong a
    push back: take a smaller alpha or q. Raises ValueError for q = 1, which mutates everything into the positive.
    """
    in_range("[0, 1)", take_positive=take_positive)
    keep = 1 - take_positive
    mutated = math.exp(-keep * margin)
    return mutated + push(margin, alpha, negatives) * (1 + negatives * mutated) / keep


@dataclass(frozen=True)
class Setting:
    """Published settings of EMU. printed: the column n_P/d, which `falsum.recipes.takamoto2025.take_positive` reads."""

    name: str
    alpha: float
    printed: float
    label: float
    negatives: int = 256

    def take_positive(self, reading: Reading) -> float:
        return takamoto2025.take_positive(self.printed, reading)

    def margin(self, reading: Reading) -> float:
        """The equilibrium margin with n_P/d read as the code does, or as Eq. 6 does."""
        return equilibrium(self.alpha, self.label, self.take_positive(reading), self.negatives)


def _of(name: str, emu: Emu) -> Setting:
    return Setting(name, emu.alpha, emu.share, emu.beta)


# Tables 5, 6, 7, 11 and 12 of the paper; of Table 12 the base of its grid, and with one number changed.
PUBLISHED = (
    _of("ComplEx, FB15k-237 and WN18RR", SETTINGS[FB, "complex"].emu),
    _of("DistMult, FB15k-237 and WN18RR", SETTINGS[FB, "distmult"].emu),
    _of("RotatE and TransE, FB15k-237 and WN18RR", SETTINGS[FB, "rotate"].emu),
    _of("ComplEx, YAGO3-10", SETTINGS[YAGO, "complex"].emu),
    _of("DistMult, YAGO3-10", SETTINGS[YAGO, "distmult"].emu),
    _of("RotatE, YAGO3-10", SETTINGS[YAGO, "rotate"].emu),
    _of("HAKE", SETTINGS[FB, "hake"].emu),
    _of("NSCaching, ComplEx", NSCACHING["complex"].emu),
    _of("NSCaching, DistMult", NSCACHING["distmult"].emu),
    _of("NSCaching, TransE", NSCACHING["transe"].emu),
    *(_of(name.replace("table-12", "DistMult, Table 12"), emu) for name, emu in TABLE_12.items()),
)
