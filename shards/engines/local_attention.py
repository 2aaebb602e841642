"""Attention of an encoder whose tokens see only those near them, over a flat batch, see `unpadded`.

Pairs so short that every token is near every other attend as a whole, see `pair_attention`. Longer ones
are cut into blocks of queries; each block meets the keys that are near any of them, and those too far
from one of them are hidden from it. So the work grows with the length of a pair, not with its square.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch

from shards.engines.pair_attention import PairAttention, attention_for

_ROWS = 64  # of queries in a block
_MOST_SCORES = 1 << 18  # of one head at a time, so that they stay in the cache


def local_attention_for(
    lengths: Sequence[int], reach: int, heads: int, dim: int, device: str, form: torch.dtype
) -> PairAttention:
    """Return the attention of pairs of these lengths, shortest first, to tokens at most `reach` away."""
    short = [length for length in lengths if length <= reach + 1]
    whole, _ = attention_for(short, heads, dim, device, form) if short else (None, None)
    if len(short) == len(lengths) and whole is not None:
        return whole
    return _Local(whole, Blocks(lengths[len(short) :], reach, heads, device, form), sum(short))


class _Local:
    """Short pairs first, then the blocks of the long ones."""

    def __init__(self, whole: PairAttention | None, blocks: "Blocks", short_tokens: int) -> None:
        self._whole = whole
        self._blocks = blocks
        self._short_tokens = short_tokens

    def __call__(self, products: torch.Tensor, out: torch.Tensor) -> None:
        """See `PairAttention`."""
        between = self._short_tokens
        if self._whole is not None:
            self._whole(products[:between], out[:between])
        self._blocks(products[between:], out[between:])


class Blocks:
    """Batched products over blocks of queries; see `PairAttention`.

    What is left of the last block of a pair is filled with its last token, and not written anywhere.
    """

    def __init__(
        self, lengths: Sequence[int], reach: int, heads: int, device: str, form: torch.dtype
    ) -> None:
        """Lay out the blocks of pairs; `form` is that of scores."""
        pairs = [
            (start, length, first)
            for start, length in zip(accumulate(lengths, initial=0), lengths, strict=False)
            for first in range(0, length, _ROWS)
        ]
        starts, ends, firsts = torch.tensor(pairs, device=device).T[:, :, None]
        asking = firsts + torch.arange(_ROWS, device=device)
        self._is_real = asking < ends
        asking = asking.minimum(ends - 1)
        asked = firsts + torch.arange(-reach, _ROWS + reach, device=device)
        is_near = (asking[:, :, None] - asked[:, None]).abs() <= reach
        is_near &= ((asked >= 0) & (asked < ends))[:, None]
        self._hidden = torch.zeros(is_near.shape, dtype=form, device=device)
        self._hidden.masked_fill_(~is_near, float("-inf"))
        self._queries = starts + asking
        self._keys = starts + asked.clamp_min(0).minimum(ends - 1)
        self._heads = heads

    def __call__(self, products: torch.Tensor, out: torch.Tensor) -> None:
        step = max(1, _MOST_SCORES // (_ROWS * self._keys.shape[1]))
        for first in range(0, len(self._keys), step):
            self._attend(slice(first, first + step), products, out)

    def _attend(self, blocks: slice, products: torch.Tensor, out: torch.Tensor) -> None:
        hidden = out.shape[1]
        asking, is_real = self._queries[blocks], self._is_real[blocks]
        queries = self._by_head(products[:, :hidden], asking)
        keys = self._by_head(products[:, hidden : 2 * hidden], self._keys[blocks])
        values = self._by_head(products[:, 2 * hidden :], self._keys[blocks])
        scores = torch.bmm(queries, keys.transpose(1, 2))
        scores.view(len(asking), self._heads, *scores.shape[1:]).add_(self._hidden[blocks, None])
        attended = torch.bmm(scores.softmax(-1), values)
        by_row = attended.view(len(asking), self._heads, _ROWS, -1).transpose(1, 2)
        out[asking[is_real]] = by_row[is_real].view(-1, hidden)

    def _by_head(self, states: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return these rows of states by block and head, `[blocks * heads, rows, dim]`."""
        blocks, length = rows.shape
        taken = states.index_select(0, rows.reshape(-1)).view(blocks, length, self._heads, -1)
        return taken.transpose(1, 2).reshape(blocks * self._heads, length, -1)
