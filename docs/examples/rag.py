"""Passages for RAG out of a folder of documents: BM25 finds candidates, a reranker the answers.

    python rag.py FOLDER "How do I rotate a key?"

With GATEWAY_URL it asks a running gateway; without, the model runs in shards of its own.
"""

import os
import sys
from pathlib import Path

import bm25s

from gateway import Reranker
from gateway.client import Client


def candidates(folder: Path, question: str, count: int = 20) -> list[dict[str, str]]:
    """Return the documents that BM25 likes best, each with its file."""
    files = sorted(file for file in folder.rglob("*") if file.suffix in {".md", ".txt"})
    texts = [file.read_text(encoding="utf-8") for file in files]
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)
    words = bm25s.tokenize(question, show_progress=False)
    best, _ = index.retrieve(words, k=min(count, len(files)), show_progress=False)
    return [{"file": str(files[number]), "text": texts[number]} for number in best[0]]


folder, question = Path(sys.argv[1]), sys.argv[2]
url = os.environ.get("GATEWAY_URL")
with Client(url) if url else Reranker("embedded") as reranker:
    options = {"long_documents": "passages", "return_details": True}  # scores by the best passage
    ranking = reranker.rerank(question, candidates(folder, question), top_n=3, **options)
for result in ranking:
    start, end = result.details.span or (0, 0)
    print(f"{result.relevance_score:.3f} {result.document['file']}, characters {start} to {end}:")
    print(result.document["text"][start:end].strip(), "\n")
