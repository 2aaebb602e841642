"""The tensors of an unfolded GGUF file under their usual names, described as safetensors does."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.checkpoint.gguf.families import family_of, opened
from shards.checkpoint.gguf.source import read_head
from shards.checkpoint.quantised import Read
from shards.wire.gguf_file import Tensor

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.gguf"
"""The name of the link to the file in the folder that was made of it."""


def gguf_header(path: Path) -> Mapping[str, Any]:
    """Return the description of each tensor: its number format and its shape.

    The shape of a matrix in blocks is that of its bytes.
    """
    return {
        name: {
            "dtype": tensor.kind.name,
            "shape": [*tensor.shape[:-1], tensor.row_bytes]
            if tensor.kind.numbers > 1
            else [*tensor.shape],
        }
        for name, tensor in _named(path).items()
    }


def _named(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a file by their usual names."""
    gguf = opened(path, read_head(path))
    family = family_of(gguf)
    found = ((family.name(name), tensor) for name, tensor in gguf.head.tensors.items())
    return {name: tensor for name, tensor in found if name}


def gguf_reader(path: Path) -> Read:
    """Return a function that reads tensors as they are stored; it maps the file once."""
    import torch

    tensors = _named(path)
    # A private mapping: torch warns of arrays that cannot be written.
    mapped = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
    floats = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

    def read(name: str) -> "torch.Tensor":
        tensor = tensors[name]
        content = mapped[tensor.start : tensor.start + tensor.bytes]
        if tensor.kind.name in floats:
            return content.view(floats[tensor.kind.name]).view(tensor.shape)
        return content.view(*tensor.shape[:-1], tensor.row_bytes)

    return read
