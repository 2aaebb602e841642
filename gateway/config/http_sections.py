"""Sections `[http]`, `[tls]` and `[limits]`: connections, HTTPS, and the size of requests."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.config.sections import Seconds, Section


class HttpSettings(Section):
    """Limits of one connection. docs/reliability.md lists the reply to each excess."""

    header_bytes: int = Field(default=32 * 1024, ge=1024, le=1024 * 1024)
    """Maximum size of request line and headers together, in bytes; also that of a trailer."""

    header_count: int = Field(default=100, ge=10, le=10_000)
    """Maximum number of header lines in one request."""

    first_byte_seconds: Seconds = 5.0
    """Time limit for the first byte on a new connection, in seconds."""

    header_seconds: Seconds = 10.0
    """Time limit for request line and headers to arrive, in seconds."""

    body_seconds: Seconds = 60.0
    """Time limit for a body to arrive, in seconds."""

    body_bytes_per_second: int = Field(default=1024, ge=1, le=1_000_000_000)
    """Slowest rate at which a client may send a body or read a reply, in bytes per second, on
    average after the first seconds."""

    write_seconds: Seconds = 10.0
    """Time limit for a reply without progress, in seconds. The connection of a client that does
    not read is cut after it."""

    keep_alive_seconds: Seconds = 30.0
    """Time limit for an idle connection between two requests, in seconds."""

    connections: int = Field(default=4096, ge=1, le=1_000_000)
    """Maximum number of open connections; lowered, with a warning, to what the limit of open files
    allows."""

    connections_per_address: int | None = Field(default=None, ge=1, le=1_000_000)
    """Maximum number of open connections from one address. Unset: 256, without a limit for this
    machine itself, where a proxy would be; a number holds for this machine, too."""

    allowed_hosts: tuple[str, ...] = ()
    """Accepted names in the `Host` header, beside this machine's own (`localhost`, loopback
    addresses, `host`): `name`, `name:port`, `*.domain`, or `*` for any. Unset: only this machine's
    own while `host` is a loopback address, any otherwise. The check keeps a web page in a browser
    on this machine from calling the gateway under a name of the page's own (DNS rebinding)."""

    open_status: bool = True
    """Permission for programs on this machine to read `/status` and `/metrics` while there are no
    keys. Set it to false behind a proxy on this machine that forwards every path."""


class TlsSettings(Section):
    """HTTPS on the port of the gateway. A proxy in front may do it as well."""

    certificate: Path | None = None
    """PEM file of the certificate and its chain (relative to this file); a reload reads it again.
    Unset: plain HTTP."""

    key: Path | None = None
    """PEM file of the certificate's private key, not encrypted; a reload reads it again."""

    minimum_version: Literal["1.2", "1.3"] = "1.2"
    """Oldest accepted version of TLS."""


class LimitSettings(Section):
    """Limits of one request, and of the queue of one model."""

    documents: int = Field(default=10_000, ge=1, le=1_000_000)
    """Maximum number of documents in one request."""

    document_bytes: int = Field(default=1_000_000, ge=1)
    """Maximum size of one document, in bytes of UTF-8."""

    query_bytes: int = Field(default=100_000, ge=1)
    """Maximum size of one query or instruction, in bytes of UTF-8."""

    body_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    """Maximum size of one request body, in bytes."""

    queue_tokens: int = Field(default=2_000_000, ge=1)
    """Maximum size of the queue of one model, in tokens; beyond it the reply is 503 with
    Retry-After."""
