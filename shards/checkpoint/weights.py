"""The files of weights of a folder: their headers, read and checked.

A file is an 8-byte little-endian length, a JSON header of that length (tensor -> dtype, shape,
[begin, end)), and the bytes. This check finds a broken-off download, by name, in milliseconds.
Format: https://github.com/huggingface/safetensors#format
The folder of a GGUF file has a link to it instead (`shards.checkpoint.gguf`).
"""

import struct
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.checkpoint.bounded import parse_json, read_json
from shards.checkpoint.gguf import WEIGHTS, gguf_header
from shards.refusal import Refusal

if TYPE_CHECKING:
    import torch

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

_LONGEST_HEADER = 100_000_000  # the format's own limit
_DEEPEST = 3  # object, tensor, list
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 8),
}
_COUNTED = ("position_ids", "token_type_ids")  # buffers that older releases stored
_FLOATS = frozenset({"F16", "BF16", "F32", "F64"})
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def tensor_files(folder: Path) -> dict[str, Path]:
    """Return the file of each tensor in a checkpoint folder.

    Raises:
        Refusal: there are no weights, a file is missing, or a file is broken.
    """
    files: dict[str, Path] = {}
    for path in weight_files(folder):
        files.update(dict.fromkeys(read_header(path), path))
    return files


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint's weights; all of them exist."""
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        return _indexed(folder)
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    if pickled:
        raise Refusal(
            f"{folder} has its weights as {', '.join(pickled)} only; such files can run code when "
            "read, so safetensors is required: convert them, or find a safetensors revision"
        )
    raise Refusal(f"{folder} holds no weights; {SINGLE} or {INDEX} is expected")


def _indexed(folder: Path) -> list[Path]:
    names = read_json(folder / INDEX).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise Refusal(f"{folder / INDEX} has no weight_map; download the checkpoint again")
    files = [folder / _plain_name(str(name), folder) for name in sorted(set(names.values()))]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise Refusal(f"{folder} lacks {', '.join(missing)}; download the checkpoint again")
    return files


def _plain_name(name: str, folder: Path) -> str:
    if Path(name).name != name:
        raise Refusal(f"{folder / INDEX} names {name!r}; only files beside it are read")
    return name


def read_header(path: Path) -> Mapping[str, Any]:
    """Return the description of each tensor by name; the header must agree with the file's size."""
    if path.name == WEIGHTS:
        return gguf_header(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(_LONGEST_HEADER, size - 8):
            raise Refusal(_broken(path, f"{size} bytes, which do not hold its header"))
        header = file.read(length)
    try:
        tensors = parse_json(header, _DEEPEST)
    except ValueError:
        tensors = None
    if not isinstance(tensors, dict):
        raise Refusal(_broken(path, "its header is not the JSON of a safetensors file"))
    tensors.pop("__metadata__", None)
    ranges = sorted(_range_of(path, name, about) for name, about in tensors.items())
    end = ranges[-1][1] if ranges else 0
    if 8 + length + end != size:
        raise Refusal(_broken(path, f"{size} bytes, its header says {8 + length + end}"))
    if any(first[1] != second[0] for first, second in pairwise([(0, 0), *ranges])):
        raise Refusal(_broken(path, "its tensors overlap, or leave gaps"))
    return tensors


def _range_of(path: Path, name: str, about: Any) -> tuple[int, int]:
    """Return the begin and end of a tensor; its description must agree with itself."""
    try:
        shape, (start, end), size = about["shape"], about["data_offsets"], _BYTES[about["dtype"]]
    except (KeyError, TypeError, ValueError):
        raise Refusal(_broken(path, "its header is not the JSON of a safetensors file")) from None
    counts = [*shape, start, end] if isinstance(shape, list) else [None]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise Refusal(_broken(path, f"{name} has no shape or place of whole numbers"))
    if end - start != size * prod(shape):
        raise Refusal(
            _broken(path, f"{name} has {end - start} bytes, its shape says another number")
        )
    return start, end


def read_headers(files: Mapping[str, Path]) -> dict[str, Mapping[str, Any]]:
    """Return the description of each tensor of several files."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted(set(files.values())):
        found.update(read_header(path))
    return found


def expect_floats(files: Mapping[str, Path], headers: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse weights whose number format is no plain float."""
    for name, about in headers.items():
        if about["dtype"] not in _FLOATS and not name.endswith(_COUNTED):
            raise Refusal(
                f"{files[name]} stores {name} as {about['dtype']}; give the fp32, bf16 or fp16 "
                "checkpoint"
            )


def read_module(folder: Path, shapes: Mapping[str, Sequence[int]]) -> "dict[str, torch.Tensor]":
    """Return the tensors of a module that has a folder of its own, in the precision stored.

    Args:
        shapes: the shape of each tensor that the module must have.

    Raises:
        Refusal: a tensor is missing, or of another shape.
    """
    from safetensors.torch import load_file

    (path,) = weight_files(folder)[:1]
    stored = {name: list(about["shape"]) for name, about in read_header(path).items()}
    expected = {name: list(shape) for name, shape in shapes.items()}
    if stored != expected:
        raise Refusal(f"{path} holds {stored}, its config.json says {expected}")
    return load_file(path)


def _broken(path: Path, found: str) -> str:
    return f"{path} is truncated or corrupt ({found}); delete it and download the checkpoint again"
