"""OpenAI's list of models, with what Xinference's client reads.

There is no OpenAI rerank API; its error object is in every error.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import UNSET, Struct, UnsetType


class ModelCard(Struct, kw_only=True):
    """One model; the keys from `state` on are the gateway's own.

    Xinference's client selects its class for a model by `model_type`.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "rerank-gateway"
    model_type: Literal["rerank"] = "rerank"
    model_name: str
    model_ability: Sequence[Literal["rerank", "embed"]] = ("rerank",)
    state: str
    default: bool
    aliases: Sequence[str]
    demonstration: bool
    max_model_len: int | UnsetType = UNSET
    split: Mapping[str, float] | UnsetType = UNSET  # of a split: weight by model
    cascade: Sequence[str] | UnsetType = UNSET  # of a cascade: its models, in their order
    weights: str | UnsetType = UNSET
    calibrated: str | UnsetType = UNSET
    clean_text: Sequence[str] | UnsetType = UNSET  # cleaners of its texts


class ClusterAuth(Struct):
    """The need of a key: Xinference's client sends its own only if `auth` is true."""

    auth: bool


class ModelList(Struct, kw_only=True):
    """All models."""

    object: Literal["list"] = "list"
    data: Sequence[ModelCard]
    instructions: Sequence[str] | UnsetType = UNSET
