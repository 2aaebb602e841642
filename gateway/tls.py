"""TLS on the gateway's port: the pair of certificate and key, checked, and renewed while it runs.

A listening socket keeps its context. So every handshake is handed the pair in force by a callback,
which OpenSSL calls after the client's first words, whether or not they name a server; a new pair is
loaded and checked aside, and then put in the place of the old one in one step.
"""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.config import ConfigError, Problem, TlsSettings

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_ALPN = ["http/1.1"]
_KINDS = {"certificate": b"-----BEGIN CERTIFICATE-----", "key": b"PRIVATE KEY-----"}


class Tls:
    """What the port needs to speak TLS.

    Attributes:
        context: what a listening socket is opened with; it outlives its pairs.
    """

    def __init__(self, settings: TlsSettings) -> None:
        """Load the pair.

        Raises:
            ConfigError: it is missing, broken, or no pair.
        """
        self.context = self._pair = _context(settings)
        self.context.sni_callback = self._hand_out

    def renewal(self, settings: TlsSettings) -> Callable[[], None]:
        """Load a new pair; return what brings it into effect.

        Raises:
            ConfigError: as at the start.
        """
        pair = _context(settings)

        def bring() -> None:
            self._pair = pair

        return bring

    def _hand_out(self, connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._pair


def check_pair(settings: TlsSettings) -> None:
    """Raise `ConfigError` if the pair could not be used."""
    if settings.certificate and settings.key:
        _context(settings)


def _context(settings: TlsSettings) -> ssl.SSLContext:
    assert settings.certificate and settings.key
    problems = [
        *_missing("certificate", settings.certificate),
        *_missing("key", settings.key),
    ]
    if problems:
        raise ConfigError(problems)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.minimum_version]
    context.set_alpn_protocols(_ALPN)
    try:
        context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
    except _Encrypted:
        raise ConfigError([_problem("key", f"{settings.key} is encrypted", "Decrypt it")]) from None
    except ssl.SSLError as error:
        raise ConfigError([_broken(settings, error)]) from None
    return context


class _Encrypted(Exception):
    """The key wants a password."""


def _no_password() -> str:
    raise _Encrypted


def _missing(name: str, path: Path) -> Iterator[Problem]:
    """Yield what is wrong with one of the two files."""
    try:
        text = path.read_bytes()
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror})"
        yield _problem(name, message, "Check the path and its permissions")
        return
    if _KINDS[name] not in text:
        yield _problem(name, f"{path} has no {name} in PEM form", "Name a PEM file")


def _broken(settings: TlsSettings, error: ssl.SSLError) -> Problem:
    if error.reason == "KEY_VALUES_MISMATCH":
        message = f"{settings.key} does not belong to the certificate {settings.certificate}"
        return _problem("key", message, "Name a certificate and the key it was made with")
    message = f"{settings.certificate} and {settings.key} cannot be used ({error.reason})"
    return _problem("certificate", message, "Make the pair anew")


def _problem(name: str, message: str, remedy: str) -> Problem:
    return Problem(path=("tls", name), message=message, remedy=remedy)
