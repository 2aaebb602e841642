"""The HTTP around a baseline: as thin as it can be, so that what is measured is the baseline."""

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

Score = Callable[[str, Sequence[str]], Sequence[float]]


def app(score: Score) -> Starlette:
    """Return an app that ranks by the margins of `score`, one request at a time."""

    async def rerank(request: Request) -> JSONResponse:
        asked = await request.json()
        margins = score(asked["query"], asked["documents"])
        return JSONResponse({"results": _results(margins)})

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[Route("/v1/rerank", rerank, methods=["POST"]), Route("/health", health)]
    )


def _results(margins: Sequence[float]) -> list[dict[str, float]]:
    order = sorted(range(len(margins)), key=lambda index: -margins[index])
    return [
        {"index": index, "relevance_score": 1 / (1 + math.exp(-margins[index]))} for index in order
    ]


def serve(load: Callable[[Path], Score], arguments: Sequence[str] | None = None) -> None:
    """Load the checkpoint named on the command line; answer on the port named after it."""
    folder, port, *_ = sys.argv[1:] if arguments is None else arguments
    settings: dict[str, Any] = {"host": "127.0.0.1", "log_level": "warning"}
    uvicorn.run(app(load(Path(folder))), port=int(port), **settings)
