"""The tokens at the ends of pairs that transformers' heads with labels skip."""

from dataclasses import replace

from shards.pairs import Batch, TokenizedPair


def without_skipped(batch: Batch, skipped: int | None) -> Batch:
    """Return pairs without the tokens that transformers' heads skip at their ends.

    A head with labels looks at the last token that is no padding, by its id. Attention is causal,
    so the tokens after that one change nothing.

    Args:
        skipped: the token that is skipped; `None` for none.
    """
    if skipped is None or all(pair.token_ids[-1] != skipped for pair in batch):
        return batch
    return [_cut_after(pair, skipped) for pair in batch]


def _cut_after(pair: TokenizedPair, skipped: int) -> TokenizedPair:
    ids = list(pair.token_ids)
    while len(ids) > 1 and ids[-1] == skipped:
        ids.pop()
    prefix = pair.prefix if pair.prefix and len(pair.prefix) < len(ids) else None
    return replace(pair, token_ids=ids, prefix=prefix)
