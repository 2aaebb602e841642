"""Verification of a rerank server over HTTP: scores of known pairs, in requests of two shapes."""

import asyncio
import math
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from gateway.cli.remote import NotAnswering, Target, fetch_json
from gateway.cli.score.client_apis import ClientApi
from gateway.cli.score.remote_scorer import remote_scorer
from gateway.cli.score.scorer import Scorer
from shards.canary import Pair, judge, known_pairs

_LARGEST_MARGIN = 40.0  # of a score of exactly 0 or 1
_ISOLATED = 9  # pairs that are scored once more, each in a request of its own
_BOUND = 0.02  # largest difference of a relevance score between two requests

Check = dict[str, Any]


def examine_url(
    url: str, api: ClientApi, model: str | None, api_key: str | None, *, numeric: bool
) -> dict[str, Any]:
    """Return the report of `gateway verify` for a server.

    Raises:
        Refused: the server rejects a request.
        Unreachable: nothing answers.
    """
    pairs = known_pairs()
    scorer = remote_scorer(url, api, {"model": model}, api_key)
    scores, isolated = asyncio.run(_scores(scorer, pairs))
    checks = [_range(scores), _canaries(pairs, scores, numeric=numeric), _shapes(scores, isolated)]
    return {
        "model": model or "the default model",
        "passed": all(check["passed"] is not False for check in checks),
        "facts": {"url": url, **_facts(url, model, api_key)},
        "checks": checks,
    }


async def _scores(
    scoring: AbstractAsyncContextManager[Scorer], pairs: Sequence[Pair]
) -> tuple[list[float], list[float]]:
    """Return the scores of all pairs, and again of the first ones, each in a request of its own."""
    async with scoring as scorer:
        together = await _by_query(scorer, pairs)
        isolated = [await scorer.score(pair.query, [pair.document]) for pair in pairs[:_ISOLATED]]
    return together, [score.rank_score for (score,) in isolated]


async def _by_query(scorer: Scorer, pairs: Sequence[Pair]) -> list[float]:
    """Score the pairs, all of one query in one request."""
    scores: list[float] = []
    for query in dict.fromkeys(pair.query for pair in pairs):
        documents = [pair.document for pair in pairs if pair.query == query]
        scores += [score.rank_score for score in await scorer.score(query, documents)]
    return scores


def _facts(url: str, model: str | None, api_key: str | None) -> dict[str, str]:
    """Return what `/status` reports about the model, if the server is a gateway."""
    try:
        status = fetch_json(Target(url, api_key), "/status")
        models = {
            name: each for each in status["models"] for name in (each["name"], *each["aliases"])
        }
        default = (each for each in status["models"] if each["default"])
        found = models[model] if model else next(default)
    except (NotAnswering, LookupError, TypeError, StopIteration):
        return {"server": "not a gateway, or one that does not report its status"}
    shards = [
        f"{shard['name']} is {shard['state']}, {shard['dtype']} on {shard['device']}"
        for shard in found["shards"]
    ]
    return {
        "server": f"rerank gateway {status['version']}",
        "source": found["source"],
        "engine": found["engine"],
        "activation": found["activation"],
        "max length": f"{found['max_length']} tokens",
        "shards": "; ".join(shards),
    }


def _range(scores: list[float]) -> Check:
    low, high = min(scores), max(scores)
    is_probability = low >= 0.0 and high <= 1.0
    kind = "relevance scores" if is_probability else "not within [0, 1], so taken as margins"
    return _check("range", True if is_probability else None, f"{low:.4g} to {high:.4g}: {kind}")


def _canaries(pairs: Sequence[Pair], scores: list[float], *, numeric: bool) -> Check:
    verdict = judge(pairs, _margins(scores), numeric=numeric)
    notes = f" ({'; '.join(verdict.notes)})" if verdict.notes else ""
    spread = f", right answers {verdict.spread:.2f} of margin above wrong ones"
    found = "; ".join(map(str, verdict.findings)) or f"{len(pairs)} known pairs{spread}{notes}"
    return _check("canaries", not verdict.findings, found)


def _shapes(scores: list[float], isolated: list[float]) -> Check:
    """Compare scores of pairs in a shared request with those in a request of their own."""
    difference = max(
        abs(_relevance(first) - _relevance(second))
        for first, second in zip(scores, isolated, strict=False)
    )
    found = f"{len(isolated)} pairs alone and beside others: scores differ by {difference:.1e}"
    return _check("requests", difference <= _BOUND, f"{found}, {_BOUND:g} is allowed")


def _relevance(score: float) -> float:
    return score if 0.0 <= score <= 1.0 else 0.5 * (1.0 + math.tanh(0.5 * score))


def _margins(scores: list[float]) -> list[float]:
    """Return margins of relevance scores; scores that leave [0, 1] are margins already."""
    if min(scores) < 0.0 or max(scores) > 1.0:
        return scores
    return [_logit(score) for score in scores]


def _logit(score: float) -> float:
    if score in (0.0, 1.0):
        return math.copysign(_LARGEST_MARGIN, score - 0.5)
    return math.log(score) - math.log1p(-score)


def _check(name: str, passed: bool | None, found: str) -> Check:
    return {"name": name, "passed": passed, "said": found, "figures": {}}
