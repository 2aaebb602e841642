"""The headers in which clients send a key. Pure.

| header | clients |
|---|---|
| `Authorization: Bearer KEY` | nearly all |
| `Authorization: KEY` | llama-index's reranker for TEI, whose users often forget the `Bearer` |
| `X-API-Key: KEY` or `api-key: KEY` | llama.cpp's, Azure's, and proxies that use `Authorization` |

Clients without a key send `Bearer `, `Bearer None` and the like, which count as no key.
"""

from collections.abc import Mapping

_HEADERS = ("x-api-key", "api-key")
_NO_KEY = frozenset({"", "none", "null", "undefined", "bearer"})
_OTHER_SCHEMES = frozenset({"basic", "digest", "negotiate", "aws4-hmac-sha256"})
"""Schemes that proxies and browsers use for purposes of their own."""


def sent_key(headers: Mapping[str, str]) -> str | None:
    """Return the key of a request, if it has one; header names are in lower case."""
    found = (_authorization(headers.get("authorization", "")),)
    return next((key for key in (*found, *_plain(headers)) if key), None)


def _plain(headers: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_key_or_nothing(headers.get(name, "")) for name in _HEADERS)


def _authorization(text: str) -> str:
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() in _OTHER_SCHEMES:
        return ""
    return _key_or_nothing(rest if scheme.lower() == "bearer" else text)


def _key_or_nothing(text: str) -> str:
    key = text.strip()
    return "" if key.lower() in _NO_KEY else key
