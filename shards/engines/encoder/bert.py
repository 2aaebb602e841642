"""BERT and its kin (RoBERTa, XLM-R, CamemBERT, ELECTRA), see `packed_encoder_layout`.

transformers' own modules embed the tokens and judge the first one. The layers between, which take
the time, are computed here: query, key and value in one product, bias and GELU inside the products,
and all steps after attention for some rows at a time, so that these stay in the cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from shards.engines.layers.encoder_elementwise import SumNorm
from shards.engines.layers.linear import Linear
from shards.engines.layers.packed_encoder_layout import PackedBatch, tiles
from shards.engines.layers.pair_attention import PairAttention, attention_for
from shards.native.normed import Norm

FAMILIES = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra"})

_OFFSET_FAMILIES = frozenset({"roberta", "xlm-roberta", "camembert"})  # positions from pad_id + 1


class Layer(Protocol):
    """One layer of an encoder, in some number format."""

    def project(self, states: torch.Tensor, starts: torch.Tensor | None = None) -> torch.Tensor:
        """Return queries, keys and values, `[rows, 3, heads, dim]` with any strides.

        If `starts` are given, these rows alone need queries; other rows may have any.
        """
        ...

    def finish(self, attended: torch.Tensor, states: torch.Tensor) -> None:
        """Change `states`, `[rows, hidden]`, to the states after the layer."""
        ...


@dataclass(slots=True)
class FloatLayer:
    """A layer whose states are floats between its products; see `Layer`."""

    qkv: Linear
    out: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    norm: Norm
    between: SumNorm
    heads: int

    def project(self, states: torch.Tensor, starts: torch.Tensor | None = None) -> torch.Tensor:
        tokens, hidden = states.shape
        products = states.new_empty(tokens, 3 * hidden)
        for rows in tiles(states):
            products[rows] = self.qkv(states[rows])
        return products.view(tokens, 3, self.heads, -1)

    def finish(self, attended: torch.Tensor, states: torch.Tensor) -> None:
        for rows in tiles(states):
            product = self.out(attended[rows])
            normed = self.between.normed(product, states[rows], self.attention_norm)
            states[rows] = self.between.normed(self.down(self.up(normed)), normed, self.norm)


class Encoder:
    """The body of a loaded cross-encoder."""

    def __init__(self, body: Any, layers: Sequence[Layer], form: torch.dtype) -> None:
        """Take embeddings from `body`, transformers' model without its head."""
        config = body.config
        self._embeddings = body.embeddings
        self._project = getattr(body, "embeddings_project", None)
        self._layers = layers
        self._form = form
        self._heads = config.num_attention_heads
        self._first_position = (
            config.pad_token_id + 1 if config.model_type in _OFFSET_FAMILIES else 0
        )
        self._has_types = config.type_vocab_size > 1

    def first_states(self, batch: PackedBatch) -> torch.Tensor:
        """Return the last states of each pair's first token, `[pairs, hidden]`."""
        states, attended, (_, attend_first) = self._before_last(batch)
        last = self._layers[-1]
        attend_first(last.project(states, batch.starts), attended)
        first = states[batch.starts]
        last.finish(attended[batch.starts], first)
        return first

    def all_states(self, batch: PackedBatch) -> torch.Tensor:
        """Return the last states of all tokens, `[tokens, hidden]`."""
        states, attended, (attend, _) = self._before_last(batch)
        last = self._layers[-1]
        attend(last.project(states), attended)
        last.finish(attended, states)
        return states

    def _before_last(
        self, batch: PackedBatch
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[PairAttention, PairAttention]]:
        """Return the states before the last layer, room for its attention, and `attention_for`."""
        states = self._embedded(batch)
        dim = states.shape[1] // self._heads
        attention = attention_for(batch.lengths, dim, str(states.device), self._form)
        attended = torch.empty_like(states)
        for layer in self._layers[:-1]:
            attention[0](layer.project(states), attended)
            layer.finish(attended, states)
        return states, attended, attention

    def _embedded(self, batch: PackedBatch) -> torch.Tensor:
        types = batch.types if self._has_types else torch.zeros_like(batch.types)
        embedded: torch.Tensor = self._embeddings(
            input_ids=batch.token_ids[None],
            token_type_ids=types[None],
            position_ids=batch.positions[None] + self._first_position,
        )[0]
        if self._project is not None:
            embedded = self._project(embedded)
        return embedded.to(self._form)
