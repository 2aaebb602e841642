"""Files of documents in a real browser, read as `gateway rerank` reads them."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from gateway.cli.inputs import read_documents
from tests.gateway.http.web.conftest import Visit, indices, last_body, save, submit


def test_a_file_is_opened_and_closed_again(visit: Visit, tmp_path: Path) -> None:
    page = visit.open()
    page.get_by_label("Query").fill("second line")
    lines = '"first\\nsecond line"\n\n{"text": "other", "title": "A title"}\n'
    page.get_by_label("Open a file").set_input_files(save(tmp_path, "some.jsonl", lines))
    expect(page.locator("#opened")).to_contain_text("some.jsonl")
    expect(page.locator("#documents-hint")).to_have_text("2 documents, JSON lines.")
    assert len(indices(submit(page))) == 2
    assert last_body(visit)["documents"] == ["first\nsecond line", "A title\nother"]
    page.get_by_role("button", name="Close the file").click()
    expect(page.get_by_label("Documents", exact=True)).to_be_focused()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("array.json", '[\n "one",\n {"text": "two", "title": "A title"}\n]\n'),
        ("object.JSON", '{"documents": ["one", {"text": "two", "title": "A title"}]}'),
        ("lists.jsonl", '{"documents": ["one"]}\n{"text": "two", "title": "A title"}\n'),
    ],
)
def test_documents_in_json_are_those_of_the_command(
    visit: Visit, tmp_path: Path, name: str, content: str
) -> None:
    page = visit.open()
    page.get_by_label("Query").fill("q")
    file = save(tmp_path, name, content)
    page.get_by_label("Open a file").set_input_files(file)
    expect(page.locator("#opened")).to_contain_text(name)
    expect(page.locator("#documents-hint")).to_contain_text("2 documents, JSON")
    submit(page)
    read = [document.text for document in read_documents([str(file)], [])]
    assert last_body(visit)["documents"] == read == ["one", "A title\ntwo"]


def test_a_file_is_dropped(visit: Visit) -> None:
    page = visit.open()
    page.get_by_label("Query").fill("q")
    dropped = page.evaluate_handle(
        """() => {
            const dropped = new DataTransfer();
            dropped.items.add(new File(["\\ufeffone\\r\\n\\r\\ntwo"], "lines.txt"));
            return dropped;
        }"""
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    expect(page.locator("#documents-hint")).to_have_text("2 documents, one per line.")
    submit(page)
    assert last_body(visit)["documents"] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("broken.jsonl", b'"fine"\n{"text": 7}\n', "broken.jsonl, line 2: a document is a string"),
        ("broken.jsonl", b'"fine"\n\noops\n', "broken.jsonl, line 3 is not JSON"),
        ("broken.json", b'["fine",', "broken.json is not JSON: a JSON file is one array or object"),
        ("broken.json", b'["fine", 7]', "broken.json, item 2: a document is a string"),
        ("asks.json", b'{"query": "q", "documents": ["d"]}', 'item 1 has a "query" of its own'),
        ("empty.json", b"[]", "empty.json has no documents in it"),
        ("latin.txt", b"caf\xe9", "latin.txt is not text in UTF-8"),
        ("empty.txt", b" \n", "empty.txt has no documents in it"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(
    visit: Visit, name: str, content: bytes, said: str
) -> None:
    page = visit.open()
    file = {"name": name, "mimeType": "text/plain", "buffer": content}
    page.locator("#file").set_input_files(file)  # type: ignore[arg-type]
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_label("Documents", exact=True)).to_be_visible()
