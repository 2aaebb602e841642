"""Passages for RAG out of a folder of documents, with LangChain: the same as rag.py.

GATEWAY_URL=http://127.0.0.1:8080 python rag_langchain.py FOLDER "How do I rotate a key?"
"""

import os
import sys
from pathlib import Path

import bm25s
from langchain_cohere import CohereRerank
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_text_splitters import RecursiveCharacterTextSplitter

folder, question = Path(sys.argv[1]), sys.argv[2]
files = sorted(file for file in folder.rglob("*") if file.suffix in {".md", ".txt"})
pages = [Document(file.read_text(encoding="utf-8"), metadata={"file": str(file)}) for file in files]
splitter = RecursiveCharacterTextSplitter(chunk_size=1500, add_start_index=True)
passages = splitter.split_documents(pages)
index = bm25s.BM25(corpus=passages)
texts = [passage.page_content for passage in passages]
index.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)
url = os.environ["GATEWAY_URL"]
reranker = CohereRerank(base_url=url, cohere_api_key="any", model="embedded", top_n=3)


def candidates(question: str) -> dict[str, object]:
    """Return the question and the passages that BM25 likes best."""
    words = bm25s.tokenize(question, show_progress=False)
    best, _ = index.retrieve(words, k=min(50, len(passages)), show_progress=False)
    return {"query": question, "documents": list(best[0])}


chain = RunnableLambda(candidates) | (lambda found: reranker.compress_documents(**found))
for passage in chain.invoke(question):
    start, known = passage.metadata["start_index"], passage.metadata
    end = start + len(passage.page_content)
    print(f"{known['relevance_score']:.3f} {known['file']}, characters {start} to {end}:")
    print(passage.page_content, "\n")
