"""Qwen3's forward pass over a flat row of tokens, see `segments`.

What differs from transformers' own, of the same weights and with the same margins:

- linears and norms see no padding, and tokens that pairs share are computed once;
- q, k and v are one product, gate and up another, with weights laid out for the device (`linears`);
- after the last attention only the last token of each pair is computed, and keys and values alone
  for all others;
- between two products some hundred rows go through all steps, so that they stay in the cache.

The halves of a head that rotary positions turn together are put side by side by permuting the rows
of q and k once, at load: a turn is then one complex product, and scores do not change, for q and k
are permuted alike. The scale of the scores is part of q's norm.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from shards.engines.attention import attend
from shards.engines.linears import Linear
from shards.engines.prefixes import PrefixCache
from shards.engines.segments import Plan, group, plan_batch
from shards.pairs import Batch
from shards.work import Work

_ROWS = 512  # that go through all steps between two attentions together
_MOST_SCORES = 1 << 20  # of one head at a time


@dataclass(frozen=True, slots=True)
class Shape:
    """What a config says of the sizes of a model."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    theta: float

    @property
    def share(self) -> int:
        """How many query heads share a key head."""
        return self.heads // self.kv_heads


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer.

    Attributes:
        norm, mlp_norm: fp32.
        vkq: values, keys and queries in this order; in the last layer values and keys alone.
        q: of the last layer; `None` in all others.
        turned_norms: of the heads of k, then of q (scaled), permuted, fp32 `[heads, head_dim]`.
    """

    norm: torch.Tensor
    vkq: Linear
    q: Linear | None
    turned_norms: torch.Tensor
    out: Linear
    mlp_norm: torch.Tensor
    gate_up: Linear
    down: Linear


class Qwen3:
    """The layers of a model, with its embeddings and without its final norm.

    Attributes:
        last_work: what the last batch cost.
    """

    def __init__(
        self,
        shape: Shape,
        table: torch.Tensor,
        layers: Sequence[Layer],
        *,
        form: torch.dtype,
        cache: PrefixCache,
    ) -> None:
        """Take the weights, all on one device; `table` may be of any float format."""
        self._shape = shape
        self._table = table
        self._layers = layers
        self._form = form
        self._cache = cache
        powers = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
        self.last_work = Work([], [])
        self._speeds = 1.0 / shape.theta**powers

    def last_states(self, batch: Batch) -> torch.Tensor:
        """Return the states of each pair's last token before the final norm, `[pairs, hidden]`."""
        plan = plan_batch(batch, self._cache)
        states = self._table[plan.token_ids].to(self._form)
        one_pass = _Pass(self._shape, plan, self._speeds, self._form)
        for at, layer in enumerate(self._layers[:-1]):
            one_pass.layer(at, layer, states)
        last = one_pass.last_layer(len(self._layers) - 1, self._layers[-1], states)
        for (part, _), computed in zip(plan.new, one_pass.computed, strict=True):
            self._cache.keep(part, computed)
        self.last_work = plan.work
        return last


class _Pass:
    """What the layers of one pass share: the pool of keys and values, and who attends to what."""

    def __init__(self, shape: Shape, plan: Plan, speeds: torch.Tensor, form: torch.dtype) -> None:
        self._shape = shape
        self._plan = plan
        self._form = form
        self._turns = _turns(plan.positions, speeds)
        pool = (shape.kv_heads, plan.kept_rows + plan.tokens, shape.head_dim)
        self._keys, self._values = torch.empty(pool, dtype=form), torch.empty(pool, dtype=form)
        self._queries = self._rows_and_one(plan.tokens)
        self._attended = torch.empty_like(self._queries)
        self._groups = group(plan.askings, rows=plan.tokens, most_scores=_MOST_SCORES)
        self.computed = [
            torch.empty((shape.layers, 2, shape.kv_heads, length, shape.head_dim), dtype=form)
            for _, (_, length) in plan.new
        ]

    def _rows_and_one(self, rows: int) -> torch.Tensor:
        """Return room for queries; the row after the last one is nobody's, see `segments`."""
        shape = self._shape
        room = torch.empty(
            (shape.kv_heads, rows + 1, shape.share * shape.head_dim), dtype=self._form
        )
        room[:, rows] = 0
        return room

    def layer(self, at: int, layer: Layer, states: torch.Tensor) -> None:
        """Take the states of all tokens through one layer, in place."""
        self._project(at, layer, states)
        for one in self._groups:
            attend(self._queries, self._keys, self._values, one, self._attended, _MOST_SCORES)
        for rows in _tiles(len(states)):
            self._after(layer, self._attended[:, rows], states[rows])

    def last_layer(self, at: int, layer: Layer, states: torch.Tensor) -> torch.Tensor:
        """Return the states of the last tokens after the last layer."""
        assert layer.q is not None
        self._project(at, layer, states)
        ends = self._plan.ends
        last = states[ends]
        normed = rms_normed(last, layer.norm, self._shape.eps)
        norms = layer.turned_norms[self._shape.kv_heads :]
        queries = self._rows_and_one(len(ends))
        self._put_queries(
            queries[:, :-1], _turned(layer.q(normed), norms, self._turns[ends], self._shape.eps)
        )
        attended = torch.empty_like(queries)
        for one in group(self._plan.last_askings, rows=len(ends), most_scores=_MOST_SCORES):
            attend(queries, self._keys, self._values, one, attended, _MOST_SCORES)
        self._after(layer, attended[:, :-1], last)
        return last

    def _project(self, at: int, layer: Layer, states: torch.Tensor) -> None:
        """Fill the pool, and the queries unless this is the last layer."""
        shape, width = self._shape, self._shape.kv_heads * self._shape.head_dim
        first = self._bring_kept(at)
        for rows in _tiles(len(states)):
            product = layer.vkq(rms_normed(states[rows], layer.norm, shape.eps))
            pool = slice(first + rows.start, first + rows.stop)
            values = product[:, :width].view(-1, shape.kv_heads, shape.head_dim)
            self._values[:, pool] = values.transpose(0, 1)
            norms = layer.turned_norms[: (product.shape[1] - width) // shape.head_dim]
            turned = _turned(product[:, width:], norms, self._turns[rows], shape.eps)
            self._keys[:, pool] = turned[:, : shape.kv_heads].transpose(0, 1)
            if layer.q is None:
                self._put_queries(self._queries[:, rows], turned[:, shape.kv_heads :])
        for computed, (_, (start, length)) in zip(self.computed, self._plan.new, strict=True):
            computed[at, 0] = self._keys[:, first + start : first + start + length]
            computed[at, 1] = self._values[:, first + start : first + start + length]

    def _bring_kept(self, at: int) -> int:
        """Put this layer's keys and values of the kept parts into the pool; return their number."""
        first = 0
        for states in self._plan.kept:
            last = first + states.shape[3]
            self._keys[:, first:last], self._values[:, first:last] = states[at]
            first = last
        return first

    def _put_queries(self, room: torch.Tensor, turned: torch.Tensor) -> None:
        heads, rows = room.shape[:2]
        room.view(heads, rows, -1, self._shape.head_dim).copy_(
            turned.view(rows, heads, -1, self._shape.head_dim).transpose(0, 1)
        )

    def _after(self, layer: Layer, attended: torch.Tensor, states: torch.Tensor) -> None:
        """What follows attention: the output product and the feed-forward block, in place."""
        flat = attended.transpose(0, 1).reshape(len(states), -1)
        states.add_(layer.out(flat))
        product = layer.gate_up(rms_normed(states, layer.mlp_norm, self._shape.eps))
        gate, up = product.chunk(2, dim=1)
        states.add_(layer.down(functional.silu(gate).mul_(up)))


def _tiles(rows: int) -> Iterator[slice]:
    for first in range(0, rows, _ROWS):
        yield slice(first, min(rows, first + _ROWS))


def _turns(positions: torch.Tensor, speeds: torch.Tensor) -> torch.Tensor:
    """Return the turn of each position as complex numbers, `[positions, 1, head_dim / 2]`."""
    angles = positions[:, None, None] * speeds
    return torch.polar(torch.ones_like(angles), angles)


def rms_normed(states: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Return the rows over their root mean square, times `weight`; computed in fp32."""
    exact = torch.empty(states.shape, dtype=torch.float32).copy_(states)
    return exact.mul_(_over_rms(exact, eps)).mul_(weight).to(states.dtype)


def _turned(
    flat: torch.Tensor, norms: torch.Tensor, turns: torch.Tensor, eps: float
) -> torch.Tensor:
    """Return heads normed and turned to their positions, `[rows, heads, head_dim]`."""
    rows, (heads, dim) = len(flat), norms.shape
    exact = torch.empty((rows, heads, dim), dtype=torch.float32)
    exact.view(rows, -1).copy_(flat)
    over_rms = _over_rms(exact, eps)
    exact.mul_(norms)
    torch.view_as_complex(exact.view(rows, heads, -1, 2)).mul_(turns)
    return exact.mul_(over_rms).to(flat.dtype)


def _over_rms(exact: torch.Tensor, eps: float) -> torch.Tensor:
    norm: torch.Tensor = torch.linalg.vector_norm(exact, dim=-1, keepdim=True)
    return norm.square_().mul_(1 / exact.shape[-1]).add_(eps).rsqrt_()
