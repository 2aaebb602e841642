"""From (query, document) to token ids, the way the released checkpoints of both kinds are fed.

Everything is encoded once and joined as lists of ids: `[CLS] query [SEP] document [SEP]` with token
types for the BERT, and the exact prompt of Qwen3-Reranker for the causal model, whose prefix, body
and suffix are encoded on their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from tokenizers import Tokenizer
from torch import Tensor

from .tokenizer import token_id

PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and"
    ' the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"

Ids = list[int]


@dataclass(frozen=True)
class Row:
    ids: Ids
    types: Ids


class Layout(Protocol):
    """A row from a pair; query and document come as token ids without special tokens."""

    padding: int
    longest: int

    def row(self, query: Ids, document: Ids, instruction: str = INSTRUCTION) -> Row: ...


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Ids]:
    encoded = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [encoding.ids for encoding in encoded]


class BertLayout:
    padding = 0

    def __init__(self, tokenizer: Tokenizer, longest: int = 512) -> None:
        self.cls, self.sep = token_id(tokenizer, "[CLS]"), token_id(tokenizer, "[SEP]")
        self.longest = longest

    def row(self, query: Ids, document: Ids, instruction: str = INSTRUCTION) -> Row:
        query = query[: self.longest // 2]
        document = document[: self.longest - len(query) - 3]
        ids = [self.cls, *query, self.sep, *document, self.sep]
        return Row(ids, [0] * (len(query) + 2) + [1] * (len(document) + 1))


class CausalLayout:
    """The body is encoded in parts: markers are added tokens, so no merge crosses their borders."""

    padding = 0

    def __init__(self, tokenizer: Tokenizer, longest: int = 4096) -> None:
        self.tokenizer = tokenizer
        self.prefix, self.suffix, self.query_mark, self.document_mark = encode(
            tokenizer, [PREFIX, SUFFIX, "\n<Query>: ", "\n<Document>: "]
        )
        self.instructions: dict[str, Ids] = {}
        self.longest = longest

    def instruct(self, instruction: str) -> Ids:
        if instruction not in self.instructions:
            [ids] = encode(self.tokenizer, [f"<Instruct>: {instruction}"])
            self.instructions[instruction] = ids
        return self.instructions[instruction]

    def row(self, query: Ids, document: Ids, instruction: str = INSTRUCTION) -> Row:
        task = self.instruct(instruction)
        body = [*task, *self.query_mark, *query, *self.document_mark, *document]
        room = self.longest - len(self.prefix) - len(self.suffix)
        ids = [*self.prefix, *body[:room], *self.suffix]
        return Row(ids, [0] * len(ids))


@dataclass(frozen=True)
class Batch:
    ids: Tensor
    types: Tensor
    mask: Tensor

    @property
    def last(self) -> Tensor:
        """The place of each row's last real token."""
        return self.mask.sum(1) - 1


def to_batch(rows: Sequence[Row], padding: int) -> Batch:
    """Rows padded on the right; in a causal model nothing before the padding can see it."""
    longest = max(len(row.ids) for row in rows)
    fill = [longest - len(row.ids) for row in rows]
    return Batch(
        torch.tensor([r.ids + [padding] * n for r, n in zip(rows, fill, strict=True)]),
        torch.tensor([r.types + [0] * n for r, n in zip(rows, fill, strict=True)]),
        torch.tensor([[1] * len(r.ids) + [0] * n for r, n in zip(rows, fill, strict=True)]),
    )
