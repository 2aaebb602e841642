"""Attention without padding between segments that attend to rows of a pool, see `segments`.

Three ways, the first that can be used:

- On a GPU, flash attention over rows of any length, see `varlen`.
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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch

from shards.devices import moved
from shards.engines.segments import STEP, Asking, Group, group
from shards.engines.varlen import CAUSAL, Kernel, Spans, kernel_for, spans_of
from shards.native.attention import Attending
from shards.native.library import kernels
from shards.native.sizes import takes_heads

MOST_SCORES = 1 << 20  # of one head at a time
_MOST_ROWS = 1024  # of one segment at a time
MOST_ATTENDED = (
    1 << 16
)  # keys of flash attention at a time: 0.3 GB of Qwen3-0.6B's, with their values


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
    flash = kernel_for(device, form, dim)
    if flash is not None:
        return Flash(askings, device, flash)
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
    """Flash attention over rows of any length, each with the keys before its end."""

    def __init__(self, askings: Sequence[Asking], device: str, kernel: Kernel) -> None:
        """Lay out who attends to what."""
        self._kernel = kernel
        self._parts = [_part(some, device) for some in _cut(askings)]

    def __call__(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, out: torch.Tensor
    ) -> None:
        """See `Attention`."""
        kv_heads, _, width = queries.shape
        dim = keys.shape[-1]
        for part in self._parts:
            asked = queries[:, part.rows].transpose(0, 1).reshape(-1, kv_heads * width // dim, dim)
            key, value = (_taken(one, part.attended).transpose(0, 1) for one in (keys, values))
            attended = self._kernel(asked, key, value, part.spans, CAUSAL)
            out[:, part.rows] = attended.reshape(-1, kv_heads, width).transpose(0, 1)


@dataclass(frozen=True, slots=True)
class _Part:
    """Askings that attend in one call.

    Attributes:
        rows: of the batch.
        attended: rows of the pool, one segment after the other.
    """

    rows: slice
    attended: torch.Tensor | slice
    spans: Spans


def _cut(askings: Sequence[Asking]) -> Iterator[list[Asking]]:
    """Yield askings that follow one another; a prefix is laid out anew for each that attends to it."""
    some: list[Asking] = []
    attended = 0
    for one in askings:
        attended += one.past + one.length
        if some and attended > MOST_ATTENDED:
            yield some
            some, attended = [], one.past + one.length
        some.append(one)
    yield some


def _part(askings: Sequence[Asking], device: str) -> _Part:
    lengths = [one.length for one in askings]
    first = askings[0].rows[0]
    firsts, counts = torch.tensor([span for one in askings for span in one.attended]).T
    begins = firsts - (counts.cumsum(0) - counts)  # less what lies before each span
    attended: torch.Tensor | slice
    if bool((begins == begins[0]).all()):  # one after the other in the pool as well
        attended = slice(int(firsts[0]), int(firsts[0] + counts.sum()))
    else:
        rows = torch.arange(int(counts.sum())) + begins.repeat_interleave(counts)
        attended = moved(rows, device)
    spans = spans_of(lengths, [one.past + one.length for one in askings], device)
    return _Part(slice(first, first + sum(lengths)), attended, spans)


def _taken(pool: torch.Tensor, rows: torch.Tensor | slice) -> torch.Tensor:
    return pool[:, rows] if isinstance(rows, slice) else pool.index_select(1, rows)
