"""Files of a checkpoint, read within bounds: a stranger wrote them.

A file that is too large, nested too deeply, of the wrong type or no UTF-8 ends in a refusal with
the file's name, never in an error of a parser.
"""

import json
import re
from pathlib import Path
from typing import Any

from shards.refusal import Refusal

LARGEST_JSON = 64 << 20
"""The most bytes of a JSON file; the largest index of a checkpoint has some megabytes."""

DEEPEST = 32
"""The most levels of nesting; configurations have five."""

_LARGEST_TEXT = 1 << 20
_AGAIN = "download the checkpoint again"


def read_bytes(path: Path, most: int) -> bytes:
    """Return a file's content, or raise a refusal with the file's name."""
    try:
        size = path.stat().st_size
        if size > most:
            raise Refusal(f"{path} has {size} bytes, and {most} are the most for such a file")
        return path.read_bytes()
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror or error}; {_AGAIN}") from error


def read_text(path: Path, most: int = _LARGEST_TEXT) -> str:
    """Return a file's text, or raise a refusal with the file's name."""
    try:
        return read_bytes(path, most).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(f"{path} is no UTF-8 text ({error.reason}); {_AGAIN}") from error


def parse_json(content: bytes, deepest: int = DEEPEST) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    if depth_of(content) > deepest:
        raise ValueError(f"it is nested over {deepest} levels deep")
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_number_of)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _number_of(name: str) -> float:
    """Return an infinity, which training scripts do write; reject NaN."""
    if name == "NaN":
        raise ValueError("NaN is no number")
    return float(name.replace("Infinity", "inf"))


def depth_of(content: bytes) -> int:
    """Return how deeply JSON is nested, without parsing it."""
    depth = deepest = 0
    for byte in _STRING.sub(b"", content).translate(None, delete=_ALL_BUT_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


_STRING = re.compile(rb'"(?:[^"\\]+|\\.)*"', re.DOTALL)
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def read_json(path: Path, most: int = LARGEST_JSON) -> dict[str, Any]:
    """Return the JSON object in a file, or raise a refusal with the file's name."""
    content = json_in(path, most)
    if not isinstance(content, dict):
        raise Refusal(f"{path} holds no JSON object; {_AGAIN}")
    return content


def json_in(path: Path, most: int = LARGEST_JSON) -> Any:
    """Return the JSON value in a file, or raise a refusal with the file's name."""
    try:
        return parse_json(read_bytes(path, most))
    except ValueError as error:
        raise Refusal(f"{path} cannot be read as JSON: {error}; {_AGAIN}") from error
