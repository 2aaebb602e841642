"""A real headless browser and real gateways."""

import json
import shutil
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.gateway.cli.conftest import Serving

CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 90_000
SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""Switches of a browser without display and sandbox, which contacts no other hosts."""


class Visit:
    """One visit to a page in a browser context of its own, with a record of its requests."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request))
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        is_refusal = message.text.startswith(
            "Failed to load resource"
        )  # 4xx and 5xx, which tests cause
        if message.type in {"error", "warning"} and not is_refusal:
            self.complaints.append(message.text)

    def open(self, view: str = "playground") -> Page:
        """Open the page and wait until it lists the models."""
        self.page.goto(f"{self.url}/#{view}")
        self.page.locator("#other option").nth(1).wait_for(state="attached")
        return self.page

    def check(self) -> None:
        """Assert that no other host was contacted, nothing failed and nothing was stored."""
        others = [
            request.url for request in self.requests if not request.url.startswith(self.url + "/")
        ]
        assert others == []
        assert self.complaints == []
        assert self.page.context.cookies() == []
        if self.page.url.startswith(self.url):
            assert self.page.evaluate("localStorage.length") == 0


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield a gateway with the two embedded models; it loads while the browser starts."""
    needs_chromium()
    log = tmp_path_factory.mktemp("embedded") / "log"
    with Serving("--port", "0", "--device", "cpu:0", log=log) as serving:
        yield serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield Chromium until the end of the module; until then this thread runs no event loop."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needs_chromium(), args=SWITCHES)
        expect.set_options(timeout=PATIENCE_MS)
        yield browser
        browser.close()


def needs_chromium() -> str:
    """Return the path of the browser, or skip the test."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: scripts/system-packages installs it")
    return CHROMIUM


@pytest.fixture
def visit(embedded: Serving, browser: Browser) -> Iterator[Visit]:
    """Yield a visit with a wide screen and light colours."""
    yield from visiting(browser, embedded.url)


def visiting(browser: Browser, url: str, **context: Any) -> Iterator[Visit]:
    """Yield a visit to a gateway; check it at the end."""
    with browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context}) as opened:
        opened.set_default_timeout(PATIENCE_MS)
        visit = Visit(opened.new_page(), url)
        yield visit
        visit.check()


def rerank(url: str, **body: Any) -> dict[str, Any]:
    """Send a rerank request, as any client would."""
    request = urllib.request.Request(
        url + "/rerank", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        found: dict[str, Any] = json.load(reply)
        return found


def save(folder: Path, name: str, text: str) -> Path:
    """Write a file that a visitor opens."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def fill(page: Page, query: str, documents: Sequence[str]) -> None:
    """Write a query, and documents one per line."""
    page.get_by_label("Query").fill(query)
    page.get_by_label("Documents", exact=True).fill("\n".join(documents))


def options(page: Page) -> Page:
    """Unfold the options."""
    if not page.locator("#options").evaluate("node => node.open"):
        page.locator("#options summary").click()
    return page


def submit(page: Page) -> Locator:
    """Press the button; return the columns once the replies are shown."""
    page.get_by_role("button", name="Rerank").click()
    expect(page.locator("#outcome")).not_to_have_attribute("aria-busy", "true")
    return page.locator("#columns .column")


def indices(column: Locator) -> list[int]:
    """Return the documents of a ranking, best first."""
    return [int(text.removeprefix("#")) for text in column.locator(".index").all_inner_texts()]


def last_body(visit: Visit) -> dict[str, Any]:
    """Return the last request that the page sent."""
    sent = [request.post_data for request in visit.requests if request.method == "POST"]
    body: dict[str, Any] = json.loads(sent[-1] or "")
    return body
