"""BERT and its kin in the number format that is asked for.

int8 first takes the ranges of states from the known pairs and some longer ones, computed in bf16
(`bert_int8`, the fastest). Where the order that it gives differs from that of bf16, it looks at each
row anew (`int8`), which costs a tenth of the speed; where that differs as well, bf16 serves.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from shards.canary import known_pairs
from shards.engines.agreement import margins_of_known_pairs
from shards.engines.base import Encoder
from shards.engines.bert_int8 import Int8Layer, Ranges, recorded
from shards.engines.bert_weights import fits, float_layer, weights_of
from shards.engines.cross_encoders import CrossEncoder, Padded, Unpadded
from shards.engines.formats import Settled, settle
from shards.pairs import EncodedPair
from shards.refusal import Report

_RECORDED_TOKENS = 1024  # at a time


def unpadded(model: Any, dtype: str) -> Unpadded:
    """Return a loaded transformers model with layers of ours."""
    return Unpadded(model, [float_layer(one, dtype) for one in weights_of(model.base_model)], dtype)


def in_int8(model: Any, pairs: Sequence[EncodedPair]) -> Unpadded:
    """Return a model in int8, with ranges as they are when it scores `pairs` in bf16."""
    ranges = measured_ranges(model, pairs)
    layers = zip(weights_of(model.base_model), ranges, strict=True)
    return Unpadded(model, [Int8Layer(weights, range_) for weights, range_ in layers], "int8")


def measured_ranges(model: Any, pairs: Sequence[EncodedPair]) -> list[Ranges]:
    """Return how large the states of each layer become when `pairs` are scored in bf16."""
    recording = [recorded(float_layer(one, "bf16")) for one in weights_of(model.base_model)]
    recorder = Unpadded(model, [layer for layer, _ in recording], "bf16")
    batch: list[EncodedPair] = []
    for pair in pairs:
        batch.append(pair)
        if sum(map(len, batch)) >= _RECORDED_TOKENS:
            recorder.logits(batch)
            batch = []
    if batch:
        recorder.logits(batch)
    return [ranges() for _, ranges in recording]


def pairs_to_measure(encoder: Encoder) -> list[EncodedPair]:
    """Return known pairs, and for each query one with all documents of its language in a row."""
    known = known_pairs()
    documents: dict[str, list[str]] = {}
    for pair in known:
        documents.setdefault(pair.language, []).append(pair.document)
    texts = [(pair.query, pair.document) for pair in known]
    texts += [(pair.query, " ".join(documents[pair.language])) for pair in known if pair.is_right]
    return [
        encoder.encode(query, (document,), instruction="", max_document_tokens=0)[0]
        for query, document in texts
    ]


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

    BERT's kin has no padding, and its own layers are let go of. int8 is made for it alone.
    """
    has_layers = fits(model.config)

    def margins(made: CrossEncoder) -> list[float]:
        return margins_of_known_pairs(
            encoder, lambda batch: (made.logits(batch) @ label_weights).tolist()
        )

    def in_floats(form: str) -> CrossEncoder:
        return unpadded(model, form) if has_layers else Padded(model)

    def settled(quick: Callable[[], CrossEncoder]) -> Settled[CrossEncoder]:
        return settle(
            dtype,
            lambda form: quick() if form == "int8" else in_floats(form),
            margins,
            takes_int8=has_layers,
            sizes=sizes,
            anyway=anyway,
            report=report,
        )

    found = settled(lambda: in_int8(model, pairs_to_measure(encoder)))
    if dtype == "int8" and found.dtype != "int8" and len(found.notes) > 1:
        found = settled(lambda: unpadded(model, "int8"))
    if has_layers:
        model.base_model.encoder = None
    return found
