"""Margins of rows: the classifier's one logit, or logit(yes) - logit(no) at the last position."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import (
    AutoConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    Qwen3ForCausalLM,
)

from .pairs import Batch, BertLayout, CausalLayout, Ids, Layout, Row, encode, to_batch
from .tokenizer import ANSWERS, token_id

TOKENS_A_BATCH = 6000


@dataclass
class Reranker:
    """A model with its tokenizer and layout; `margins` is differentiable, `score` is not."""

    model: PreTrainedModel
    tokenizer: Tokenizer
    layout: Layout

    def margins(self, batch: Batch) -> Tensor:
        if isinstance(self.layout, BertLayout):
            return bert_margins(self.model, batch)
        answers = [token_id(self.tokenizer, answer) for answer in ANSWERS]
        return causal_margins(self.model, batch, answers)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        return encode(self.tokenizer, texts)

    @torch.inference_mode()
    def score(self, rows: Sequence[Row]) -> list[float]:
        """Margins in the order of the rows; rows of like length are scored together."""
        order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
        found = [0.0] * len(rows)
        for part in parts(order, rows):
            batch = to_batch([rows[i] for i in part], self.layout.padding)
            for i, margin in zip(part, self.margins(batch).tolist(), strict=True):
                found[i] = margin
        return found

    def rank(self, query: str, documents: Sequence[str]) -> list[float]:
        encoded_query, *encoded = self.encode([query, *documents])
        return self.score([self.layout.row(encoded_query, document) for document in encoded])


def parts(order: Sequence[int], rows: Sequence[Row]) -> list[list[int]]:
    """`order` cut into runs of at most TOKENS_A_BATCH tokens, padding counted."""
    runs: list[list[int]] = [[]]
    for i in order:
        if runs[-1] and len(rows[i].ids) * (len(runs[-1]) + 1) > TOKENS_A_BATCH:
            runs.append([])
        runs[-1].append(i)
    return runs


def bert_margins(model: Any, batch: Batch) -> Tensor:
    output = model(input_ids=batch.ids, token_type_ids=batch.types, attention_mask=batch.mask)
    logits: Tensor = output.logits
    return logits[:, 0]


def causal_margins(model: Any, batch: Batch, answers: Sequence[int]) -> Tensor:
    """The head's two rows alone, and what all rows begin with (the prompt) computed once."""
    shared = shared_length(batch)
    start = model.model(input_ids=batch.ids[:1, :shared], use_cache=True).past_key_values
    start.batch_repeat_interleave(len(batch.ids))
    states = model.model(
        input_ids=batch.ids[:, shared:], attention_mask=batch.mask, past_key_values=start
    ).last_hidden_state
    last = states[torch.arange(len(batch.ids)), batch.last - shared]
    yes, no = model.lm_head.weight[list(answers)]
    margins: Tensor = last @ (yes - no)
    return margins


def shared_length(batch: Batch) -> int:
    """Return the number of leading tokens that all rows share, less than the shortest row."""
    same = (batch.ids == batch.ids[0]).all(0).tolist()
    common = same.index(False) if False in same else len(same)
    return min(common, int(batch.mask.sum(1).min()) - 1)


def load(folder: Path) -> Reranker:
    """A model folder by the plain classes, in fp32."""
    architecture = AutoConfig.from_pretrained(folder).architectures[0]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if architecture == "Qwen3ForCausalLM":
        causal = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return Reranker(causal.train(False), tokenizer, CausalLayout(tokenizer))
    bert = BertForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    return Reranker(bert.train(False), tokenizer, BertLayout(tokenizer))
