"""URLs of Redis or Valkey: one server, the servers behind sentinels, or a cluster. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

Kind = Literal["single", "sentinel", "cluster"]

_KINDS: Mapping[str, tuple[Kind, bool]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "unix": ("single", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
_PORTS: Mapping[Kind, int] = {"single": 6379, "cluster": 6379, "sentinel": 26379}

FORMS = (
    "redis://HOST:PORT/DB, rediss://HOST:PORT/DB (TLS), unix:///PATH?db=DB, "
    "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB or redis+cluster://HOST:PORT,HOST:PORT, "
    "each with USER:PASSWORD@ before the host if need be"
)
"""The forms of a URL, for errors."""


class WrongUrl(ValueError):
    """The text is no such URL; the message shows no password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisTarget:
    """The servers that a URL names.

    Attributes:
        kind: one server, the servers behind sentinels, or a cluster.
        nodes: host and port of the server, of the sentinels, or of some nodes of the cluster.
        path: the Unix socket of the server; empty for TCP.
        tls: whether connections are encrypted.
        service: the name of the service, for sentinels.
        database: the number of the database.
        username, password: the user of the servers; empty for none.
        options: files of TLS, and the user of the sentinels.
        shown: the URL without passwords and options.
    """

    kind: Kind
    nodes: tuple[tuple[str, int], ...] = ()
    path: str = ""
    tls: bool = False
    service: str = ""
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    shown: str = ""


def parse_redis_url(url: str) -> RedisTarget:
    """Return the servers that a URL names.

    Raises:
        WrongUrl: it names none.
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError:  # whose message may show the password
        raise WrongUrl("it is not a URL") from None
    if parts.scheme not in _KINDS:
        raise WrongUrl(f"its scheme is none of {', '.join(_KINDS)}")
    kind, tls = _KINDS[parts.scheme]
    userinfo, _, hosts = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    options = _options(parts.query, kind, tls=tls, is_path=parts.scheme == "unix")
    shown_user = f"{username}@" if username else ""
    username, password = unquote(username), unquote(password)
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise WrongUrl("it names no socket")
        database = _number(options.pop("db", "0"))
        shown = f"unix://{shown_user}{parts.path}"
        return RedisTarget(
            kind=kind,
            path=unquote(parts.path),
            database=database,
            username=username,
            password=password,
            shown=shown,
        )
    nodes = tuple(_node(text, _PORTS[kind]) for text in hosts.split(","))
    if kind == "single" and len(nodes) > 1:
        raise WrongUrl("several hosts are a redis+sentinel:// or a redis+cluster:// URL")
    places = [unquote(place) for place in parts.path.strip("/").split("/") if place]
    service = _service(places) if kind == "sentinel" else ""
    database = _number(places.pop(0)) if places else 0
    if places or (kind == "cluster" and database):
        raise WrongUrl("its path has too many parts")
    return RedisTarget(
        kind=kind,
        nodes=nodes,
        tls=tls,
        service=service,
        database=database,
        username=username,
        password=password,
        options=options,
        shown=f"{parts.scheme}://{shown_user}{hosts}{parts.path}",
    )


def _service(places: list[str]) -> str:
    if not places:
        raise WrongUrl("a sentinel URL names its service: redis+sentinel://HOST:PORT/SERVICE")
    return places.pop(0)


def _node(text: str, port: int) -> tuple[str, int]:
    """Return host and port of `HOST`, `HOST:PORT` or `[IPV6]:PORT`."""
    try:
        parts = urlsplit(f"//{text}")
        found = parts.hostname, parts.port or port
    except ValueError:
        raise WrongUrl("a port is not a number up to 65535") from None
    if not found[0]:
        raise WrongUrl("it names no host")
    return found[0], found[1]


def _options(query: str, kind: Kind, *, tls: bool, is_path: bool) -> dict[str, str]:
    known = [
        *(_TLS_OPTIONS if tls else ()),
        *(_SENTINEL_OPTIONS if kind == "sentinel" else ()),
        *(("db",) if is_path else ()),
    ]
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in known:
            raise WrongUrl(f"option {name!r} is none of {', '.join(known) or 'none'}")
    return options


def _number(text: str) -> int:
    if not text.isdecimal():
        raise WrongUrl("its database is not a number")
    return int(text)
