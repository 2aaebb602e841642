"""OpenAI's list of models. There is no OpenAI rerank API; its error object is in every error."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import UNSET, Struct, UnsetType


class ModelCard(Struct, kw_only=True):
    """One model; from `state` on the keys are ours."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "rerank-gateway"
    state: str
    default: bool
    aliases: Sequence[str]
    demonstration: bool
    max_model_len: int | UnsetType = UNSET
    split: Mapping[str, float] | UnsetType = UNSET  # no model of its own: shares by model
    weights: str | UnsetType = UNSET
    calibrated: str | UnsetType = UNSET


class ModelList(Struct, kw_only=True):
    """All models."""

    object: Literal["list"] = "list"
    data: Sequence[ModelCard]
