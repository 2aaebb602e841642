"""A real browser without a window, looking at real gateways."""

import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.gateway.cli.conftest import Serving

CHROMIUM = shutil.which("chromium")
PATIENCE_MS = 20_000
SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""A browser that needs neither a display nor root's rights, and asks nobody but us."""


class Visit:
    """One look at a page by a browser of its own, and everything it did meanwhile."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request))
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        is_refusal = message.text.startswith("Failed to load resource")  # 4xx and 5xx, as asked for
        if message.type in {"error", "warning"} and not is_refusal:
            self.complaints.append(message.text)

    def open(self, view: str = "playground") -> Page:
        """Open the page and wait until it knows the models."""
        self.page.goto(f"{self.url}/#{view}")
        self.page.locator("#other option").nth(1).wait_for(state="attached")
        return self.page

    def check(self) -> None:
        """Nothing was asked of other hosts, nothing broke, nothing was kept."""
        others = [one.url for one in self.requests if not one.url.startswith(self.url + "/")]
        assert others == []
        assert self.complaints == []
        assert self.page.context.cookies() == []
        if self.page.url.startswith(self.url):
            assert self.page.evaluate("localStorage.length") == 0


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A gateway with the two embedded models; it loads while the browser starts."""
    needs_chromium()
    log = tmp_path_factory.mktemp("embedded") / "log"
    with Serving("--port", "0", "--device", "cpu:0", log=log) as serving:
        yield serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. It ends with the module: while it runs, this thread can run no event loop."""
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
    """A visitor with a wide screen and light colours."""
    yield from visiting(browser, embedded.url)


def visiting(browser: Browser, url: str, **context: Any) -> Iterator[Visit]:
    """Look at a gateway; what was done is checked at the end."""
    with browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context}) as opened:
        opened.set_default_timeout(PATIENCE_MS)
        visit = Visit(opened.new_page(), url)
        yield visit
        visit.check()


def rerank(url: str, **body: Any) -> dict[str, Any]:
    """Ask a gateway as any client would."""
    request = urllib.request.Request(
        url + "/rerank", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as reply:
        found: dict[str, Any] = json.load(reply)
        return found


def save(folder: Path, name: str, text: str) -> Path:
    """Write a file that a visitor opens."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file
