"""Score models by name."""

from falsum.models.base import Relations, ScoreModel
from falsum.models.bilinear import CP, RESCAL, ComplEx, DistMult, TuckER, Tucker3
from falsum.models.distance import HAKE, RotatE, TransE, TransEL2
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
    "hake": HAKE,
    "transh": TransH,
    "transd": TransD,
}

__all__ = ["MODELS", "Relations", "ScoreModel", *(cls.__name__ for cls in MODELS.values())]
