"""Tracing that is wanted and not installed; what it sends is in tests/system/test_tracing.py."""

import sys

import pytest

from gateway.app import create_app
from gateway.config import ConfigError, Settings


def test_without_its_packages_the_gateway_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # as if it were not there
    with pytest.raises(ConfigError) as raised:
        create_app(Settings(tracing=True))
    (problem,) = raised.value.problems
    assert problem.key == "tracing"
    assert "rerank-gateway[otel]" in problem.message
