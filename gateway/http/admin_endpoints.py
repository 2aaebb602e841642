"""The endpoints that change what is served: for the operator only, as `auth` identifies it."""

from collections.abc import Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.errors import InvalidRequest
from gateway.http.responses import reply
from gateway.serving.fleet import Fleet
from gateway.serving.reload import Reloads
from gateway.serving.score_cache.score_cache import ScoreCache

ACCEPTED = 202


class AdminEndpoints:
    """Changes to a running gateway; each is accepted at once, and `/status` shows its result."""

    def __init__(self, fleet: Fleet, reloads: Reloads, score_cache: ScoreCache) -> None:
        self._fleet = fleet
        self._reloads = reloads
        self._score_cache = score_cache

    async def reload(self, request: Request) -> Response:
        """Reload the configuration, or restart `?model=NAME`; return the number of the attempt.

        With `?remove=true` the reload may remove models. With `?keys=true` the keys alone are read,
        at once; the reply has the outcome.
        """
        if _is_set(request, "keys"):
            return reply(request.scope, {"keys": asdict(await self._reloads.keys.reload())})
        model = request.query_params.get("model")
        attempt = self._reloads.ask(model, remove=_is_set(request, "remove"))
        return reply(request.scope, {"attempt": attempt}, ACCEPTED)

    async def drain(self, request: Request) -> Response:
        """Take `?model=NAME` out of service."""
        return self._change(request, self._fleet.drain)

    async def load(self, request: Request) -> Response:
        """Load `?model=NAME`, or try it again if it was given up."""
        return self._change(request, self._fleet.load)

    async def unload(self, request: Request) -> Response:
        """Unload `?model=NAME` when its requests have left."""
        return self._change(request, self._fleet.unload)

    def _change(self, request: Request, change: Callable[[str], None]) -> Response:
        """Make a change to `?model=NAME`; return its public name and its state."""
        asked = request.query_params.get("model")
        if asked is None:
            path = request.url.path
            raise InvalidRequest(f"name the model: {path}?model=NAME", param="model")
        name = self._fleet.resolve(asked)
        change(name)
        state = self._fleet.model(name).status().state
        return reply(request.scope, {"model": name, "state": state}, ACCEPTED)

    async def clear_scores(self, request: Request) -> Response:
        """Forget the kept scores, of `?model=NAME` or of all models; return what is left."""
        asked = request.query_params.get("model")
        model = self._fleet.model(self._fleet.resolve(asked)) if asked is not None else None
        self._score_cache.clear(model)
        return reply(request.scope, self._score_cache.status(self._fleet.models))


def _is_set(request: Request, name: str) -> bool:
    """Return whether a parameter is `true`; it is not if it is left out.

    Raises:
        InvalidRequest: it has another value.
    """
    value = request.query_params.get(name, "false").lower()
    if value not in {"true", "false"}:
        raise InvalidRequest(f"{name} is true or false, not {value[:40]!r}", param=name)
    return value == "true"
