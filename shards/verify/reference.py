"""The plain transformers computation of a margin, in fp32, on the CPU.

None of our engines or encoders takes part. A decoder's prompt is tokenised as its authors do it
(prefix, body and suffix apart, padding on the left), and both answers are read from the logits of the
whole vocabulary; a cross-encoder's pair is tokenised as a pair, and the model's own logits are taken.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from shards.checkpoint import Checkpoint
from shards.encoder import Template
from shards.engines.labels import label_weights

_AT_ONCE = 4

Advance = Callable[[int], None]


class Reference:
    """A checkpoint in plain transformers.

    Args:
        template: the prompt; `None` for a cross-encoder.
        instruction: what relevance means; empty for the template's own.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        template: Template | None,
        *,
        instruction: str = "",
    ) -> None:
        import transformers

        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        is_lm = checkpoint.architecture.endswith("ForCausalLM")
        auto: Any = (
            transformers.AutoModelForCausalLM
            if is_lm
            else transformers.AutoModelForSequenceClassification
        )
        self._is_lm = is_lm
        self._template = template
        self._instruction = instruction
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
            checkpoint.folder, padding_side="left" if template else "right", local_files_only=True
        )
        self._model: Any = auto.from_pretrained(
            checkpoint.folder, dtype=torch.float32, local_files_only=True
        ).eval()
        labels = self._model.config.id2label
        self._weights = torch.tensor((1.0,) if is_lm else label_weights(labels, checkpoint.name)[0])

    @torch.inference_mode()
    def margins(self, query: str, documents: Sequence[str], advance: Advance) -> list[float]:
        """Return the margins of a query's documents; `advance` is told of each step."""
        margins: list[float] = []
        for start in range(0, len(documents), _AT_ONCE):
            some = documents[start : start + _AT_ONCE]
            margins += self._scored(query, some)
            advance(len(some))
        return margins

    def _scored(self, query: str, documents: Sequence[str]) -> list[float]:
        if self._template is None:
            return self._of_pairs(query, documents)
        prompts = [self._prompt(self._template, query, document) for document in documents]
        if not self._is_lm:  # a conversion finds the last token by its padding: none is safest
            return [float(self._logits([prompt])[0, 0]) for prompt in prompts]
        yes, no = (
            self._tokenizer.convert_tokens_to_ids(word)
            for word in (self._template.yes, self._template.no)
        )
        logits = self._logits(prompts)[:, -1, :]
        margins: list[float] = (logits[:, yes] - logits[:, no]).tolist()
        return margins

    def _logits(self, prompts: Sequence[list[int]]) -> torch.Tensor:
        if len(prompts) == 1:
            inputs = {"input_ids": torch.tensor(prompts)}
        else:
            inputs = self._tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt")
        logits: torch.Tensor = self._model(**inputs).logits
        return logits

    def _of_pairs(self, query: str, documents: Sequence[str]) -> list[float]:
        inputs = self._tokenizer(
            [query] * len(documents), list(documents), padding=True, return_tensors="pt"
        )
        margins: list[float] = (self._model(**inputs).logits @ self._weights).tolist()
        return margins

    def _prompt(self, template: Template, query: str, document: str) -> list[int]:
        instruction = self._instruction or template.instruction
        asked = template.instruct.format(instruction=instruction) if instruction else ""
        asked += template.query.format(query=query)
        answer = f"{template.document} {document}"
        bodies = [asked + answer] if template.joined else [asked, template.between, answer]
        body = [id for text in bodies for id in self._ids(text, special=template.special_tokens)]
        suffix = [id for piece in template.suffix for id in self._ids(piece)]
        return self._ids(template.prefix) + body + suffix

    def _ids(self, text: str, *, special: bool = False) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=special)
        return ids
