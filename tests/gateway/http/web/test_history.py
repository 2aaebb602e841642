"""The history on the status page: of load that a test makes, and of requests that it sends."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from gateway.telemetry.history import History
from tests.gateway.cli.conftest import Serving
from tests.gateway.http.web.conftest import Visit, needs_chromium, rerank, visiting

HOUR, DAY = 3605.0, 86_430.0
NOON = 1_800_014_400.0  # 12:00 in UTC
ZONE = {"timezone_id": "UTC"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    needs_chromium()
    log = tmp_path_factory.mktemp("served") / "log"
    fakes = ("--engine", "fake", "--device", "cpu:0", "--model", "demo=fake")
    with Serving("--port", "0", *fakes, log=log) as serving:
        yield serving


@pytest.fixture
def visit(served: Serving, browser: Browser) -> Iterator[Visit]:
    yield from visiting(browser, served.url, **ZONE)


def load(seconds: float) -> History:
    """Return the history of a load with failures, a quiet part and a suspended one."""
    history = History(0.0)
    for second in range(int(seconds)):
        part = second / seconds
        if 0.6 <= part < 0.65:
            continue  # suspended
        history.look({"demo": (int(40 * part), 2), "other": (0, 0)}, second)
        if not 0.3 <= part < 0.4:
            code = 503 if second % 10 == 0 else 400 if second % 10 == 5 else 200
            took = 0.1 + 0.05 * math.sin(second)
            history.add("demo", code, documents=4, tokens=300, seconds=took, now=second)
    return history


@pytest.fixture(scope="module")
def loads() -> dict[str, History]:
    return {"hour": load(HOUR), "day": load(DAY)}


def with_load(visit: Visit, loads: dict[str, History]) -> Page:
    """Open the status of a gateway that has had an hour and a day of load at noon."""

    def answer(route: Route) -> None:
        reply = route.fetch()
        status: dict[str, Any] = reply.json()
        length, name = status["history"]["range"], status["history"]["model"]
        now = {"hour": HOUR, "day": DAY}[length]
        made = loads[length].figures(length, name=name, now=now, unix=NOON)
        status["history"] = msgspec.to_builtins(made)
        route.fulfill(response=reply, json=status)

    visit.page.route("**/status?**", answer)
    page = visit.open("status")
    expect(panel(page, "Requests by status").locator("path.line")).not_to_have_count(0)
    return page


def panel(page: Page, name: str) -> Locator:
    return page.get_by_role("figure").filter(has_text=name)


def legend(page: Page, name: str) -> list[str]:
    texts = panel(page, name).locator(".legend li").all_inner_texts()
    return [" ".join(text.split()) for text in texts]


def test_an_hour_of_load_is_drawn_with_axes_legend_and_gaps(
    visit: Visit, loads: dict[str, History]
) -> None:
    page = with_load(visit, loads)
    requests = panel(page, "Requests by status")
    times = requests.locator("text.time").all_text_contents()
    assert times == ["11:15", "11:30", "11:45", "12:00"]
    values = requests.locator("text.value").all_text_contents()
    assert values == ["0/s", "0.2/s", "0.4/s", "0.6/s", "0.8/s"]
    assert legend(page, "Requests by status") == [
        "200 0.8/s, max 0.8/s",
        "400 0/s, max 0.1/s",
        "503 0.2/s, max 0.2/s",
    ]
    # no steps of the suspended part; zeros, not gaps, in the quiet one
    assert requests.locator("path.line[data-kind=good]").count() == 2
    assert panel(page, "Time of a request").locator("path.line[data-kind=good]").count() == 3
    (p95, p50) = legend(page, "Time of a request")
    assert p95.startswith("p95 1")
    assert p50.startswith("p50 1")
    assert p95.endswith(" ms")
    assert legend(page, "Jobs waiting and in shards")[0].endswith(", max 39")
    assert legend(page, "Documents scored") == ["documents 4/s, max 4/s"]
    failures = legend(page, "Failed requests")
    assert [line.partition(" ")[0] for line in failures] == ["4xx", "5xx"]


def test_the_values_under_the_pointer_are_shown(visit: Visit, loads: dict[str, History]) -> None:
    page = with_load(visit, loads)
    plot = panel(page, "Time of a request").locator(".plot")
    tip = plot.locator(".tip")
    expect(tip).to_be_hidden()
    plot.hover(position={"x": 100, "y": 60})
    expect(tip).to_be_visible()
    time, *rows = tip.inner_text().split("\n")
    assert time.startswith("11:")
    assert [row.split()[0] for row in rows if row.strip()] == ["p95", "p50"]
    page.mouse.move(0, 0)
    expect(tip).to_be_hidden()


def test_the_values_are_read_by_keyboard(visit: Visit, loads: dict[str, History]) -> None:
    page = with_load(visit, loads)
    plot = page.get_by_role("slider", name="Requests by status, values by time")
    plot.focus()
    expect(plot.locator(".tip")).to_be_visible()
    last = plot.get_attribute("aria-valuetext") or ""
    assert last.endswith("200 0.8/s, 400 0/s, 503 0.2/s")
    page.keyboard.press("ArrowLeft")
    assert plot.get_attribute("aria-valuetext") == "11:59:50: 200 0.8/s, 400 0.1/s, 503 0.1/s"
    page.keyboard.press("Home")
    assert plot.get_attribute("aria-valuenow") == "0"
    page.keyboard.press("Escape")
    expect(plot.locator(".tip")).to_be_hidden()


def test_the_range_is_chosen_and_outlasts_a_reload(visit: Visit, loads: dict[str, History]) -> None:
    page = with_load(visit, loads)
    times = panel(page, "Requests by status").locator("text.time")
    page.get_by_role("button", name="15 min").click()
    expect(times.first).to_have_text("11:45")
    page.get_by_role("button", name="24 h").click()
    expect(times).to_have_text(["18:00", "00:00", "06:00", "12:00"])
    page.reload()
    expect(times).to_have_text(["18:00", "00:00", "06:00", "12:00"])
    expect(page.get_by_role("button", name="24 h")).to_have_attribute("aria-pressed", "true")


def test_the_requests_of_one_model_are_chosen(visit: Visit, loads: dict[str, History]) -> None:
    visit.page.route("**/status?**model=other**", lambda route: route.continue_())
    page = with_load(visit, loads)
    choice = page.get_by_label("Requests of")
    expect(choice.locator("option")).to_have_text(["all models", "demo", "other"])
    choice.select_option("demo")
    expect(choice).to_have_value("demo")
    with page.expect_request(lambda request: request.url.endswith("history=day&model=demo")):
        page.get_by_role("button", name="6 h").click()
    expect(panel(page, "Requests by status").locator("path.line")).not_to_have_count(0)


def test_requests_are_shown_and_still_after_a_reload(visit: Visit) -> None:
    page = visit.open("status")
    for _ in range(3):
        rerank(visit.url, model="demo", query="q", documents=["one", "two"])
    entry = panel(page, "Requests by status").locator(".legend li").filter(has_text="200")
    expect(entry).to_be_visible()
    page.reload()
    expect(entry).to_be_visible()
    expect(panel(page, "Documents scored").locator(".legend")).not_to_contain_text("max 0/s")


def test_a_model_that_a_restarted_gateway_lacks_is_given_up(
    browser: Browser, tmp_path: Path
) -> None:
    fakes = ("--engine", "fake", "--device", "cpu:0", "--model", "demo=fake")
    with Serving("--port", "0", *fakes, "--model", "old=fake", log=tmp_path / "one") as serving:
        visits = visiting(browser, serving.url)
        visit = next(visits)
        page = visit.open("status")
        page.get_by_label("Requests of").select_option("old")
    port = visit.url.rpartition(":")[2]
    with Serving("--port", port, *fakes, "--model", "new=fake", log=tmp_path / "two") as serving:
        assert serving.url == visit.url
        choice = page.get_by_label("Requests of")
        expect(choice.locator("option")).to_have_text(["all models", "demo", "new"])
        expect(choice).to_have_value("")
        assert next(visits, None) is None


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("valueTicks(0)", [0, 1]),
        ("valueTicks(3.2)", [0, 1, 2, 3, 4]),
        ("valueTicks(100)", [0, 50, 100]),
        ("valueTicks(0.0007)", [0, 0.0002, 0.0004, 0.0006, 0.0008]),
        ("valueTicks(2, {whole: true})", [0, 1, 2]),
        ("timeTicks(1800014400, 1800018000, 4)", [1800014400, 1800015300, 1800016200]),
        ("valueLabel(null, 'ms')", "–"),
        ("valueLabel(1234, 'ms')", "1.23\u00a0s"),
        ("valueLabel(12345, '/s')", "12.3K/s"),
        ("valueLabel(1234, '')", "1,234"),
        ("timeLabel(1800014400, {day: true})", "15 Jan, 12:00"),
    ],
)
def test_ticks_and_labels(visit: Visit, call: str, found: object) -> None:
    page = visit.open("status")
    names = "valueTicks, timeTicks, valueLabel, timeLabel"
    code = f"async () => {{ const {{{names}}} = await import('/web/ticks.js'); return {call}; }}"
    got = page.evaluate(code)
    assert got[: len(found)] == found if isinstance(found, list) else got == found
