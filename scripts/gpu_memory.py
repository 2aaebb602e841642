"""Memory of Qwen3-Reranker-0.6B on a GPU, computed: the pass runs on a pretended GPU.

Every tensor that our code makes there is counted while it is alive; what kernels and libraries take
for themselves is not, nor what PyTorch holds back for the next tensor, nor CUDA's own half
gigabyte. Steps are those that are not fused, which take more. `python -m scripts.gpu_memory`.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import click
import torch

from scripts.full_size import QWEN3_06B
from shards.engines.decoder.body import Weights, make_qwen3
from shards.engines.decoder.qwen3_shape import body_shapes, shape_of
from shards.engines.prefix_cache import PrefixCache
from shards.pairs import Batch, Prefix, TokenizedPair
from tests.simulated_gpu import DEVICE, Held, simulated_gpu

CONFIG = {"model_type": "qwen3", "hidden_act": "silu", "attention_bias": False, **QWEN3_06B}
_CACHE = 256 << 20  # as `prefix_cache_mb` has it
_PROMPT = 40
KINDS = {  # tokens of a query, of a document, and for how many documents a query is asked
    "passages": (15, 120, 100),
    "one sentence each": (15, 15, 1000),
    "a query of 1,500 tokens": (1500, 60, 1000),
    "another query each": (30, 30, 1),
    "one long document": (15, 8000, 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """GB of one kind of batch."""

    batch: str
    token_budget: int
    tokens: int
    weights_gb: float
    peak_gb: float


def cases(token_budget: int, names: Iterable[str] = tuple(KINDS)) -> Iterator[Case]:
    """Yield what batches of these kinds take that are as full as a token budget lets them be."""
    shapes = body_shapes(CONFIG)
    shape = shape_of(CONFIG)
    assert shape is not None

    def tensor(name: str) -> torch.Tensor:
        return torch.empty(shapes[name], dtype=torch.bfloat16, device=DEVICE)

    for name in names:
        query, document, together = KINDS[name]
        with simulated_gpu() as held:
            weights = Weights(None, shape, lambda: tensor, ())
            body = make_qwen3(weights, dtype="bf16", device=DEVICE, cache=PrefixCache(_CACHE))
            start = _begun_anew(held)
            body.last_states(_batch(token_budget, query, document, together))
            yield Case(
                batch=name,
                token_budget=token_budget,
                tokens=sum(body.last_work.computed),
                weights_gb=round(start / 1e9, 2),
                peak_gb=round(held.peak_bytes / 1e9, 2),
            )


def _begun_anew(held: Held) -> int:
    """Forget what loading took at most; return what is held now."""
    held.peak_bytes = 0
    torch.empty(0, device=DEVICE)
    return held.peak_bytes


def _batch(token_budget: int, query: int, document: int, together: int) -> Batch:
    """Return pairs whose tokens, prefixes counted once, come to the budget."""
    pairs: list[TokenizedPair] = []
    left, queries = token_budget - _PROMPT, 0
    while left >= document + query:
        queries += 1
        ids = [1] * _PROMPT + [queries % 1000 + 2, queries // 1000 + 2] + [1] * (query - 2)
        prefix = Prefix(tuple(ids), (_PROMPT, _PROMPT + query))
        left -= query
        for _ in range(min(together, left // document)):
            pairs.append(TokenizedPair([*ids, *[1] * document], 0, truncated=False, prefix=prefix))
            left -= document
    return pairs


@click.command()
@click.option("--token-budget", default=8192, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(token_budget: int, as_json: bool) -> None:
    """Say what Qwen3-Reranker-0.6B takes on a GPU in bf16, as computed, not measured."""
    found = list(cases(token_budget))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    for one in found:
        click.echo(
            f"{one.batch:24} {one.tokens:6} tokens: {one.peak_gb:.2f} GB at most, "
            f"of which weights {one.weights_gb:.2f}"
        )


if __name__ == "__main__":
    main()
