"""Patience for the stores of scores: a pause of a busy machine is no failure of a store."""

import pytest

from gateway.serving.score_cache.stores import redis_clients, score_store
from tests.gateway.serving.score_cache.stores.storing import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def unhurried_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give all steps in the background more time than a busy machine takes away."""
    monkeypatch.setattr(redis_clients, "_SOCKET_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(score_store, "_WORK_SECONDS", PATIENCE_SECONDS)
