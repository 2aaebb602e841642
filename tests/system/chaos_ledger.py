"""The ledger of a chaos run: one row per request, and what may not be in it. Pure.

What each kind of request may come to is a table. A request that may only succeed is an *innocent*:
whatever happens to the shards, its client must never notice anything but time.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gateway.domain import sigmoid
from shards.engines.fake import margin

OK, LEFT, LOST = "200", "left", "lost"


class Kind(Enum):
    """What a client does."""

    SMALL = "small"
    LARGE = "large"
    SLOW = "slow client"
    HASTY = "short deadline"
    LEAVING = "client leaves"
    POISON = "poison"


ALLOWED: dict[Kind, frozenset[str]] = {
    Kind.SMALL: frozenset({OK}),
    Kind.LARGE: frozenset({OK}),
    Kind.SLOW: frozenset({OK}),
    Kind.HASTY: frozenset({OK, "504 deadline_exceeded", "503 model_unavailable", "503 overloaded"}),
    Kind.LEAVING: frozenset({OK, LEFT}),
    Kind.POISON: frozenset({"400 quarantined"}),
}
"""The outcomes that a kind of request may have."""

INNOCENT = frozenset(kind for kind, outcomes in ALLOWED.items() if outcomes == {OK})


@dataclass(frozen=True, slots=True)
class Row:
    """One request.

    Attributes:
        id: what the client called it, in X-Request-Id.
        kind: what the client did.
        sent: seconds since the start of the run.
        seconds: from sending to the answer.
        allowed_seconds: the deadline it asked for.
        outcome: `200`, `left`, `lost`, or the status and the code of the error.
        fault: what is wrong with the answer itself; empty if nothing is.
    """

    id: str
    kind: Kind
    sent: float
    seconds: float
    allowed_seconds: float
    outcome: str
    fault: str = ""

    @property
    def is_allowed(self) -> bool:
        return self.outcome in ALLOWED[self.kind]

    @property
    def late_seconds(self) -> float:
        """How long after its deadline the answer came."""
        return max(0.0, self.seconds - self.allowed_seconds)


def judged(query: str, documents: Sequence[str], status: int, body: Any) -> tuple[str, str]:
    """Return the outcome of an answer, and what is wrong with it."""
    if status == 200:
        return OK, _wrong_scores(query, documents, body)
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not all(
        error.get(key) for key in ("message", "type", "code")
    ):
        return f"{status}", f"an error of no known form: {str(body)[:200]}"
    return f"{status} {error['code']}", ""


def _wrong_scores(query: str, documents: Sequence[str], body: Any) -> str:
    try:
        got = [(result["index"], result["relevance_score"]) for result in body["results"]]
    except (KeyError, TypeError) as error:
        return f"a result of no known form ({error!r}): {str(body)[:200]}"
    expected = [(index, sigmoid(margin(query, text))) for index, text in enumerate(documents)]
    if sorted(got) != expected:
        return f"wrong scores: {sorted(got)[:3]} instead of {expected[:3]}"
    return ""


def accesses(log: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield id and status of each request that the gateway says it has answered.

    Shards write their stacks to the same stderr, so a line may begin with a piece of one.
    """
    for line in log:
        if '"gateway.access"' in line:
            entry, _ = json.JSONDecoder().raw_decode(line[line.index("{") :])
            yield entry["request_id"], entry["code"]


def contradictions(rows: Iterable[Row], answered: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Compare what clients got with what the gateway says it gave: each answer exactly once."""
    times = Counter(request for request, _ in answered)
    status: Mapping[str, int] = dict(answered)
    for row in rows:
        if row.outcome in {LEFT, LOST}:
            if times[row.id] > 1:
                yield f"{row.id} was answered {times[row.id]} times"
        elif times[row.id] != 1:
            yield f"{row.id} was answered {times[row.id]} times"
        elif not row.outcome.startswith(str(status[row.id])):
            yield f"{row.id} got {row.outcome}, the gateway says {status[row.id]}"
