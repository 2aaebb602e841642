"""Unpacking of bundles that may be damaged, cut off or hostile; `bundle` has the format.

Nothing is written before its size is known to fit: the size that a header declares, what is left of
the bundle, the limit of the operator and the free space of the disk. A header is refused if
`gateway pack` would not write it, before `tarfile` acts on it: links, devices, sparse files, whose
512 bytes may claim gigabytes, and extended headers that would fill the memory.

All models are unpacked into a hidden folder, and get their names at the end, all or none.
"""

import errno
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

from gateway.cli.models.bundle import MANIFEST, Advance, BundleError, PackedModel
from gateway.cli.models.manifest import LARGEST_MANIFEST, parse_manifest

MOST_BYTES = 200_000_000_000
"""The default limit of the files of a bundle together."""

MOST_FILES = 10_000
_LONGEST_PATH = 1024
_LONGEST_NAME = 200
_LARGEST_EXTENSION = 64 * 1024  # of a PAX header: a long path, a large size
_BLOCK = 1 << 20
_ALLOWED = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.XHDTYPE})

_Found = dict[str, tuple[int, str]]
"""Size and hash of each file, by its path in the bundle."""


def unpack(
    source: Path,
    folder: Path,
    advance: Advance,
    *,
    replace: bool = False,
    most_bytes: int = MOST_BYTES,
) -> tuple[PackedModel, ...]:
    """Write the models of a bundle below a folder, each under its name, when every hash is right.

    Raises:
        BundleError: the bundle is damaged, truncated or hostile, or a model is there already.
        OSError: the bundle cannot be read, or the folder cannot be written; nothing has changed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as name:
        new, old = Path(name, "new"), Path(name, "old")
        new.mkdir()
        free = shutil.disk_usage(new).free
        models = _Reader(source, advance, most_bytes, new, free).models()
        present = [model.name for model in models if os.path.lexists(folder / model.name)]
        if present and not replace:
            raise BundleError(
                f"{', '.join(present)} is in {folder} already: --replace puts the packed one in "
                "its place, --to FOLDER unpacks elsewhere"
            )
        with _all_or_none() as moves:
            for model in models:
                moves.put(new / model.name, folder / model.name, old / model.name)
    return models


def verify(
    source: Path, advance: Advance, *, most_bytes: int = MOST_BYTES
) -> tuple[PackedModel, ...]:
    """Read a bundle to its end and compare every hash; write nothing.

    Raises:
        BundleError: it is damaged, truncated or hostile.
    """
    return _Reader(source, advance, most_bytes).models()


@dataclass(slots=True)
class _Moves:
    """Renames that can be undone, the last one first."""

    moved: list[tuple[Path, Path]] = field(default_factory=list)
    made: list[Path] = field(default_factory=list)

    def put(self, source: Path, target: Path, old: Path) -> None:
        """Rename a folder to its target; what is there now becomes `old`."""
        if os.path.lexists(target):
            self._move(target, old)
        source.chmod(0o755)
        self._move(source, target)

    def undo(self) -> None:
        for source, target in reversed(self.moved):
            target.replace(source)
        for folder in reversed(self.made):
            folder.rmdir()

    def _move(self, source: Path, target: Path) -> None:
        for folder in reversed([target.parent, *target.parent.parents]):
            if not folder.exists():
                folder.mkdir()
                self.made.append(folder)
        source.replace(target)
        self.moved.append((source, target))


@contextmanager
def _all_or_none() -> Iterator[_Moves]:
    moves = _Moves()
    try:
        yield moves
    except BaseException:
        moves.undo()
        raise


class _Header(tarfile.TarInfo):
    """A header that is checked before `tarfile` follows it to its contents."""

    # the hook that tarfile documents for subclasses
    def _proc_member(self, tar: tarfile.TarFile) -> Self:
        if self.type not in _ALLOWED or self.size < 0:
            raise _untrusted(self.name)
        if self.type == tarfile.XHDTYPE and self.size > _LARGEST_EXTENSION:
            raise _untrusted(self.name)
        # typeshed lacks it
        found: Self = super()._proc_member(tar)  # type: ignore[misc]
        return found

    def _refuse(self, *_: Any) -> None:  # called with what the format has
        raise _untrusted(self.name)

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse


@dataclass(slots=True)
class _Reader:
    """One pass over a bundle.

    Attributes:
        source: the bundle.
        advance: called with the bytes that were read.
        most_bytes: the limit of all files together.
        staging: the folder to write into; `None` to compare only.
        free: the free bytes of its disk.
    """

    source: Path
    advance: Advance
    most_bytes: int
    staging: Path | None = None
    free: int = 0
    _found: _Found = field(default_factory=dict)
    _folders: set[str] = field(default_factory=set)
    _declared: int = 0

    def models(self) -> tuple[PackedModel, ...]:
        """Return the models, if the manifest at the end lists exactly the files before it."""
        manifest: bytes | None = None
        try:
            with tarfile.open(self.source, "r|", tarinfo=_Header) as tar:
                size = self.source.stat().st_size
                for entry in tar:
                    if manifest is not None:
                        raise _untrusted(entry.name)
                    file = self._checked(tar, entry, size)
                    if entry.name == MANIFEST:
                        manifest = file.read()
                    else:
                        self._take(entry, file)
        except (tarfile.TarError, EOFError, ValueError, ArithmeticError, LookupError) as error:
            reason = str(error)[:200]
            raise BundleError(
                f"{self.source} is damaged or cut off ({reason}): copy it again"
            ) from None
        except (RecursionError, TypeError):  # headers upon headers
            raise BundleError(f"{self.source} is no bundle of `gateway pack`") from None
        return self._compare(manifest)

    def _checked(self, tar: tarfile.TarFile, entry: tarfile.TarInfo, size: int) -> IO[bytes]:
        """Return the contents of an entry that is a plain file of a size that fits."""
        path = PurePosixPath(entry.name)
        if (
            not entry.isreg()
            or entry.issparse()
            or not _is_plain(path, entry.name)
            or entry.name in self._found
            or entry.name in self._folders
            or len(self._found) >= MOST_FILES
            or any(str(parent) in self._found for parent in path.parents)
        ):
            raise _untrusted(entry.name)
        if entry.offset_data + entry.size > size:
            raise BundleError(
                f"{self.source} is damaged or cut off ({entry.name!r} has {entry.size} bytes, more "
                "than are left of it): copy it again"
            )
        if entry.name == MANIFEST and entry.size > LARGEST_MANIFEST:
            raise _untrusted(entry.name)
        self._folders.update(str(parent) for parent in path.parents)
        file = tar.extractfile(entry)
        assert file is not None
        return file

    def _take(self, entry: tarfile.TarInfo, file: IO[bytes]) -> None:
        self._declared += entry.size
        if self._declared > self.most_bytes:
            raise BundleError(
                f"{self.source} unpacks to more than {self.most_bytes:,} bytes: raise --max-bytes "
                "if you trust it"
            )
        if self.staging is not None and self._declared > self.free:
            reason = f"{self._declared:,} bytes or more are needed, {self.free:,} are free"
            raise OSError(errno.ENOSPC, reason)
        target = self.staging / entry.name if self.staging else None
        self._found[entry.name] = (entry.size, _copy(file, target, self.advance))

    def _compare(self, text: bytes | None) -> tuple[PackedModel, ...]:
        """Return the models of the manifest, if it lists exactly the files found."""
        if text is None:
            message = "has no manifest at its end: it was cut off, copy it again"
            raise BundleError(f"{self.source} {message}")
        models = parse_manifest(text, self.source)
        listed = {
            f"{model.name}/{file.path}": (file.bytes, file.sha256)
            for model in models
            for file in model.files
        }
        names = listed.keys() | self._found.keys()
        wrong = sorted(name for name in names if listed.get(name) != self._found.get(name))
        if wrong:
            shown = ", ".join(name if name.isprintable() else ascii(name) for name in wrong[:3])
            raise BundleError(
                f"{self.source} differs from its manifest: {shown[:300]}"
                f"{' and others' if len(wrong) > 3 else ''}; copy it again"
            )
        return models


def _is_plain(path: PurePosixPath, name: str) -> bool:
    """Return whether a path is one that `gateway pack` writes, below its folder."""
    return (
        path.parts != ()
        and not path.is_absolute()
        and ".." not in path.parts
        and name == path.as_posix()
        and name.isprintable()
        and len(name.encode()) <= _LONGEST_PATH
        and all(len(part.encode()) <= _LONGEST_NAME for part in path.parts)
    )


def _untrusted(name: str) -> BundleError:
    return BundleError(
        f"{name[:200]!a} in the bundle is not a plain file below its folder: `gateway pack` does "
        "not write such a thing; do not trust this bundle"
    )


def _copy(file: IO[bytes], target: Path | None, advance: Advance) -> str:
    """Return the hash of a file, and write it if there is a target."""
    hashed = hashlib.sha256()
    if target:
        target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") if target else Path(os.devnull).open("wb") as out:
        while block := file.read(_BLOCK):
            hashed.update(block)
            advance(len(block))
            out.write(block)
    return hashed.hexdigest()
