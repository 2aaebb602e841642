"""Candidate files of retrieval research: TREC runs, BEIR folders, top lists of MS MARCO.

- A TREC run has `query-id Q0 document-id rank score tag` per line, BEIR's qrels have
  `query-id document-id score`, with a heading; the texts are in a file of queries and a corpus:
  JSON lines with `_id`, `text` and perhaps `title`, or `id<TAB>text` per line. Of the corpus only
  the documents of some query are kept.
- A `.tsv` file with `query-id<TAB>document-id<TAB>query<TAB>document` needs no other file.

The candidates of a query must be adjacent in the second kind of file only.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

from gateway.cli.inputs import BadInput, Document, Question, as_document, as_json, lines

_HEADING = "query-id"


def read_candidates(files: Sequence[str], queries: str, corpus: str) -> list[Question]:
    """Return one question per query of the candidate files, in the order of first occurrence.

    Raises:
        BadInput: a file or line cannot be read, or a text is missing.
    """
    wanted: dict[str, dict[str, str]] = {}
    for file in files:
        for place, query, document in _candidates(file):
            wanted.setdefault(query, {}).setdefault(document, place)
    query_texts = read_texts(queries, wanted.keys())
    texts = read_texts(
        corpus, {document for documents in wanted.values() for document in documents}
    )
    return [
        _question(query, query_texts, wanted[query], texts, queries, corpus) for query in wanted
    ]


def read_top_lists(files: Sequence[str]) -> Iterator[Question]:
    """Yield one question per run of lines with the same query id.

    Raises:
        BadInput: a line does not have four columns.
    """
    for file in files:
        rows = (_row(line, place) for place, line in lines(file))
        for (id, query), group in groupby(rows, key=lambda row: (row[0], row[2])):
            yield Question(query, tuple(Document(row[3], row[1]) for row in group), id)


def _candidates(file: str) -> Iterator[tuple[str, str, str]]:
    """Yield the place of each line, its query id and its document id."""
    for place, line in lines(file):
        columns = line.split("\t") if "\t" in line else line.split()
        if len(columns) == 1:
            raise BadInput(
                f"{place}: a candidate is `query-id Q0 document-id rank score tag` (TREC) or "
                "`query-id document-id score` (BEIR)"
            )
        if columns[0] != _HEADING:
            yield place, columns[0], columns[2 if len(columns) > 3 else 1]


def read_texts(file: str, wanted: Collection[str] | None = None) -> dict[str, Document]:
    """Return the queries or documents of a file by id: the wanted ones, or all.

    Raises:
        BadInput: a line cannot be read.
    """
    found = {}
    for place, line in lines(file):
        text = _jsonl(line, place) if file.endswith(".jsonl") else _tsv(line, place)
        if wanted is None or text.id in wanted:
            found[text.id] = text
    return found


def _jsonl(line: str, place: str) -> Document:
    document = as_document(as_json(line, place), place)
    if not document.id:
        raise BadInput(f'{place}: it has no "_id"')
    return document


def _tsv(line: str, place: str) -> Document:
    id, tab, text = line.partition("\t")
    if not tab:
        raise BadInput(f"{place}: `id<TAB>text` is expected, or a file whose name ends in .jsonl")
    return Document(text, id)


def _row(line: str, place: str) -> tuple[str, str, str, str]:
    columns = line.split("\t", 3)
    if len(columns) < 4:
        raise BadInput(
            f"{place}: `query-id<TAB>document-id<TAB>query<TAB>document` is expected; for other "
            "candidates give --queries and --corpus"
        )
    return columns[0], columns[1], columns[2], columns[3]


def _question(
    query: str,
    query_texts: dict[str, Document],
    wanted: dict[str, str],
    texts: dict[str, Document],
    queries: str,
    corpus: str,
) -> Question:
    if query not in query_texts:
        place = next(iter(wanted.values()))
        raise BadInput(f"{place}: query {query!r} is not in {queries}")
    for document, place in wanted.items():
        if document not in texts:
            raise BadInput(f"{place}: document {document!r} is not in {corpus}")
    documents = tuple(texts[document] for document in wanted)
    return Question(query_texts[query].text, documents, query)
