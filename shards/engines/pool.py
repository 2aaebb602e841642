"""Where one pass keeps the keys and values of a layer, see `segments`: kept parts first, then the row.

A pass goes from layer to layer with one pool: what is kept of a prefix is put in front, the layer fills
in its row, and of that the new parts are copied, to be kept for later batches.
"""

from dataclasses import dataclass

import torch

from shards.engines.prefixes import PrefixCache
from shards.engines.segments import STEP, Plan


@dataclass(frozen=True, slots=True)
class Heads:
    """What attention has in each layer of a model."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int

    @property
    def share(self) -> int:
        """How many query heads share a key head."""
        return self.heads // self.kv_heads


class Pool:
    """Keys and values of one layer at a time.

    Attributes:
        keys, values: `[kv_heads, kept rows and row, head_dim]`.
        first: the first row of the pool that is of the batch.
    """

    def __init__(self, plan: Plan, heads: Heads, form: torch.dtype, device: str) -> None:
        """Make room for a pass, with numbers of `form`."""
        self._plan = plan
        self.first = plan.kept_rows
        size = (heads.kv_heads, plan.kept_rows + plan.tokens, heads.head_dim)
        self.keys = torch.empty(size, dtype=form, device=device)
        self.values = torch.empty(size, dtype=form, device=device)
        self._computed = [
            self.keys.new_empty(heads.layers, 2, heads.kv_heads, length, heads.head_dim)
            for _, (_, length) in plan.new
        ]

    def bring_kept(self, at: int) -> None:
        """Put layer `at` of the kept parts in front."""
        first = 0
        for states in self._plan.kept:
            last = first + states.shape[3]
            self.keys[:, first:last], self.values[:, first:last] = states[at]
            first = last

    def take_new(self, at: int) -> None:
        """Copy layer `at` of the parts in the row, once the row is filled."""
        for computed, (_, (start, length)) in zip(self._computed, self._plan.new, strict=True):
            rows = slice(self.first + start, self.first + start + length)
            computed[at, 0], computed[at, 1] = self.keys[:, rows], self.values[:, rows]

    def keep_new(self, cache: PrefixCache) -> None:
        """Have the parts of the row kept, after the last layer."""
        for (part, _), computed in zip(self._plan.new, self._computed, strict=True):
            cache.keep(part, computed)


def rows_and_one(rows: int, heads: Heads, form: torch.dtype, device: str) -> torch.Tensor:
    """Return room for queries or what they attend to, `[kv_heads, rows + 1, heads side by side]`.

    Heads first, as attention wants them; in memory the heads of a row are side by side, as products
    want them. Rows that are nobody's, see `segments`, are zeros.
    """
    room = torch.empty(
        rows + 1, heads.kv_heads, heads.share * heads.head_dim, dtype=form, device=device
    )
    room[-STEP:] = 0
    return room.transpose(0, 1)
