"""Attention of an encoder whose tokens see only near ones, over a packed batch.

The kernels of `pair_attention` take a reach. Where none can be used, pairs so short that every
token is near every other attend as a whole. Longer ones are cut into blocks of queries; each block
meets the keys that are near any of its queries, and those too far from a query are hidden from it.
In both ways the work grows with the length of a pair, not with its square.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from shards.engines.layers.pair_attention import PairAttention, attention_for, kernel_for
from shards.machine.devices import moved

_ROWS = 64  # of queries in a block
_MOST_SCORES = 1 << 18  # of one head at a time, so that they stay in the cache


def local_attention_for(
    lengths: Sequence[int], reach: int, dim: int, device: str, dtype: torch.dtype
) -> tuple[PairAttention, PairAttention]:
    """Return the result of `attention_for` for tokens that see those at most `reach` away."""
    by_kernel = kernel_for(lengths, dim, device, dtype, reach)
    if by_kernel is not None:
        return by_kernel
    in_blocks = _in_blocks(lengths, reach, dim, device, dtype)
    return in_blocks, in_blocks


def _in_blocks(
    lengths: Sequence[int], reach: int, dim: int, device: str, dtype: torch.dtype
) -> PairAttention:
    short = [length for length in lengths if length <= reach + 1]
    whole = attention_for(short, dim, device, dtype)[0] if short else None
    if whole is not None and len(short) == len(lengths):
        return whole
    blocks = list(_blocks(lengths[len(short) :], reach, device, dtype))
    return _Local(whole, sum(short), blocks)


@dataclass(frozen=True, slots=True)
class _Local:
    """Short pairs, of `short_tokens` in all, then the blocks of the long ones."""

    whole: PairAttention | None
    short_tokens: int
    blocks: Sequence["Blocks"]

    def __call__(self, products: torch.Tensor, out: torch.Tensor) -> None:
        """See `PairAttention`."""
        between = self.short_tokens
        if self.whole is not None:
            self.whole(products[:between], out[:between])
        for blocks in self.blocks:
            _attend(products[between:], blocks, out[between:])


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of queries that attend in one product, each to the keys near it.

    The last block of a pair is padded with the pair's last token; its results are dropped.

    Attributes:
        rows: the rows of their tokens.
        places: the places of these tokens in the padded blocks.
        queries, keys: rows, `[blocks, places]`.
        hidden: added to scores, 0 or -inf, `[blocks, 1, places, keys]`.
    """

    rows: slice
    places: torch.Tensor
    queries: torch.Tensor
    keys: torch.Tensor
    hidden: torch.Tensor


def _blocks(
    lengths: Sequence[int], reach: int, device: str, dtype: torch.dtype
) -> Iterator[Blocks]:
    """Cut pairs that follow one another; `dtype` is that of scores."""
    firsts = [
        (start, start + length, first)
        for start, length in zip(accumulate(lengths, initial=0), lengths, strict=False)
        for first in range(start, start + length, _ROWS)
    ]
    step = max(1, _MOST_SCORES // (_ROWS * (_ROWS + 2 * reach)))
    for at in range(0, len(firsts), step):
        yield _laid_out(torch.tensor(firsts[at : at + step]), reach, device, dtype)


def _laid_out(firsts: torch.Tensor, reach: int, device: str, dtype: torch.dtype) -> Blocks:
    """Lay out blocks, given `[blocks, 3]`: start and end of their pair, and their first row."""
    start, end, first = firsts.T[:, :, None]
    queries = first + torch.arange(_ROWS)
    is_real = queries < end
    queries = queries.minimum(end - 1)
    keys = first + torch.arange(-reach, _ROWS + reach)
    is_seen = (queries[:, :, None] - keys[:, None]).abs() <= reach
    is_seen &= ((keys >= start) & (keys < end))[:, None]
    hidden = torch.zeros(is_seen.shape, dtype=dtype).masked_fill_(~is_seen, float("-inf"))
    return Blocks(
        slice(int(first[0]), int(queries[-1, -1]) + 1),
        moved(is_real.view(-1).nonzero()[:, 0], device),
        moved(queries, device),
        moved(keys.maximum(start).minimum(end - 1), device),
        moved(hidden[:, None], device),
    )


def _attend(products: torch.Tensor, blocks: Blocks, out: torch.Tensor) -> None:
    """Attend with some blocks."""
    heads, hidden = products.shape[2], out.shape[1]
    queries = _by_head(products[:, 0], blocks.queries)
    keys, values = (_by_head(products[:, part], blocks.keys) for part in (1, 2))
    scores = torch.bmm(queries, keys.transpose(1, 2))
    scores.view(len(blocks.keys), heads, *scores.shape[1:]).add_(blocks.hidden)
    attended = torch.bmm(scores.softmax(-1), values).view(len(blocks.keys), heads, _ROWS, -1)
    by_place = attended.transpose(1, 2).reshape(-1, hidden)
    out[blocks.rows] = by_place.index_select(0, blocks.places)


def _by_head(states: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return rows of `[tokens, heads, dim]` by block and head, `[blocks * heads, places, dim]`."""
    blocks, places = rows.shape
    heads = states.shape[1]
    taken = states.index_select(0, rows.view(-1)).view(blocks, places, heads, -1)
    return taken.transpose(1, 2).reshape(blocks * heads, places, -1)
