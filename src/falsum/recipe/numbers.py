"""The numbers that a setting may be."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

# The largest float32: what is beyond becomes infinite in the tables of a model.
LARGEST = 3.4e38
LARGEST_WHOLE = 2**63 - 1


class Settings(BaseModel):
    """Settings of one thing: unknown keys are errors, numbers are finite and of the kind and size that fits.

    A whole number has no point or exponent: 1e5 is refused for a seed, where pydantic alone would take 100000.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _number(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        kinds = {annotation, *get_args(annotation)}
        if not kinds & {int, float} or not isinstance(value, int | float):
            return value
        if isinstance(value, bool):
            raise ValueError(f"a number is wanted, got {str(value).lower()}")
        if float not in kinds and isinstance(value, float):
            raise ValueError(f"an integer is wanted, written without point and exponent; got {value!r}")
        if float not in kinds and abs(value) > LARGEST_WHOLE:
            raise ValueError(f"an integer of at most {LARGEST_WHOLE} is wanted, got {value!r}")
        if float in kinds and LARGEST < abs(value) < float("inf"):
            raise ValueError(f"a number of at most {LARGEST} (float32) is wanted, got {value!r}")
        return value
