"""The state of the score cache and of the stores behind it, as `/status` and metrics show it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedModelStatus:
    """The use that one model made of the score cache since the gateway started.

    Documents by the source of their score: `computed`, `duplicate` of another one in the request,
    `joined` to the computation of another request, or kept in `memory`, on `disk` or in the store
    that gateways have in common (`shared`). `saved_tokens` were not computed, for which the model
    would have taken `saved_seconds`.
    """

    model: str
    computed: int
    duplicate: int
    joined: int
    memory: int
    disk: int
    shared: int
    hit_rate: float
    saved_tokens: int
    saved_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreClaimsStatus:
    """The pairs that gateways with a store in common claim, so that one of them scores each.

    This gateway claimed the pairs that it `won`. It `waited` for scores that another one then had
    computed, or in vain: those that have `run_out` it computed itself.
    """

    won: int
    waited: int
    run_out: int


CLAIM_RESULTS = ("won", "waited", "run_out")
"""The counts of claims."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreStoreStatus:
    """A store behind the score cache, `disk` or `shared`.

    It is `ok`, or `degraded` for a `reason`: then scoring goes on without it. Of the scores that
    were looked up so many were `found` or `missing`, or `unread`, as the store did not answer in
    time or at all; `damaged` values were no scores. Of the scores for it so many were `written` or
    `dropped`, and so many are `waiting`. Requests did without it `opened` times. One that gateways
    have in common has `claims`.
    """

    source: str
    place: str
    state: str
    reason: str
    entries: int | None
    bytes: int | None
    max_bytes: int | None
    found: int
    missing: int
    unread: int
    damaged: int
    written: int
    dropped: int
    waiting: int
    opened: int
    claims: ScoreClaimsStatus | None = None


STORE_RESULTS = ("found", "missing", "unread", "damaged", "written", "dropped")
"""The counts of a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCacheStatus:
    """The score cache: its kept scores, their memory, its models, and the stores behind it."""

    entries: int = 0
    bytes: int = 0
    max_bytes: int = 0
    seconds: float = 0.0
    models: tuple[CachedModelStatus, ...] = ()
    stores: tuple[ScoreStoreStatus, ...] = ()
