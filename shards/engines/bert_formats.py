"""BERT and its kin in floats, and in int8 of two kinds.

The fastest takes the ranges of states from the known pairs and some longer ones, computed in bf16
(`bert_int8`). The other looks at each row anew (`int8`), which costs a tenth of the speed.
"""

from collections.abc import Sequence
from typing import Any

import torch

from shards.canary import known_pairs
from shards.engines import base
from shards.engines.bert import Encoder, Layer
from shards.engines.bert_int8 import Ranges, int8_layer, recorded
from shards.engines.bert_weights import float_layer, weights_of
from shards.engines.cross_encoders import Unpadded
from shards.engines.linears import FORMATS
from shards.pairs import EncodedPair

_RECORDED_TOKENS = 1024  # at a time


def unpadded(model: Any, dtype: str) -> Unpadded:
    """Return a loaded transformers model with layers of ours."""
    return _with_layers(
        model, [float_layer(one, dtype) for one in weights_of(model.base_model)], dtype
    )


def in_int8(model: Any, pairs: Sequence[EncodedPair]) -> Unpadded:
    """Return a model in int8, with ranges as they are when it scores `pairs` in bf16."""
    ranges = measured_ranges(model, pairs)
    layers = zip(weights_of(model.base_model), ranges, strict=True)
    return _with_layers(model, [int8_layer(weights, range_) for weights, range_ in layers], "int8")


def _with_layers(model: Any, layers: Sequence[Layer], dtype: str) -> Unpadded:
    """Put layers between transformers' embeddings and head."""
    body = model.base_model
    pooler = getattr(body, "pooler", None)

    def head(first: torch.Tensor) -> torch.Tensor:
        sequences = first[:, None]  # of one token each
        logits: torch.Tensor = model.classifier(pooler(sequences) if pooler else sequences)
        return logits

    encoder = Encoder(body, layers, FORMATS[dtype])
    return Unpadded(encoder.first_states, head, str(model.device))


def measured_ranges(model: Any, pairs: Sequence[EncodedPair]) -> list[Ranges]:
    """Return how large the states of each layer become when `pairs` are scored in bf16."""
    recording = [recorded(float_layer(one, "bf16")) for one in weights_of(model.base_model)]
    recorder = _with_layers(model, [layer for layer, _ in recording], "bf16")
    batch: list[EncodedPair] = []
    for pair in pairs:
        batch.append(pair)
        if sum(map(len, batch)) >= _RECORDED_TOKENS:
            recorder.logits(batch)
            batch = []
    if batch:
        recorder.logits(batch)
    return [ranges() for _, ranges in recording]


def pairs_to_measure(encoder: base.Encoder) -> list[EncodedPair]:
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
