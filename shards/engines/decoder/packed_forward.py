"""Decoders of transformers over a packed batch, see `packed_layout`: their modules, our attention.

Transformers finds the attention function by name in a table and calls it in each layer. Our
function attends as the segments of the row require. All else in a decoder treats each token by
itself, at a given position. So linears and norms see no padding, and tokens that pairs share are
computed once and cached. `packing_probe` finds the decoders for which that is true.

Linears of these decoders are laid out for the device like those of Qwen3 (`linear`).
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch

from shards.cost import Work
from shards.engines.layers.attention import attention_for
from shards.engines.layers.heads import Heads
from shards.engines.layers.kv_pool import Pool, rows_and_one
from shards.engines.layers.linear import Linear, pack, takes_any_rows
from shards.engines.layers.packed_layout import STEP, Plan, plan_batch
from shards.engines.layers.padding import warm_up_batches
from shards.engines.prefix_cache import PrefixCache
from shards.machine.devices import moved
from shards.pairs import Batch

NAME = "rerank-flat"  # of the attention function; no mask is made for a name that has none


class Attends(Protocol):
    """The attention of one pass of a model, given with each call of the model."""

    def __call__(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        given: Mapping[str, Any],
    ) -> torch.Tensor:
        """Return the attention of a layer's queries, `[1, tokens, heads, head_dim]`.

        Args:
            module: the attention module of the layer.
            query, key, value: `[1, heads or kv_heads, tokens, head_dim]`, with positions applied.
            given: all other arguments that the model passes to its attention.
        """
        ...


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    attends: Attends,
    **given: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as `attends` does: the attention function that transformers finds under `NAME`."""
    return attends(module, query, key, value, attention_mask, given), None


class FlatBody:
    """A transformers model with plain attention, over packed batches; see `body.Body`.

    Attributes:
        heads: the attention heads in each layer.
    """

    def __init__(self, body: Any, heads: Heads, device: str, cache: PrefixCache) -> None:
        """Take a model that was set to use the attention function `NAME`."""
        self.last_work = Work([], [])
        self.on_step: Callable[[], None] = lambda: None
        self._body = body
        self.heads = heads
        self._device = device
        self.prefixes = cache
        self._step = STEP if device == "cpu" and makes_kernels(body) else 1

    def warm_up(self) -> None:
        """See `body.Body`."""
        for batch in warm_up_batches(int(self._body.config.max_position_embeddings)):
            self.last_states(batch)

    def last_states(self, batch: Batch) -> torch.Tensor:
        """See `body.Body`."""
        try:
            return self._last_states(batch)
        except (MemoryError, torch.OutOfMemoryError):
            self.prefixes.clear()  # frees memory before smaller batches are tried
            raise

    def _last_states(self, batch: Batch) -> torch.Tensor:
        plan = plan_batch(batch, self.prefixes, self._step)
        one_pass = _Pass(plan, self.heads, self._body.dtype, self._device, self.on_step)
        states: torch.Tensor = self._body(
            input_ids=moved(plan.token_ids, self._device)[None],
            position_ids=moved(plan.positions, self._device)[None],
            use_cache=False,
            attends=one_pass,
        ).last_hidden_state
        one_pass.pool.keep_new(self.prefixes)
        self.last_work = plan.work
        return states[0, moved(plan.ends[: len(batch)], self._device)]


class _Pass:
    """The state that the layers of one pass share; it implements `Attends`.

    Attributes:
        pool: the keys and values.
    """

    def __init__(
        self,
        plan: Plan,
        heads: Heads,
        form: torch.dtype,
        device: str,
        on_step: Callable[[], None],
    ) -> None:
        self.pool = Pool(plan, heads, form, device)
        self._heads = heads
        self._on_step = on_step
        self._queries = rows_and_one(plan.tokens, heads, form, device)
        self._attended = rows_and_one(plan.tokens, heads, form, device)
        self._attend = attention_for(plan.segments, plan.tokens, device, form, heads.head_dim)

    def __call__(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        given: Mapping[str, Any],
    ) -> torch.Tensor:
        """See `Attends`."""
        pool, heads, at = self.pool, self._heads, module.layer_idx
        pool.bring_kept(at)
        pool.keys[:, pool.first :], pool.values[:, pool.first :] = key[0], value[0]
        pool.take_new(at)
        apart = (heads.kv_heads, -1, heads.share, heads.head_dim)
        asked = query[0].view(heads.kv_heads, heads.share, -1, heads.head_dim).transpose(1, 2)
        torch.mul(asked, given["scaling"], out=self._queries[:, :-1].view(apart))
        self._attend(self._queries, pool.keys, pool.values, self._attended)
        self._on_step()
        attended = self._attended.transpose(0, 1)[:-1]
        return attended.reshape(1, len(attended), heads.heads, heads.head_dim)


# -- linears ---------------------------------------------------------------------------------------


class Packed(torch.nn.Module):
    """A linear with its weight laid out for the device."""

    def __init__(self, linear: Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return `[..., outputs]`."""
        flat = self.linear(states.reshape(-1, states.shape[-1]))
        return flat.view(*states.shape[:-1], -1)


def pack_linears(body: Any, dtype: str, device: str) -> None:
    """Replace all linears of a model, one by one, so that the model never takes its size twice."""
    found = [
        (module, name)
        for module in body.modules()
        for name, child in module.named_children()
        if type(child) is torch.nn.Linear
    ]
    for module, name in found:
        linear = getattr(module, name)
        setattr(module, name, Packed(pack(linear.weight, linear.bias, dtype, device)))


def makes_kernels(body: Any) -> bool:
    """Return whether a linear of a model makes a kernel for each number of rows."""
    linears = (module for module in body.modules() if isinstance(module, torch.nn.Linear | Packed))
    return not all(
        isinstance(linear, Packed) and takes_any_rows(linear.linear) for linear in linears
    )
