"""Where in a request clients put their key. Pure.

| header | who |
|---|---|
| `Authorization: Bearer KEY` | nearly all |
| `Authorization: KEY` | llama-index's reranker for TEI, whose users often forget the `Bearer` |
| `X-API-Key: KEY`, `api-key: KEY` | llama.cpp's clients, Azure's, proxies that keep `Authorization` for themselves |

Clients that were given no key send `Bearer `, `Bearer None` and the like: that is no key.
"""

from collections.abc import Mapping

_HEADERS = ("x-api-key", "api-key")
_NOTHING = frozenset({"", "none", "null", "undefined", "bearer"})
_OTHER_SCHEMES = frozenset({"basic", "digest", "negotiate", "aws4-hmac-sha256"})
"""What proxies and browsers may have put there for themselves."""


def sent_key(headers: Mapping[str, str]) -> str | None:
    """Return the key of a request, if there is one; names of headers are in lower case."""
    found = (_authorization(headers.get("authorization", "")),)
    return next((key for key in (*found, *_plain(headers)) if key), None)


def _plain(headers: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_something(headers.get(name, "")) for name in _HEADERS)


def _authorization(text: str) -> str:
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() in _OTHER_SCHEMES:
        return ""
    return _something(rest if scheme.lower() == "bearer" else text)


def _something(text: str) -> str:
    key = text.strip()
    return "" if key.lower() in _NOTHING else key
