"""Qwen3's forward pass in MLX over a row of tokens, see `batch_plan`.

In the last layer all tokens get keys and values, the last token of each pair alone all else. Each
layer is evaluated when it is built, so that no more than one lies in memory as a graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from shards.cost import Work, packed_work
from shards.engines.decoder.qwen3_shape import BEFORE, Shape
from shards.engines.mlx.batch_plan import Group, Plan, plan_batch
from shards.engines.mlx.weights import Matrix, Tensors
from shards.engines.prefix_cache import PrefixCache
from shards.pairs import Batch, Part

_MOST_SCORES = 1 << 21  # of one head of all segments at a time: MLX's CPU keeps them all

States = tuple[mx.array, mx.array]  # keys and values, [kv_heads, tokens, head_dim]


@dataclass(frozen=True, slots=True)
class Layer:
    """The weights of one layer; norms in fp32."""

    norm: mx.array
    q: Matrix
    k: Matrix
    v: Matrix
    q_norm: mx.array
    k_norm: mx.array
    out: Matrix
    mlp_norm: mx.array
    gate: Matrix
    up: Matrix
    down: Matrix


def read_layer(at: int, tensors: Tensors) -> Layer:
    """Read layer `at` of a checkpoint."""
    before = f"{BEFORE}layers.{at}"

    def matrix(name: str) -> Matrix:
        return tensors.matrix(f"{before}.{name}_proj.weight")

    def norm(name: str) -> mx.array:
        return tensors.vector(f"{before}.{name}norm.weight")

    return Layer(
        norm=norm("input_layer"),
        q=matrix("self_attn.q"),
        k=matrix("self_attn.k"),
        v=matrix("self_attn.v"),
        q_norm=norm("self_attn.q_"),
        k_norm=norm("self_attn.k_"),
        out=matrix("self_attn.o"),
        mlp_norm=norm("post_attention_layer"),
        gate=matrix("mlp.gate"),
        up=matrix("mlp.up"),
        down=matrix("mlp.down"),
    )


class Qwen3:
    """The layers of a model, with its embeddings and without its final norm.

    Attributes:
        last_work: the cost of the last batch.
        on_step: called after each layer.
        prefixes: the cached prefixes.
        layers: the weights.
    """

    def __init__(
        self,
        shape: Shape,
        table: Matrix,
        layers: Sequence[Layer],
        *,
        form: mx.Dtype,
        cache: PrefixCache,
    ) -> None:
        """Take weights; `form` is the number format of states."""
        self._shape = shape
        self._table = table
        self.layers = layers
        self._form = form
        self.prefixes = cache
        self.last_work = Work([], [])
        self.on_step: Callable[[], None] = lambda: None

    def last_states(self, batch: Batch) -> mx.array:
        """Return the states of each pair's last token before the final norm, `[pairs, hidden]`."""
        try:
            return self._last_states(batch)
        except RuntimeError as error:
            if "allocate" not in str(error):
                raise
            self.prefixes.clear()  # frees memory before smaller batches are tried
            raise MemoryError(str(error)) from error

    def _last_states(self, batch: Batch) -> mx.array:
        parts = list(dict.fromkeys(part for pair in batch for part in pair.parts))
        kept = {part: self.prefixes.get(part) for part in parts}
        missing = [part for part in parts if kept[part] is None]
        work = packed_work(batch, [part for part in parts if kept[part] is not None])
        one_pass = _Pass(self._shape, plan_batch(batch, missing), self._form, kept)
        states = self._table.rows(mx.array(one_pass.plan.token_ids)).astype(self._form)
        for layer in self.layers[:-1]:
            states = one_pass.layer(layer, states)
            mx.eval(states, *one_pass.made())
            self.on_step()
        last = one_pass.last_layer(self.layers[-1], states, len(batch))
        mx.eval(last)
        for part in missing:
            made = mx.stack([mx.stack(list(of_layer)) for of_layer in one_pass.new[part]])
            mx.eval(made)  # a later batch may be computed by another thread
            self.prefixes.put(part, made)
        self.last_work = Work(work.computed, work.saved, len(parts) - len(missing), len(missing))
        return last


class _Pass:
    """The state that the layers of one pass share.

    Attributes:
        plan: the layout of the batch.
        new: keys and values of the parts that are computed, by layer.
    """

    def __init__(
        self, shape: Shape, plan: Plan, form: mx.Dtype, kept: dict[Part, mx.array | None]
    ) -> None:
        self.plan = plan
        self.new: dict[Part, list[States]] = {part: [] for part in plan.new}
        self._shape = shape
        self._form = form
        self._kept = kept
        self._at = 0
        half = shape.head_dim // 2
        speeds = mx.power(shape.theta, mx.arange(half, dtype=mx.float32) / -half)
        angles = mx.array(plan.positions, dtype=mx.float32)[:, None] * speeds
        self._cosines, self._sines = mx.cos(angles)[:, None], mx.sin(angles)[:, None]
        self._rows = [mx.array(group.rows()) for group in plan.groups]
        self._places = mx.array(plan.places())

    def made(self) -> list[mx.array]:
        """Return the keys and values of the new parts in the layer that was last."""
        return [one for of_layers in self.new.values() for one in of_layers[-1]]

    def layer(self, layer: Layer, states: mx.array) -> mx.array:
        """Return the states of all tokens after one layer."""
        normed = self._normed(states, layer.norm)
        keys, values = self._keys_and_values(layer, normed)
        queries = self._turned(layer.q(normed), layer.q_norm, self._cosines, self._sines)
        found = [
            self._attended(group, rows, queries, keys, values)
            for group, rows in zip(self.plan.groups, self._rows, strict=True)
        ]
        self._at += 1
        return self._after(layer, mx.concatenate(found)[self._places], states)

    def last_layer(self, layer: Layer, states: mx.array, pairs: int) -> mx.array:
        """Return the states of the last tokens after the last layer, in the order of the pairs."""
        keys, values = self._keys_and_values(layer, self._normed(states, layer.norm))
        ends: list[int] = []
        order, found = [0] * pairs, []
        for group, rows in zip(self.plan.groups, self._rows, strict=True):
            for place, (first, length) in zip(group.pairs, group.spans, strict=False):
                order[place] = len(ends)
                ends.append(first + length - 1)
            if group.pairs:
                at = mx.array(ends[-len(group.pairs) :])
                turns = (self._cosines[at], self._sines[at])
                product = layer.q(self._normed(states[at], layer.norm))
                queries = self._turned(product, layer.q_norm, *turns)
                found.append(self._last_attended(group, rows, queries, keys, values))
        after = self._after(layer, mx.concatenate(found), states[mx.array(ends)])
        return after[mx.array(order)]

    def _normed(self, states: mx.array, weight: mx.array) -> mx.array:
        return mx.fast.rms_norm(states, weight, self._shape.eps).astype(self._form)

    def _turned(
        self, product: mx.array, weight: mx.array, cosines: mx.array, sines: mx.array
    ) -> mx.array:
        """Return normed heads, turned to their positions, `[tokens, heads, head_dim]`."""
        heads = product.reshape(len(product), -1, self._shape.head_dim).astype(mx.float32)
        first, second = mx.split(mx.fast.rms_norm(heads, weight, self._shape.eps), 2, axis=-1)
        turned = (first * cosines - second * sines, second * cosines + first * sines)
        return mx.concatenate(list(turned), axis=-1).astype(self._form)

    def _keys_and_values(self, layer: Layer, normed: mx.array) -> States:
        """Return keys and values of the row, `[tokens, kv_heads, head_dim]`; keep the new parts."""
        keys = self._turned(layer.k(normed), layer.k_norm, self._cosines, self._sines)
        values = layer.v(normed).reshape(len(normed), -1, self._shape.head_dim)
        for part, (first, length) in self.plan.new.items():
            rows = slice(first, first + length)
            self.new[part].append((keys[rows].swapaxes(0, 1), values[rows].swapaxes(0, 1)))
        return keys, values

    def _all_seen(self, group: Group, rows: mx.array, keys: mx.array, values: mx.array) -> States:
        """Return what the segments of a group attend to, `[segments, kv_heads, keys, head_dim]`."""
        seen = []
        for which, own in enumerate((keys, values)):
            before = [self._of_part(part)[which] for part in group.before]
            copies = [mx.broadcast_to(one, (len(rows), *one.shape)) for one in before]
            seen.append(mx.concatenate([*copies, own[rows].swapaxes(1, 2)], axis=2))
        return seen[0], seen[1]

    def _of_part(self, part: Part) -> States:
        kept = self._kept[part]
        if kept is None:
            return self.new[part][-1]
        return kept[self._at, 0], kept[self._at, 1]

    def _attended(
        self, group: Group, rows: mx.array, queries: mx.array, keys: mx.array, values: mx.array
    ) -> mx.array:
        """Return what the padded rows of a group attend to, `[rows, heads * head_dim]`."""
        seen = self._all_seen(group, rows, keys, values)
        asked = queries[rows].swapaxes(1, 2)
        step = max(1, _MOST_SCORES // (len(rows) * (group.past + group.length)))
        found = []
        for first in range(0, group.length, step):
            end = min(group.length, first + step)
            found.append(
                mx.fast.scaled_dot_product_attention(
                    asked[:, :, first:end],
                    *(one[:, :, : group.past + end] for one in seen),
                    scale=self._shape.head_dim**-0.5,
                    mask="causal",  # of the last queries, if there are more keys
                )
            )
        attended = mx.concatenate(found, axis=2).swapaxes(1, 2)
        return attended.reshape(len(rows) * group.length, -1)

    def _last_attended(
        self, group: Group, rows: mx.array, queries: mx.array, keys: mx.array, values: mx.array
    ) -> mx.array:
        """Return what the last tokens of a group's pairs attend to, `[pairs, heads * head_dim]`."""
        lengths = mx.array([group.past + length for _, length in group.spans])
        mask = mx.arange(group.past + group.length) < lengths[:, None]
        attended = mx.fast.scaled_dot_product_attention(
            queries[:, :, None],
            *self._all_seen(group, rows, keys, values),
            scale=self._shape.head_dim**-0.5,
            mask=mask[:, None, None],
        )
        return attended.reshape(len(queries), -1)

    def _after(self, layer: Layer, attended: mx.array, states: mx.array) -> mx.array:
        """Return the states after the output product and the feed-forward block."""
        states = states + layer.out(attended)
        normed = self._normed(states, layer.mlp_norm)
        gate = layer.gate(normed)
        return states + layer.down(gate * mx.sigmoid(gate) * layer.up(normed))
