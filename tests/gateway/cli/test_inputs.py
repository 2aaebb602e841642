"""Input from files and standard input."""

import re
from pathlib import Path

import pytest

from gateway.cli.inputs import (
    BadInput,
    BadRow,
    Document,
    Question,
    read_documents,
    read_questions,
    read_text,
)


def write(folder: Path, name: str, content: str | bytes) -> str:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(file)


def test_text_files_have_a_document_per_line(tmp_path: Path) -> None:
    first = write(tmp_path, "a.txt", "\ufeffone\r\n\n  two  \nтри")
    second = write(tmp_path, "b", '{"text": "as it is"}\n')
    assert [document.text for document in read_documents([first, second], ["given"])] == [
        "one",
        "  two  ",
        "три",
        '{"text": "as it is"}',
        "given",
    ]


def test_jsonl_files_have_strings_or_objects_with_text(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "a.jsonl",
        '"one\\ntwo"\n{"text": "три", "id": 7}\n{"_id": "d1", "title": "T", "text": "x"}\n',
    )
    assert read_documents([file], []) == (
        Document("one\ntwo"),
        Document("три", "7"),
        Document("T\nx", "d1"),
    )


def test_a_text_may_be_a_whole_file(tmp_path: Path) -> None:
    file = write(tmp_path, "a b.txt", "\ufeffone\n\ntwo\n")
    assert read_text("plain") == "plain"
    assert read_text(f"@{file}") == "one\n\ntwo"
    assert read_text(Path(file).as_uri()) == "one\n\ntwo"
    assert read_text("@@home") == "@home"
    assert read_text("a@b") == "a@b"
    with pytest.raises(BadInput, match=r"gone\.txt cannot be read"):
        read_text("@gone.txt")


def test_a_file_has_many_spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, "a #1.txt", "one\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", "b.txt", "one\n")
    spellings = [
        file,
        f"@{file}",
        Path(file).as_uri(),
        f"file://localhost{file}",
        "file://a%20%231.txt",
        "file://a #1.txt",
        "file://./a%20%231.txt",
        "file://below/b.txt",
        "file://below/../a%20%231.txt",
        "@file://below/b.txt",
    ]
    for spelling in spellings:
        assert read_documents([spelling], []) == (Document("one"),), spelling
    assert read_text("file://below/b.txt") == "one"
    with pytest.raises(BadInput, match=r"^gone/c\.txt cannot be read"):
        read_documents(["file://gone/c.txt"], [])


@pytest.mark.parametrize(
    "content",
    [
        '["one", {"text": "two", "id": 7}]',
        '{"documents": ["one", {"text": "two", "id": 7}]}',
        '\ufeff{\n  "documents": [\n    "one",\n    {"text": "two", "id": 7}\n  ]\n}\n',
        '"one"\n{"text": "two", "id": 7}',
    ],
)
def test_a_json_file_holds_a_list_of_documents(tmp_path: Path, content: str) -> None:
    for name in ("a.json", "b.JSON"):
        file = write(tmp_path, name, content)
        assert read_documents([file], []) == (Document("one"), Document("two", "7"))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ('{"query": "q", "documents": ["one"]}', "-q"),
        ('{"documents": [3]}', "string"),
        ('{"passages": ["one"]}', "string"),
        ('["one", ["two"]]', "item 2: .*string"),
        ('["one", "two"', "after item 2: .*end of the array"),
    ],
)
def test_a_json_file_without_a_list_is_refused(tmp_path: Path, content: str, word: str) -> None:
    file = write(tmp_path, "a.json", content)
    with pytest.raises(BadInput, match=rf"a\.json, .*{word}"):
        read_documents([file], [])


@pytest.mark.parametrize(
    ("line", "word"),
    [("{", "not JSON"), ("3", "string"), ('{"txt": "a"}', "string"), ('{"text": 3}', "string")],
)
def test_a_bad_document_is_named_by_its_line(tmp_path: Path, line: str, word: str) -> None:
    file = write(tmp_path, "a.jsonl", f'"fine"\n{line}\n')
    with pytest.raises(BadInput, match=rf"a\.jsonl, line 2: .*{word}"):
        read_documents([file], [])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.txt cannot be read"):
        read_documents([str(tmp_path / "gone.txt")], [])
    latin = write(tmp_path, "latin.txt", b"fine\ncaf\xe9\n")
    with pytest.raises(BadInput, match="line 2: not UTF-8"):
        read_documents([latin], [])


def test_questions_are_read_one_by_one(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "q.jsonl",
        '{"query": "a", "documents": ["b", {"text": "c", "id": 7}]}\n\n'
        '{"id": "q2", "query": "d", "documents": ["e"]}\n',
    )
    assert list(read_questions(file)) == QUESTIONS


QUESTIONS = [
    Question("a", (Document("b"), Document("c", "7"))),
    Question("d", (Document("e"),), "q2"),
]


def test_a_json_file_holds_requests(tmp_path: Path) -> None:
    first = '{"query": "a", "documents": ["b", {"text": "c", "id": 7}]}'
    second = '{"id": "q2",\n "query": "d", "documents": ["e"]}'
    array = write(tmp_path, "q.json", f"[{first},\n{second}]")
    assert list(read_questions(array)) == QUESTIONS
    in_a_row = write(tmp_path, "r.json", f"{first}\n{second}\n")
    assert list(read_questions(in_a_row)) == QUESTIONS
    bad = write(tmp_path, "bad.json", f'[{first}, {{"query": 3}}, {second}]')
    found = list(read_questions(bad))
    assert [found[0], found[2]] == QUESTIONS
    assert isinstance(found[1], BadRow)
    assert "bad.json, item 2: a request is" in found[1].error
    torn = read_questions(write(tmp_path, "torn.json", f"[{first}, {second}"))
    assert [next(torn), next(torn)] == QUESTIONS
    with pytest.raises(BadInput, match="after item 2: a comma or the end"):
        next(torn)


def test_a_line_of_any_length_costs_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.inputs.MOST_LINE_BYTES", 100)
    fine = '{"query": "a", "documents": ["b"]}'
    file = write(tmp_path, "q.jsonl", f"{fine}\n{'x' * 350}\n{fine}\n{fine[:-1]}{' ' * 66}\n")
    found = list(read_questions(file))
    assert [row.number for row in found if isinstance(row, BadRow)] == [2, 4]
    assert found[0] == found[2] == Question("a", (Document("b"),))
    assert isinstance(found[1], BadRow)
    assert "line 2: it is longer than the limit of 100 bytes" in found[1].error


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("plain text", "not JSON"),
        ('"plain text"', "-q"),
        ('{"documents": ["a"]}', "-q"),
        ('{"query": "a"}', "at least one document"),
        ('{"query": "a", "documents": []}', "at least one document"),
        ('{"query": "a", "documents": [1]}', "string"),
        ('{"query": "a", "documents": ["b"], "top_n": 1}', "--top-n"),
        ('{"query": "a", "documents": ["b"], "model": "c"}', "--model"),
    ],
)
def test_a_bad_question_is_a_bad_row(tmp_path: Path, line: str, word: str) -> None:
    fine = '{"query": "a", "documents": ["b"]}'
    file = write(tmp_path, "q.jsonl", f"{fine}\n\n{line}\n{fine}")
    first, bad, last = read_questions(file)
    assert first == last == Question("a", (Document("b"),))
    assert isinstance(bad, BadRow)
    assert bad.number == 3
    assert re.search(f"line 3: .*{word}", bad.error)


def test_bytes_that_are_no_utf8_cost_their_line(tmp_path: Path) -> None:
    file = write(tmp_path, "q.jsonl", b'{"query": "caf\xe9"}\n{"query": "a", "documents": ["b"]}\n')
    bad, fine = read_questions(file)
    assert bad == BadRow(1, f"{file}, line 1: not UTF-8 (invalid continuation byte)")
    assert fine == Question("a", (Document("b"),))
