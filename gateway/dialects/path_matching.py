"""The path of a request for scores or vectors, in any spelling that base URLs produce. Pure.

Clients append an endpoint to a base URL, which may end in a slash, in a version, or in the mount of
another server. The first of these rules that finds a path in the table counts:

1. the path as it is, without slashes at its end;
2. `/models/NAME` before a known path: NAME is the model, may have slashes, and ends where the
   longest known path begins; anything may stand before `/models/`. So does NVIDIA's
   `/v1/retrieval/NAME/reranking`;
3. the longest known path at the end, behind any prefix.

A vendor's prefix (`/voyage/...`) at the beginning wins: the known path must be of this vendor.
Several slashes count as one. Nothing behind the operator's prefix is found, so
that a rule of a proxy for `/admin/` holds for all of it.
"""

from collections.abc import Mapping

from gateway.dialects.base import Dialect
from gateway.dialects.jina import JINA
from gateway.dialects.paths import ALL_PATHS, NAMED, NO_NAME, VENDORS, RerankPath
from gateway.dialects.pinecone import PINECONE, VERSION_HEADER

ADMIN_PREFIX = "/admin/"
"""The prefix of the operator's paths, which change what is served."""

MODELS_FOLDER = "/models/"

UNKNOWN_PATH = RerankPath(JINA)
"""The match for errors outside any dialect, as on an unknown path."""

_LONGEST_PATH = max(map(len, ALL_PATHS))


def match_path(path: str) -> RerankPath | None:
    """Return the match of a path; `None` if it is no rerank path."""
    found = ALL_PATHS.get(path)
    return _match_spelling(path) if found is None else found


def match_request(path: str, headers: Mapping[str, str]) -> RerankPath | None:
    """Return the match of a path, given the headers by lower-case name."""
    found = match_path(path)
    if VERSION_HEADER in headers and found is not None and found.is_shared:
        return RerankPath(PINECONE, model=found.model)
    return found


def dialect_of(path: str, fields: frozenset[str] = frozenset()) -> Dialect:
    """Return the dialect of a request with this path and these fields."""
    return (match_path(path) or UNKNOWN_PATH).dialect_for(fields)


def squeezed(path: str) -> str:
    """Return a path with single slashes, and without one at its end."""
    while "//" in path:  # each turn halves the slashes
        path = path.replace("//", "/")
    return path.removesuffix("/") or "/"


def _match_spelling(path: str) -> RerankPath | None:
    plain = squeezed(path)
    if not path.startswith("/") or plain.startswith(ADMIN_PREFIX):
        return None
    found = ALL_PATHS.get(plain) or _match_model(plain) or _match_end(plain)
    return found or (_match_model(f"{plain}/") if path.endswith("/") else None)


def _match_model(path: str) -> RerankPath | None:
    """Match `/models/NAME/v1/rerank`, also behind a prefix; `/models/NAME/` is TEI's root."""
    for folder, paths in NAMED.items():
        before, is_there, rest = path.partition(folder)
        if is_there:
            start, found = _longest(rest, _vendor(before), paths)
            if found is None:
                return None
            name = rest[:start] if rest[:start] != NO_NAME else None
            return RerankPath(found.dialect, found.signatures, name)
    return None


def _match_end(path: str) -> RerankPath | None:
    """Match a known path behind a prefix that names no model."""
    start, found = _longest(path, _vendor(path), ALL_PATHS)
    return None if MODELS_FOLDER in path[:start] + "/" else found


def _longest(
    path: str, vendor: str, paths: Mapping[str, RerankPath]
) -> tuple[int, RerankPath | None]:
    """Return the longest known path at the end of a path, of a vendor if there is one."""
    start = path.find("/", max(1, len(path) - _LONGEST_PATH))  # no known path is longer
    while start > 0:
        found = paths.get(vendor + path[start:])
        if found is not None:
            return start, found
        start = path.find("/", start + 1)
    return 0, None


def _vendor(path: str) -> str:
    """Return the vendor's prefix at the beginning of a path; empty without one."""
    if not path:
        return ""
    first = "/" + path.lstrip("/").partition("/")[0]
    return first if first in VENDORS else ""
