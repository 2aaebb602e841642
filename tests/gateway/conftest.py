"""A whole gateway with real shards and the fake engine, for the tests of its HTTP side."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import LimitSettings, ModelSettings, Settings

SETTINGS = Settings(
    models={
        "demo": ModelSettings(
            source="fake?vectors=3",
            engine="fake",
            devices=("cpu",),
            aliases=("rerank-english-v3.0",),
        ),
        "org/short": ModelSettings(source="fake", engine="fake", devices=("cpu",), max_length=8),
        "broken": ModelSettings(source="fake?refuse=4", engine="fake", devices=("cpu",)),
        "slow": ModelSettings(
            source="fake?delay_ms=300", engine="fake", devices=("cpu",), score_cache=False
        ),
    },
    limits=LimitSettings(documents=5, document_bytes=100, query_bytes=50, body_bytes=1_000_000),
    max_timeout_seconds=100,
)


@pytest.fixture(scope="session")
def app() -> Starlette:
    """The gateway whose limits and models are `SETTINGS`."""
    return create_app(SETTINGS)


@pytest.fixture(scope="session")
def client(app: Starlette) -> Iterator[TestClient]:
    """A client of it; requests wait by themselves until the shards are ready."""
    with TestClient(app, client=("127.0.0.1", 1), base_url="http://127.0.0.1") as client:
        yield client
