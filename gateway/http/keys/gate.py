"""Authentication against the current keys, and the usage of each key.

`rotate` replaces all keys in one step. Usage is kept by the id of a key, so a reload does not reset
its limits. Without keys every request is accepted, and nothing is counted.

The reply to a wrong key reveals only that it is wrong. A client learns that a key has expired or
was revoked only if it has the whole key.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from gateway.domain.errors import ExpiredKey, InvalidKey, MissingKey, RevokedKey, Unauthorized
from gateway.http.keys.key import Key
from gateway.http.keys.quota import Usage
from gateway.http.keys.ring import KeyRing
from gateway.http.keys.sent import sent_key
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.status import KeyStatus


class Gate:
    """Authenticates requests, and counts what each key has used."""

    def __init__(self, metrics: Metrics, ring: KeyRing | None = None) -> None:
        self._metrics = metrics
        self._usage: dict[str, Usage] = {}
        self._ring: KeyRing | None = None
        if ring is not None:
            self.rotate(ring)

    @property
    def is_open(self) -> bool:
        """True if there are no keys, so that every request is accepted."""
        return self._ring is None

    def rotate(self, ring: KeyRing) -> None:
        """Accept these keys from now on, and no others."""
        now = time.monotonic()
        self._usage = {key.id: self._usage.get(key.id) or Usage() for key in ring.keys}
        for key in ring.keys:
            self._usage[key.id].limit(key.requests_per_minute, now)
        self._ring = ring

    def authenticate(self, headers: Mapping[str, str], log_fields: dict[str, str]) -> Key | None:
        """Return the key of a request; `None` if there are no keys.

        Args:
            headers: the request's, by lower-case name.
            log_fields: the fields of its log line, to which the id of the key or the reason of a
                refusal is added.

        Raises:
            Unauthorized: it has no key, or one that is not valid.
        """
        if self._ring is None:
            return None
        try:
            return _valid_key(self._ring, sent_key(headers), _now(), log_fields)
        except Unauthorized as error:
            log_fields["reason"] = error.code
            self._metrics.key_refused(error.code)
            raise

    def usage(self, key: Key) -> Usage:
        """Return the usage of a key; of one that was rotated out, a new one that is not kept."""
        return self._usage.get(key.id) or Usage()

    def finished(self, key: Key, code: int, *, documents: int, tokens: int) -> None:
        """Count a finished rerank request of a key, however it ended."""
        usage = self.usage(key)
        usage.documents += documents
        usage.tokens += tokens
        usage.refused += code in {403, 429}
        self._metrics.key_finished(key.id, code, documents=documents, tokens=tokens)

    def status(self) -> tuple[KeyStatus, ...]:
        """Return a snapshot of all keys."""
        now = _now()
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


def _now() -> datetime:
    return datetime.now(UTC)


def _valid_key(ring: KeyRing, secret: str | None, now: datetime, log_fields: dict[str, str]) -> Key:
    if secret is None:
        raise MissingKey("an API key is needed: send it in the header Authorization, as Bearer KEY")
    key = ring.find(secret)
    if key is None:
        if claimed := ring.claimed_id(secret):
            log_fields["key"] = claimed
        raise InvalidKey("this API key is not known here: check it, or ask for a new one")
    log_fields["key"] = key.id
    state = key.state(now)
    if state == "revoked":
        raise RevokedKey(f"this API key ({key.id}) was revoked: ask for a new one")
    if state == "expired" and key.expires is not None:
        raise ExpiredKey(
            f"this API key ({key.id}) expired on {key.expires:%Y-%m-%d at %H:%M %Z}: "
            "ask for a new one"
        )
    return key
