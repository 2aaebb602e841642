"""BERT and its kin in floats, and in int8 of two kinds.

The faster kind takes the ranges of states from the known pairs and some longer ones, computed in
bf16 (`bert_int8`). The other measures each row anew (`int8`), which costs a tenth of the speed.
"""

from collections.abc import Sequence
from typing import Any

import torch

from shards.canary import known_pairs
from shards.engines.base import Tokenizer
from shards.engines.encoder.bert import Encoder, Layer
from shards.engines.encoder.bert_int8 import Ranges, int8_layer, recorded
from shards.engines.encoder.bert_weights import float_layer, weights_of
from shards.engines.encoder.cross_encoder import Unpadded
from shards.engines.encoder.pooled import HeadedBody, pooled_rows
from shards.engines.layers.linear import format_of
from shards.engines.layers.packed_encoder_layout import PackedBatch
from shards.pairs import TokenizedPair, side_texts

_RECORDED_TOKENS = 1024  # at a time


def unpadded(model: Any, dtype: str) -> Unpadded:
    """Return a loaded transformers model with layers of ours."""
    layers = [float_layer(weights, dtype) for weights in weights_of(model.base_model)]
    return _with_layers(model, layers, dtype)


def in_int8(model: Any, pairs: Sequence[TokenizedPair]) -> Unpadded:
    """Return a model in int8, with the ranges that its states have for `pairs` in bf16."""
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

    encoder = Encoder(body, layers, format_of(dtype))
    pooling = model.pooling if isinstance(model, HeadedBody) else "cls"

    def pooled(batch: PackedBatch) -> torch.Tensor:
        if pooling == "cls":
            return encoder.first_states(batch)
        return pooled_rows(encoder.all_states(batch).float(), batch.lengths, pooling)

    return Unpadded(pooled, head, str(model.device))


def measured_ranges(model: Any, pairs: Sequence[TokenizedPair]) -> list[Ranges]:
    """Return the ranges of each layer's states when `pairs` are scored in bf16."""
    recording = [recorded(float_layer(weights, "bf16")) for weights in weights_of(model.base_model)]
    recorder = _with_layers(model, [layer for layer, _ in recording], "bf16")
    batch: list[TokenizedPair] = []
    for pair in pairs:
        batch.append(pair)
        if sum(map(len, batch)) >= _RECORDED_TOKENS:
            recorder.logits(batch)
            batch = []
    if batch:
        recorder.logits(batch)
    return [ranges() for _, ranges in recording]


def pairs_to_measure(tokenizer: Tokenizer) -> list[TokenizedPair]:
    """Return known pairs, and for each query one with all documents of its language in a row."""
    known = known_pairs()
    documents: dict[str, list[str]] = {}
    for pair in known:
        documents.setdefault(pair.language, []).append(pair.document)
    texts = [(pair.query, pair.document) for pair in known]
    texts += [(pair.query, " ".join(documents[pair.language])) for pair in known if pair.is_right]
    return [
        text
        for query, document in texts
        for pair in tokenizer.tokenize(query, (document,), instruction="", max_document_tokens=0)
        for text in side_texts(pair)
    ]
