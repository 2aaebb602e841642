"""One request to one server, as one client sends it."""

import json
import math
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.cli.bench.load import PATH
from gateway.cli.bench.workloads import Request

_PATIENCE_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, with its time.

    Attributes:
        seconds: from the first byte of the request to the last of the reply.
        margins: of the documents, in the order of the request.
        computed_tokens: how many tokens were computed for it; 0 where the server does not say.
    """

    seconds: float
    margins: list[float]
    computed_tokens: int


def ask(url: str, asked: Request, model: str = "bench") -> Reply:
    """Send one request.

    Raises:
        urllib.error.HTTPError: the status is not 200.
    """
    request = urllib.request.Request(
        url + PATH, asked.body(model), {"Content-Type": "application/json"}
    )
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS) as stream:
        raw = stream.read()
    seconds = time.perf_counter() - began
    fields = json.loads(raw)
    usage = fields.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    computed = usage.get("prompt_tokens", 0) - (details.get("cached_tokens") or 0)
    return Reply(seconds, margins(fields["results"], len(asked.documents)), computed)


def margins(results: Sequence[dict[str, float]], count: int) -> list[float]:
    """Return margins from relevance scores, in the order of the request.

    Raises:
        ValueError: a document has no score, or two.
    """
    scores = {int(result["index"]): result["relevance_score"] for result in results}
    if sorted(scores) != list(range(count)) or len(results) != count:
        raise ValueError(f"{len(results)} results for {count} documents")
    return [_logit(scores[index]) for index in range(count)]


def _logit(score: float) -> float:
    if not 0 < score < 1:
        return math.copysign(math.inf, score - 0.5)
    return math.log(score) - math.log1p(-score)
