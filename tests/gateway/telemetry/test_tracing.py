"""The header `traceparent`, and tracing without its packages.

Spans are tested in tests/system/test_tracing.py.
"""

import sys

import pytest

from gateway.app import create_app
from gateway.config import ConfigError, Settings
from gateway.telemetry.tracing import trace_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("sent", [VALID, f"01-{TRACE}-{SPAN}-00-of-the-future"])
def test_a_valid_header_names_its_trace(sent: str) -> None:
    found = trace_context(sent)
    assert found is not None
    assert (found.trace_id, found.span_id) == (TRACE, SPAN)
    assert found.header == sent[:55]


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "nonsense",
        VALID.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"{VALID}-more",
        f"{VALID}\r\nX-Evil: 1",
        "01-" + TRACE + "-" + SPAN + "-00-" + "x" * 500,
    ],
)
def test_a_malformed_header_is_ignored(sent: str | None) -> None:
    assert trace_context(sent) is None


def test_without_its_packages_the_error_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)  # as if it were not there
    with pytest.raises(ConfigError) as raised:
        create_app(Settings(tracing=True))
    (problem,) = raised.value.problems
    assert problem.key == "tracing"
    assert "rerank-gateway[otel]" in problem.message
