"""ModernBERT without padding: norms before products, rotary positions, a gated block.

Batches are packed, see `packed_encoder_layout`. In every few layers tokens see their whole pair; in
the layers between they see only the tokens near them, see `local_attention`. transformers' own
modules embed the tokens and judge the pooled state.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from shards.engines.layers.elementwise import rotations
from shards.engines.layers.linear import Linear
from shards.engines.layers.local_attention import local_attention_for
from shards.engines.layers.packed_encoder_layout import PackedBatch, tiles
from shards.engines.layers.pair_attention import PairAttention, attention_for


@dataclass(frozen=True, slots=True)
class Scaling:
    """A LayerNorm without bias.

    Attributes:
        weight: in the format of the states, `[hidden]`.
    """

    weight: torch.Tensor
    eps: float

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(states, self.weight.shape, self.weight, None, self.eps)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in some number format.

    Attributes:
        is_local: whether tokens see only those near them.
        attention_norm: `None` in the first layer.
        qkv: queries, already scaled, keys and values. The two halves of each head of queries and
            keys are interleaved, as turns take them.
        up: a product with its GELU, the exact one, inside.
    """

    is_local: bool
    attention_norm: Scaling | None
    qkv: Linear
    out: Linear
    norm: Scaling
    up: Linear
    gate: Linear
    down: Linear

    def project(self, states: torch.Tensor) -> torch.Tensor:
        """Return queries, keys and values side by side, not turned yet, `[rows, 3 * hidden]`."""
        return self.qkv(states if self.attention_norm is None else self.attention_norm(states))

    def finish(self, attended: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Return the states after the layer, `[rows, hidden]`."""
        states = states + self.out(attended)
        normed = self.norm(states)
        return states.add_(self.down(self.up(normed).mul_(self.gate(normed))))


@dataclass(frozen=True, slots=True)
class _Seeing:
    """The turns and the attention of all layers of one kind, local or not, in one batch.

    Attributes:
        turns: the turns of each token, `[tokens, 1, head_dim / 2]`, complex.
        attend_first: `attend` where only the first tokens of pairs are needed afterwards.
    """

    turns: torch.Tensor
    attend: PairAttention
    attend_first: PairAttention


class ModernBert:
    """The body of a loaded cross-encoder."""

    def __init__(
        self,
        body: Any,
        layers: Sequence[Layer],
        *,
        speeds: Callable[[bool], torch.Tensor],
        norm: Scaling,
        form: torch.dtype,
    ) -> None:
        """Take embeddings from `body`, transformers' model without its head.

        Args:
            speeds: returns the speeds of rotary positions, `[head_dim / 2]`; its argument is
                whether a layer is local.
            norm: the last norm, in fp32.
            form: the number format of states.
        """
        self._embeddings = body.embeddings
        self._layers = layers
        self._heads = body.config.num_attention_heads
        self._reach = body.config.sliding_window
        self._pools_mean = body.config.classifier_pooling == "mean"
        self._speeds = {is_local: speeds(is_local) for is_local in (False, True)}
        self._norm = norm
        self._form = form

    def pooled(self, batch: PackedBatch) -> torch.Tensor:
        """Return the last state of each pair's first token, or the mean of all tokens' states.

        The result is `[pairs, hidden]`.
        """
        states = self._embeddings(input_ids=batch.token_ids[None])[0].to(self._form)
        seeing = {is_local: self._seeing(batch, is_local) for is_local in (False, True)}
        for layer in self._layers[:-1]:
            seen = seeing[layer.is_local]
            _finish(layer, self._attended(layer, states, seen, seen.attend), states)
        last = self._layers[-1]
        seen = seeing[last.is_local]
        if self._pools_mean:
            _finish(last, self._attended(last, states, seen, seen.attend), states)
            return _means(self._norm(states.float()), batch.lengths)
        attended = self._attended(last, states, seen, seen.attend_first)
        return self._norm(last.finish(attended[batch.starts], states[batch.starts]).float())

    def _seeing(self, batch: PackedBatch, is_local: bool) -> _Seeing:
        speeds = self._speeds[is_local]
        made = (2 * len(speeds), str(speeds.device), self._form)
        turned = rotations(batch.positions, speeds)
        if is_local:
            return _Seeing(turned, *local_attention_for(batch.lengths, self._reach, *made))
        return _Seeing(turned, *attention_for(batch.lengths, *made))

    def _attended(
        self, layer: Layer, states: torch.Tensor, seen: _Seeing, attend: PairAttention
    ) -> torch.Tensor:
        tokens, hidden = states.shape
        products = torch.empty((tokens, 3 * hidden), dtype=self._form, device=states.device)
        for rows in tiles(states):
            products[rows] = layer.project(states[rows])
            self._turn(products[rows, : 2 * hidden], seen.turns[rows])
        attended = torch.empty_like(states)
        attend(products.view(tokens, 3, self._heads, -1), attended)
        return attended

    def _turn(self, products: torch.Tensor, turned: torch.Tensor) -> None:
        """Turn queries and keys to their positions, in fp32 and in place."""
        exact = products.to(torch.float32, copy=True).view(len(products), 2 * self._heads, -1, 2)
        torch.view_as_complex(exact).mul_(turned)
        products.copy_(exact.view(products.shape))


def _finish(layer: Layer, attended: torch.Tensor, states: torch.Tensor) -> None:
    """Change states to those after a layer, in place."""
    for rows in tiles(states):
        states[rows] = layer.finish(attended[rows], states[rows])


def _means(states: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    return torch.stack([of_pair.mean(0) for of_pair in torch.split(states, list(lengths))])
