"""Checkpoints that store just the expected tensors, under their usual names: nearly all.

Their tensors can be read one by one and packed as they come, so that the model never lies in memory
twice, and nothing has to be imported or built to find them. transformers, which can rename tensors,
loads all other checkpoints; `load` refuses those that lack a tensor, with the reason.
"""

from collections.abc import Mapping, Sequence

from shards.checkpoint.folder import Checkpoint
from shards.checkpoint.weights import read_headers

Shapes = Mapping[str, Sequence[int]]
"""The shape of each tensor, by name."""


def stored_shapes(checkpoint: Checkpoint) -> dict[str, list[int]]:
    """Return the shape of each tensor that a checkpoint stores."""
    shapes = checkpoint.quantised.shapes(read_headers(checkpoint.stored))
    return {name: list(shape) for name, shape in shapes.items()}


def stores_just(checkpoint: Checkpoint, needed: Shapes, allowed: Shapes) -> bool:
    """Return whether a checkpoint stores all tensors of `needed`, and no other but `allowed`."""
    stored = stored_shapes(checkpoint)
    known = {name: list(shape) for name, shape in {**allowed, **needed}.items()}
    return needed.keys() <= stored.keys() and all(
        known.get(name) == shape for name, shape in stored.items()
    )
