"""The sizes of attention."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heads:
    """The attention heads in each layer of a model."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int

    @property
    def share(self) -> int:
        """The number of query heads that share a key head."""
        return self.heads // self.kv_heads
