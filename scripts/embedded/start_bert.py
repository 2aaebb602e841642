"""The computed start of the BERT: weights with which it matches terms before any training.

Read as a program, the untrained model does this (coordinates of the hidden state in capitals):

1. Embeddings. A token's row holds its content vector and the logarithm of its WEIGHT; the token
   type writes the SEGMENT, + for the query and - for the document; `[CLS]` alone carries SINK.
2. First layer: every token looks for itself in the other segment. Query and key of a head are the
   same projection of the content, so equal tokens score `MATCH_SCORE`, strangers about 0 and
   neighbours in meaning something between. One more coordinate of the head has opposite signs on the
   two sides, which adds `OTHER_SEGMENT` for the other segment and takes it away from the own one.
   `[CLS]` always scores `NO_MATCH`: a token without a partner looks there. The value is the
   SEGMENT of what was looked at, so the residual stream now holds MATCH: how surely this token was
   found over there (- in the query, + in the document, 0 for none).
3. The layers between do nothing but pass on (small random weights; training finds a use).
4. Last layer: `[CLS]` averages MATCH over the query with the tokens' weights (COVERAGE: which
   share of the query was found) and over the document (DENSITY: how much of the document it is).
5. The pooler adds both up and the classifier scales the sum.

Layer normalisation hardly disturbs this: content dominates each row, so the divisor stays near 1.
"""

import math
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from .content import LOG_WEIGHT_SCALE, content_rows, random_rotation, weight_column

WEIGHT, SEGMENT, SINK, MATCH, COVERAGE, DENSITY = range(6)
RESERVED = 8

Model = Any  # submodules are found by name, which a type checker cannot follow

SCALE = 0.25  # of all embeddings: layer normalisation undoes it, the optimiser moves faster
MATCH_SCORE = 18.0
OTHER_SEGMENT = 6.0
NO_MATCH = 15.0
SEGMENT_SIZE, SINK_SIZE = 4.0, 10.0


def configuration(vocabulary: int, hidden: int = 128, layers: int = 3) -> BertConfig:
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=3 * hidden,
        max_position_embeddings=512,
        type_vocab_size=2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )
    config.num_labels = 1
    return config


def computed_bert(
    config: BertConfig, vectors: Tensor, weights: Tensor, cls: int, sep: int
) -> BertForSequenceClassification:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        write_embeddings(model, vectors, weights, cls, sep, generator)
        write_matching(model, random_rotation(config.hidden_size - RESERVED, generator))
        write_summary(model)
    return model


def write_embeddings(
    model: Model,
    vectors: Tensor,
    weights: Tensor,
    cls: int,
    sep: int,
    generator: torch.Generator,
) -> None:
    hidden = model.config.hidden_size
    rows = torch.zeros(len(vectors), hidden)
    rows[:, RESERVED:] = content_rows(vectors, hidden - RESERVED, generator)
    rows[:, WEIGHT] = weight_column(weights)
    rows[[cls, sep, model.config.pad_token_id]] = 0
    rows[cls, SINK], rows[cls, SEGMENT] = SINK_SIZE, -SEGMENT_SIZE
    rows[sep, WEIGHT] = -5
    embeddings = model.bert.embeddings
    embeddings.word_embeddings.weight.copy_(rows * SCALE)
    embeddings.token_type_embeddings.weight.zero_()
    embeddings.token_type_embeddings.weight[:, SEGMENT] = torch.tensor(
        [SEGMENT_SIZE * SCALE, -SEGMENT_SIZE * SCALE]
    )
    embeddings.position_embeddings.weight.copy_(waves(512, hidden) * SCALE * 0.05)


def waves(length: int, hidden: int) -> Tensor:
    """Faint sinusoids: order is there to be learned and hardly disturbs the match."""
    rates = torch.exp(-math.log(1e4) * torch.arange(0, hidden, 2) / hidden)
    angles = torch.arange(length)[:, None] * rates
    table = torch.zeros(length, hidden)
    table[:, 0::2], table[:, 1::2] = angles.sin(), angles.cos()
    table[:, :RESERVED] = 0
    return table


def write_matching(model: Model, rotation: Tensor) -> None:
    """Layer 0: the heads share out the content; each writes half of MATCH."""
    config = model.config
    width = config.hidden_size // config.num_attention_heads
    root = math.sqrt(width)
    used = min(width - 4, len(rotation) // 2)
    layer = model.bert.encoder.layer[0].attention
    query, key, value = layer.self.query, layer.self.key, layer.self.value
    output = layer.output.dense.weight
    gain = math.sqrt(MATCH_SCORE * root / used)
    side = math.sqrt(OTHER_SEGMENT * root) / SEGMENT_SIZE
    for head in range(config.num_attention_heads):
        first = head * width
        block, content = slice(first, first + width), slice(first, first + used)
        segment, sink = first + used, first + used + 1
        projection = rotation[head * used : (head + 1) * used]
        for matrix, sign in ((query.weight, -1), (key.weight, 1)):
            matrix[block] = 0
            matrix[content, RESERVED:] = projection * gain
            matrix[segment, SEGMENT] = sign * side
        query.bias[sink] = 4
        key.weight[sink, SINK] = NO_MATCH * root / (4 * SINK_SIZE)
        value.weight[block] = 0
        value.weight[content, RESERVED:] = projection
        value.weight[segment, SEGMENT] = 1
        output[:, block] *= 0.5
        output[RESERVED:, content] = projection.T * 0.15
        output[:, segment] = 0
        output[MATCH, segment] = 0.5


def write_summary(model: Model) -> None:
    """Last layer: `[CLS]` averages MATCH by weight, one head a segment, and pooler and classifier
    make one number of the two."""
    config = model.config
    width = config.hidden_size // config.num_attention_heads
    layer = model.bert.encoder.layer[-1].attention
    for head, (sign, goal) in enumerate(((1, COVERAGE), (-1, DENSITY))):
        by_weight, by_segment = head * width, head * width + 1
        layer.self.query.bias[[by_weight, by_segment]] = math.sqrt(width)
        key, value = layer.self.key.weight, layer.self.value.weight
        key[[by_weight, by_segment]] *= 0.2
        key[by_weight, WEIGHT] = 1 / LOG_WEIGHT_SCALE
        key[by_segment, SEGMENT] = sign * 1.5
        value[by_weight] *= 0.2
        value[by_weight, MATCH] = -sign
        layer.output.dense.weight[goal, by_weight] = 1.0
    pooler = model.bert.pooler.dense
    pooler.weight[0] *= 0.2
    pooler.weight[0, COVERAGE], pooler.weight[0, DENSITY], pooler.bias[0] = 0.4, 0.1, -0.6
    model.classifier.weight[0, 0] = 4
