"""What all blocks of the configuration are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


def _secret(value: object) -> object:
    return SecretStr(value) if isinstance(value, str) else value


Secret = Annotated[SecretStr, BeforeValidator(_secret), WithJsonSchema({"type": "string"})]


def _secrets(value: object) -> object:
    return tuple(map(_secret, value)) if isinstance(value, list) else (_secret(value),)


Secrets = Annotated[
    tuple[SecretStr, ...],
    BeforeValidator(_secrets),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


def as_tuple(value: object) -> object:
    """A YAML list as the tuple that a frozen block holds."""
    return tuple(value) if isinstance(value, list) else value


class Block(BaseModel):
    """What all blocks have in common: unknown keys are errors, types are not guessed, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)
