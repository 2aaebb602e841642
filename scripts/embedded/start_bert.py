"""The computed start of the BERT: weights with which it is BM25 before any training, and softer.

BM25 scores a document by the sum, over the query's words, of weight x tf / (tf + k), where k grows
with the document's length. Attention has that very form: a softmax between n equal tokens and one
other token, the sink, gives the n of them n / (n + k), and k is how much the sink outscores one
match. Read as a program, the untrained model does this (coordinates of the hidden state in
capitals):

1. Embeddings. A token's row holds its content vector and the logarithm of its WEIGHT; the token
   type writes the SEGMENT, + for the query and - for the document; `[CLS]` alone carries SINK.
2. First layer (`SOFT`): every token looks for itself in the other segment. Query and key of a head
   are the same projection of the content, so equal tokens score `match`, strangers about 0 and
   neighbours in meaning something between. One more coordinate of the head has opposite signs on
   the two sides, which adds `other_segment` for the other segment and takes it away from the own
   one. `[CLS]` always scores `no_match`: a token without a partner looks there. The value is the
   SEGMENT of what was looked at, so the residual stream now holds MATCH: was this token, or one
   near it, found over there (- in the query, + in the document, 0 for none). In the first head
   `[CLS]` itself weighs the document's tokens against itself: LENGTH becomes its share l / (l +
   100), from the difference of the two heads, which is nothing in any other token.
3. Second layer (`COUNTED`): the same look, nearly blind to neighbours, at a sink that scores about
   as much as one match and more in a long document (`by_length`): EXACT becomes tf / (tf + k),
   where k goes from 0.1 for 10 tokens to 2 for 500.
4. Last layer: `[CLS]` averages MATCH (`SOFT_SHARE`) and EXACT over the query with the tokens'
   weights (COVERAGE) and over the document (DENSITY: how much of the document it is).
5. The pooler adds both up and the classifier scales the sum.

Layer normalisation must not disturb this. MATCH and EXACT are kept small (`FOUND`), or a found
token would have a longer row, smaller coordinates and so less say in the average than one that was
not found; `[SEP]` has a long row too; and the random weights write into the content alone.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from .content import LOG_WEIGHT_SCALE, content_rows, random_rotation, weight_column

WEIGHT, SEGMENT, SINK, MATCH, COVERAGE, DENSITY, EXACT, LENGTH = range(8)
RESERVED = 8

Model = Any  # submodules are found by name, which a type checker cannot follow

SCALE = 0.25  # of all embeddings: layer normalisation undoes it, the optimiser moves faster
SEGMENT_SIZE, SINK_SIZE = 4.0, 10.0
SINK_QUERY = 4.0  # what every token asks of the sink's coordinate
FOUND = 0.3  # of the SEGMENT looked at, what is written as found
SOFT_SHARE = 0.3
COVERAGE_SHARE, DENSITY_SHARE = 0.4, 0.08


@dataclass(frozen=True)
class Look:
    """Scores of a layer's tokens for one another, and the coordinate of the finding."""

    match: float
    other_segment: float
    no_match: float
    writes: int
    by_length: float = 0.0


SOFT = Look(match=18.0, other_segment=6.0, no_match=15.0, writes=MATCH)
COUNTED = Look(match=14.0, other_segment=3.0, no_match=11.8, writes=EXACT, by_length=-2.24)
# Scores of [CLS] in the first head: for a document's token, and for itself, ln 100 or so more.
DOCUMENT_TOKEN, ITSELF = 7.0, 11.0


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
    heads, hidden = config.num_attention_heads, config.hidden_size
    used = min(hidden // heads - 4, (hidden - RESERVED) // heads)
    with torch.no_grad():
        write_embeddings(model, vectors, weights, cls, sep, generator)
        rotation = random_rotation(hidden - RESERVED, generator)[: used * heads]
        balance(model, rotation, heads)
        keep_reserved_clean(model)
        for layer, look in zip(model.bert.encoder.layer, (SOFT, COUNTED), strict=False):
            write_matching(layer.attention, look, rotation)
        write_length(model.bert.encoder.layer[0].attention, used)
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
    rows[sep, WEIGHT], rows[sep, LENGTH] = -5, SINK_SIZE
    embeddings = model.bert.embeddings
    embeddings.word_embeddings.weight.copy_(rows * SCALE)
    embeddings.token_type_embeddings.weight.zero_()
    embeddings.token_type_embeddings.weight[:, SEGMENT] = torch.tensor(
        [SEGMENT_SIZE * SCALE, -SEGMENT_SIZE * SCALE]
    )
    embeddings.position_embeddings.weight.copy_(waves(512, hidden) * SCALE * 0.05)


def balance(model: Model, rotation: Tensor, heads: int) -> None:
    """A token's content is equally long for every head, so that all tokens match alike."""
    content = model.bert.embeddings.word_embeddings.weight[:, RESERVED:]
    for projection in rotation.chunk(heads):
        seen = content @ projection.T
        sizes = seen.norm(dim=1, keepdim=True)
        factor = torch.where(sizes > 1e-6, SCALE * math.sqrt(len(projection)) / sizes, 1.0)
        content += (seen * (factor - 1)) @ projection


def waves(length: int, hidden: int) -> Tensor:
    """Faint sinusoids: order is there to be learned and hardly disturbs the match."""
    rates = torch.exp(-math.log(1e4) * torch.arange(0, hidden, 2) / hidden)
    angles = torch.arange(length)[:, None] * rates
    table = torch.zeros(length, hidden)
    table[:, 0::2], table[:, 1::2] = angles.sin(), angles.cos()
    table[:, :RESERVED] = 0
    return table


def keep_reserved_clean(model: Model) -> None:
    """The random weights write into the content alone."""
    for layer in model.bert.encoder.layer:
        layer.attention.output.dense.weight[:RESERVED] = 0
        layer.output.dense.weight[:RESERVED] = 0


def write_matching(attention: Any, look: Look, rotation: Tensor) -> None:
    """The heads of a layer share out the content; each writes its part of what was found."""
    own, output = attention.self, attention.output.dense.weight
    query, key, value = own.query, own.key, own.value
    heads, width = own.num_attention_heads, own.attention_head_size
    root, used = math.sqrt(width), len(rotation) // heads
    gain = math.sqrt(look.match * root / used)
    side = side_of(look, root)
    for head, projection in enumerate(rotation.chunk(heads)):
        first = head * width
        block, content = slice(first, first + width), slice(first, first + used)
        segment, sink = first + used, first + used + 1
        for matrix, sign in ((query.weight, -1), (key.weight, 1)):
            matrix[block] = 0
            matrix[content, RESERVED:] = projection * gain
            matrix[segment, SEGMENT] = sign * side
        query.bias[sink] = SINK_QUERY
        key.weight[sink, SINK] = look.no_match * root / (SINK_QUERY * SINK_SIZE)
        key.weight[sink, LENGTH] = look.by_length * root / SINK_QUERY
        value.weight[block] = 0
        value.weight[content, RESERVED:] = projection
        value.weight[segment, SEGMENT] = 1
        output[:, block] *= 0.5
        output[RESERVED:, content] = 0
        output[:, segment] = 0
        output[look.writes, segment] = FOUND / heads


def side_of(look: Look, root: float) -> float:
    """The factor of SEGMENT in query and key whose product is `other_segment`."""
    return math.sqrt(look.other_segment * root) / SEGMENT_SIZE


def write_length(attention: Any, used: int) -> None:
    """`[CLS]` looks at the document in the first head, at itself in the others."""
    query, output = attention.self.query, attention.output.dense.weight
    width = attention.self.attention_head_size
    root = math.sqrt(width)
    segment, sink = used, used + 1
    seen = -side_of(SOFT, root) * SEGMENT_SIZE * SINK_SIZE
    query.weight[segment, SINK] = DOCUMENT_TOKEN * root / seen
    query.weight[sink, SINK] = SINK_QUERY * (ITSELF / SOFT.no_match - 1) / SINK_SIZE
    output[LENGTH, segment], output[LENGTH, width + segment] = 0.5, -0.5


def write_summary(model: Model) -> None:
    """Last layer: `[CLS]` averages what was found by weight, one head a segment, and pooler and
    classifier make one number of the two."""
    config = model.config
    width = config.hidden_size // config.num_attention_heads
    layer = model.bert.encoder.layer[-1].attention
    for head, (sign, goal) in enumerate(((1, COVERAGE), (-1, DENSITY))):
        by_weight, by_segment = head * width, head * width + 1
        layer.self.query.bias[[by_weight, by_segment]] = math.sqrt(width)
        key, value = layer.self.key.weight, layer.self.value.weight
        key[[by_weight, by_segment]] = 0
        key[by_weight, WEIGHT] = 1 / LOG_WEIGHT_SCALE
        key[by_segment, SEGMENT] = sign * 1.2
        value[by_weight] = 0
        value[by_weight, MATCH] = -sign * SOFT_SHARE / FOUND
        value[by_weight, EXACT] = -sign * (1 - SOFT_SHARE) / FOUND
        layer.output.dense.weight[goal, by_weight] = 1.0
    pooler = model.bert.pooler.dense
    pooler.weight[0] = 0
    pooler.weight[0, COVERAGE], pooler.weight[0, DENSITY] = COVERAGE_SHARE, DENSITY_SHARE
    pooler.bias[0] = -0.6
    model.classifier.weight[0, 0] = 4
