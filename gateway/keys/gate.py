"""The keys in force, what each has used, and who is let in.

Keys are rotated in one step (`rotate`); what a key has used is kept by its id, so a reload gives
nobody a fresh minute. Without keys everybody is let in, and nothing is counted.

Who sends a wrong key learns that it is wrong, and no more; that a key has expired or was revoked is
told to those who have the whole of it.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from gateway.errors import ExpiredKey, InvalidKey, MissingKey, RevokedKey, Unauthorized
from gateway.keys.key import Key
from gateway.keys.quota import Usage
from gateway.keys.ring import KeyRing
from gateway.keys.sent import sent_key
from gateway.metrics import Metrics
from gateway.status import KeyStatus


class Gate:
    """Who is let in."""

    def __init__(self, metrics: Metrics, ring: KeyRing | None = None) -> None:
        self._metrics = metrics
        self._usage: dict[str, Usage] = {}
        self._ring: KeyRing | None = None
        if ring is not None:
            self.rotate(ring)

    @property
    def is_open(self) -> bool:
        """Whether there are no keys, so that everybody is let in."""
        return self._ring is None

    def rotate(self, ring: KeyRing) -> None:
        """Let these keys in from now on, and no others."""
        now = time.monotonic()
        self._usage = {key.id: self._usage.get(key.id) or Usage() for key in ring.keys}
        for key in ring.keys:
            self._usage[key.id].limit(key.requests_per_minute, now)
        self._ring = ring

    def key_of(self, headers: Mapping[str, str], notes: dict[str, str]) -> Key | None:
        """Return the key of a request; `None` if there are no keys.

        Args:
            headers: of the request, by lower-case names.
            notes: the log line of the request, which is told what is found.

        Raises:
            Unauthorized: it has none that is good.
        """
        if self._ring is None:
            return None
        try:
            return _good_key(self._ring, sent_key(headers), _today(), notes)
        except Unauthorized as error:
            notes["reason"] = error.code
            self._metrics.key_refused(error.code)
            raise

    def usage(self, key: Key) -> Usage:
        """Return what a key has used; a key that is gone meanwhile begins anew, and is forgotten."""
        return self._usage.get(key.id) or Usage()

    def finished(self, key: Key, code: int, *, documents: int, tokens: int) -> None:
        """Count a rerank request of a key, however it ended."""
        usage = self.usage(key)
        usage.documents += documents
        usage.tokens += tokens
        usage.refused += code in {403, 429}
        self._metrics.key_finished(key.id, code, documents=documents, tokens=tokens)

    def status(self) -> tuple[KeyStatus, ...]:
        """Return a snapshot of all keys."""
        now = _today()
        return tuple(self._status(key, now) for key in (self._ring.keys if self._ring else ()))

    def _status(self, key: Key, now: datetime) -> KeyStatus:
        usage = self.usage(key)
        return KeyStatus(
            id=key.id,
            name=key.name,
            state=key.state(now),
            admin=key.admin,
            expires=key.expires.isoformat() if key.expires else None,
            weight=key.weight,
            open=usage.open,
            requests=usage.requests,
            refused=usage.refused,
            documents=usage.documents,
            tokens=usage.tokens,
        )


def _today() -> datetime:
    return datetime.now(UTC)


def _good_key(ring: KeyRing, secret: str | None, now: datetime, notes: dict[str, str]) -> Key:
    if secret is None:
        raise MissingKey("an API key is needed: send it in the header Authorization, as Bearer KEY")
    key = ring.find(secret)
    if key is None:
        notes |= {"key": ring.meant(secret)} if ring.meant(secret) else {}
        raise InvalidKey("this API key is not known here: check it, or ask for a new one")
    notes["key"] = key.id
    state = key.state(now)
    if state == "revoked":
        raise RevokedKey(f"this API key ({key.id}) was revoked: ask for a new one")
    if state == "expired" and key.expires is not None:
        raise ExpiredKey(
            f"this API key ({key.id}) expired on {key.expires:%Y-%m-%d at %H:%M %Z}: "
            "ask for a new one"
        )
    return key
