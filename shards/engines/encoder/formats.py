"""Cross-encoders in the number format that is asked for: the forward pass of each family.

A family has one or more ways to int8. They are tried from the fastest on: where the order of scores
differs from that of floats, the next way is tried, and where none agrees, floats serve. A family in
no table has no forward pass of ours: its transformers model runs, padded, in floats alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from shards.engines.base import Tokenizer
from shards.engines.encoder import bert_formats, bert_weights, modernbert_weights
from shards.engines.encoder.cross_encoder import CrossEncoder, Padded
from shards.engines.encoder.pooled import HeadedBody
from shards.engines.formats import Settled, margins_of_known_pairs, settle
from shards.engines.layers.int8 import keeps_fp32
from shards.pairs import Batch
from shards.recipe import JINA_FLASH, TRANSFORMERS, Recipe
from shards.refusal import Report


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share a forward pass of ours.

    Attributes:
        fits: whether the pass computes models of a transformers config.
        in_floats: makes a cross-encoder of a loaded transformers model, in a format of floats.
        in_int8: make one in int8, each in its own way, the fastest first. The last one quantises
            each row as it comes.
        layers: the attribute with transformers' own layers, in its model without the head.
    """

    fits: Callable[[Any], bool]
    in_floats: Callable[[Any, str], CrossEncoder]
    in_int8: tuple[Callable[[Any, Tokenizer], CrossEncoder], ...]
    layers: str


_FAMILIES = (
    Family(
        fits=bert_weights.fits,
        in_floats=bert_formats.unpadded,
        in_int8=(
            lambda model, tokenizer: bert_formats.in_int8(
                model, bert_formats.pairs_to_measure(tokenizer)
            ),
            lambda model, tokenizer: bert_formats.unpadded(model, "int8"),
        ),
        layers="encoder",
    ),
    Family(
        fits=modernbert_weights.fits,
        in_floats=modernbert_weights.unpadded,
        in_int8=(lambda model, tokenizer: modernbert_weights.unpadded(model, "int8"),),
        layers="layers",
    ),
)
_MODERN_POOLINGS = ("own", "cls", "mean")
_OTHERS = Family(
    fits=lambda config: True,
    in_floats=lambda model, dtype: (
        model.padded() if isinstance(model, HeadedBody) else Padded(model)
    ),
    in_int8=(),
    layers="",
)


def family_of(config: Any) -> Family | None:
    """Return the family of a transformers config that has a forward pass of ours."""
    return next((family for family in _FAMILIES if family.fits(config)), None)


def family_for(model: Any, recipe: Recipe) -> Family | None:
    """Return the family of a loaded model, if its pass computes the recipe."""
    if recipe.layout not in (TRANSFORMERS, JINA_FLASH):
        return None
    family = family_of(model.config)
    if family is None or (family.layers == "layers" and recipe.pooling not in _MODERN_POOLINGS):
        return None
    return family


@torch.inference_mode()
def settled_in(
    dtype: str,
    model: Any,
    tokenizer: Tokenizer,
    score: Callable[[CrossEncoder, Batch], list[float]],
    *,
    family: Family | None,
    sizes: tuple[int, int],
    anyway: bool,
    report: Report,
) -> Settled[CrossEncoder]:
    """Return a loaded transformers model in `dtype`, or in the format that must replace it.

    Where a family has a forward pass of ours, transformers' layers are released.

    Args:
        score: returns the margins of a batch by a made model.
        family: the family of the model; `None` if no pass of ours computes it.
    """
    family = family or _OTHERS

    def margins(made: CrossEncoder) -> list[float]:
        return margins_of_known_pairs(tokenizer, partial(score, made))

    def settled(in_int8: Callable[[Any, Tokenizer], CrossEncoder] | None) -> Settled[CrossEncoder]:
        return settle(
            dtype,
            lambda form: (
                in_int8(model, tokenizer)
                if form == "int8" and in_int8
                else family.in_floats(model, form)
            ),
            margins,
            takes_int8=in_int8 is not None,
            sizes=sizes,
            anyway=anyway,
            report=report,
        )

    ways = (family.in_int8[-1:] if keeps_fp32() else family.in_int8) or (None,)
    found = settled(ways[0])
    for way in ways[1:]:
        if dtype == "int8" and found.dtype != "int8" and len(found.notes) > 1:
            found = settled(way)
    if family.layers:
        setattr(model.base_model, family.layers, None)
    return found
