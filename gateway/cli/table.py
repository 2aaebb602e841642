"""Tables that fit: whole lines for a pipe, and whole words in the width of a terminal.

A table that is too wide for a terminal leaves out the columns that it may, and counts them below
it. If it is still too wide, each row becomes a paragraph. Outside a terminal every row is one line
with every column, as `grep` and `awk` need it. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.text import Text

Cell: TypeAlias = "str | Text"
Row: TypeAlias = Mapping[str, "str | Text"]

GAP = 2
"""Blanks between two columns."""

PROSE_COLUMNS = 36
"""Least width of a column of prose; with less, rows become paragraphs."""

INDENT = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: its title, by which rows hold their cells.
        right: whether its cells are justified to the right, as numbers are.
        prose: whether its cells are wrapped between words.
    """

    title: str
    right: bool = False
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Heading:
    """A line across all columns, above the rows that it names."""

    text: Cell


@dataclass
class Table:
    """Rows under titles.

    Attributes:
        columns: columns from left to right; the first one names the row.
        rows: cells by the titles of their columns, and headings between them.
        title: a line above the table.
        notes: lines below it.
        may_leave: titles of columns that a narrow terminal leaves out, in this order.
        has_titles: whether the titles are printed.
    """

    columns: Sequence[Column]
    rows: "Sequence[Row | Heading]"
    title: Cell = ""
    notes: Sequence[Cell] = ()
    may_leave: Sequence[str] = field(default_factory=tuple)
    has_titles: bool = True

    def lines(self, width: int | None) -> "list[Text]":
        """Return the lines of the table; without a width, one line for each row."""
        return list(self._lines(width))

    def columns_within(self, width: int) -> Sequence[Column] | None:
        """Return the columns of the widest form that fits; None where only paragraphs do."""
        for count in range(len(self.may_leave) + 1):
            gone = self.may_leave[:count]
            shown = [column for column in self.columns if column.title not in gone]
            if self._width(shown) <= width:
                return shown
        return None

    def _lines(self, width: int | None) -> "Iterator[Text]":
        yield from _wrapped(_text(self.title, "bold"), width)
        columns = self.columns if width is None else self.columns_within(width)
        if columns is not None:
            yield from self._grid(columns, width)
        elif width is not None:
            yield from self._paragraphs(width)
        if columns is not None and (gone := self._left_out(columns)):
            count = f"{len(gone)} column{'' if len(gone) == 1 else 's'} left out"
            note = f"{count} ({', '.join(gone)}): a wider terminal, a pipe or --json shows them"
            yield from _wrapped(_text(note, "dim"), width)
        for line in self.notes:
            yield from _wrapped(_text(line), width)

    def _left_out(self, columns: Sequence[Column]) -> list[str]:
        shown = {column.title for column in columns}
        return [column.title for column in self.columns if column.title not in shown]

    def _width(self, columns: Sequence[Column]) -> int:
        """Return the columns of a terminal that the table needs."""
        widths = self._widths
        needed = (
            min(widths[column.title], PROSE_COLUMNS) if column.prose else widths[column.title]
            for column in columns
        )
        return sum(needed) + GAP * (len(columns) - 1)

    @cached_property
    def _widths(self) -> dict[str, int]:
        """Width of each column by its title, with all cells on one line."""
        return {
            column.title: max(
                len(column.title) if self.has_titles else 0,
                *(_longest(row.get(column.title, "")) for row in self._cells),
                0,
            )
            for column in self.columns
        }

    @property
    def _cells(self) -> Iterator[Row]:
        return (row for row in self.rows if not isinstance(row, Heading))

    def _grid(self, columns: Sequence[Column], width: int | None) -> "Iterator[Text]":
        widths = self._widths
        if width is not None:
            room = width - self._width([column for column in columns if not column.prose])
            prose = sum(column.prose for column in columns)
            share = (room - GAP * prose) // max(prose, 1)
            narrow = {c.title: min(widths[c.title], share) for c in columns if c.prose}
            widths = {**widths, **narrow}
        if self.has_titles:
            titles = {column.title: _text(column.title, "bold") for column in columns}
            yield from _row_lines(columns, titles, widths, width)
            yield _text("─" * (sum(widths[c.title] + GAP for c in columns) - GAP))
        for row in self.rows:
            if isinstance(row, Heading):
                yield from _wrapped(_text(row.text), width)
            else:
                yield from _row_lines(columns, row, widths, width)

    def _paragraphs(self, width: int) -> "Iterator[Text]":
        """Yield each row as its name, then its other cells with their titles before them."""
        named = [column for column in self.columns if not column.prose]
        first = named[0]
        others = named if first.right else named[1:]  # a number without its title says nothing
        for row in self.rows:
            if isinstance(row, Heading):
                yield from _wrapped(_text(row.text), width)
                continue
            if not first.right:
                yield from _wrapped(_text(row.get(first.title, "")), width)
            parts = (self._named(column, row) for column in others if row.get(column.title))
            yield from _filled(parts, width, "" if first.right else INDENT)
            for column in self.columns:
                if column.prose:
                    yield from _indented(_text(row.get(column.title, "")), width, INDENT)

    def _named(self, column: Column, row: Row) -> "Text":
        from rich.text import Text

        cell = _text(row[column.title])
        cell = Text(cell.plain.strip(), style=cell.style, spans=cell.spans)
        if not self.has_titles:
            return cell
        return Text.assemble((f"{column.title} ", "dim"), cell)


def facts_table(facts: Iterable[tuple[str, str]]) -> Table:
    """Return a table of names and values, without titles."""
    columns = (Column("name"), Column("value", prose=True))
    return Table(
        columns, [{"name": name, "value": value} for name, value in facts], has_titles=False
    )


def _text(cell: Cell, style: str = "") -> "Text":
    """Return a cell as a text without control characters, which a terminal would obey."""
    from rich.text import Text

    if isinstance(cell, Text):
        return cell
    return Text("".join(map(_printable, cell)), style=style)


def _printable(sign: str) -> str:
    if sign == "\n" or sign.isprintable():
        return sign
    return " " if sign.isspace() else "\N{REPLACEMENT CHARACTER}"


def _longest(cell: Cell) -> int:
    return max((line.cell_len for line in _text(cell).split()), default=0)


def _wrapped(text: "Text", width: int | None) -> "list[Text]":
    """Return a text as lines between words; a word that is wider than a line is broken."""
    from rich.console import Console
    from rich.text import Text

    if not text.plain:
        return []
    if width is None:
        return [Text(" ").join(text.split())]
    lines = list(text.wrap(Console(width=width), max(width, 1)))
    for line in lines:
        line.rstrip()
    return lines


def _indented(text: "Text", width: int, indent: str) -> "list[Text]":
    from rich.text import Text

    return [Text.assemble(indent, line) for line in _wrapped(text, width - len(indent))]


def _filled(parts: "Iterable[Text]", width: int, indent: str) -> "Iterator[Text]":
    """Yield parts with commas between them, as many on each line as fit; none is broken."""
    from rich.text import Text

    line = Text()
    for part in parts:
        if line.plain and len(indent) + line.cell_len + len(", ,") + part.cell_len > width:
            yield from _indented(line + Text(","), width, indent)
            line = Text()
        line = Text.assemble(line, ", ", part) if line.plain else part
    yield from _indented(line, width, indent)


def _row_lines(
    columns: Sequence[Column], row: Row, widths: Mapping[str, int], width: int | None
) -> "Iterator[Text]":
    """Yield the lines of a row: one, or as many as its longest cell of prose has."""
    from rich.text import Text

    cells = [
        _wrapped(_text(row.get(column.title, "")), widths[column.title] if width else None)
        if column.prose
        else [_text(row.get(column.title, ""))]
        for column in columns
    ]
    for number in range(max(map(len, cells))):
        line = Text()
        for column, lines in zip(columns, cells, strict=True):
            cell = lines[number] if number < len(lines) else Text()
            blanks = " " * (widths[column.title] - cell.cell_len)
            parts = (blanks, cell) if column.right else (cell, blanks)
            line = Text.assemble(line, " " * GAP if line.plain else "", *parts)
        line.rstrip()
        yield line
