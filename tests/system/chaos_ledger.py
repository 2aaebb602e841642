"""The ledger of a chaos run: one row per request, and its contradictions. Pure.

A table holds the allowed outcomes of each kind of request. A request that may only succeed is an
*innocent*: whatever happens to the shards, its client must notice nothing but time.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gateway.domain.request import sigmoid
from shards.engines.fake import margin

OK, LEFT, LOST = "200", "left", "lost"


class Kind(Enum):
    """A kind of request."""

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
        id: its X-Request-Id.
        kind: its kind.
        sent: seconds since the start of the run.
        seconds: from sending to the answer.
        allowed_seconds: its deadline.
        outcome: `200`, `left`, `lost`, or the status and the code of the error.
        defect: the defect of the answer itself; empty for none.
    """

    id: str
    kind: Kind
    sent: float
    seconds: float
    allowed_seconds: float
    outcome: str
    defect: str = ""

    @property
    def is_allowed(self) -> bool:
        return self.outcome in ALLOWED[self.kind]

    @property
    def late_seconds(self) -> float:
        """Return the time from the deadline to the answer."""
        return max(0.0, self.seconds - self.allowed_seconds)


def judged(
    query: str,
    documents: Sequence[str],
    status: int,
    body: Any,
    shifts: Iterable[float] = (0.0,),
) -> tuple[str, str]:
    """Return the outcome and the defect of an answer.

    Args:
        query, documents: the request.
        status, body: the answer.
        shifts: of all margins by the files that may be served at the time; one of them is right for
            the whole answer.
    """
    if status == 200:
        defects = [_wrong_scores(query, documents, body, shift) for shift in shifts]
        return OK, "" if "" in defects else defects[0]
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not all(
        error.get(key) for key in ("message", "type", "code")
    ):
        return f"{status}", f"an error of unknown form: {str(body)[:200]}"
    return f"{status} {error['code']}", ""


def _wrong_scores(query: str, documents: Sequence[str], body: Any, shift: float) -> str:
    try:
        got = [(result["index"], result["relevance_score"]) for result in body["results"]]
    except (KeyError, TypeError) as error:
        return f"a result of unknown form ({error!r}): {str(body)[:200]}"
    margins = [margin(query, text) + shift for text in documents]
    expected = [(index, sigmoid(margin)) for index, margin in enumerate(margins)]
    if sorted(got) != expected:
        return f"wrong scores: {sorted(got)[:3]} instead of {expected[:3]}"
    return ""


def accesses(log: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield id and status of each request that the gateway has logged as answered.

    Shards write their stacks to the same stderr, so a line may begin with a piece of one.
    """
    for line in log:
        if '"gateway.access"' in line:
            entry, _ = json.JSONDecoder().raw_decode(line[line.index("{") :])
            yield entry["request_id"], entry["code"]


def contradictions(rows: Iterable[Row], answered: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Compare the answers of the clients with the log of the gateway: each answer exactly once."""
    times = Counter(request for request, _ in answered)
    status: Mapping[str, int] = dict(answered)
    for row in rows:
        if row.outcome in {LEFT, LOST}:
            if times[row.id] > 1:
                yield f"{row.id} was answered {times[row.id]} times"
        elif times[row.id] != 1:
            yield f"{row.id} was answered {times[row.id]} times"
        elif not row.outcome.startswith(str(status[row.id])):
            yield f"{row.id} got {row.outcome}, the log has {status[row.id]}"
