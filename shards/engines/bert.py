"""BERT and its kin (RoBERTa, XLM-R, CamemBERT, ELECTRA) over flat batches, see `unpadded`.

transformers' own modules embed the tokens and judge the first one; what lies between, where the time
goes, is done here: query, key and value in one product, bias and GELU inside the products, and some
rows at a time through everything that follows attention, so that they stay in the cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from shards.engines.between import Between
from shards.engines.linears import Linear
from shards.engines.pair_attention import attention_for
from shards.engines.unpadded import FlatBatch, tiles
from shards.native.normed import Norm

FAMILIES = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra"})

_OFFSET_FAMILIES = frozenset({"roberta", "xlm-roberta", "camembert"})  # positions from pad_id + 1


class Layer(Protocol):
    """One layer of an encoder, in some number format."""

    def project(self, states: torch.Tensor, starts: torch.Tensor | None = None) -> torch.Tensor:
        """Return queries, keys and values, `[rows, 3, heads, dim]` in steps of any size.

        If `starts` are given, these rows alone need queries; those of others may be anything.
        """
        ...

    def finish(self, attended: torch.Tensor, states: torch.Tensor) -> None:
        """Change `states`, `[rows, hidden]`, to what they are after the layer."""
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
    between: Between
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
            some = self.between.normed(product, states[rows], self.attention_norm)
            states[rows] = self.between.normed(self.down(self.up(some)), some, self.norm)


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

    def first_states(self, batch: FlatBatch) -> torch.Tensor:
        """Return the last states of each pair's first token, `[pairs, hidden]`."""
        states = self._embedded(batch)
        dim = states.shape[1] // self._heads
        attend, attend_first = attention_for(batch.lengths, dim, str(states.device), self._form)
        attended = torch.empty_like(states)
        for layer in self._layers[:-1]:
            attend(layer.project(states), attended)
            layer.finish(attended, states)
        last = self._layers[-1]
        attend_first(last.project(states, batch.starts), attended)
        first = states[batch.starts]
        last.finish(attended[batch.starts], first)
        return first

    def _embedded(self, batch: FlatBatch) -> torch.Tensor:
        types = batch.types if self._has_types else torch.zeros_like(batch.types)
        embedded: torch.Tensor = self._embeddings(
            input_ids=batch.token_ids[None],
            token_type_ids=types[None],
            position_ids=batch.positions[None] + self._first_position,
        )[0]
        if self._project is not None:
            embedded = self._project(embedded)
        return embedded.to(self._form)
