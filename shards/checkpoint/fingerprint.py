"""Whether two loads read the same files: a hash of what decides scores, quick for any size.

Small files are read whole. Of a weight file its size, its header (names, shapes and places of all
tensors) and 64 blocks spread over it are read: 16 GB must not be read twice at each start. A file
that was damaged between the blocks looks the same, and then its scores tell.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

_SMALL = ("config.json", "tokenizer.json", "tokenizer_config.json")
_BLOCK_BYTES = 64 * 1024
_BLOCKS = 64


def fingerprint_of(folder: Path, tensors: Mapping[str, Path]) -> str:
    """Return the fingerprint of a checkpoint folder; `tensors` names the file of each tensor."""
    digest = hashlib.sha256()
    for name in _SMALL:
        path = folder / name
        digest.update(hashlib.sha256(path.read_bytes() if path.is_file() else b"").digest())
    for path in sorted(set(tensors.values())):
        _add_weights(digest, path)
    return digest.hexdigest()[:32]


def _add_weights(digest: "hashlib._Hash", path: Path) -> None:
    size = path.stat().st_size
    digest.update(f"{path.name} {size} ".encode())
    with path.open("rb") as file:
        for place in range(_BLOCKS):
            file.seek(place * max(0, size - _BLOCK_BYTES) // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK_BYTES))
