"""The answers of a store of scores to reads."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from gateway.serving.score_cache.stores.sealed_score import Kept


class Look(NamedTuple):
    """The answer of a store.

    Attributes:
        found: the valid scores, by key.
        holders: the gateways that compute a score now, by key, see `claims`.
    """

    found: Mapping[bytes, Kept]
    holders: Mapping[bytes, bytes]


class Reading(NamedTuple):
    """A read for a request.

    Attributes:
        found: the valid scores that came in time, by key.
        late: the read of the rest, which goes on while the request computes.
    """

    found: Mapping[bytes, Kept]
    late: asyncio.Task[Mapping[bytes, Kept]] | None
