"""The header of W3C Trace Context, decent or not."""

import pytest

from gateway.trace_context import trace_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
DECENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("sent", [DECENT, f"01-{TRACE}-{SPAN}-00-of-the-future"])
def test_a_decent_header_names_its_trace(sent: str) -> None:
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
        DECENT.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"{DECENT}-more",
        f"{DECENT}\r\nX-Evil: 1",
        "01-" + TRACE + "-" + SPAN + "-00-" + "x" * 500,
    ],
)
def test_an_indecent_header_is_as_good_as_none(sent: str | None) -> None:
    assert trace_context(sent) is None
