"""Bundles: models as one file, for machines without network.

A bundle is a plain tar: for each model a folder with the files that a shard reads, and at the end
`manifest.json` with the size and SHA-256 of each file. It is written and read in one pass, since
models are larger than memory and disks are slow; so the manifest comes last, and a truncated bundle
has none. `unbundle` reads bundles, and `manifest` the end of one.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

from gateway import __version__

FORMAT = 1
MANIFEST = "manifest.json"
WANTED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
"""Patterns of files that a shard reads; other files of a model are not packed."""
UNWANTED = ("onnx/*", "openvino/*", "original/*", "*.bin.index.json")
_CARD = "README.md"

Advance = Callable[[int], None]


class BundleError(Exception):
    """A model that cannot be packed, or a bundle that cannot be trusted."""


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file of a model: its path below the model's folder, bytes, and SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PackedModel:
    """A model in a bundle: name, source and files."""

    name: str
    source: str
    files: tuple[PackedFile, ...]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def wanted_files(folder: Path) -> list[Path]:
    """Return the files of a model folder that are packed, with the model card.

    Raises:
        BundleError: the folder is no model that a shard could load.
    """
    found = sorted(
        path for path in folder.rglob("*") if path.is_file() and _is_wanted(path, folder)
    )
    names = {path.name for path in found if path.parent == folder}
    if "config.json" not in names:
        raise BundleError(f"{folder} has no config.json: it is not a model folder")
    if not any(name.endswith(".safetensors") for name in names):
        raise BundleError(
            f"{folder} has no *.safetensors: pickled weights (*.bin) can run code and are not "
            "loaded; look for a converted copy of the model"
        )
    return found


def _is_wanted(path: Path, folder: Path) -> bool:
    name = path.relative_to(folder).as_posix()
    if any(fnmatch(name, pattern) for pattern in UNWANTED):
        return False
    return name == _CARD or any(fnmatch(name, pattern) for pattern in WANTED)


def pack(
    models: Sequence[tuple[str, str, Path]], target: Path, advance: Advance
) -> tuple[PackedModel, ...]:
    """Write models (name, source, folder) into a bundle; `advance` is called with bytes done.

    Raises:
        BundleError: one of them is not a model.
        OSError: a file cannot be read, or the bundle cannot be written.
    """
    files = {name: wanted_files(folder) for name, _, folder in models}
    part = target.with_name(f".{target.name}.part")
    try:
        with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
            packed = tuple(
                _pack_model(tar, name, source, folder, files[name], advance)
                for name, source, folder in models
            )
            _add_manifest(tar, packed)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return packed


def _pack_model(
    tar: tarfile.TarFile, name: str, source: str, folder: Path, files: list[Path], advance: Advance
) -> PackedModel:
    return PackedModel(
        name,
        source,
        tuple(_pack_file(tar, name, path, folder, advance) for path in files),
    )


def _pack_file(
    tar: tarfile.TarFile, name: str, path: Path, folder: Path, advance: Advance
) -> PackedFile:
    relative = path.relative_to(folder).as_posix()
    size = path.stat().st_size
    with path.open("rb") as file:
        reader = _Hashing(file, advance)
        tar.addfile(_entry(f"{name}/{relative}", size), reader)
    return PackedFile(relative, size, reader.digest)


def _add_manifest(tar: tarfile.TarFile, models: Sequence[PackedModel]) -> None:
    manifest = {
        "format": FORMAT,
        "gateway": __version__,
        "models": [asdict(model) for model in models],
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False).encode()
    tar.addfile(_entry(MANIFEST, len(text)), io.BytesIO(text))


def _entry(name: str, size: int) -> tarfile.TarInfo:
    """Return a header without owner and time, so that the same models give the same bytes."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o644
    return entry


class _Hashing:
    """A file whose blocks are hashed as they are read."""

    def __init__(self, file: IO[bytes], advance: Advance) -> None:
        self._file = file
        self._advance = advance
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._hash.update(block)
        self._advance(len(block))
        return block

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
