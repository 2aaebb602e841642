"""The page at `/docs`: tables that can be read without its script, and examples that are sent."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from gateway.dialects import DIALECTS, VECTOR_DIALECTS
from gateway.http.openapi import page as html
from tests.gateway.cli.conftest import Serving
from tests.gateway.http.keys.making import write_keys
from tests.gateway.http.web.conftest import Visit, needs_chromium, visiting

ALL = (*DIALECTS, *VECTOR_DIALECTS)
FAKE = ("--port", "0", "--engine", "fake", "--device", "cpu:0", "--model", "demo=fake?vectors=4")
SCREENS: dict[str, dict[str, Any]] = {
    "wide": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    needs_chromium()
    with Serving(*FAKE, log=tmp_path_factory.mktemp("served") / "log") as serving:
        yield serving


@pytest.fixture
def visit(served: Serving, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Yield a visit; a test may set the options of the browser."""
    yield from visiting(browser, served.url, **getattr(request, "param", {}))


def opened(visit: Visit) -> Page:
    visit.page.goto(f"{visit.url}/docs")
    return visit.page


def example(page: Page, title: str) -> Locator:
    heading = page.get_by_role("heading", name=title, exact=True)
    return page.locator("section.api").filter(has=heading)


def test_one_row_a_thing_with_header_cells() -> None:
    rows = re.findall(r'<tr role="row">(.*?)</tr>', html(), re.DOTALL)
    assert len(rows) > 300
    for row in rows:
        heads = re.findall(r'<th scope="(\w+)"', row)
        assert heads == ["row"] or set(heads) == {"col"}
    tables = re.findall(r"<tbody.*?</tbody>", html(), re.DOTALL)
    for table in tables:
        named = re.findall(r'scope="row" role="rowheader">(.*?)</th>', table)
        assert len(set(named)) == len(named)
    assert "`" not in re.sub(r"<textarea.*?</textarea>|<pre.*?</pre>", "", html())
    assert "<code>invalid_request</code>" in html()
    assert "<code>parameters.top_n</code>" in html()  # inside an object of the body


@pytest.mark.parametrize("visit", [{"java_script_enabled": False}], indirect=True)
def test_everything_can_be_read_without_the_script(visit: Visit) -> None:
    page = opened(visit)
    own = example(page, "Cohere v2")
    expect(own.get_by_role("textbox")).to_have_value(re.compile("capital of France"))
    expect(own.locator("pre").first).to_contain_text("relevance_score")
    expect(page.get_by_role("button", name="Send")).to_have_count(0)
    own.get_by_text(re.compile(r"\d+ fields")).click()
    fields = page.get_by_role("table", name="Fields of Cohere v2")
    expect(fields.get_by_role("rowheader", name="max_tokens_per_doc")).to_be_visible()


def test_the_example_of_every_api_is_answered(visit: Visit) -> None:
    page = opened(visit)
    for dialect in ALL:
        own = example(page, dialect.contract.title)
        own.get_by_role("button", name="Send").click()
        expect(own.get_by_role("status")).to_have_text(re.compile(r"^Reply: 200 OK, \d+ ms$"))


def test_a_changed_example_is_sent_and_written_as_curl(visit: Visit) -> None:
    page = opened(visit)
    own = example(page, "Cohere v2")
    body = own.get_by_role("textbox")
    body.fill('{"query": "it\'s", "documents": ["one", "two", "three"], "top_n": 3}')
    body.press("Control+Enter")
    expect(own.get_by_role("status")).to_contain_text("Reply: 200")
    expect(own.get_by_role("region", name="Reply of")).to_contain_text('"index": 2')
    own.get_by_text("As curl").click()
    curl = own.locator(".curl pre")
    expect(curl).to_contain_text(f"curl -s {visit.url}/v2/rerank")
    expect(curl).to_contain_text("it'\\''s")
    own.get_by_role("button", name="Reset").click()
    expect(body).to_have_value(re.compile("capital of France"))
    expect(curl).to_contain_text("capital of France")


def test_a_refusal_and_a_silence_are_shown(visit: Visit) -> None:
    page = opened(visit)
    own = example(page, "Cohere v2")
    own.get_by_role("textbox").fill('{"query": "q"}')
    own.get_by_role("button", name="Send").click()
    expect(own.get_by_role("status")).to_contain_text("Reply: 400")
    expect(own.get_by_role("region", name="Reply of")).to_contain_text("documents")
    page.route("**/v2/rerank", lambda route: route.abort())
    own.get_by_role("button", name="Send").click()
    expect(own.get_by_role("status")).to_have_text("No reply")
    expect(own.get_by_role("region", name="Reply of")).to_contain_text(
        "The gateway does not answer."
    )


def test_a_key_is_asked_for_once_and_then_sent(browser: Browser, tmp_path: Path) -> None:
    secrets = write_keys(tmp_path / "keys.toml", team={})
    keys = ("--keys-file", str(tmp_path / "keys.toml"))
    with Serving(*FAKE, *keys, log=tmp_path / "log") as serving:
        for visit in visiting(browser, serving.url):
            page = opened(visit)
            own = example(page, "Cohere v2")
            expect(page.get_by_label("API key")).to_be_hidden()
            own.get_by_role("button", name="Send").click()
            expect(page.get_by_label("API key")).to_be_focused()
            page.get_by_label("API key").fill(secrets["team"])
            page.get_by_role("button", name="Use this key").click()
            expect(own.get_by_role("status")).to_contain_text("Reply: 200")
            expect(page.get_by_label("API key")).to_be_hidden()
            own.get_by_text("As curl").click()
            expect(own.locator(".curl pre")).not_to_contain_text(secrets["team"])


@pytest.mark.parametrize("visit", SCREENS.values(), indirect=True, ids=list(SCREENS))
def test_nothing_lies_beyond_the_screen_and_axe_finds_nothing_serious(visit: Visit) -> None:
    page = opened(visit)
    expect(page.get_by_role("button", name="Send")).to_have_count(len(ALL))
    for summary in page.locator("summary").all()[:6]:
        summary.click()
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    axe = pytest.importorskip("axe_playwright_python", reason="scripts/setup dev installs it")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")["violations"]
    assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []
