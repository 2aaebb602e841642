"""scripts/eval-embedded: figures of any model folder beside BM25 and random order."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from .engine_ranker import engine_ranker, is_bi_encoder
from .evaluation import CANDIDATES, Ranker, baselines, misses, model_ranker
from .report import as_table, everyday_sets, held_out_sets, lines_of, to_data
from .scoring import load
from .sources import read_pairs

MODELS = Path("shards/models")
DEFAULT_FOLDERS = [MODELS / name for name in ("embedded", "embedded-bert", "embedded-qwen3")]


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, default=DEFAULT_FOLDERS)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help="documents a query")
    parser.add_argument("--queries", type=int, help="a sample of so many queries a set")
    parser.add_argument("--only-everyday", action="store_true", help="needs no data folder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    return parser.parse_args(given)


def ranker_of(folder: Path, threads: int) -> Ranker:
    if is_bi_encoder(folder):
        return engine_ranker(folder, threads)
    return model_ranker(load(folder))


def main(given: Sequence[str] | None = None) -> None:
    options = arguments(given)
    console = Console(width=110)
    torch.set_num_threads(options.threads)
    sets = everyday_sets()
    if not options.only_everyday:
        pairs = read_pairs(options.data)
        sets = [*held_out_sets(pairs, options.candidates, options.queries), *sets]
    models = {folder.name: ranker_of(folder, options.threads) for folder in options.folders}
    rankers: dict[str, Ranker] = baselines() | models
    lines = []
    for name, ranker in rankers.items():
        with console.status(f"ranking with {name}"):
            lines += lines_of(name, ranker, sets)
    console.print(as_table(lines, f"{options.candidates} candidates a query"))
    for name, ranker in models.items():
        missed = misses(ranker, everyday_sets())
        console.print(f"{name}, everyday misses:", *missed, sep="\n  ")
    if options.json:
        options.json.write_text(json.dumps(to_data(lines), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
