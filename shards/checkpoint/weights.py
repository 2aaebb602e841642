"""What the safetensors files of a folder hold, read from their headers and checked.

A file is an 8-byte little-endian length, a JSON header of that length (tensor -> dtype, shape,
[begin, end)), and the bytes. A download that broke off is found here, by name, in milliseconds.
Format: https://github.com/huggingface/safetensors#format
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shards.refusal import Refusal

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

_LONGEST_HEADER = 100_000_000  # the format's own limit
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def tensor_files(folder: Path) -> dict[str, Path]:
    """Return the file of each tensor in a checkpoint folder.

    Raises:
        Refusal: there are no safetensors files, one is missing, or one is broken.
    """
    files: dict[str, Path] = {}
    for path in weight_files(folder):
        files.update(dict.fromkeys(read_header(path), path))
    return files


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files the checkpoint consists of; all exist."""
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        return _indexed(folder)
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
    """Return tensor name -> description, once the header agrees with the file's size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(_LONGEST_HEADER, size - 8):
            raise Refusal(_broken(path, f"{size} bytes, which do not hold its header"))
        header = file.read(length)
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise Refusal(_broken(path, "its header is not the JSON of a safetensors file")) from None
    if 8 + length + end != size:
        raise Refusal(_broken(path, f"{size} bytes, its header says {8 + length + end}"))
    return dict(tensors)


def _broken(path: Path, found: str) -> str:
    return f"{path} is truncated or corrupt ({found}); delete it and download the checkpoint again"


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or refuse naming the file."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Refusal(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise Refusal(f"{path} holds no JSON object")
    return content
