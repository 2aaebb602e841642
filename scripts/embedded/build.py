"""scripts/train-embedded: from the cleared sources to the two model folders, one command.

Text -> vocabulary -> vectors and weights -> computed start -> training lists -> training ->
averaging with the start -> evaluation -> model card and folder. Stages that take long keep their
result in the cache folder, so an interrupted build goes on where it stopped. `--only` builds one
model, so that two processes can train side by side.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from . import stages
from .card import card
from .evaluation import CANDIDATES, Ranker, baselines, everyday_set, misses, model_ranker
from .folder import save_model_folder
from .report import Line, as_table, everyday_sets, from_data, held_out_sets, lines_of, to_data
from .scoring import Reranker
from .stages import Corpus

QUERIES = 200  # of each held-out set, evenly drawn
DEEP_CANDIDATES, DEEP_QUERIES = 100, 100


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--cache", type=Path, default=Path("build/embedded"))
    parser.add_argument("--out", type=Path, default=Path("shards/models"))
    parser.add_argument("--only", choices=stages.KINDS, help="build this model alone")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(given)


def usual_lines(name: str, rank: Ranker, corpus: Corpus) -> list[Line]:
    """The model and the baselines at the usual depth."""
    sets = [*held_out_sets(corpus.pairs, queries=QUERIES), *everyday_sets()]
    lines = [line for n, ranker in baselines().items() for line in lines_of(n, ranker, sets)]
    return lines + lines_of(name, rank, sets)


def deep_lines(name: str, rank: Ranker, corpus: Corpus) -> list[Line]:
    """The model and BM25 at two depths on the same sample of queries."""
    lines = []
    for depth in (CANDIDATES, DEEP_CANDIDATES):
        sets = held_out_sets(corpus.pairs, depth, DEEP_QUERIES)
        for n, ranker in (("BM25", baselines()["BM25"]), (name, rank)):
            lines += lines_of(f"{n}, {depth} candidates", ranker, sets)
    return lines


def evaluate(kind: str, reranker: Reranker, corpus: Corpus, cache: Path) -> list[list[Line]]:
    found, rank = [], model_ranker(reranker)
    for stage, lines in (("figures", usual_lines), ("deeper", deep_lines)):
        path = cache / f"{stage}-{kind}.json"
        if not path.exists():
            data = to_data(lines(f"embedded-{kind}", rank, corpus))
            path.write_text(json.dumps(data, indent=1), encoding="utf-8")
        found.append(from_data(json.loads(path.read_text(encoding="utf-8"))))
    return found


def build(
    kind: str,
    options: argparse.Namespace,
    corpus: Corpus,
    learned: tuple[list[str], Tensor, Tensor],
    progress: Progress,
) -> None:
    console = progress.console
    console.rule(f"embedded-{kind}")
    pieces, vectors, weights = learned
    begun = stages.start(kind, pieces, vectors, weights)
    count = sum(parameter.numel() for parameter in begun.model.parameters())
    console.print(f"computed start: {count / 1e6:.2f} M parameters")
    reranker, share = stages.trained(kind, begun, corpus, weights, options.cache, progress)
    usual, deep = evaluate(kind, reranker, corpus, options.cache)
    console.print(as_table(usual, "held-out figures"))
    console.print(as_table(deep, "deeper candidates, a sample of the queries"))
    missed = misses(model_ranker(reranker), [everyday_set(language) for language in ("en", "ru")])
    text = card(kind, corpus, share, usual, deep, missed)
    size = save_model_folder(reranker, text, options.out / f"embedded-{kind}")
    console.print(f"saved embedded-{kind}: {size / 1e6:.2f} MB")


def main(given: Sequence[str] | None = None) -> None:
    options = arguments(given)
    options.cache.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(stages.SEED)
    began = time.monotonic()
    console = Console(width=110)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        console.print("[bold]text")
        corpus = stages.read_corpus(options.data, options.wordnet, console.print)
        console.print("[bold]vocabulary")
        pieces = stages.vocabulary(corpus, options.cache, console.print)
        console.print("[bold]vectors and weights")
        found, weights = stages.vectors(corpus, pieces, options.cache, console.print)
        for kind in [options.only] if options.only else stages.KINDS:
            build(kind, options, corpus, (pieces, found, weights), progress)
    console.print(f"done in {(time.monotonic() - began) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
