"""The manifest at the end of a bundle, read from bytes that may be anything."""

import json
import re
from pathlib import Path
from typing import Any

from gateway import __version__
from gateway.cli.models.bundle import FORMAT, BundleError, PackedModel

LARGEST_MANIFEST = 16 << 20
"""The most bytes of a manifest."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_LONGEST_SOURCE = 4096
_SHOWN = 60


def parse_manifest(text: bytes, source: Path) -> tuple[PackedModel, ...]:
    """Return the models of a manifest; their names become folders, so not every name is allowed.

    Raises:
        BundleError: it is of another format, or not one that `gateway pack` writes.
    """
    try:
        manifest = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise _invalid(source, str(error)) from None
    if not isinstance(manifest, dict):
        raise _invalid(source, "it is no object")
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"{source} has format {_shown(manifest.get('format'))}, this gateway ({__version__}) "
            f"reads {FORMAT}: use the gateway that packed it ({_shown(manifest.get('gateway'))})"
        )
    models = _models(manifest.get("models"), source)
    for model in models:
        if not model.files or not _NAME.fullmatch(model.name):
            raise BundleError(
                f"{source} names a model {_shown(model.name)}, which `gateway pack` would not: do "
                "not trust this bundle"
            )
    _check_apart([model.name for model in models], source)
    return models


def _models(found: object, source: Path) -> tuple[PackedModel, ...]:
    import msgspec

    try:
        models = msgspec.convert(found, tuple[PackedModel, ...], strict=True)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _invalid(source, str(error)) from None
    for model in models:
        paths = [file.path for file in model.files]
        if len(set(paths)) < len(paths):
            raise _invalid(source, f"model {_shown(model.name)} lists a file twice")
        if len(model.source) > _LONGEST_SOURCE or not model.source.isprintable():
            raise _invalid(source, f"model {_shown(model.name)} has no plain source")
    return models


def _check_apart(names: list[str], source: Path) -> None:
    """Check that no model is twice, or inside the folder of another."""
    for name in names:
        inside = [other for other in names if other.startswith(f"{name}/")]
        if names.count(name) > 1 or inside:
            raise _invalid(source, f"model {_shown(name)} is twice, or holds another one")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _shown(value: object) -> str:
    """Return a value in printable characters, cut."""
    text = value if isinstance(value, str) and value.isprintable() else ascii(value)
    return text[:_SHOWN]


def _invalid(source: Path, reason: str) -> BundleError:
    plain = reason if reason.isprintable() else ascii(reason)
    return BundleError(f"{source} has an invalid manifest ({plain[:200]}): copy it again")
