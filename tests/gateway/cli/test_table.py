"""Tables in the width of a terminal and in a pipe."""

from gateway.cli.table import Column, Heading, Row, Table, facts_table

COLUMNS = (
    Column("name"),
    Column("state"),
    Column("count", right=True),
    Column("text", prose=True),
)
ROWS: list[Row | Heading] = [
    Heading("all of them"),
    {"name": "one", "state": "ready", "count": "1", "text": "a short text\nin two lines"},
    {"name": "two", "state": "failed", "count": "1,234", "text": "words " * 20},
]


def lines(table: Table, width: int | None) -> list[str]:
    return [line.plain for line in table.lines(width)]


def test_a_pipe_gets_whole_rows_without_line_breaks() -> None:
    found = lines(Table(COLUMNS, ROWS, title="numbers", notes=["the end"]), None)
    assert (found[0], found[3], found[-1]) == ("numbers", "all of them", "the end")
    assert found[4] == "one   ready       1  a short text in two lines"
    assert found[5].count("words") == 20


def test_prose_is_wrapped_beside_its_row() -> None:
    found = lines(Table(COLUMNS, ROWS), 60)
    assert max(map(len, found)) <= 60
    (start,) = (index for index, line in enumerate(found) if line.startswith("two"))
    assert found[start].split()[:3] == ["two", "failed", "1,234"]
    column = found[start].index("words")
    assert all(line == " " * column + line.strip() for line in found[start + 1 :])
    assert sum(line.count("words") for line in found) == 20


def test_columns_that_may_leave_do_so_in_order_and_are_named() -> None:
    table = Table(COLUMNS[:3], ROWS, may_leave=("state", "count"))
    assert lines(table, 20)[0].split() == ["name", "state", "count"]
    assert lines(table, 12)[0].split() == ["name", "count"]
    assert "1 column left out (state)" in " ".join(lines(table, 12))


def test_rows_without_room_become_paragraphs_with_everything() -> None:
    found = lines(Table(COLUMNS, ROWS), 30)
    assert max(map(len, found)) <= 30
    start = found.index("one")
    assert found[start + 1 : start + 4] == [
        "  state ready, count 1",
        "  a short text",
        "  in two lines",
    ]
    assert sum(line.count("words") for line in found) == 20


def test_a_row_that_begins_with_a_number_has_its_title_in_a_paragraph() -> None:
    table = Table(COLUMNS[2:], ROWS[1:])
    assert lines(table, 20)[:2] == ["count 1", "  a short text"]


def test_facts_have_no_titles() -> None:
    assert lines(facts_table([("a", "1"), ("long", "2")]), 20) == ["a     1", "long  2"]


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert lines(facts_table([("a", "x\x1b[31m\ty")]), None) == [
        "a  x\N{REPLACEMENT CHARACTER}[31m y"
    ]
