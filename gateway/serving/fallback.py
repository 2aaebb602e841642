"""Fallbacks: another model answers, or the order of the request, when a model cannot.

A model has fallbacks only where its operator has named them. Each answer of one is marked: in the
warnings of the reply, in a header, in the log and in the metrics.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from gateway.config import INPUT_ORDER
from gateway.domain.errors import (
    DeadlineExceeded,
    EngineFailed,
    GatewayError,
    ModelDrained,
    ModelUnavailable,
    Overloaded,
    RetryBudgetSpent,
)
from gateway.domain.request import RerankRequest, RerankResult
from gateway.scheduling.model import Model
from gateway.serving.fleet import Fleet
from gateway.serving.reranker import Reranker
from gateway.serving.result_warnings import DEGRADED
from gateway.serving.scatter_gather import rank
from gateway.serving.time_share import part_of_time
from gateway.serving.unscored import unscored
from gateway.telemetry.metrics import Metrics

_logger = logging.getLogger(__name__)

CANNOT_SCORE = (
    DeadlineExceeded, EngineFailed, ModelDrained, ModelUnavailable, Overloaded, RetryBudgetSpent,
)  # fmt: skip
"""The errors of a model that another one may not have; those of a request are none of them."""

_SHARE = 0.75
"""The share of the time that is left for a model with another one behind it."""


@dataclass(frozen=True, slots=True)
class Fallbacks:
    """Scores requests by a model, or by its fallbacks.

    Attributes:
        fleet: the models.
        reranker: scores by one model.
        metrics: counts the answers of fallbacks.
    """

    fleet: Fleet
    reranker: Reranker
    metrics: Metrics

    async def rerank(
        self, request: RerankRequest, *, model: Model, deadline: float, **how: Any
    ) -> RerankResult:
        """Score a request; the arguments are those of `Reranker.rerank`.

        A model with another one behind it has three quarters of the time that is left.

        Raises:
            GatewayError: why the model has no result, if none of its fallbacks has one.
        """
        model = self.fleet.renewed(model)  # a reload may have come before this stage of a cascade
        names = [name for name in model.spec.fallback if name != INPUT_ORDER]
        errors: list[GatewayError] = []
        for place, name in enumerate(["", *names]):
            if name and not self.fleet.serves(name):  # a reload may have removed it meanwhile
                continue
            is_last = place == len(names)
            try:
                result = await self.reranker.rerank(
                    replace(request, model=name) if name else request,
                    model=self.fleet.model(name) if name else model,
                    deadline=part_of_time(deadline, 1.0 if is_last else _SHARE),
                    **(how | {"note": ""} if name else how),  # it names the model as what scored
                )
            except GatewayError as error:
                if not name and not isinstance(error, CANNOT_SCORE):
                    raise
                errors.append(error)
            else:
                return self._marked(result, model, errors) if errors else result
        # Pairs with a query each have no order among each other.
        if INPUT_ORDER not in model.spec.fallback or len(request.queries) > 1:
            raise errors[0]
        return self._marked(in_input_order(request, how["request_id"]), model, errors)

    def _marked(
        self, result: RerankResult, model: Model, errors: Sequence[GatewayError]
    ) -> RerankResult:
        """Return the result of a fallback with its marks, and count it."""
        wanted, by = model.spec.name, result.model
        self.metrics.fell_back(wanted, by)
        _logger.info(
            "a fallback answered", extra={"model": wanted, "fallback": by, "reason": errors[0].code}
        )
        what = "the order of the request is kept" if by == INPUT_ORDER else f"{by!r} scored instead"
        degraded = f"{DEGRADED}{what}, because of {errors[0].code}: {errors[0].message}"
        return replace(
            result,
            warnings=(degraded, *result.warnings),
            degraded=(*result.degraded, f"{wanted}={by}"),
        )


def in_input_order(request: RerankRequest, request_id: str) -> RerankResult:
    """Return the documents in the order of the request, with scores that fall in equal steps.

    The first one has a relevance score of one half: nothing is known of any.
    """
    scored = tuple(unscored(range(len(request.documents))))
    return RerankResult(
        id=request_id,
        model=INPUT_ORDER,
        scored=scored,
        top=rank(scored, request.top_n),
        processing_seconds=0.0,
        created=int(time.time()),
        warnings=request.warnings,
    )
