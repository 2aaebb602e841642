"""The name and the source of a model, as commands and programs write both in one text."""

import re
from pathlib import Path

from shards.wire.cached_id import cached_id


def parse_model(text: str) -> tuple[str, str]:
    """Return name and source of `NAME=SOURCE` or `SOURCE`.

    Without a name a hub id is its own name, also that of a folder in a hub's cache. The name of any
    other folder is its last part.
    """
    name, equals, source = text.partition("=")
    if equals and name and not name.startswith((".", "/", "~")):
        return name, source
    if text.startswith("embedded:"):
        return text.replace(":", "-", 1), text
    folder = Path(text).expanduser()
    if text.startswith((".", "/", "~")) or folder.is_dir():
        folder = folder.resolve()
        name = cached_id(folder) or folder.name
        return re.sub(r"[^A-Za-z0-9._/-]", "-", name).lstrip("._-") or "model", text
    return text, text
