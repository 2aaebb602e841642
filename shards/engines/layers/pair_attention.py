"""Attention of an encoder over a packed batch: each pair to itself, see `packed_encoder_layout`.

There are three implementations; the first that can be used is taken:

- On a GPU, flash attention over rows of any length, see `varlen`.
- On a CPU in bf16, a kernel in C, `shards.native.attention`. It needs no groups.
- Plain batched products over groups of pairs of similar length: at the lengths of queries and
  documents these are faster on a CPU than `scaled_dot_product_attention`, whose fused kernel is
  made for long rows. Only there a short pair is padded to the longest of its group, and the padding
  is hidden. Long pairs are taken some rows at a time, so that scores stay small.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import torch

from shards.engines.layers import varlen
from shards.machine.devices import moved
from shards.native.arguments import takes_heads
from shards.native.attention import SegmentAttention
from shards.native.library import kernels

_PADDED_SHARE = 0.2  # of a group's scores; beyond it the next pair starts another group
_FREE_SCORES = 1 << 14  # of one head; below it a group costs its launch, whatever its padding
_MOST_SCORES = 1 << 18  # of one head at a time, so that they stay in the cache


class PairAttention(Protocol):
    """The attention of one batch."""

    def __call__(self, products: torch.Tensor, out: torch.Tensor) -> None:
        """Write the results of all rows into `out`, `[tokens, hidden]`.

        Args:
            products: queries (already scaled), keys and values, `[tokens, 3, heads, dim]` in steps
                of any size.
        """
        ...


def attention_for(
    lengths: Sequence[int], dim: int, device: str, dtype: torch.dtype
) -> tuple[PairAttention, PairAttention]:
    """Return the attention of pairs, and that of their first rows alone.

    The second may write other rows as well, or leave them alone.

    Args:
        lengths: of the pairs, shortest first.
    """
    by_kernel = kernel_for(lengths, dim, device, dtype)
    if by_kernel is not None:
        return by_kernel
    grouped = Grouped(lengths, device, dtype)
    return grouped, grouped


def kernel_for(
    lengths: Sequence[int], dim: int, device: str, dtype: torch.dtype, reach: int | None = None
) -> tuple[PairAttention, PairAttention] | None:
    """Return the result of `attention_for` by a kernel; `None` where none can be used.

    Args:
        reach: the most rows between a query and a key that it sees; `None` for no limit.
    """
    flash = varlen.kernel_for(device, dtype, dim)
    if flash is not None:
        return _flash(flash, lengths, device, reach)
    library = kernels()
    if device != "cpu" or dtype != torch.bfloat16 or library is None or not takes_heads(dim):
        return None
    spans = list(zip(accumulate(lengths, initial=0), lengths, strict=False))
    all_rows = [(span, [span]) for span in spans]
    first_rows = [((span[0], 1), [span]) for span in spans]
    whole, of_first = (
        _Whole(SegmentAttention(library, segments, causal=False, reach=reach))
        for segments in (all_rows, first_rows)
    )
    return whole, of_first


@dataclass(frozen=True, slots=True)
class _Whole:
    """The kernel in C, over the layout of an encoder's products."""

    attending: SegmentAttention

    def __call__(self, products: torch.Tensor, out: torch.Tensor) -> None:
        """See `PairAttention`."""
        split = products.permute(1, 2, 0, 3)
        by_head = out.view(len(out), products.shape[2], -1).transpose(0, 1)
        self.attending(split[0], split[1], split[2], by_head)


def _flash(
    kernel: varlen.Kernel, lengths: Sequence[int], device: str, reach: int | None
) -> tuple[PairAttention, PairAttention]:
    window = varlen.FULL if reach is None else (reach, reach)
    spans = varlen.spans_of(lengths, lengths, device)
    starts = torch.tensor([0, *lengths[:-1]]).cumsum(0)
    near = [length if reach is None else min(length, reach + 1) for length in lengths]
    counts = torch.tensor(near)
    before = counts.cumsum(0) - counts
    attended = torch.arange(sum(near)) + (starts - before).repeat_interleave(counts)
    of_first = _FlashFirst(
        kernel,
        moved(starts, device),
        moved(attended, device),
        varlen.spans_of([1] * len(lengths), near, device),
    )
    return _Flash(kernel, spans, window), of_first


@dataclass(frozen=True, slots=True)
class _Flash:
    """Flash attention of all rows."""

    kernel: varlen.Kernel
    spans: varlen.Spans
    window: varlen.Window

    def __call__(self, products: torch.Tensor, out: torch.Tensor) -> None:
        """See `PairAttention`."""
        queries, keys, values = products.unbind(1)
        out.copy_(self.kernel(queries, keys, values, self.spans, self.window).flatten(1))


@dataclass(frozen=True, slots=True)
class _FlashFirst:
    """Flash attention of first rows alone.

    Attributes:
        starts: the first row of each pair.
        attended: the rows that these see, pair by pair.
    """

    kernel: varlen.Kernel
    starts: torch.Tensor
    attended: torch.Tensor
    spans: varlen.Spans

    def __call__(self, products: torch.Tensor, out: torch.Tensor) -> None:
        """See `PairAttention`."""
        queries = products[:, 0].index_select(0, self.starts)
        keys, values = (products[:, part].index_select(0, self.attended) for part in (1, 2))
        attended = self.kernel(queries, keys, values, self.spans, varlen.FULL)
        out.index_copy_(0, self.starts, attended.flatten(1))


@dataclass(frozen=True, slots=True)
class Group:
    """Pairs that attend in one product, each to itself; they follow one another in the batch.

    Attributes:
        rows: their rows.
        pairs: their number.
        length: of each, padded.
        padded: for each place of the padded block its index in `rows`, `[pairs * length]`; `None`
            without padding.
        places: for each of `rows` its place in the padded block.
        hidden: added to scores, 0 or -inf, `[pairs, 1, 1, length]`.
    """

    rows: slice
    pairs: int
    length: int
    padded: torch.Tensor | None = None
    places: torch.Tensor | None = None
    hidden: torch.Tensor | None = None


class Grouped:
    """Batched products over groups."""

    def __init__(self, lengths: Sequence[int], device: str, dtype: torch.dtype) -> None:
        """Group pairs that follow one another, shortest first; `dtype` is that of scores."""
        starts = list(accumulate(lengths, initial=0))
        self.groups = [_grouped(span, lengths, starts, device, dtype) for span in _spans(lengths)]

    def __call__(self, products: torch.Tensor, out: torch.Tensor) -> None:
        """See `PairAttention`."""
        for group in self.groups:
            _attend(products, group, out)


def _spans(lengths: Sequence[int]) -> list[slice]:
    """Cut pairs, shortest first, into groups of similar length."""
    spans: list[slice] = []
    first = useful = 0
    for at, length in enumerate(lengths):
        scores = (at + 1 - first) * length * length
        wasted = scores - useful - length * length
        fits = scores <= _MOST_SCORES
        is_similar = scores <= _FREE_SCORES or wasted <= scores * _PADDED_SHARE
        if at > first and not (fits and is_similar):
            spans.append(slice(first, at))
            first, useful = at, 0
        useful += length * length
    return [*spans, slice(first, len(lengths))]


def _grouped(
    span: slice, all_lengths: Sequence[int], starts: Sequence[int], device: str, dtype: torch.dtype
) -> Group:
    lengths = torch.tensor(all_lengths[span])
    length, start = int(lengths[-1]), starts[span.start]
    rows = slice(start, start + int(lengths.sum()))
    if int(lengths[0]) == length:
        return Group(rows, len(lengths), length)
    columns = torch.arange(length)
    is_real = columns < lengths[:, None]
    firsts = lengths.cumsum(0) - lengths
    padded = firsts[:, None] + columns.minimum(lengths[:, None] - 1)
    hidden = torch.zeros(is_real.shape, dtype=dtype).masked_fill_(~is_real, float("-inf"))
    return Group(
        rows,
        len(lengths),
        length,
        moved(padded.view(-1), device),
        moved(is_real.view(-1).nonzero()[:, 0], device),
        moved(hidden[:, None, None], device),
    )


def _attend(products: torch.Tensor, group: Group, out: torch.Tensor) -> None:
    """Attend with one group."""
    block = products[group.rows]
    if group.padded is not None:
        block = block.index_select(0, group.padded)
    pairs, length, heads = group.pairs, group.length, products.shape[2]
    split = block.view(pairs, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    queries, keys, values = split.reshape(3, pairs * heads, length, -1)
    states = _attended(queries, keys.transpose(1, 2), values, group)
    states = states.view(pairs, heads, length, -1).transpose(1, 2).reshape(pairs * length, -1)
    out[group.rows] = states if group.places is None else states.index_select(0, group.places)


def _attended(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, group: Group
) -> torch.Tensor:
    step = max(1, _MOST_SCORES // (group.pairs * group.length))
    parts = []
    for some in torch.split(queries, step, dim=1):
        scores = torch.bmm(some, keys)
        if group.hidden is not None:
            scores.view(group.pairs, -1, some.shape[1], group.length).add_(group.hidden)
        parts.append(torch.bmm(scores.softmax(-1), values))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
