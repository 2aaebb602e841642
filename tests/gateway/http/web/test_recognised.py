"""The forms in which documents are typed or pasted, and the choice to read them one per line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.gateway.cli.conftest import Serving
from tests.gateway.http.web.conftest import Visit, last_body, needs_chromium, submit, visiting

FAKE = ("--port", "0", "--engine", "fake", "--device", "cpu:0")


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    needs_chromium()
    log = tmp_path_factory.mktemp("fake") / "log"
    with Serving(*FAKE, "--model", "demo=fake", log=log) as serving:
        yield serving


@pytest.fixture
def visit(fake: Serving, browser: Browser) -> Iterator[Visit]:
    yield from visiting(browser, fake.url)


def write(visit: Visit, text: str) -> Page:
    page = visit.open()
    page.get_by_label("Query").fill("q")
    page.get_by_label("Documents", exact=True).fill(text)
    return page


@pytest.mark.parametrize(
    ("text", "documents", "said"),
    [
        ("one\n\n two \n", ["one", " two "], "2 documents, one per line."),
        ("a\nb\n \n\nc\n", ["a\nb", "c"], "2 documents, paragraphs between blank lines."),
        ('["a", {"text": "b", "title": "T"}]', ["a", "T\nb"], "2 documents, JSON."),
        ('{"documents": ["a", "b"]}', ["a", "b"], "2 documents, JSON."),
        ('{"text": "a"}\n\n{"text": "b"}', ["a", "b"], "2 documents, JSON lines."),
        ('"a\\nb"\n"c"', ["a\nb", "c"], "2 documents, JSON lines."),
        ('"Quoted," he said.', ['"Quoted," he said.'], "1 document, one per line."),
        ('"Quoted."', ['"Quoted."'], "1 document, one per line."),
        (
            "[1] A note.\n[2] Another.",
            ["[1] A note.", "[2] Another."],
            "2 documents, one per line.",
        ),
        (
            '["a",\n"b"',
            ['["a",', '"b"'],
            "2 documents, one per line: it begins like JSON and is not valid JSON.",
        ),
        (
            '{"text": "a"}\n{"text": }',
            ['{"text": "a"}', '{"text": }'],
            "2 documents, one per line: line 2 is not JSON.",
        ),
    ],
)
def test_the_form_is_recognised_and_named(
    visit: Visit, text: str, documents: list[str], said: str
) -> None:
    page = write(visit, text)
    expect(page.locator("#documents-hint")).to_have_text(said)
    submit(page)
    assert last_body(visit)["documents"] == documents


def test_paragraphs_can_be_read_one_per_line_and_back(visit: Visit) -> None:
    page = write(visit, "a\nb\n\nc")
    page.get_by_role("button", name="Read one per line").click()
    expect(page.locator("#documents-hint")).to_have_text("3 documents, one per line.")
    submit(page)
    assert last_body(visit)["documents"] == ["a", "b", "c"]
    page.get_by_role("button", name="Read as paragraphs between blank lines").click()
    submit(page)
    assert last_body(visit)["documents"] == ["a\nb", "c"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["a", 7]', "item 2: a document is a string"),
        ('{"text": "a"}\n\n{"title": "b"}', "line 3: a document is a string"),
        ('{"query": "q", "documents": ["a"]}', 'item 1 has a "query" of its own'),
    ],
)
def test_json_without_documents_says_where_and_is_not_sent(
    visit: Visit, text: str, said: str
) -> None:
    page = write(visit, text)
    expect(page.get_by_role("alert")).to_contain_text(said)
    before = len(visit.requests)
    page.get_by_role("button", name="Rerank").click()
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_label("Documents", exact=True)).to_be_focused()
    assert [sent for sent in visit.requests[before:] if sent.method == "POST"] == []
    page.get_by_role("button", name="Read one per line").click()
    submit(page)
    assert last_body(visit)["documents"] == [line for line in text.split("\n") if line]


def test_several_files_are_dropped_anywhere(visit: Visit, tmp_path: Path) -> None:
    page = write(visit, "")
    dropped = page.evaluate_handle(
        """() => {
            const dropped = new DataTransfer();
            dropped.items.add(new File(["one\\ntwo\\n\\nthree"], "some.md"));
            dropped.items.add(new File(['["four"]'], "more.json"));
            return dropped;
        }"""
    )
    page.dispatch_event("#outcome", "drop", {"dataTransfer": dropped})
    expect(page.locator("#opened")).to_contain_text("some.md, more.json")
    hint = page.locator("#documents-hint")
    expect(hint).to_have_text("3 documents, each file in its own form.")
    submit(page)
    assert last_body(visit)["documents"] == ["one\ntwo", "three", "four"]
    page.get_by_role("button", name="Read one per line").click()
    submit(page)
    assert last_body(visit)["documents"] == ["one", "two", "three", "four"]
    page.get_by_role("button", name="Close the files").click()
    expect(page.get_by_label("Documents", exact=True)).to_be_focused()


def test_a_text_that_is_dropped_goes_where_it_is_dropped(visit: Visit) -> None:
    page = write(visit, "")
    prevented = page.evaluate(
        """() => {
            const dropped = new DataTransfer();
            dropped.setData("text/plain", "words");
            const options = { dataTransfer: dropped, bubbles: true, cancelable: true };
            const field = document.getElementById("documents");
            return !field.dispatchEvent(new DragEvent("drop", options));
        }"""
    )
    assert not prevented  # the browser puts it into the field


def test_the_model_that_is_chosen_first_is_one_that_is_ready(
    browser: Browser, tmp_path: Path
) -> None:
    needs_chromium()
    models = ("--model", "broken=fake?refuse=66", "--model", "demo=fake")
    with Serving(*FAKE, *models, log=tmp_path / "log") as serving:
        for visit in visiting(browser, serving.url):
            page = visit.open()
            expect(page.locator("#options-set")).to_have_text("demo")
            expect(page.locator(".result")).to_have_count(5)
            assert last_body(visit)["model"] == "demo"


def test_no_example_is_ranked_beside_the_status_or_over_a_text(visit: Visit) -> None:
    visit.page.goto(f"{visit.url}/#status")
    expect(visit.page.get_by_role("table", name="Shards of demo")).to_be_visible()
    assert [sent for sent in visit.requests if sent.method == "POST"] == []
    page = visit.page
    page.get_by_role("link", name="Playground").click()
    expect(page.locator(".result")).to_have_count(5)
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("link", name="Status").click()
    page.get_by_role("link", name="Playground").click()
    expect(page.get_by_label("Query")).to_have_value("")
