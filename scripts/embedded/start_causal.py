"""The computed start of the causal model: a Qwen3 that matches terms before any training.

The prompt ends `... <Query>: query <Document>: document` and a fixed suffix; the last position
answers. Attention looks back only, so the document's tokens can find the query's, but never the
other way round. Read as a program (coordinates of the hidden state in capitals):

1. Embeddings. Content vector and WEIGHT as in the BERT; CONSTANT is the same for all tokens; the
   two markers carry QUERY_MARK and DOCUMENT_MARK; `<|im_start|>`, the first token, carries SINK;
   the rows of "yes" and "no" differ in ANSWER.
2. Layer 0: every token looks at the last marker before it and so learns its part: QUERY or
DOCUMENT.
3. Layer 1: every document token looks for itself among the tokens before it, those of the query
   preferred. What it finds there is QUERY of the token looked at: MATCH. Finding itself or an
   earlier copy in the document, or SINK, is "no match". In the first head earlier copies compete,
   so each repetition of a word counts less than the one before (the saturation of BM25); the second
   head turns its back on the document, which leaves room for neighbours in meaning. Query tokens
   are sent to SINK, or they would match themselves.
4. Last layer, last position: one head sums MATCH by weight, query tokens standing in the same sum
   with nothing to give, so that the result is the share that was found; document tokens without a
   match weigh little. The other head averages MATCH over the document. Both write ANSWER, on which
   the tied head's rows for "yes" and "no" disagree.

Queries and keys of Qwen3 are normalised per head: a score is a cosine times the layer's gain.
Rotary positions turn pairs of coordinates of a head; only slow pairs are used here, hardly turned
within the context length, because a match must not depend on distance.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from .content import LOG_WEIGHT_SCALE, content_rows, random_rotation, weight_column

WEIGHT, DOCUMENT, SINK, MATCH, ANSWER, CONSTANT, DOCUMENT_MARK, QUERY_MARK, QUERY = range(9)
RESERVED = 9

Model = Any  # submodules are found by name, which a type checker cannot follow

SCALE = 0.25
FLAG = 3.0  # size of CONSTANT, QUERY and DOCUMENT where they hold
MARK = 12.0  # size of a marker
ROPE_BASE = 1e10
FIRST_SLOW_PAIR = 0.31  # share of the pairs that turn too fast to be used
RANDOM_SHARE = 0.1  # of the library's random output weights, which would blur the computed ones

# Layer 1, per head: liking of query tokens, dislike of document tokens, how sure a match must be.
MATCHING = ((0.3, 0.0, 1.4), (1.0, 1.0, 1.7))
MATCH_GAIN = 28.0
# Last layer, per head: score of a query token, of a document token, of a match, part in the answer.
SUMMARY = ((8.0, 4.0, 4.5, 1.6), (0.0, 8.0, 0.0, 1.0))


@dataclass(frozen=True)
class MarkerIds:
    sink: int
    query: int
    document: int
    last: int
    yes: int
    no: int


def configuration(vocabulary: int, hidden: int = 128, layers: int = 4) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=64,
        intermediate_size=3 * hidden,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
        tie_word_embeddings=True,
        attention_dropout=0.0,
    )


def computed_causal(
    config: Qwen3Config, vectors: Tensor, weights: Tensor, ids: MarkerIds
) -> Qwen3ForCausalLM:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        write_embeddings(model, vectors, weights, ids, generator)
        quieten(model)
        write_parts(model)
        write_matching(model, random_rotation(config.hidden_size - RESERVED, generator))
        write_summary(model)
    return model


def write_embeddings(
    model: Model,
    vectors: Tensor,
    weights: Tensor,
    ids: MarkerIds,
    generator: torch.Generator,
) -> None:
    hidden = model.config.hidden_size
    rows = torch.zeros(len(vectors), hidden)
    rows[:, RESERVED:] = content_rows(vectors, hidden - RESERVED, generator)
    rows[:, WEIGHT] = weight_column(weights)
    rows[:, CONSTANT] = FLAG
    rows[[ids.sink, ids.query, ids.document], RESERVED:] *= 0.1
    rows[ids.sink, SINK] = rows[ids.document, DOCUMENT_MARK] = rows[ids.query, QUERY_MARK] = MARK
    rows[ids.no] = rows[ids.yes]
    rows[ids.yes, ANSWER], rows[ids.no, ANSWER] = FLAG, -FLAG
    rows[ids.last, ANSWER] = -0.7
    model.model.embed_tokens.weight.copy_(rows * SCALE)


def quieten(model: Model) -> None:
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight *= RANDOM_SHARE
        layer.mlp.down_proj.weight *= RANDOM_SHARE


def slow_places(config: Qwen3Config) -> list[int]:
    """Coordinates of a head that rotary positions hardly turn."""
    half = config.head_dim // 2
    return [i for i in range(config.head_dim) if i % half >= FIRST_SLOW_PAIR * half]


def set_gain(attention: Model, gain: float) -> None:
    """The score of a query and a key that point the same way."""
    size = math.sqrt(gain / math.sqrt(attention.head_dim))
    attention.q_norm.weight.fill_(size)
    attention.k_norm.weight.fill_(size)


def write_parts(model: Model) -> None:
    """Layer 0, head 0: the document's marker outshines the query's, which outshines the rest."""
    attention = model.model.layers[0].self_attn
    width = attention.head_dim
    set_gain(attention, 40.0)
    seen, idle = slow_places(model.config)[-1], slow_places(model.config)[-2]
    query, key, value = (p.weight for p in projections(attention))
    query[:width] = key[:width] = 0
    query[seen, CONSTANT] = 1
    key[seen, DOCUMENT_MARK], key[seen, QUERY_MARK], key[idle, CONSTANT] = 1, 0.6, 3
    value[:2] = 0
    value[0, DOCUMENT_MARK] = value[1, QUERY_MARK] = 1
    output = attention.o_proj.weight
    output[:, :2] = 0
    output[DOCUMENT, 0] = output[QUERY, 1] = SCALE * FLAG / 11


def projections(attention: Model) -> tuple[Model, ...]:
    return attention.q_proj, attention.k_proj, attention.v_proj


def write_matching(model: Model, rotation: Tensor) -> None:
    attention = model.model.layers[1].self_attn
    set_gain(attention, MATCH_GAIN)
    for head, (liking, dislike, sink) in enumerate(MATCHING):
        write_matching_head(model, rotation, head, liking, dislike, sink)


def write_matching_head(
    model: Model,
    rotation: Tensor,
    head: int,
    liking: float,
    dislike: float,
    sink: float,
) -> None:
    attention = model.model.layers[1].self_attn
    width = attention.head_dim
    first, places = head * width, slow_places(model.config)
    rows = [first + place for place in places]
    used, part, nowhere = rows[:-2], rows[-2], rows[-1]
    projection = rotation.roll(-head * len(used), 0)[: len(used)]
    query, key, value = (p.weight for p in projections(attention))
    block = slice(first, first + width)
    query[block] = key[block] = 0
    query[used, RESERVED:] = key[used, RESERVED:] = projection
    query[part, DOCUMENT] = 1.0
    key[part, QUERY], key[part, DOCUMENT] = liking, -dislike
    query[nowhere, CONSTANT], query[nowhere, QUERY] = sink, 3.0
    key[nowhere, SINK] = 1
    value[first] = 0
    value[first, QUERY] = 1
    output = attention.o_proj.weight
    output[:, first] = 0
    output[MATCH, first] = 0.5 * SCALE


def write_summary(model: Model) -> None:
    """Last layer: a key is (log weight, match, part) beside a large constant, which keeps its
    length, and with it the divisor of the cosine, nearly the same for all tokens."""
    attention = model.model.layers[-1].self_attn
    width, gain = attention.head_dim, 40.0
    set_gain(attention, gain)
    unit = gain / math.sqrt(3) / 16  # what 1 in a key adds to a score
    query, key, value = (p.weight for p in projections(attention))
    for head, (query_score, document_score, match_score, share) in enumerate(SUMMARY):
        first = head * width
        by_weight, by_match, by_part, still = (first + p for p in slow_places(model.config)[-4:])
        query[first : first + width] *= 0.1
        key[first : first + width] *= 0.1
        query[[by_weight, by_match, by_part], CONSTANT] = 4
        key[by_weight, WEIGHT] = 1 / LOG_WEIGHT_SCALE / unit
        key[by_match, MATCH] = match_score / FLAG / unit
        key[by_part, QUERY] = query_score / FLAG / unit
        key[by_part, DOCUMENT] = document_score / FLAG / unit
        key[still, CONSTANT] = 16 / FLAG
        value[first] *= 0.2
        value[first, MATCH] = 1
        attention.o_proj.weight[ANSWER, first] = share * SCALE
