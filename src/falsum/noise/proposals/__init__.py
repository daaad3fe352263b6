"""Proposals by name: how candidates are drawn."""

from falsum.noise.proposals.around import Around
from falsum.noise.proposals.band import Above, Band
from falsum.noise.proposals.base import Proposal, Proposer, Sees
from falsum.noise.proposals.batch import Targets
from falsum.noise.proposals.best import Best
from falsum.noise.proposals.caches import Cached
from falsum.noise.proposals.chains import Chains
from falsum.noise.proposals.closest import Closest
from falsum.noise.proposals.diverse import Diverse
from falsum.noise.proposals.influence import Influence
from falsum.noise.proposals.mixture import Mixture
from falsum.noise.proposals.neighbours import Neighbours
from falsum.noise.proposals.odds import Counted, Even

PROPOSALS: dict[str, type[Proposal]] = {
    "even": Even,
    "counted": Counted,
    "targets": Targets,
    "mixture": Mixture,
    "best": Best,
    "cached": Cached,
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
    "Chains",
    "Closest",
    "Counted",
    "Diverse",
    "Even",
    "Influence",
    "Mixture",
    "Neighbours",
    "Proposal",
    "Proposer",
    "Sees",
    "Targets",
]
