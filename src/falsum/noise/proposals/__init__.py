"""Proposals by name: how candidates are drawn."""

from falsum.noise.proposals.base import Proposal, Proposer, Sees
from falsum.noise.proposals.batch import Targets
from falsum.noise.proposals.best import Best
from falsum.noise.proposals.caches import Cached
from falsum.noise.proposals.child import Child
from falsum.noise.proposals.frozen import Frozen
from falsum.noise.proposals.generator import Generator
from falsum.noise.proposals.mixture import Mixture
from falsum.noise.proposals.odds import Counted, Even
from falsum.noise.proposals.outside import Outside
from falsum.noise.proposals.walks import Chain, Walk

PROPOSALS: dict[str, type[Proposal]] = {
    "even": Even,
    "counted": Counted,
    "targets": Targets,
    "mixture": Mixture,
    "best": Best,
    "cached": Cached,
    "frozen": Frozen,
    "outside": Outside,
    "walk": Walk,
    "chain": Chain,
    "generator": Generator,
    "child": Child,
}

__all__ = [
    "PROPOSALS",
    "Best",
    "Cached",
    "Chain",
    "Child",
    "Counted",
    "Even",
    "Frozen",
    "Generator",
    "Mixture",
    "Outside",
    "Proposal",
    "Proposer",
    "Sees",
    "Targets",
    "Walk",
]
