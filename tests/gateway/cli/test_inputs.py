"""What `gateway rerank` reads from files and standard input."""

from pathlib import Path

import pytest

from gateway.cli.inputs import (
    BadInput,
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
    assert [one.text for one in read_documents([first, second], ["given"])] == [
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


def test_a_file_may_be_named_in_three_ways(tmp_path: Path) -> None:
    file = write(tmp_path, "a.txt", "one\n")
    named = [file, f"@{file}", Path(file).as_uri()]
    assert read_documents(named, [f"@{file}"]) == (Document("one"),) * 4


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
    assert list(read_questions([file])) == [
        Question("a", (Document("b"), Document("c", "7"))),
        Question("d", (Document("e"),), "q2"),
    ]


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
def test_a_bad_question_is_named_by_its_line(tmp_path: Path, line: str, word: str) -> None:
    file = write(tmp_path, "q.jsonl", line)
    with pytest.raises(BadInput, match=f"line 1: .*{word}"):
        list(read_questions([file]))
