"""The page at `/` and that of the API: plain files, and the headers that they are served with.

The files need no build and load nothing from other hosts. The content security policy enforces it
in the browser: scripts and styles from this server only, no code from strings, no frame around the
page. Browsers revalidate every file and usually get 304, so a new version shows at once.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""The media types of the files that are served, by suffix."""

PAGE = "index.html"

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}

_HEADERS = {
    "content-security-policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",  # cached, but revalidated before each use
}


@dataclass(frozen=True, slots=True)
class WebFile:
    """One file of the page.

    Attributes:
        content: its bytes.
        headers: the headers of its reply.
        tag: the `ETag` among them, which changes with the content.
    """

    content: bytes
    headers: Mapping[str, str]
    tag: str

    def is_known_to(self, if_none_match: str) -> bool:
        """Return whether a browser that sent this header has the current content."""
        known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
        return "*" in known or self.tag in known


@cache
def web_files() -> Mapping[str, WebFile]:
    """Return all files of the page by name."""
    return {
        path.name: web_file(path.read_bytes(), _KINDS[path.suffix])
        for path in sorted(Path(__file__).parent.iterdir())
        if path.suffix in _KINDS
    }


def web_file(content: bytes, kind: str = _KINDS[".html"]) -> WebFile:
    """Return a file with its headers."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return WebFile(content, {**_HEADERS, "content-type": kind, "etag": tag}, tag)
