"""Addresses of servers as people write them, and reasons for a connection that fails.

An address may lack its scheme: `127.0.0.1:8080` is `http://127.0.0.1:8080`. A failure that comes
from the scheme or from a certificate is described as such, with its remedy.
"""

import asyncio
import re
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

import aiohttp

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BARE = re.compile(r"(?!(unix|https?):)[^\s/]+(/\S*)?")
_PROBE_SECONDS = 2.0
_PLAIN_REPLIES = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTO")
"""OpenSSL's reasons for bytes that are no TLS."""

_TRUST = (
    "set the environment variable SSL_CERT_FILE to the PEM file of the certificate, or of the "
    "authority that signed it"
)
_REMEDIES = {
    10: "renew the certificate at the server",  # expired
    9: "check the clocks of both machines",  # not yet valid
    62: "use a name that the certificate has",  # hostname mismatch
    64: "use an address that the certificate has, or its name",  # IP address mismatch
}
"""Remedies by OpenSSL's number of the error; any other number is a question of trust."""


def complete_url(url: str) -> str:
    """Return an address with its scheme: `http` where it has none."""
    url = url.strip()
    return f"http://{url}" if _BARE.fullmatch(url) and not _SCHEME.match(url) else url


async def connection_problem(error: Exception, url: str) -> str:
    """Return the reason of a failed request, with what to do where the scheme or TLS is to blame.

    For a plain connection that was cut, the server is asked once whether it speaks TLS.
    """
    reason = tls_problem(error, url)
    if not reason and url.startswith("http://") and _was_cut(error) and await _speaks_tls(url):
        reason = f"the port speaks TLS: use https://{url.removeprefix('http://')}"
    return reason or str(error) or type(error).__name__


def tls_problem(error: Exception, url: str) -> str:
    """Return what is wrong with the scheme or the certificate; empty if neither is to blame."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        if isinstance(cause, ssl.SSLCertVerificationError):
            remedy = _REMEDIES.get(cause.verify_code, _TRUST)
            return f"its certificate is not accepted ({cause.verify_message}): {remedy}"
        return f"its certificate is not accepted ({cause})"
    if isinstance(error, aiohttp.ClientSSLError) and any(
        name in str(error) for name in _PLAIN_REPLIES
    ):
        return f"the port speaks plain HTTP, not TLS: use http://{url.removeprefix('https://')}"
    return f"TLS fails ({error})" if isinstance(error, aiohttp.ClientSSLError) else ""


def _was_cut(error: Exception) -> bool:
    """Return whether a server took a connection, and sent no HTTP over it."""
    is_refused = isinstance(error, aiohttp.ClientConnectorError)
    return isinstance(error, aiohttp.ClientError) and not is_refused


async def _speaks_tls(url: str) -> bool:
    """Return whether a TLS handshake succeeds at the port of a URL; nothing is sent over it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with suppress(OSError, ValueError, TimeoutError):
        parts = urlsplit(url)
        async with asyncio.timeout(_PROBE_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, ssl=context)
        writer.close()
        return True
    return False
