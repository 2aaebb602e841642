"""The keys of the configuration about connections."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.config.section import Seconds, Section


class HttpSettings(Section):
    """What one connection may do. The reply to whoever goes beyond is in docs/reliability.md."""

    header_bytes: int = Field(default=32 * 1024, ge=1024, le=1024 * 1024)
    """The most bytes of request line and headers together; also of a trailer."""

    header_count: int = Field(default=100, ge=10, le=10_000)
    """The most header lines of one request."""

    first_byte_seconds: Seconds = 5.0
    """How long a new connection may stay silent before it is closed."""

    header_seconds: Seconds = 10.0
    """How long request line and headers may take to arrive."""

    body_seconds: Seconds = 60.0
    """How long a body may take to arrive."""

    body_bytes_per_second: int = Field(default=1024, ge=1, le=1_000_000_000)
    """The slowest a body may come, and a reply be read, on average after the first seconds."""

    write_seconds: Seconds = 10.0
    """How long a reply may make no progress, because the client does not read, before it is cut."""

    keep_alive_seconds: Seconds = 30.0
    """How long a connection may rest between two requests."""

    connections: int = Field(default=4096, ge=1, le=1_000_000)
    """The most open connections; lowered, with a warning, to what the limit of open files allows."""

    connections_per_address: int | None = Field(default=None, ge=1, le=1_000_000)
    """The most of them from one address. Unset: 256, but any number from this machine itself, where
    a proxy would be; a number holds for this machine, too."""

    allowed_hosts: tuple[str, ...] = ()
    """Names in the `Host` header that are answered, beside this machine's own (`localhost`,
    loopback addresses, `host`): `name`, `name:port`, `*.domain`, or `*` for any. Unset: only this
    machine's own while `host` is a loopback address, any otherwise. It keeps web pages in a browser
    on this machine from asking the gateway under a name of theirs."""


class TlsSettings(Section):
    """HTTPS on the port of the gateway. A proxy in front may do it as well."""

    certificate: Path | None = None
    """The certificate and those it rests on, as PEM (relative to this file); a reload reads it
    again. Unset: plain HTTP."""

    key: Path | None = None
    """The private key of the certificate, as PEM, not encrypted; a reload reads it again."""

    minimum_version: Literal["1.2", "1.3"] = "1.2"
    """The oldest version of TLS that is spoken."""
