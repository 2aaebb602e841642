"""Metrics of the memory budget: read from the room and the status of the fleet at each scrape."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway.telemetry.memory_status import PoolStatus
from gateway.telemetry.status import ModelStatus


class MemoryCollector:
    """A collector of the budget, and of what models did for the sake of it."""

    def __init__(
        self,
        pools: Callable[[], Sequence[PoolStatus]],
        models: Callable[[], Sequence[ModelStatus]],
    ) -> None:
        self._pools = pools
        self._models = models

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        budget = GaugeMetricFamily(
            "reranker_memory_budget_bytes", "Memory for all models, by pool.", labels=("pool",)
        )
        held = GaugeMetricFamily(
            "reranker_memory_held_bytes",
            "Memory that models hold, the expected peaks of loads included.",
            labels=("pool",),
        )
        for pool in self._pools():
            budget.add_metric((pool.pool,), pool.budget_bytes)
            held.add_metric((pool.pool,), pool.held_bytes)
        yield budget
        yield held
        yield from _counters(self._models())


def _counters(models: Sequence[ModelStatus]) -> Iterator[Metric]:
    evictions = CounterMetricFamily(
        "reranker_model_evictions",
        "Times that the model was unloaded, since another needed its memory or all held too much.",
        labels=("model", "reason"),
    )
    waits = CounterMetricFamily(
        "reranker_model_room_waits", "Loads that waited for memory.", labels=("model",)
    )
    seconds = CounterMetricFamily(
        "reranker_model_room_wait_seconds",
        "Time that loads have waited for memory.",
        labels=("model",),
    )
    for model in models:
        for reason, count in model.evictions.items():
            evictions.add_metric((model.name, reason), count)
        waits.add_metric((model.name,), model.room_waits)
        seconds.add_metric((model.name,), model.room_wait_seconds)
    yield from (evictions, waits, seconds)
