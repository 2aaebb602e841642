"""Qwen3-Reranker's prompt around query and document, as its model card builds it."""

from collections.abc import Sequence
from typing import Any

PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
    'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
LONGEST = 8192


class Prompts:
    """Makes padded batches of prompts.

    Args:
        tokenizer: of transformers.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._tokenizer.padding_side = "left"
        self._prefix, self._suffix = (
            tokenizer.encode(text, add_special_tokens=False) for text in (PREFIX, SUFFIX)
        )

    @property
    def yes_and_no(self) -> list[int]:
        """The tokens whose logits are compared."""
        yes, no = self._tokenizer.convert_tokens_to_ids(["yes", "no"])
        return [yes, no]

    def padded(self, query: str, documents: Sequence[str]) -> Any:
        """Return ids and mask of one batch, int64 `[documents, longest]`, padded on the left."""
        texts = [
            f"<Instruct>: {INSTRUCTION}\n<Query>: {query}\n<Document>: {document}"
            for document in documents
        ]
        longest = LONGEST - len(self._prefix) - len(self._suffix)
        encoded = self._tokenizer(texts, truncation=True, max_length=longest)
        ids = [self._prefix + one + self._suffix for one in encoded["input_ids"]]
        return self._tokenizer.pad({"input_ids": ids}, padding=True, return_tensors="pt")


def chat_template() -> str:
    """Return the same prompt as a Jinja template over messages of the roles query and document."""
    first_of = 'messages | selectattr("role", "eq", "%s") | map(attribute="content") | first'
    query, document = (f"{{{{ {first_of % role} }}}}" for role in ("query", "document"))
    kept = "{{ '\\n\\n' }}"  # Jinja drops a newline at the end of a template
    return (
        f"{PREFIX}<Instruct>: {INSTRUCTION}\n<Query>: {query}\n<Document>: {document}"
        f"{SUFFIX.removesuffix(chr(10) * 2)}{kept}"
    )
