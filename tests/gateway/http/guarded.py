"""A gateway with keys of every kind, for the tests of authentication and limits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.config import ModelSettings, Settings
from tests.gateway.http.keys.making import FUTURE, PAST, bearer, write_keys

KEYS: dict[str, dict[str, Any]] = {
    "good": {"expires": FUTURE},
    "admin": {"admin": True},
    "expired": {"expires": PAST},
    "revoked": {"revoked": PAST, "expires": PAST},
    "narrow": {"models": ("second", "nowhere")},
    "alias": {"models": ("rerank-english-v3.0",)},
    "lost": {"models": ("nowhere",)},
    "slow": {"requests_per_minute": 2},
    "single": {"concurrency": 1},
}
BODY = {"query": "q", "documents": ["a", "b c"]}


@dataclass
class Guarded:
    """A gateway with keys, a client of it, and the keys themselves by id."""

    app: Starlette
    client: TestClient
    secrets: dict[str, str]

    def rerank(self, key: str, path: str = "/v1/rerank", **fields: Any) -> Any:
        headers = bearer(self.secrets[key])
        return self.client.post(path, json={**BODY, **fields}, headers=headers)

    def get(self, key: str, path: str) -> Any:
        return self.client.get(path, headers=bearer(self.secrets[key]))

    def metric(self, name: str, **labels: str) -> float:
        return self.app.state.gateway.metrics.registry.get_sample_value(name, labels) or 0.0

    def status(self, key: str) -> dict[str, Any]:
        found = self.get("admin", "/status").json()["keys"]
        status: dict[str, Any] = next(status for status in found if status["id"] == key)
        return status


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    secrets = write_keys(file, **KEYS)
    app = create_app(settings(keys_file=file))
    with TestClient(app) as client:
        yield Guarded(app, client, secrets)


def settings(**given: Any) -> Settings:
    def fake(source: str = "fake", aliases: tuple[str, ...] = ()) -> ModelSettings:
        return ModelSettings(source=source, engine="fake", devices=("cpu",), aliases=aliases)

    models = {"first": fake(aliases=("rerank-english-v3.0",)), "second": fake("fake?delay_ms=300")}
    return Settings(models=models, score_cache_mb=0, **given)


def wrong_keys(secrets: dict[str, str]) -> list[str]:
    """Return wrong keys, most of them close to a valid one."""
    good = secrets["good"]
    return [
        "any",
        good[:-1],
        good + "x",
        good.upper(),
        good.replace("rk_good_", "rk_admin_"),
        good.removeprefix("rk_good_"),
        "ключ",
        "x" * 20_000,
    ]
