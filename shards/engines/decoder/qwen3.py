"""Qwen3's forward pass over a packed batch, see `packed_layout`.

Weights and margins are those of transformers' own pass. The differences:

- linears and norms see no padding, and tokens that pairs share are computed once;
- q, k and v are one product, gate and up another, with weights laid out for the device (`linear`);
- in the last layer all tokens get keys and values, the last token of each pair alone all else;
- between two products some hundred rows go through all steps, so that they stay in the cache.

Rotary positions turn the two halves of a head together. The rows of q and k are permuted once, at
load, so that the halves are interleaved: a turn is then one complex product. Scores do not change,
because q and k are permuted alike. The scale of the scores is part of q's norm.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from shards.cost import Work
from shards.engines.decoder.qwen3_shape import Shape
from shards.engines.layers.attention import attention_for
from shards.engines.layers.elementwise import Steps, rotations
from shards.engines.layers.fused import Sizes, steps_on
from shards.engines.layers.kv_pool import Pool, rows_and_one
from shards.engines.layers.linear import format_of, takes_any_rows
from shards.engines.layers.packed_layout import STEP, Plan, plan_batch
from shards.engines.prefix_cache import PrefixCache
from shards.machine.devices import moved
from shards.native.rows import Rows
from shards.native.split import QkvBuffers
from shards.pairs import Batch

_ROWS = 512  # that many stay in a CPU's cache
_GPU_ROWS = 1 << 14
_WARM_ROWS = 256  # the most rows of a small batch


Product = Callable[[Rows], Rows]
"""A matrix product, see `linear`; it takes the rows that `Steps` return."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer.

    Attributes:
        norm, mlp_norm: fp32.
        vkq: values, keys and queries in this order; in the last layer values and keys alone.
        q: the queries of the last layer; `None` in all others.
        turned_norms: the norms of the heads of k, then of q (scaled), permuted, fp32
            `[heads, head_dim]`.
    """

    norm: torch.Tensor
    vkq: Product
    q: Product | None
    turned_norms: torch.Tensor
    out: Product
    mlp_norm: torch.Tensor
    gate_up: Product
    down: Product


class Layers(Protocol):
    """The layers of a model: a list, or a sequence that reads each layer when it runs."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: int, /) -> Layer: ...


def sizes_of(shape: Shape, hidden: int) -> Sizes:
    """Return the sizes of the rows that the steps of a model work on."""
    return Sizes(hidden, shape.inner, shape.heads, shape.kv_heads, shape.head_dim)


class Qwen3:
    """The layers of a model, with its embeddings and without its final norm.

    Attributes:
        last_work: the cost of the last batch.
        on_step: called after each layer.
        prefixes: the cached prefixes.
    """

    def __init__(
        self,
        shape: Shape,
        table: torch.Tensor,
        layers: Layers,
        *,
        dtype: str,
        cache: PrefixCache,
    ) -> None:
        """Take weights in the number format `dtype`, all on one device.

        Args:
            table: the embeddings, in any float format.
        """
        self._shape = shape
        self._table = table
        self._layers = layers
        self.prefixes = cache
        self.last_work = Work([], [])
        self.on_step: Callable[[], None] = lambda: None
        device = str(table.device)
        powers = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
        speeds = (1.0 / shape.theta**powers).to(device)
        steps = steps_on(device, dtype, sizes_of(shape, table.shape[1]))
        self._setting = _Setting(shape, steps, speeds, format_of(dtype), device)
        self._step = STEP if device == "cpu" and not _takes_any_rows(layers[0]) else 1

    def warm_up(self) -> None:
        """Make the kernels for all sizes of small batches, so that later batches find them."""
        first, steps = self._layers[0], self._setting.steps
        hidden, width = self._table.shape[1], self._shape.heads * self._shape.head_dim
        for rows in range(STEP, _WARM_ROWS + 1, STEP) if self._step > 1 else ():
            states = steps.product_input(self._setting.empty(rows, hidden).zero_())
            first.vkq(states)
            first.down(steps.gated(first.gate_up(states)))
            first.out(steps.product_input(self._setting.empty(rows, width).zero_()))

    def last_states(self, batch: Batch) -> torch.Tensor:
        """Return the states of each pair's last token before the final norm, `[pairs, hidden]`."""
        try:
            return self._last_states(batch)
        except (MemoryError, torch.OutOfMemoryError):
            self.prefixes.clear()  # frees memory before smaller batches are tried
            raise

    def _last_states(self, batch: Batch) -> torch.Tensor:
        plan = plan_batch(batch, self.prefixes, self._step)
        one_pass = _Pass(self._setting, plan)
        states = self._table[moved(plan.token_ids, self._setting.device)].to(self._setting.form)
        last_at = len(self._layers) - 1
        for at in range(last_at):
            one_pass.layer(at, self._layers[at], states)
            self.on_step()
        last = one_pass.last_layer(last_at, self._layers[last_at], states)
        one_pass.pool.keep_new(self.prefixes)
        self.last_work = plan.work
        return last[: len(batch)]


def _takes_any_rows(layer: Layer) -> bool:
    return all(map(takes_any_rows, (layer.vkq, layer.out, layer.gate_up, layer.down)))


@dataclass(frozen=True, slots=True)
class _Setting:
    """The state that all passes of a model share."""

    shape: Shape
    steps: Steps
    speeds: torch.Tensor
    form: torch.dtype
    device: str

    def empty(self, *size: int) -> torch.Tensor:
        return torch.empty(size, dtype=self.form, device=self.device)

    def tiles(self, rows: int) -> Iterator[slice]:
        """Yield the rows that go through all steps between two attentions together."""
        most = _ROWS if self.device == "cpu" else _GPU_ROWS
        for first in range(0, rows, most):
            yield slice(first, min(rows, first + most))


class _Pass:
    """The state that the layers of one pass share: the pool of keys and values, and the attention.

    Attributes:
        pool: the keys and values.
    """

    def __init__(self, setting: _Setting, plan: Plan) -> None:
        shape = setting.shape
        self._setting = setting
        self._shape = shape
        self._plan = plan
        self._ends = moved(plan.ends, setting.device)
        self._turns = rotations(moved(plan.positions, setting.device), setting.speeds)
        self.pool = Pool(plan, shape, setting.form, setting.device)
        self._queries = self._rows_and_one(plan.tokens)
        self._attended = self._rows_and_one(plan.tokens)
        self._attend = attention_for(
            plan.segments, plan.tokens, setting.device, setting.form, shape.head_dim
        )

    def _rows_and_one(self, rows: int) -> torch.Tensor:
        return rows_and_one(rows, self._shape, self._setting.form, self._setting.device)

    def layer(self, at: int, layer: Layer, states: torch.Tensor) -> None:
        """Take the states of all tokens through one layer, in place."""
        self._project(at, layer, states)
        self._attend(self._queries, self.pool.keys, self.pool.values, self._attended)
        for rows in self._setting.tiles(len(states)):
            self._after(layer, self._attended[:, rows], states[rows])

    def last_layer(self, at: int, layer: Layer, states: torch.Tensor) -> torch.Tensor:
        """Return the states of the last tokens after the last layer."""
        assert layer.q is not None
        self._project(at, layer, states)
        ends, setting, shape = self._ends, self._setting, self._shape
        last = states[ends]
        product = layer.q(setting.steps.normed(last, layer.norm, shape.eps))
        queries = self._rows_and_one(len(ends))
        norms, turned = layer.turned_norms[shape.kv_heads :], self._turns[ends]
        setting.steps.split(product, norms, turned, shape.eps, QkvBuffers(queries=queries[:, :-1]))
        attended = self._rows_and_one(len(ends))
        attend = attention_for(
            self._plan.last_segments, len(ends), setting.device, setting.form, shape.head_dim
        )
        attend(queries, self.pool.keys, self.pool.values, attended)
        self._after(layer, attended[:, :-1], last)
        return last

    def _project(self, at: int, layer: Layer, states: torch.Tensor) -> None:
        """Fill the pool, and the queries unless this is the last layer."""
        shape, steps, pool = self._shape, self._setting.steps, self.pool
        pool.bring_kept(at)
        norms = layer.turned_norms[: None if layer.q is None else shape.kv_heads]
        for rows in self._setting.tiles(len(states)):
            product = layer.vkq(steps.normed(states[rows], layer.norm, shape.eps))
            placed = slice(pool.first + rows.start, pool.first + rows.stop)
            queries = self._queries[:, rows] if layer.q is None else None
            buffers = QkvBuffers(pool.values[:, placed], pool.keys[:, placed], queries)
            steps.split(product, norms, self._turns[rows], shape.eps, buffers)
        pool.take_new(at)

    def _after(self, layer: Layer, attended: torch.Tensor, states: torch.Tensor) -> None:
        """Apply the output product and the feed-forward block, in place."""
        steps = self._setting.steps
        flat = attended.transpose(0, 1).reshape(len(states), -1)
        product = layer.out(steps.product_input(flat))
        normed = steps.normed(states, layer.mlp_norm, self._shape.eps, product)
        steps.add(states, layer.down(steps.gated(layer.gate_up(normed))))
