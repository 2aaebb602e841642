"""Ranking by an engine of a shard, for folders that it alone reads: bi-encoders."""

from collections.abc import Sequence
from pathlib import Path

from shards.engines import load_engine
from shards.wire.spec import ShardSpec

from .evaluation import Ranker, Set

_VECTORS_MB = 512  # so that no document of a set is encoded twice


def is_bi_encoder(folder: Path) -> bool:
    """Return whether a folder is of sentence-transformers."""
    return (folder / "modules.json").is_file()


def engine_ranker(folder: Path, threads: int = 1) -> Ranker:
    """Return a ranker by the scores that the folder has when it is served, in fp32."""
    spec = ShardSpec(
        name=folder.name,
        model=folder.name,
        source=str(folder),
        dtype="fp32",
        threads=threads,
        offline=True,
        scorer="cosine",
        vector_cache_mb=_VECTORS_MB,
    )
    engine = load_engine(spec, lambda line: None)

    def rank(held: Set) -> list[Sequence[float]]:
        found: list[Sequence[float]] = []
        for question in held.questions:
            pairs = engine.tokenizer.tokenize(
                question.query, question.documents, instruction="", max_document_tokens=0
            )
            found.append(engine.score(pairs))
        return found

    return rank
