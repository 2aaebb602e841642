"""The pool of keys and values of a layer, see `packed_layout`: cached parts first, then the row.

A pass goes from layer to layer with one pool: the cached parts are copied to its front, the layer
fills in its row, and the new parts of the row are copied out, to be cached for later batches.
"""

import torch

from shards.engines.layers.heads import Heads
from shards.engines.layers.packed_layout import STEP, Plan
from shards.engines.prefix_cache import PrefixCache


class Pool:
    """Keys and values of one layer at a time.

    Attributes:
        keys, values: `[kv_heads, cached rows and row, head_dim]`.
        first: the first row of the batch in the pool.
    """

    def __init__(self, plan: Plan, heads: Heads, dtype: torch.dtype, device: str) -> None:
        """Allocate the pool of a pass."""
        self._plan = plan
        self.first = plan.kept_rows
        size = (heads.kv_heads, plan.kept_rows + plan.tokens, heads.head_dim)
        self.keys = torch.empty(size, dtype=dtype, device=device)
        self.values = torch.empty(size, dtype=dtype, device=device)
        self._computed = [
            self.keys.new_empty(heads.layers, 2, heads.kv_heads, length, heads.head_dim)
            for _, (_, length) in plan.new
        ]

    def bring_kept(self, at: int) -> None:
        """Copy layer `at` of the cached parts to the front."""
        first = 0
        for states in self._plan.kept:
            last = first + states.shape[3]
            self.keys[:, first:last], self.values[:, first:last] = states[at]
            first = last

    def take_new(self, at: int) -> None:
        """Copy layer `at` of the parts in the row out of it, once the row is filled."""
        for computed, (_, (start, length)) in zip(self._computed, self._plan.new, strict=True):
            rows = slice(self.first + start, self.first + start + length)
            computed[at, 0], computed[at, 1] = self.keys[:, rows], self.values[:, rows]

    def keep_new(self, cache: PrefixCache) -> None:
        """Put the parts of the row into the cache, after the last layer."""
        for (part, _), computed in zip(self._plan.new, self._computed, strict=True):
            cache.put(part, computed)


def rows_and_one(rows: int, heads: Heads, dtype: torch.dtype, device: str) -> torch.Tensor:
    """Allocate queries or their results, `[kv_heads, rows + 1, heads side by side]`.

    Heads first, as attention takes them; in memory the heads of a row are side by side, as products
    take them. Rows of padding, see `packed_layout`, are zeros.
    """
    width = heads.share * heads.head_dim
    states = torch.empty(rows + 1, heads.kv_heads, width, dtype=dtype, device=device)
    states[-STEP:] = 0
    return states.transpose(0, 1)
