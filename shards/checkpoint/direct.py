"""Checkpoints that store just the tensors that are expected, under their usual names: nearly all.

Their tensors can be read one by one and packed as they come, so that the model never lies in memory
twice, and nothing has to be imported or built to know what they are. All others are loaded by
transformers, which knows how to rename, and are refused there, with reasons, where something is
missing.
"""

from collections.abc import Mapping, Sequence

from shards.checkpoint.folder import Checkpoint
from shards.checkpoint.weights import read_header

Shapes = Mapping[str, Sequence[int]]
"""The shape of each tensor, by name."""


def stored_shapes(checkpoint: Checkpoint) -> dict[str, list[int]]:
    """Return the shape of each tensor that a checkpoint stores."""
    stored: dict[str, list[int]] = {}
    for path in set(checkpoint.tensors.values()):
        stored |= {name: about["shape"] for name, about in read_header(path).items()}
    return stored


def stores_just(checkpoint: Checkpoint, needed: Shapes, allowed: Shapes) -> bool:
    """Whether a checkpoint stores all tensors of `needed`, perhaps some of `allowed`, and no other."""
    stored = stored_shapes(checkpoint)
    known = {name: list(shape) for name, shape in {**allowed, **needed}.items()}
    return needed.keys() <= stored.keys() and all(
        known.get(name) == shape for name, shape in stored.items()
    )
