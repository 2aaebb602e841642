"""What can be told of a rerank server by asking it over HTTP: its known pairs, and its constancy."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from gateway.cli.remote import NotAnswering, Target, fetch_json
from gateway.cli.scorers import Scorer, remote
from shards.canary import Pair, judge, known_pairs

if TYPE_CHECKING:
    from gateway.cli.spoken import Spoken

_LARGEST_MARGIN = 40.0  # of a score of exactly 0 or 1
_ALONE = 9  # pairs
_BOUND = 0.02  # how far a relevance score may lie apart between two requests

Check = dict[str, Any]


def examine_url(
    url: str, spoken: "Spoken", model: str | None, api_key: str | None, *, numeric: bool
) -> dict[str, Any]:
    """Return a report as `gateway verify` shows it.

    Raises:
        Refused: the server refuses a request.
        Unreachable: nothing answers.
    """
    pairs = known_pairs()
    scores, alone = asyncio.run(_scores(remote(url, spoken, {"model": model}, api_key), pairs))
    checks = [_range(scores), _canaries(pairs, scores, numeric=numeric), _requests(scores, alone)]
    return {
        "model": model or "the default model",
        "passed": all(check["passed"] is not False for check in checks),
        "facts": {"url": url, **_facts(url, model, api_key)},
        "checks": checks,
    }


async def _scores(
    asking: AbstractAsyncContextManager[Scorer], pairs: Sequence[Pair]
) -> tuple[list[float], list[float]]:
    """Return the scores of all pairs, and again of the first ones, each asked for alone."""
    async with asking as scorer:
        together = await _together(scorer, pairs)
        alone = [await scorer.score(one.query, [one.document]) for one in pairs[:_ALONE]]
    return together, [one.order for (one,) in alone]


async def _together(scorer: Scorer, pairs: Sequence[Pair]) -> list[float]:
    """Score the pairs, those of one query in one request."""
    scores: list[float] = []
    for query in dict.fromkeys(pair.query for pair in pairs):
        documents = [pair.document for pair in pairs if pair.query == query]
        scores += [one.order for one in await scorer.score(query, documents)]
    return scores


def _facts(url: str, model: str | None, api_key: str | None) -> dict[str, str]:
    """Return what the server says of the model, if it is a gateway of ours."""
    try:
        found = fetch_json(Target(url, api_key), "/status")
        models = {name: one for one in found["models"] for name in (one["name"], *one["aliases"])}
        one = models[model] if model else next(one for one in found["models"] if one["default"])
    except (NotAnswering, LookupError, TypeError, StopIteration):
        return {"server": "another one, or it does not say"}
    shards = [
        f"{shard['name']} is {shard['state']}, {shard['dtype']} on {shard['device']}"
        for shard in one["shards"]
    ]
    return {
        "server": f"rerank gateway {found['version']}",
        "source": one["source"],
        "engine": one["engine"],
        "activation": one["activation"],
        "max length": f"{one['max_length']} tokens",
        "shards": "; ".join(shards),
    }


def _range(scores: list[float]) -> Check:
    low, high = min(scores), max(scores)
    is_probability = low >= 0.0 and high <= 1.0
    said = "relevance scores" if is_probability else "not within [0, 1], so taken as margins"
    return _check("range", None if not is_probability else True, f"{low:.4g} to {high:.4g}: {said}")


def _canaries(pairs: Sequence[Pair], scores: list[float], *, numeric: bool) -> Check:
    verdict = judge(pairs, _margins(scores), numeric=numeric)
    notes = f" ({'; '.join(verdict.notes)})" if verdict.notes else ""
    spread = f", right answers {verdict.spread:.2f} of margin above wrong ones"
    said = "; ".join(map(str, verdict.findings)) or f"{len(pairs)} known pairs{spread}{notes}"
    return _check("canaries", not verdict.findings, said)


def _requests(scores: list[float], alone: list[float]) -> Check:
    apart = max(abs(_score(one) - _score(other)) for one, other in zip(scores, alone, strict=False))
    said = f"{len(alone)} pairs alone and beside others: {apart:.1e} of score apart"
    return _check("requests", apart <= _BOUND, f"{said}, {_BOUND:g} is allowed")


def _score(score: float) -> float:
    return score if 0.0 <= score <= 1.0 else 0.5 * (1.0 + math.tanh(0.5 * score))


def _margins(scores: list[float]) -> list[float]:
    """Return margins of relevance scores; what is not within [0, 1] is a margin already."""
    if min(scores) < 0.0 or max(scores) > 1.0:
        return scores
    return [_logit(score) for score in scores]


def _logit(score: float) -> float:
    if score in (0.0, 1.0):
        return math.copysign(_LARGEST_MARGIN, score - 0.5)
    return math.log(score) - math.log1p(-score)


def _check(name: str, passed: bool | None, said: str) -> Check:
    return {"name": name, "passed": passed, "said": said, "figures": {}}
