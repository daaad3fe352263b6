"""Score models by name: those with entity rows, and networks that make rows for each question."""

from falsum.models.base import Network, Relations, ScoreModel
from falsum.models.bilinear import CP, RESCAL, ComplEx, DistMult, TuckER, Tucker3
from falsum.models.distance import RotatE, TransE, TransEL2
from falsum.models.nbfnet import NBFNet
from falsum.models.projected import TransD, TransH

MODELS: dict[str, type[ScoreModel]] = {
    "distmult": DistMult,
    "complex": ComplEx,
    "cp": CP,
    "rescal": RESCAL,
    "tucker": TuckER,
    "tucker3": Tucker3,
    "transe": TransE,
    "transe-l2": TransEL2,
    "rotate": RotatE,
    "transh": TransH,
    "transd": TransD,
}

NETWORKS: dict[str, type[Network]] = {"nbfnet": NBFNet}

__all__ = [
    "MODELS",
    "NETWORKS",
    "Network",
    "Relations",
    "ScoreModel",
    *(cls.__name__ for cls in (*MODELS.values(), *NETWORKS.values())),
]
