"""The playground in a real browser: typing, clicking, reading."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.gateway.cli.conftest import CLEAN, Serving
from tests.gateway.http.web.conftest import (
    Visit,
    fill,
    indices,
    last_body,
    options,
    rerank,
    submit,
    visiting,
)

QUERY = "Какая столица Франции?"
DOCUMENTS = [
    "Берлин — крупнейший город Германии.",
    "Борщ варят из свёклы и капусты.",
    "Париж — столица Франции.",
    "Франция граничит с Испанией и Италией.",
]


def test_a_russian_query_is_typed_and_the_order_is_read(visit: Visit) -> None:
    page = visit.open()
    page.get_by_label("Query").press_sequentially(QUERY)
    page.get_by_label("Documents", exact=True).fill("\n".join(DOCUMENTS))
    ranking = submit(page)
    said = rerank(visit.url, model="embedded", query=QUERY, documents=DOCUMENTS)["results"]
    expect(ranking.locator(".text").first).to_have_text("Париж — столица Франции.")
    assert indices(ranking) == [result["index"] for result in said]
    scores = [f"{result['relevance_score']:.4f}" for result in said]
    assert ranking.locator(".score").all_inner_texts() == scores
    margins = ranking.locator(".margin").all_inner_texts()
    assert margins == sorted(margins, key=lambda text: -number(text))
    widths = [bar.bounding_box() for bar in ranking.locator(".bar").all()]
    assert all(width and width["width"] > 100 for width in widths)
    summary = page.get_by_role("status").filter(has_text="4 documents ranked by embedded")
    expect(summary).to_be_visible()


def number(text: str) -> float:
    return float(text.removeprefix("margin ").replace("−", "-"))


def test_two_models_stand_side_by_side_with_the_places_that_changed(visit: Visit) -> None:
    page = visit.open()
    words = ("чай", "Сена", "Рейн", "Лион", "кошка", "поезд", "сыр", "море", "снег", "роман")
    documents = [*DOCUMENTS, *(f"Здесь есть {word}." for word in words)]
    fill(page, QUERY, documents)
    options(page).get_by_label("Model").select_option("embedded")
    page.get_by_label("Compare with").select_option("embedded-qwen3")
    columns = submit(page)
    expect(columns.get_by_role("heading")).to_have_text(["embedded", "embedded-qwen3"])
    page.get_by_role("button", name="Show 4 more").first.click()  # in both columns
    before, after = indices(columns.nth(0)), indices(columns.nth(1))
    assert sorted(before) == sorted(after) == list(range(14))
    moves = [before.index(index) - place for place, index in enumerate(after)]
    assert min(moves) < 0 < max(moves)
    marks = columns.nth(1).locator(".change .hidden").all_text_contents()
    assert marks == [moved(move) for move in moves]
    assert columns.nth(0).locator(".change").count() == 0
    one, two = (columns.nth(place).bounding_box() for place in (0, 1))
    assert one
    assert two
    assert one["y"] == two["y"]
    assert one["x"] + one["width"] <= two["x"]


def moved(move: int) -> str:
    if not move:
        return "same place"
    return f"{abs(move)} place{'s'[: abs(move) > 1]} {'higher' if move > 0 else 'lower'}"


def test_places_are_right_for_documents_that_top_n_has_cut(visit: Visit) -> None:
    page = visit.open()
    documents = [f"document about {word}" for word in ("tea", "coffee", "milk", "juice", "water")]
    fill(page, "what do cows give?", documents)
    options(page).get_by_label("Compare with").select_option("embedded-qwen3")
    page.get_by_label("Top n").fill("1")
    columns = submit(page)
    assert len(indices(columns.nth(1))) == 1
    whole = [
        rerank(visit.url, model=model, query="what do cows give?", documents=documents)["results"]
        for model in ("embedded", "embedded-qwen3")
    ]
    best = whole[1][0]["index"]
    place = [result["index"] for result in whole[0]].index(best)
    assert columns.nth(1).locator(".change .hidden").text_content() == moved(place)


def test_what_is_chosen_is_what_is_sent(visit: Visit) -> None:
    page = visit.open()
    fill(page, QUERY, DOCUMENTS)
    options(page).get_by_label("Model").select_option("embedded-qwen3")
    page.get_by_label("Instruction").fill("Find the passage that answers the question")
    page.get_by_label("Top n").fill("2")
    assert len(indices(submit(page))) == 2
    assert last_body(visit) == {
        "model": "embedded-qwen3",
        "query": QUERY,
        "documents": DOCUMENTS,
        "instruction": "Find the passage that answers the question",
        "top_n": 2,
        "return_details": True,
    }


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ("many", "top_n: "),
        ("-3", "top_n"),
    ],
)
def test_an_error_is_shown_with_the_message_of_the_gateway(
    visit: Visit, top: str, said: str
) -> None:
    page = visit.open()
    options(page).get_by_label("Top n").fill(top)
    with page.expect_response("**/rerank") as refusal:
        submit(page)
    error = refusal.value.json()
    assert said in error["message"]
    alert = page.get_by_role("alert").filter(has_text=error["message"])
    expect(alert).to_contain_text(f"400 · invalid_request · request {error['id']}")


def test_one_model_may_fail_beside_the_other(visit: Visit) -> None:
    page = visit.open()
    fill(page, QUERY, DOCUMENTS)
    options(page).get_by_label("Compare with").select_option("embedded-qwen3")
    page.evaluate("document.querySelector('#other option:checked').value = 'gone'")
    columns = submit(page)
    assert len(indices(columns.nth(0))) == 4
    expect(columns.nth(1).get_by_role("alert")).to_contain_text("404 · model_not_found")


@pytest.mark.parametrize("example", ["Password", "Capital of France", "Столица Франции"])
def test_an_example_is_one_click(visit: Visit, example: str) -> None:
    page = visit.open()
    page.get_by_role("button", name=example).click()
    best = page.locator(".ranking .text").first
    expect(best).to_have_text(
        {
            "Password": "To reset your password, open Settings and choose Forgot password.",
            "Capital of France": "Paris is the capital of France.",
            "Столица Франции": "Париж — столица Франции.",
        }[example]
    )


LONG = (
    "Борщ варят из свёклы и капусты. " * 130
    + "Париж 🗼 — столица Франции. "
    + "Чай пьют с лимоном. " * 60
)


def test_a_document_that_was_cut_has_a_mark_and_a_warning(visit: Visit) -> None:
    page = visit.open()
    fill(page, QUERY, [LONG, "Париж — столица Франции."])
    options(page).get_by_label("Long documents").select_option("truncate")
    ranking = submit(page)
    cut = ranking.locator(".result").filter(has_text="#0")
    whole = ranking.locator(".result").filter(has_text="#1")
    expect(cut.get_by_text("truncated")).to_be_visible()
    expect(whole.get_by_text("truncated")).to_have_count(0)
    expect(ranking.get_by_text("1 of 2 documents")).to_be_visible()


def test_the_passage_that_decided_is_highlighted(visit: Visit) -> None:
    page = visit.open()
    fill(page, QUERY, [LONG, "Берлин — крупнейший город Германии."])
    options(page).get_by_label("Long documents").select_option("passages")
    ranking = submit(page)
    assert indices(ranking) == [0, 1]
    (said,) = (
        result
        for result in rerank(visit.url, **last_body(visit))["results"]
        if result["passages"] > 1
    )
    mark = ranking.locator("mark")
    assert mark.text_content() == LONG[said["span"]["start"] : said["span"]["end"]]
    assert "Париж 🗼 — столица Франции." in (mark.text_content() or "")
    expect(ranking.get_by_text(f"{said['passages']} passages")).to_be_visible()
    expect(ranking.locator(".text").first).to_have_text(re.compile("^… "))
    page.get_by_role("button", name="Whole document").click()
    assert ranking.locator(".text").first.text_content() == LONG


def test_long_documents_may_be_refused(visit: Visit) -> None:
    page = visit.open()
    fill(page, QUERY, [LONG])
    options(page).get_by_label("Long documents").select_option("error")
    expect(submit(page).get_by_role("alert")).to_contain_text("documents[0]")


def test_a_long_document_is_opened_and_a_long_ranking_is_continued(visit: Visit) -> None:
    page = visit.open()
    long = "Париж — столица Франции. " * 60
    fill(page, QUERY, [long, *(f"document {number}" for number in range(149))])
    ranking = submit(page)
    assert len(indices(ranking)) == 10
    page.get_by_role("button", name="Show 100 of 140 more").click()
    expect(ranking.locator(".result").nth(10)).to_be_focused()
    assert len(indices(ranking)) == 110
    page.get_by_role("button", name="Show 40 more").click()
    assert sorted(indices(ranking)) == list(range(150))
    whole = page.get_by_role("button", name="Whole document")
    text = ranking.locator(".text.cut")
    low = text.bounding_box()
    whole.click()
    expect(page.get_by_role("button", name="Less")).to_have_attribute("aria-expanded", "true")
    high = ranking.locator(".text").first.bounding_box()
    assert low
    assert high
    assert high["height"] > low["height"]
    page.get_by_role("button", name="Show the first 10 only").click()
    assert len(indices(ranking)) == 10
    expect(page.get_by_role("button", name="Show 100 of 140 more")).to_be_focused()
    expect(page.locator("#summary")).to_be_in_viewport()


@pytest.fixture
def copying(embedded: Serving, browser: Browser) -> Iterator[Visit]:
    """Yield a visit whose browser lets the page use the clipboard."""
    permissions = ["clipboard-read", "clipboard-write"]
    yield from visiting(browser, embedded.url, permissions=permissions)


@pytest.mark.parametrize("language", ["curl", "Python"])
def test_what_is_copied_runs_and_ranks_alike(copying: Visit, language: str) -> None:
    page = copying.open()
    fill(
        page,
        "Whose 'quotes' \\ and \"these\"?",
        ["It's Ann's.", "Борщ варят из свёклы.", "$HOME `ls`"],
    )
    options(page).get_by_label("Top n").fill("2")
    expected = indices(submit(page))
    page.get_by_role("button", name=f"Copy as {language}").click()
    expect(page.get_by_text(f"Copied for {language}.")).to_be_visible()
    copied: str = page.evaluate("navigator.clipboard.readText()")
    command = ["bash", "-c", copied] if language == "curl" else [sys.executable, "-c", copied]
    run = subprocess.run(command, capture_output=True, text=True, env=CLEAN, timeout=90, check=True)
    texts = page.locator(".ranking .text").all_inner_texts()
    if language == "curl":
        assert [result["index"] for result in json.loads(run.stdout)["results"]] == expected
    else:
        assert [line.split(" ", 1)[1] for line in run.stdout.splitlines()] == texts


def test_where_there_is_no_clipboard_the_text_is_shown(visit: Visit) -> None:
    page = visit.open()
    fill(page, QUERY, DOCUMENTS)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.get_by_role("button", name="Copy as curl").click()
    text = page.get_by_role("textbox", name="Copy this")
    expect(text).to_have_value(
        f"curl -s {visit.url}/rerank" + text.input_value().partition("rerank")[2]
    )
    page.keyboard.press("Escape")
    expect(text).not_to_be_visible()
