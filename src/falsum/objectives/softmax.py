"""Softmax cross-entropy, its label smoothing in two forms, and InfoNCE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from falsum.errors import in_range
from falsum.objectives.base import Learned, Objective, Rivals, mean, others_logsumexp, row_logsumexp, row_sum
from falsum.objectives.summaries import LogSumExp


def normaliser(positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
    """(t,): log-sum-exp over a target and its rivals, never below the target's own score.

    Over all entities the targets of a query share one: each is a rival of the others. Over draws each target joins its
    query's draws alone, so that equal queries may share a row without a change of the loss.
    """
    rest = rivals.state[0]
    if rivals.everyone:
        return torch.logaddexp(rest, row_logsumexp(positive, row, len(rest)))[row]
    return torch.logaddexp(rest[row], positive)


def rest_sums(positive: Tensor, row: Tensor, rivals: Rivals) -> tuple[Tensor, Tensor]:
    """(t,) sum and count of the scores of each target's rivals, where the state is (log-sum-exp, sum, count)."""
    total, count = (part[row] for part in rivals.state[1:])
    if rivals.everyone:  # the other targets of a query are rivals too
        num = len(rivals.state[0])
        total = total + row_sum(positive, row, num)[row] - positive
        count = count + torch.bincount(row, minlength=num)[row] - 1
    return total, count


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Objective):
    """-log softmax(s / temperature)_y over the candidates and the target y (SCE; 1-vs-all with noise "all").

    label_smoothing: the mass taken from the target, in [0, 1). spread: who receives it: "others", lambda / (n - 1) to
    each candidate but the target (LibKGE and the released code of Kamigaito & Hayashi 2021), or "all", lambda / n to
    each candidate, target included (their Eq. 17). others(lambda) = all(lambda n / (n - 1)). Where there are no others
    the target keeps it. anneal_epochs: lambda grows linearly from 0 to label_smoothing over the first so many epochs;
    0: it is constant.

    temperature: at the optimum softmax(s) is p^temperature, normalised, where p are the labels' shares. 1 / (1 + a) is
    the exact partner of self-adversarial sampling with inverse temperature a: see docs/unified-view.md.
    """

    label_smoothing: float = 0.0
    spread: Literal["others", "all"] = "others"
    temperature: float = 1.0
    anneal_epochs: float = 0.0

    grouping: ClassVar = "free"

    def __post_init__(self) -> None:
        in_range("[0, 1)", label_smoothing=self.label_smoothing)
        in_range("(0, 1e6]", temperature=self.temperature)
        in_range("[0, 1e9]", anneal_epochs=self.anneal_epochs)

    @property
    def summary(self) -> LogSumExp:
        return LogSumExp(self.temperature, sums=self.label_smoothing > 0)

    def at(self, epoch: float, learned: Mapping[str, Tensor]) -> SoftmaxCrossEntropy:
        if not self.anneal_epochs:
            return self
        share = min(1.0, epoch / self.anneal_epochs)
        return replace(self, label_smoothing=share * self.label_smoothing, anneal_epochs=0.0)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        positive = positive / self.temperature
        partition = normaliser(positive, row, rivals)
        if not self.label_smoothing:
            return partition - positive
        total, count = rest_sums(positive, row, rivals)
        if self.spread == "all":
            total, count = total + positive, count + 1
        smooth = torch.where(count > 0, total / torch.where(count > 0, count, 1), positive)
        return partition - (1 - self.label_smoothing) * positive - self.label_smoothing * smooth


@dataclass(frozen=True)
class UnboundedLabelSmoothing(Objective):
    """1/n [-log p_y - label sum_i log p_i], p the softmax over the target y and its n rivals i (Takamoto et al. 2025,
    Eq. 21; the division by n is the released code's alone).

    label: what every rival counts, in [0, 1]; labels are not normalised. With S = 1 + label n it is S / n times label
    smoothing of (n + 1) label / S, spread over all. Its optimum has every s_y - s_i = ln(1 / label): a cap on margins,
    beyond which the target is pulled back. Of itself it teaches little at label 1 and much too slowly at label 0
    (1 / n): it is meant beside a loss of unmutated candidates, as a further term.
    """

    label: float = 0.25

    grouping: ClassVar = "free"

    def __post_init__(self) -> None:
        in_range("[0, 1]", label=self.label)

    @property
    def summary(self) -> LogSumExp:
        return LogSumExp(sums=True)

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        total, count = rest_sums(positive, row, rivals)
        partition = normaliser(positive, row, rivals)
        return mean((1 + self.label * count) * partition - positive - self.label * total, count)


@dataclass(frozen=True)
class InfoNCE(Objective):
    """-log softmax(s / T)_y over the candidates and the target y, T small (van den Oord et al. 2018, Eq. 4).

    temperature: T, or where it starts. temperature_lr: above 0, log T is learned by an Adam of this learning rate, as
    SimKGC does (Wang et al. 2022); 0: T is fixed. margin: taken from the target's score before the division
    (SimKGC: 0.02), and not from it as a rival of the other answers to its question.
    """

    temperature: float = 0.05
    temperature_lr: float = 0.0
    margin: float = 0.0

    grouping: ClassVar = "free"

    def __post_init__(self) -> None:
        if not isinstance(self.temperature, Tensor):  # a learned one, see `at`
            in_range("(0, 1e6]", temperature=self.temperature)
        in_range("[0, 10]", temperature_lr=self.temperature_lr)
        in_range("[-1e6, 1e6]", margin=self.margin)

    @property
    def summary(self) -> LogSumExp:
        return LogSumExp(self.temperature)

    @property
    def learned(self) -> Mapping[str, Learned]:
        start = Learned(self.temperature, self.temperature_lr, positive=True)
        return {"temperature": start} if self.temperature_lr else {}

    def at(self, epoch: float, learned: Mapping[str, Tensor]) -> InfoNCE:
        # A tensor in the place of a float: every formula takes either.
        return replace(self, temperature=learned["temperature"]) if learned else self  # type: ignore[arg-type]

    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        if not self.margin:
            positive = positive / self.temperature
            return normaliser(positive, row, rivals) - positive
        own, rest = (positive - self.margin) / self.temperature, rivals.state[0]
        others = rest[row]
        if rivals.everyone:
            others = torch.logaddexp(others, others_logsumexp(positive / self.temperature, row, len(rest)))
        return softplus(others - own)
