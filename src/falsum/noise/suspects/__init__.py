"""Suspects by name: which drawn candidates may be true although nobody says so."""

from falsum.noise.suspects.base import Detector, Nobody, Suspects
from falsum.noise.suspects.two_hop import TwoHop

SUSPECTS: dict[str, type[Suspects]] = {"nobody": Nobody, "two-hop": TwoHop}

__all__ = ["SUSPECTS", "Detector", "Nobody", "Suspects", "TwoHop"]
