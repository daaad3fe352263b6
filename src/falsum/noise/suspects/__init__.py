"""Suspects by name: which drawn candidates may be true although nobody says so."""

from falsum.noise.suspects.base import Detector, Nobody, Suspects
from falsum.noise.suspects.believed import Confident, NearPositive
from falsum.noise.suspects.two_hop import TwoHop

SUSPECTS: dict[str, type[Suspects]] = {
    "nobody": Nobody,
    "near-positive": NearPositive,
    "confident": Confident,
    "two-hop": TwoHop,
}

__all__ = ["SUSPECTS", "Confident", "Detector", "NearPositive", "Nobody", "Suspects", "TwoHop"]
