"""The id of a checkpoint whose folder is in the cache of a hub."""

from pathlib import Path

_SNAPSHOTS = "snapshots"
_KIND = "models--"
"""The beginning of a folder's name in Hugging Face's cache; ModelScope's has none."""
_OLD_ROOT, _OLD_POINT = "models", "___"
"""ModelScope's cache up to version 1.37: `models/OWNER/NAME`, and these for a point in NAME."""


def cached_id(folder: Path) -> str:
    """Return `OWNER/NAME` for `.../OWNER--NAME/snapshots/REVISION`; empty for other folders.

    The last part of such a folder, `master` or a commit, is the name of no model.
    """
    parent = folder.parent
    if _OLD_POINT in folder.name and parent.parent.name == _OLD_ROOT:
        return f"{parent.name}/{folder.name.replace(_OLD_POINT, '.')}"
    name = parent.parent.name
    is_cached = parent.name == _SNAPSHOTS and (name.startswith(_KIND) or "--" in name)
    return name.removeprefix(_KIND).replace("--", "/", 1) if is_cached else ""
