"""The name and the source of a model, as commands and programs write both in one text."""

import re
from pathlib import Path

from shards.wire.cached_id import cached_id
from shards.wire.gguf_file import SUFFIX, gguf_files


def parse_model(text: str) -> tuple[str, str]:
    """Return name and source of `NAME=SOURCE` or `SOURCE`.

    Without a name a hub id is its own name, also that of a folder in a hub's cache. The name of any
    other folder is its last part, and that of a GGUF file its own without the suffix.
    """
    name, equals, source = text.partition("=")
    if equals and name and not name.startswith((".", "/", "~")):
        return name, source
    if text.startswith("embedded:"):
        return text.replace(":", "-", 1), text
    folder = Path(text).expanduser()
    if text.startswith((".", "/", "~")) or folder.is_dir() or gguf_files(folder):
        # A file in the hub's cache is a link to one that is named by its hash.
        folder = folder.absolute() if folder.is_file() else folder.resolve()
        name = cached_id(folder) or folder.name.removesuffix(SUFFIX)
        return re.sub(r"[^A-Za-z0-9._/-]", "-", name).lstrip("._-") or "model", text
    return text, text
