"""A fingerprint of a checkpoint: a hash of the files that decide scores, quick for any size.

Two loads with one fingerprint have read the same files. Small files are read whole. Of a weight
file its size, its header (names, shapes and places of all tensors) and 64 blocks spread over it are
read: 16 GB must not be read twice at each start. A file that was damaged between the blocks has the
same fingerprint; its scores show the damage.

`whole_fingerprint_of` reads every byte, for scores that are kept longer than a process lives.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shards.wire.facts import WHOLE

_SMALL = ("config.json", "tokenizer.json", "tokenizer_config.json")
_PATTERNS = ("*.json", "*.jinja", "*/config.json", "*.metadata")
_GRAPHS = ("onnx", "openvino")  # made from the checkpoint, with fingerprints of their own
_LARGEST = 16 << 20
_BLOCK_BYTES = 64 * 1024
_BLOCKS = 64
_WHOLE = frozenset(
    {
        *(".json", ".safetensors", ".gguf", ".txt", ".model", ".jinja", ".onnx", ".onnx_data"),
        ".metadata",
    }
)
_THREADS = 4


def fingerprint_of(folder: Path, weights: Sequence[Path]) -> str:
    """Return the fingerprint of a checkpoint folder with these files of weights."""
    digest = hashlib.sha256()
    for name in _SMALL:
        path = folder / name
        digest.update(hashlib.sha256(path.read_bytes() if path.is_file() else b"").digest())
    for path in _others(folder):
        digest.update(f"{path.relative_to(folder).as_posix()} ".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for path in weights:
        _add_weights(digest, path)
    return digest.hexdigest()[:32]


def _others(folder: Path) -> list[Path]:
    """Return the other small files that may decide a score: prompts, modules and their settings."""
    found = [path for pattern in _PATTERNS for path in folder.glob(pattern) if path.is_file()]
    return sorted(
        path
        for path in found
        if path.name not in _SMALL
        and path.relative_to(folder).parts[0] not in _GRAPHS
        and path.stat().st_size <= _LARGEST
    )


def _add_weights(digest: "hashlib._Hash", path: Path) -> None:
    size = path.stat().st_size
    digest.update(f"{path.name} {size} ".encode())
    with path.open("rb") as file:
        for place in range(_BLOCKS):
            file.seek(place * max(0, size - _BLOCK_BYTES) // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK_BYTES))


def whole_fingerprint_of(folder: Path, since: float) -> str:
    """Return a hash of all files of a folder that may decide a score, read whole.

    Args:
        folder: the folder of a checkpoint.
        since: the start of its load, in seconds since the Unix epoch.

    Returns:
        the hash; empty if a file has changed since, as the load may have read another one.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in _WHOLE and path.is_file())
    with ThreadPoolExecutor(_THREADS) as threads:
        digests = list(threads.map(_digest_of, files))
    if any(path.stat().st_ctime >= since for path in files):
        return ""
    digest = hashlib.sha256()
    for path, found in zip(files, digests, strict=True):
        digest.update(f"{path.relative_to(folder).as_posix()} ".encode() + found)
    return WHOLE + digest.hexdigest()[:32]


def _digest_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
