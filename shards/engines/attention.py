"""Attention without padding between segments that attend to rows of a pool, see `segments`.

Three ways, the first that can be used:

- On a GPU, flash attention over rows of any length, as PyTorch has it.
- On a CPU in bf16, a kernel of our own, `shards.native.attention`.
- Plain batched products over groups of segments of like length. At the lengths of queries and documents
  this is 1.8 times as fast as `scaled_dot_product_attention`, whose fused kernel is made for long rows.
  Long segments are taken some rows at a time, each with the keys before its end, so that scores stay
  small and little above the diagonal is computed: numbers of keys are rounded up to a few sizes, for
  oneDNN keeps a kernel and its room, megabytes, for every size that it has met.

Heads come first: queries are `[kv_heads, rows, share * head_dim]`, keys and values
`[kv_heads, rows, head_dim]`; the query heads that share a key head lie side by side. Queries are
scaled already, and have one row more than the batch, which is nobody's.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import torch

from shards.engines.segments import STEP, Asking, Group, group
from shards.native.attention import Attending
from shards.native.library import kernels
from shards.native.sizes import takes_heads

MOST_SCORES = 1 << 20  # of one head at a time
_MOST_ROWS = 1024  # of one segment at a time


class Attention(Protocol):
    """Who attends to what in one batch."""

    def __call__(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, out: torch.Tensor
    ) -> None:
        """Write what the rows of `queries` attend to into `out`, which has the same shape."""
        ...


def attention_for(
    askings: Sequence[Asking], rows: int, device: str, form: torch.dtype, dim: int
) -> Attention:
    """Return the attention of `askings`, which cover `rows` rows in their order; heads are `dim` wide."""
    if device.startswith("cuda") and form != torch.float32 and _varlen() is not None:
        return Flash(askings, device)
    library = kernels()
    if device == "cpu" and form == torch.bfloat16 and library is not None and takes_heads(dim):
        return Attending(library, [(one.rows, one.attended) for one in askings], causal=True)
    return Grouped(askings, rows, device, form)


class Grouped:
    """Batched products over groups."""

    def __init__(
        self, askings: Sequence[Asking], rows: int, device: str, form: torch.dtype
    ) -> None:
        step = STEP if device == "cpu" and form != torch.float32 else 1
        groups = group(askings, rows=rows, most_scores=MOST_SCORES, step=step)
        self._groups = [one.on(device) for one in groups]

    def __call__(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, out: torch.Tensor
    ) -> None:
        """See `Attention`."""
        for one in self._groups:
            _attend(queries, keys, values, one, out)


def _attend(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    group: Group,
    out: torch.Tensor,
) -> None:
    heads, _, width = queries.shape
    dim = keys.shape[-1]
    share = width // dim
    members = len(group.rows) // group.length
    asked = queries.index_select(1, group.rows).view(heads * members, group.length * share, dim)
    key = keys.index_select(1, group.attended).view(heads * members, -1, dim).transpose(1, 2)
    value = values.index_select(1, group.attended).view(heads * members, -1, dim)
    everything = group.past + group.length
    step = _power_of_two(MOST_SCORES // (members * everything))
    for first in range(0, group.length, step):
        last = min(group.length, first + step)
        seen = min(everything, _few_sizes(group.past + last))
        rows = slice(first * share, last * share)
        scores = torch.bmm(asked[:, rows], key[:, :, :seen])
        below = scores.view(heads * members, -1, share, seen)[..., group.past + first :]
        below[..., last - first :] = float("-inf")
        if last - first > 1:
            diagonal = _diagonal(scores.dtype, scores.device)[: last - first, :, : last - first]
            below[..., : last - first] += diagonal
        if group.left is not None:
            padding = scores.view(heads, members, -1, seen)[..., : group.left.shape[-1]]
            padding += group.left.to(scores.dtype)
        # in place: the queries are not needed again
        asked[:, rows] = torch.bmm(scores.softmax(-1), value[:, :seen])
    out.index_copy_(1, group.rows, asked.view(heads, -1, width))


def _power_of_two(rows: int) -> int:
    """Return the largest power of two that is not more than `rows` and `_MOST_ROWS`; 1 at least."""
    return int(1 << (min(_MOST_ROWS, max(1, rows)).bit_length() - 1))


def _few_sizes(keys: int) -> int:
    """Round up to one of 16 sizes between two powers of two: 3 % more on average."""
    grain = 1 << max(0, keys.bit_length() - 5)
    return keys + -keys % grain


@lru_cache(maxsize=4)
def _diagonal(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return 0 where a row may look and -inf after it, `[_MOST_ROWS, 1, _MOST_ROWS]`."""
    after = torch.ones(_MOST_ROWS, _MOST_ROWS, dtype=torch.bool, device=device).triu_(1)
    mask = torch.zeros(_MOST_ROWS, _MOST_ROWS, dtype=dtype, device=device)
    return mask.masked_fill_(after, float("-inf"))[:, None]


class Flash:
    """PyTorch's flash attention over rows of any length, each with the keys before its end."""

    def __init__(self, askings: Sequence[Asking], device: str, attend: Any = None) -> None:
        """Lay out who attends to what; `attend` has the signature of PyTorch's `varlen_attn`."""
        lengths = [one.length for one in askings]
        seen = [one.past + one.length for one in askings]
        attended = [
            row
            for one in askings
            for first, count in one.attended
            for row in range(first, first + count)
        ]
        self._attended = moved(torch.tensor(attended), device)
        self._ends = tuple(
            moved(torch.tensor([0, *counts]).cumsum(0).int(), device) for counts in (lengths, seen)
        )
        self._longest = (max(lengths), max(seen))
        self._attend: Any = attend or _varlen()

    def __call__(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, out: torch.Tensor
    ) -> None:
        """See `Attention`."""
        kv_heads, rows, width = queries.shape
        dim = keys.shape[-1]
        asked = queries[:, :-1].transpose(0, 1).reshape(rows - 1, -1, dim)
        key, value = (one.index_select(1, self._attended).transpose(0, 1) for one in (keys, values))
        attended = self._attend(
            *(asked, key, value, *self._ends, *self._longest),
            scale=1.0,
            window_size=(-1, 0),  # causal, and the last rows of both end together
            enable_gqa=True,
        )
        out[:, :-1] = attended.reshape(rows - 1, kv_heads, width).transpose(0, 1)


@lru_cache(maxsize=1)
def _varlen() -> Any | None:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def moved(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """Return a tensor of the CPU on a device; a GPU copies it from pinned memory, without a wait."""
    if device.startswith("cuda"):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
