"""Candidate files as retrieval research keeps them: TREC runs, BEIR's folders, MS MARCO's top lists.

- A TREC run has `query-id Q0 document-id rank score tag` per line, BEIR's qrels have
  `query-id document-id score`, with a heading; the texts are in a file of queries and a corpus:
  JSON lines with `_id`, `text` and perhaps `title`, or `id<TAB>text` per line. Of the corpus only
  the documents that some query needs are kept.
- A `.tsv` file with `query-id<TAB>document-id<TAB>query<TAB>document` needs nothing else.

The candidates of a query stand together in the first kind or not; in the second they must.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

from gateway.cli.inputs import BadInput, Document, Question, as_document, as_json, lines

_HEADING = "query-id"


def read_candidates(files: Sequence[str], queries: str, corpus: str) -> list[Question]:
    """Return one question per query of the candidate files, in the order in which they first come.

    Raises:
        BadInput: a file or line cannot be read, or a text is missing.
    """
    wanted: dict[str, dict[str, str]] = {}
    for file in files:
        for where, query, document in _places(file):
            wanted.setdefault(query, {}).setdefault(document, where)
    asked = read_texts(queries, wanted.keys())
    texts = read_texts(
        corpus, {document for documents in wanted.values() for document in documents}
    )
    return [_question(query, asked, wanted[query], texts, queries, corpus) for query in wanted]


def read_top_lists(files: Sequence[str]) -> Iterator[Question]:
    """Yield one question per run of lines with the same query id.

    Raises:
        BadInput: a line has not four columns.
    """
    for file in files:
        rows = (_row(line, where) for where, line in lines(file))
        for (id, query), group in groupby(rows, key=lambda row: (row[0], row[2])):
            yield Question(query, tuple(Document(row[3], row[1]) for row in group), id)


def _places(file: str) -> Iterator[tuple[str, str, str]]:
    """Yield where a line is, its query's id and its document's."""
    for where, line in lines(file):
        columns = line.split("\t") if "\t" in line else line.split()
        if len(columns) == 1:
            raise BadInput(
                f"{where}: a candidate is `query-id Q0 document-id rank score tag` (TREC) or "
                "`query-id document-id score` (BEIR)"
            )
        if columns[0] != _HEADING:
            yield where, columns[0], columns[2 if len(columns) > 3 else 1]


def read_texts(file: str, wanted: Collection[str] | None = None) -> dict[str, Document]:
    """Return the queries or documents of a file by id: those that are wanted, or all.

    Raises:
        BadInput: a line cannot be read.
    """
    found = {}
    for where, line in lines(file):
        one = _jsonl(line, where) if file.endswith(".jsonl") else _tsv(line, where)
        if wanted is None or one.id in wanted:
            found[one.id] = one
    return found


def _jsonl(line: str, where: str) -> Document:
    one = as_document(as_json(line, where), where)
    if not one.id:
        raise BadInput(f'{where}: it has no "_id"')
    return one


def _tsv(line: str, where: str) -> Document:
    id, tab, text = line.partition("\t")
    if not tab:
        raise BadInput(f"{where}: `id<TAB>text` is expected, or a file whose name ends in .jsonl")
    return Document(text, id)


def _row(line: str, where: str) -> tuple[str, str, str, str]:
    columns = line.split("\t", 3)
    if len(columns) < 4:
        raise BadInput(
            f"{where}: `query-id<TAB>document-id<TAB>query<TAB>document` is expected; for other "
            "candidates name --queries and --corpus"
        )
    return columns[0], columns[1], columns[2], columns[3]


def _question(
    query: str,
    asked: dict[str, Document],
    wanted: dict[str, str],
    texts: dict[str, Document],
    queries: str,
    corpus: str,
) -> Question:
    if query not in asked:
        where = next(iter(wanted.values()))
        raise BadInput(f"{where}: query {query!r} is not in {queries}")
    for document, where in wanted.items():
        if document not in texts:
            raise BadInput(f"{where}: document {document!r} is not in {corpus}")
    documents = tuple(texts[document] for document in wanted)
    return Question(asked[query].text, documents, query)
