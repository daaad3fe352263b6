"""Proposals by name: how candidates are drawn."""

from falsum.noise.proposals.around import Around
from falsum.noise.proposals.band import Above, Band
from falsum.noise.proposals.base import Proposal, Proposer, Sees
from falsum.noise.proposals.batch import Targets
from falsum.noise.proposals.best import Best
from falsum.noise.proposals.caches import Cached
from falsum.noise.proposals.chains import Chains
from falsum.noise.proposals.child import Child
from falsum.noise.proposals.closest import Closest
from falsum.noise.proposals.diverse import Diverse
from falsum.noise.proposals.frozen import Frozen
from falsum.noise.proposals.generator import Generator
from falsum.noise.proposals.influence import Influence
from falsum.noise.proposals.mixture import Mixture
from falsum.noise.proposals.neighbours import Neighbours
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
    "band": Band,
    "above": Above,
    "neighbours": Neighbours,
    "around": Around,
    "closest": Closest,
    "chains": Chains,
    "influence": Influence,
    "diverse": Diverse,
}

__all__ = [
    "PROPOSALS",
    "Above",
    "Around",
    "Band",
    "Best",
    "Cached",
    "Chain",
    "Chains",
    "Child",
    "Closest",
    "Counted",
    "Diverse",
    "Even",
    "Frozen",
    "Generator",
    "Influence",
    "Mixture",
    "Neighbours",
    "Outside",
    "Proposal",
    "Proposer",
    "Sees",
    "Targets",
    "Walk",
]
