"""The GGUF file of a source: the source itself, or the one file in its folder."""

import re
from functools import lru_cache
from pathlib import Path

from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.gguf_file import GgufError, GgufHead, gguf_files, read_gguf

_PART = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
_AGAIN = "download it again"


def gguf_in(place: Path) -> Path | None:
    """Return the GGUF file that a file or folder names; `None` for a checkpoint of another form.

    Raises:
        Refusal: a folder has several, or the file is one part of several.
    """
    files = gguf_files(place)
    if not files:
        return None
    if len(files) > 1 and not _PART.search(files[0].name):
        names = ", ".join(path.name for path in files[:8])
        raise Refusal(
            f"{place} has {len(files)} GGUF files: name one of them as `source` ({names})",
            ExitCode.SPEC,
        )
    return _whole(files[0])


def _whole(path: Path) -> Path:
    if _PART.search(path.name):
        raise Refusal(
            f"{path} is one part of a split GGUF file: join the parts (`llama-gguf-split --merge`)"
        )
    return path


def read_head(path: Path) -> GgufHead:
    """Read the head of a GGUF file, or raise a refusal with its name."""
    try:
        path = path.resolve()
        about = path.stat()
        return _read(path, about.st_size, about.st_mtime_ns)
    except GgufError as error:
        raise Refusal(f"{path} cannot be served: {error}; {_AGAIN}, or convert it anew") from error
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror or error}") from error


@lru_cache(1)  # a load asks for it several times
def _read(path: Path, size: int, changed_ns: int) -> GgufHead:
    return read_gguf(path)
