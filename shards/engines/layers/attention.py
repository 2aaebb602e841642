"""Attention without padding between segments that attend to rows of a pool, see `packed_layout`.

There are three implementations; the first that can be used is taken:

- On a GPU, flash attention over rows of any length, see `varlen`.
- On a CPU in bf16, a kernel in C, `shards.native.attention`.
- Plain batched products over groups of segments of similar length. At the lengths of queries and
  documents this is 1.8 times as fast as `scaled_dot_product_attention`, whose fused kernel is made
  for long rows. Long segments are taken some rows at a time, each with the keys before its end, so
  that scores stay small and little above the diagonal is computed. Numbers of keys are rounded up
  to a few sizes: oneDNN keeps a kernel and its buffers, megabytes, for every size that it has met.

Heads come first: queries are `[kv_heads, rows, share * head_dim]`, keys and values
`[kv_heads, rows, head_dim]`; the query heads that share a key head lie side by side. Queries are
scaled already, and have one row more than the batch, which padding reads and writes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch

from shards.engines.layers.packed_layout import STEP, Group, Segment, group_segments
from shards.engines.layers.varlen import CAUSAL, Kernel, Spans, kernel_for, spans_of
from shards.machine.devices import moved
from shards.native.arguments import takes_heads
from shards.native.attention import SegmentAttention
from shards.native.library import kernels

MOST_SCORES = 1 << 20  # of one head at a time
_MOST_ROWS = 1024  # of one segment at a time
MOST_ATTENDED = 1 << 16  # keys of flash attention at a time: 0.3 GB of Qwen3-0.6B's, with values


class Attention(Protocol):
    """The attention of one batch."""

    def __call__(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, out: torch.Tensor
    ) -> None:
        """Write the result for the rows of `queries` into `out`, which has the same shape."""
        ...


def attention_for(
    segments: Sequence[Segment], rows: int, device: str, dtype: torch.dtype, dim: int
) -> Attention:
    """Return the attention of `segments`, which cover `rows` rows in their order.

    Args:
        dim: the elements of a head.
    """
    flash = kernel_for(device, dtype, dim)
    if flash is not None:
        return Flash(segments, device, flash)
    library = kernels()
    if device == "cpu" and dtype == torch.bfloat16 and library is not None and takes_heads(dim):
        spans = [(segment.rows, segment.attended) for segment in segments]
        return SegmentAttention(library, spans, causal=True)
    return Grouped(segments, rows, device, dtype)


class Grouped:
    """Batched products over groups."""

    def __init__(
        self, segments: Sequence[Segment], rows: int, device: str, dtype: torch.dtype
    ) -> None:
        step = STEP if device == "cpu" and dtype != torch.float32 else 1
        groups = group_segments(segments, rows=rows, most_scores=MOST_SCORES, step=step)
        self._groups = [group.on(device) for group in groups]

    def __call__(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, out: torch.Tensor
    ) -> None:
        """See `Attention`."""
        for group in self._groups:
            _attend(queries, keys, values, group, out)


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
        # In place: the queries are not needed again.
        asked[:, rows] = torch.bmm(scores.softmax(-1), value[:, :seen])
    out.index_copy_(1, group.rows, asked.view(heads, -1, width))


def _power_of_two(rows: int) -> int:
    """Return the largest power of two that is not more than `rows` and `_MOST_ROWS`; 1 at least."""
    return int(1 << (min(_MOST_ROWS, max(1, rows)).bit_length() - 1))


def _few_sizes(keys: int) -> int:
    """Round up to one of 16 sizes between two powers of two, which adds 3 % on average."""
    grain = 1 << max(0, keys.bit_length() - 5)
    return keys + -keys % grain


@lru_cache(maxsize=4)
def _diagonal(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return 0 up to a row's own key and -inf after it, `[_MOST_ROWS, 1, _MOST_ROWS]`."""
    after = torch.ones(_MOST_ROWS, _MOST_ROWS, dtype=torch.bool, device=device).triu_(1)
    mask = torch.zeros(_MOST_ROWS, _MOST_ROWS, dtype=dtype, device=device)
    return mask.masked_fill_(after, float("-inf"))[:, None]


class Flash:
    """Flash attention over rows of any length, each with the keys before its end."""

    def __init__(self, segments: Sequence[Segment], device: str, kernel: Kernel) -> None:
        """Lay out the segments, in as few calls as memory allows."""
        self._kernel = kernel
        self._calls = [_call(some, device) for some in _cut(segments)]

    def __call__(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, out: torch.Tensor
    ) -> None:
        """See `Attention`."""
        kv_heads, _, width = queries.shape
        dim = keys.shape[-1]
        for call in self._calls:
            asked = queries[:, call.rows].transpose(0, 1).reshape(-1, kv_heads * width // dim, dim)
            key, value = (_rows_of(pool, call.attended).transpose(0, 1) for pool in (keys, values))
            attended = self._kernel(asked, key, value, call.spans, CAUSAL)
            out[:, call.rows] = attended.reshape(-1, kv_heads, width).transpose(0, 1)


@dataclass(frozen=True, slots=True)
class _Call:
    """Segments that attend in one call.

    Attributes:
        rows: of the batch.
        attended: rows of the pool, segment by segment.
    """

    rows: slice
    attended: torch.Tensor | slice
    spans: Spans


def _cut(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Yield runs of segments; the keys of a prefix count for each segment that attends to it."""
    some: list[Segment] = []
    attended = 0
    for segment in segments:
        attended += segment.past + segment.length
        if some and attended > MOST_ATTENDED:
            yield some
            some, attended = [], segment.past + segment.length
        some.append(segment)
    yield some


def _call(segments: Sequence[Segment], device: str) -> _Call:
    lengths = [segment.length for segment in segments]
    first = segments[0].rows[0]
    firsts, counts = torch.tensor([span for segment in segments for span in segment.attended]).T
    begins = firsts - (counts.cumsum(0) - counts)  # less the rows before each span
    attended: torch.Tensor | slice
    if bool((begins == begins[0]).all()):  # contiguous in the pool as well
        attended = slice(int(firsts[0]), int(firsts[0] + counts.sum()))
    else:
        rows = torch.arange(int(counts.sum())) + begins.repeat_interleave(counts)
        attended = moved(rows, device)
    spans = spans_of(lengths, [segment.past + segment.length for segment in segments], device)
    return _Call(slice(first, first + sum(lengths)), attended, spans)


def _rows_of(pool: torch.Tensor, rows: torch.Tensor | slice) -> torch.Tensor:
    return pool[:, rows] if isinstance(rows, slice) else pool.index_select(1, rows)
