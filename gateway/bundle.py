"""Models as one file, to be carried to a machine without a network.

A bundle is a plain tar: per model a folder with the files that a shard reads, and at its end
`manifest.json` with the size and SHA-256 of each. It is written and read in one pass, since models
are larger than memory and disks are slow; so the manifest comes last, and a bundle that was cut off
has none. What is read is written into a hidden folder first and gets its name when every hash is
right: a folder of that name is a whole model. Paths that would leave the folder are refused, and so
is everything that is not a plain file.
"""

import hashlib
import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO, Any

from gateway import __version__

FORMAT = 1
MANIFEST = "manifest.json"
WANTED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
"""What a shard reads, as patterns; other files of a model are left where they are."""
UNWANTED = ("onnx/*", "openvino/*", "original/*", "*.bin.index.json")
_CARD = "README.md"
_BLOCK = 1 << 20
_LARGEST_MANIFEST = 16 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")

Advance = Callable[[int], None]


class BundleError(Exception):
    """A model that cannot be packed, or a bundle that cannot be trusted; says what to do."""


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file of a model: its path below the model's folder, bytes, and SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PackedModel:
    """A model in a bundle: its name, where it came from, and its files."""

    name: str
    source: str
    files: tuple[PackedFile, ...]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def wanted_files(folder: Path) -> list[Path]:
    """Return the files of a model folder that belong into a bundle, the model card with them.

    Raises:
        BundleError: it is no model that a shard could load.
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
    """Write models (name, source, folder) into a bundle; `advance` is told the bytes done.

    Raises:
        BundleError: one of them is not a model.
        OSError: a file cannot be read, or the bundle not be written.
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
    found = {"format": FORMAT, "gateway": __version__, "models": [asdict(one) for one in models]}
    text = json.dumps(found, indent=2, ensure_ascii=False).encode()
    tar.addfile(_entry(MANIFEST, len(text)), io.BytesIO(text))


def _entry(name: str, size: int) -> tarfile.TarInfo:
    """Return a header without owner and time: the same models give the same bytes."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o644
    return entry


class _Hashing:
    """A file that is hashed as it is read."""

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


def unpack(
    source: Path, folder: Path, advance: Advance, *, replace: bool = False
) -> tuple[PackedModel, ...]:
    """Write the models of a bundle below a folder, each under its name, when every hash is right.

    Raises:
        BundleError: the bundle is damaged, cut off or hostile, or a model is there already.
        OSError: the bundle cannot be read, or the folder not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _hidden(folder) as staging:
        models = _read(source, staging, advance)
        present = [model.name for model in models if (folder / model.name).exists()]
        if present and not replace:
            raise BundleError(
                f"{', '.join(present)} is in {folder} already: --replace puts the packed one in "
                "its place, --to FOLDER unpacks elsewhere"
            )
        for model in models:
            _put(staging / model.name, folder / model.name)
    return models


def verify(source: Path, advance: Advance) -> tuple[PackedModel, ...]:
    """Read a bundle to its end and compare every hash; writes nothing.

    Raises:
        BundleError: it is damaged, cut off or hostile.
    """
    return _read(source, None, advance)


@contextmanager
def _hidden(folder: Path) -> Iterator[Path]:
    """Give a folder that is on the same disk and gone at the end."""
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as name:
        yield Path(name)


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    source.chmod(0o755)
    source.replace(target)


def _read(source: Path, staging: Path | None, advance: Advance) -> tuple[PackedModel, ...]:
    found: dict[str, tuple[int, str]] = {}
    manifest: dict[str, Any] | None = None
    try:
        with tarfile.open(source, "r|") as tar:
            for entry in tar:
                file = _plain_file(tar, entry)
                if entry.name == MANIFEST:
                    manifest = json.loads(file.read(_LARGEST_MANIFEST))
                    continue
                target = staging / entry.name if staging else None
                found[entry.name] = (entry.size, _copy(file, target, advance))
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BundleError(f"{source} is damaged or cut off ({error}): copy it again") from None
    return _compare(source, manifest, found)


def _plain_file(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    path = PurePosixPath(entry.name)
    file = tar.extractfile(entry) if entry.isreg() else None
    if file is None or path.is_absolute() or ".." in path.parts or entry.name != path.as_posix():
        raise BundleError(
            f"{entry.name!r} in the bundle is not a plain file below its folder: `gateway pack` "
            "does not write such a thing; do not trust this bundle"
        )
    return file


def _copy(file: IO[bytes], target: Path | None, advance: Advance) -> str:
    """Write a file, if it is to be written, and return its hash."""
    hashed = hashlib.sha256()
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") if target else io.BytesIO() as out:
        while block := file.read(_BLOCK):
            hashed.update(block)
            advance(len(block))
            if target:
                out.write(block)
    return hashed.hexdigest()


def _compare(
    source: Path, manifest: dict[str, Any] | None, found: dict[str, tuple[int, str]]
) -> tuple[PackedModel, ...]:
    """Return what the manifest says, if it is what was found: no file more, none less."""
    if manifest is None:
        raise BundleError(f"{source} has no manifest at its end: it was cut off, copy it again")
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"{source} has format {manifest.get('format')!r}, this gateway ({__version__}) reads "
            f"{FORMAT}: use the gateway that packed it ({manifest.get('gateway')})"
        )
    models = _listed(source, manifest)
    said = {f"{m.name}/{file.path}": (file.bytes, file.sha256) for m in models for file in m.files}
    wrong = sorted(name for name in said.keys() | found.keys() if said.get(name) != found.get(name))
    if wrong:
        raise BundleError(
            f"{source} does not hold what its manifest says: {', '.join(wrong[:3])}"
            f"{' and others' if len(wrong) > 3 else ''} differ; copy it again"
        )
    return models


def _listed(source: Path, manifest: dict[str, Any]) -> tuple[PackedModel, ...]:
    """Return the models of a manifest; their names become folders, so not every name will do."""
    try:
        models = tuple(
            PackedModel(
                str(m["name"]), str(m["source"]), tuple(PackedFile(**f) for f in m["files"])
            )
            for m in manifest["models"]
        )
    except (KeyError, TypeError) as error:
        raise BundleError(f"{source} has a manifest that is none ({error!r})") from None
    for model in models:
        if not model.files or not _NAME.fullmatch(model.name):
            raise BundleError(
                f"{source} names a model {model.name!r}, which `gateway pack` does not: do not "
                "trust this bundle"
            )
    return models
