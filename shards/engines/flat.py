"""Decoders of transformers over a flat row of tokens, see `segments`: their modules, our attention.

Transformers asks an attention function, found by name in a table, for what the queries of a layer
attend to. Ours knows who attends to what in the row. All else in a decoder goes token by token, with
positions that are given, so linears and norms see no padding, and tokens that pairs share are
computed once and kept. For which decoders that is true `plain` finds out.

Their linears are laid out for the device as those of Qwen3 are (`linears`).
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch

from shards.devices import moved
from shards.engines.attention import attention_for
from shards.engines.linears import Linear, pack, takes_any_rows
from shards.engines.padding import warm_up_batches
from shards.engines.pool import Heads, Pool, rows_and_one
from shards.engines.prefixes import PrefixCache
from shards.engines.segments import STEP, Plan, plan_batch
from shards.pairs import Batch
from shards.work import Work

NAME = "rerank-flat"  # of the attention function; no mask is made for a name that has none


class Attends(Protocol):
    """Who answers the attention of a model, given with each call of it."""

    def __call__(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        given: Mapping[str, Any],
    ) -> torch.Tensor:
        """Return what the queries of a layer attend to, `[1, tokens, heads, head_dim]`.

        Args:
            module: the attention of the layer.
            query, key, value: `[1, heads or kv_heads, tokens, head_dim]`, positions in them.
            given: what else the model tells its attention.
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
    """Attend as `attends` does: the attention function that transformers knows by `NAME`."""
    return attends(module, query, key, value, attention_mask, given), None


class FlatBody:
    """A transformers model whose attention is the plain kind, over flat rows; see `bodies.Body`.

    Attributes:
        heads: of each layer.
    """

    def __init__(self, body: Any, heads: Heads, device: str, cache: PrefixCache) -> None:
        """Take a model that has been told to use the attention function `NAME`."""
        self.last_work = Work([], [])
        self.on_step: Callable[[], None] = lambda: None
        self._body = body
        self.heads = heads
        self._device = device
        self.prefixes = cache
        self._step = STEP if device == "cpu" and makes_kernels(body) else 1

    def warm_up(self) -> None:
        """See `bodies.Body`."""
        for batch in warm_up_batches(int(self._body.config.max_position_embeddings)):
            self.last_states(batch)

    def last_states(self, batch: Batch) -> torch.Tensor:
        """See `bodies.Body`."""
        try:
            return self._last_states(batch)
        except (MemoryError, torch.OutOfMemoryError):
            self.prefixes.clear()  # before smaller batches are tried
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
    """What the layers of one pass share; `Attends`.

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
        self._attend = attention_for(plan.askings, plan.tokens, device, form, heads.head_dim)

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
    """Replace all linears of a model, one after the other, so that it never takes its size twice."""
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
    """Whether a linear of a model makes a kernel for each number of rows."""
    linears = (module for module in body.modules() if isinstance(module, torch.nn.Linear | Packed))
    return not all(isinstance(one, Packed) and takes_any_rows(one.linear) for one in linears)
