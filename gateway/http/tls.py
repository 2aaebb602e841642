"""TLS on the gateway's port: the pair of certificate and key, checked, and renewed while it runs.

A listening socket keeps its context, so a renewed pair cannot replace that. Instead a callback sets
the current pair on each handshake; OpenSSL calls it after the ClientHello, with or without a server
name in it. A new pair is loaded and checked first, and then replaces the old one in one step.

The dates of a certificate are checked by a handshake in memory, with a client that trusts this
certificate and nothing else.
"""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from gateway.config import ConfigError, Problem, TlsSettings, reading

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_ALPN = ["http/1.1"]
_KINDS = {"certificate": b"-----BEGIN CERTIFICATE-----", "key": b"PRIVATE KEY-----"}
_DATES = {9: "is not valid yet", 10: "has expired"}
"""Faults of dates, by OpenSSL's codes of verification."""

_ROUNDS = 10  # a handshake of two sides in memory takes three


class _Pair(NamedTuple):
    """A certificate and its key, as loaded.

    Attributes:
        context: the context with both.
        certificate: the PEM text of the certificate and its chain.
    """

    context: ssl.SSLContext
    certificate: str


class _Connection(ssl.SSLObject):
    """The server's side of a connection, which sends the alert of a handshake that fails.

    At a failure uvloop closes the connection and drops what is still to be sent, and that is the
    alert with the reason. So the first report of a failure asks for more input: uvloop then sends
    what there is. The client closes the connection at the alert; the time limit of the handshake
    ends one that does not.
    """

    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self._failure = error
            raise ssl.SSLWantReadError from None


class Tls:
    """TLS with a certificate that can be renewed.

    Attributes:
        context: the context of the listening socket; it outlives the pairs of certificate and key.
    """

    def __init__(self, settings: TlsSettings) -> None:
        """Load the pair.

        Raises:
            ConfigError: a file is missing or broken, or the two do not belong together.
        """
        self._pair = _load(settings)
        self.context = self._pair.context
        self.context.sni_callback = self._set_pair
        self.context.sslobject_class = _Connection

    def renewal(self, settings: TlsSettings) -> tuple[Callable[[], None], tuple[str, ...]]:
        """Load a new pair; return the function that brings it into effect, and warnings.

        Raises:
            ConfigError: as at the start, or the certificate is not the one in effect and its dates
                are not those of today.
        """
        pair = _load(settings)
        fault = _fault_of_dates(pair)
        if fault and pair.certificate != self._pair.certificate:
            message = f"{settings.certificate} {fault}"
            raise ConfigError([_problem("certificate", message, "Name one that is valid today")])

        def bring() -> None:
            self._pair = pair

        return bring, _warnings(settings, fault)

    def _set_pair(self, connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._pair.context


def check_pair(settings: TlsSettings) -> tuple[str, ...]:
    """Return warnings about a pair; raise `ConfigError` if it cannot be used."""
    if not (settings.certificate and settings.key):
        return ()
    return _warnings(settings, _fault_of_dates(_load(settings)))


def _warnings(settings: TlsSettings, fault: str) -> tuple[str, ...]:
    remedy = "clients that check it refuse the connection: renew it and reload"
    return (f"tls.certificate: {settings.certificate} {fault}; {remedy}",) if fault else ()


def _fault_of_dates(pair: _Pair) -> str:
    """Return what is wrong with the dates of a certificate today; empty if nothing is."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.load_verify_locations(cadata=pair.certificate)
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the authority need not be there
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server)
    server = pair.context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_ROUNDS):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return _DATES.get(error.verify_code, "")
            except ssl.SSLError:  # not of the dates, and no reason to refuse the pair
                return ""
    return ""


def _load(settings: TlsSettings) -> _Pair:
    """Load a pair.

    Raises:
        ConfigError: a file is missing or broken, or the two do not belong together.
    """
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
        with reading(settings.certificate):
            context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
            certificate = settings.certificate.read_bytes().decode("ascii", "ignore")
    except _Encrypted:
        raise ConfigError([_problem("key", f"{settings.key} is encrypted", "Decrypt it")]) from None
    except ssl.SSLError as error:
        raise ConfigError([_broken(settings, error)]) from None
    return _Pair(context, certificate)


class _Encrypted(Exception):
    """The key needs a password."""


def _no_password() -> str:
    raise _Encrypted


def _missing(name: str, path: Path) -> Iterator[Problem]:
    """Yield the problem of one of the two files, if it has one."""
    try:
        with reading(path):
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
