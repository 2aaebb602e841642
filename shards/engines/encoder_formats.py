"""Cross-encoders in the number format that is asked for: which family has what forward pass.

int8 is made in the ways of the family, the fastest first; where the order that one gives differs from
that of bf16 the next is tried, and where none agrees bf16 serves. A family that is in no table has
neither: it goes through its transformers model, padded, in floats alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from shards.engines import bert_formats, bert_weights, modernbert_weights
from shards.engines.agreement import margins_of_known_pairs
from shards.engines.base import Encoder
from shards.engines.cross_encoders import CrossEncoder, Padded
from shards.engines.formats import Settled, settle
from shards.refusal import Report


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share a forward pass of ours.

    Attributes:
        fits: whether it computes what a model of a transformers config is.
        in_floats: a loaded transformers model in a format of floats.
        in_int8: the same in int8, in each way there is.
        layers: where transformers' own layers are, in its model without the head.
    """

    fits: Callable[[Any], bool]
    in_floats: Callable[[Any, str], CrossEncoder]
    in_int8: tuple[Callable[[Any, Encoder], CrossEncoder], ...]
    layers: str


_FAMILIES = (
    Family(
        fits=bert_weights.fits,
        in_floats=bert_formats.unpadded,
        in_int8=(
            lambda model, encoder: bert_formats.in_int8(
                model, bert_formats.pairs_to_measure(encoder)
            ),
            lambda model, encoder: bert_formats.unpadded(model, "int8"),
        ),
        layers="encoder",
    ),
    Family(
        fits=modernbert_weights.fits,
        in_floats=modernbert_weights.unpadded,
        in_int8=(lambda model, encoder: modernbert_weights.unpadded(model, "int8"),),
        layers="layers",
    ),
)
_OTHERS = Family(
    fits=lambda config: True,
    in_floats=lambda model, dtype: Padded(model),
    in_int8=(),
    layers="",
)


def family_of(config: Any) -> Family | None:
    """Return the family of a transformers config that has a forward pass of ours."""
    return next((family for family in _FAMILIES if family.fits(config)), None)


@torch.inference_mode()
def settled_in(
    dtype: str,
    model: Any,
    encoder: Encoder,
    label_weights: torch.Tensor,
    *,
    sizes: tuple[int, int],
    anyway: bool,
    report: Report,
) -> Settled[CrossEncoder]:
    """Return a loaded transformers model in `dtype`, or in what had to be instead.

    Where a family has a forward pass of ours, transformers' layers are let go of.
    """
    family = family_of(model.config) or _OTHERS

    def margins(made: CrossEncoder) -> list[float]:
        return margins_of_known_pairs(
            encoder, lambda batch: (made.logits(batch) @ label_weights).tolist()
        )

    def settled(in_int8: Callable[[Any, Encoder], CrossEncoder] | None) -> Settled[CrossEncoder]:
        return settle(
            dtype,
            lambda form: (
                in_int8(model, encoder)
                if form == "int8" and in_int8
                else family.in_floats(model, form)
            ),
            margins,
            takes_int8=in_int8 is not None,
            sizes=sizes,
            anyway=anyway,
            report=report,
        )

    ways = family.in_int8 or (None,)
    found = settled(ways[0])
    for way in ways[1:]:
        if dtype == "int8" and found.dtype != "int8" and len(found.notes) > 1:
            found = settled(way)
    if family.layers:
        setattr(model.base_model, family.layers, None)
    return found
