"""A margin by another way than the engines': the folder read as sentence-transformers reads it.

`shards.checkpoint`, `shards.prompts`, `shards.tokenize` and the engines take no part, so a fault in
one of them shows. Files are read with `json` alone, transformers renders prompts, pairs are scored
one by one in fp32 on the CPU, and answers are read from the logits of the whole vocabulary. Where a
card has code of its own, `own_code` has its arithmetic once more, written function by function.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from shards.tools.verify import official, own_code
from shards.tools.verify.modules import Modules

Advance = Callable[[int], None]

_RELEVANT = ("yes", "relevant", "positive", "pos", "entailment", "1", "true", "duplicate")


class Reference:
    """A checkpoint as sentence-transformers and plain transformers read it."""

    def __init__(
        self, folder: Path, *, name: str = "", template: str = "auto", instruction: str = ""
    ) -> None:
        """Load a checkpoint.

        Args:
            name: the checkpoint's name, which decides where no file describes the prompt.
            template: the operator's choice of a prompt of ours.
            instruction: the operator's default; empty for the checkpoint's own.
        """
        import transformers

        # transformers has no types here.
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._folder = folder
        self._config = _json(folder / "config.json")
        self._settings = _json(folder / "config_sentence_transformers.json")
        is_cross_encoder = self._settings.get("model_type") == "CrossEncoder"
        self._modules = Modules(folder) if is_cross_encoder else Modules(None)
        prompts = self._settings.get("prompts") or {}
        named = self._settings.get("default_prompt_name") if self._modules.listed else None
        self._prompt = instruction or (prompts[named] if named else "")
        self._tokenizer = _tokenizer(folder)
        architecture = (self._config.get("architectures") or [""])[0]
        self._is_lm = architecture.endswith("ForCausalLM")
        self._official = self._official_prompt(
            template, f"{name} {self._config.get('_name_or_path')}"
        )
        self._model = self._loaded(architecture)

    def _loaded(self, architecture: str) -> Callable[[list[int], list[int]], torch.Tensor]:
        """Return a function from a pair's ids and types to its last logits."""
        import transformers

        if own := own_code.for_checkpoint(self._folder, self._config):
            return own
        if self._modules.pools:
            auto: Any = transformers.AutoModel
        elif self._is_lm:
            auto = transformers.AutoModelForCausalLM
        else:
            auto = transformers.AutoModelForSequenceClassification
        model = auto.from_pretrained(
            self._folder, dtype=torch.float32, local_files_only=True, attn_implementation="eager"
        ).eval()
        knows_types = getattr(model.config, "type_vocab_size", 0) > 1

        def last(ids: list[int], types: list[int]) -> torch.Tensor:
            given = {"input_ids": torch.tensor([ids])}
            if knows_types:
                given["token_type_ids"] = torch.tensor([types])
            if self._modules.pools:
                return self._modules.scores(model(**given).last_hidden_state)
            logits: torch.Tensor = model(**given).logits
            return logits[0, -1] if self._is_lm else logits[0]

        return last

    @torch.inference_mode()
    def margins(self, query: str, documents: Sequence[str], advance: Advance) -> list[float]:
        """Return the margins of a query's documents; call `advance` after each document."""
        margins: list[float] = []
        for document in documents:
            margins.append(self._margin(query, document))
            advance(1)
        return margins

    def _margin(self, query: str, document: str) -> float:
        logits = self._model(*self._ids(query, document))
        if not self._is_lm:
            return float(self._of_labels(logits))
        true, false, scale = self._answers()
        other = 0.0 if false is None else logits[false]
        return float((logits[true] - other) * scale)

    # -- the input of the model --------------------------------------------------------------------

    def _ids(self, query: str, document: str) -> tuple[list[int], list[int]]:
        if self._official:
            ids = self._official.ids(self._tokenizer, self._prompt, query, document)
            return ids, [0] * len(ids)
        if self._as_messages():
            ids = self._rendered(query, document)
            return ids, [0] * len(ids)
        encoded = self._tokenizer(f"{self._before_query()}{query}", document)
        ids = list(encoded["input_ids"])
        return ids, list(encoded.get("token_type_ids") or [0] * len(ids))

    def _before_query(self) -> str:
        return self._prompt if self._settings.get("default_prompt_name") else ""

    def _as_messages(self) -> bool:
        if self._modules.listed:
            return "message" in self._modules.modalities
        return bool(self._tokenizer.chat_template)

    def _rendered(self, query: str, document: str) -> list[int]:
        form = self._modules.modalities.get("message", {}).get("format", "auto")
        template = str(self._tokenizer.chat_template)
        marks = ("content[0]", ".type", "'type'", '"type"', "message.content[")
        structured = form == "structured" or (form == "auto" and any(m in template for m in marks))

        def content(text: str) -> Any:
            return [{"type": "text", "text": text}] if structured else text

        roles = [("query", query), ("document", document)]
        if self._prompt:
            roles.insert(0, ("system", self._prompt))
        messages = [{"role": role, "content": content(text)} for role, text in roles]
        found: list[int] = self._tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=False, **self._modules.chat_settings
        )
        return found

    def _official_prompt(self, template: str, names: str) -> Any:
        """Return a prompt of an official package, where the files have none."""
        if template == "plain":
            return None
        if template != "auto":
            return official.PROMPTS[template]
        if self._modules.listed and not own_code.is_bidirectional(self._config):
            return None
        chat = str(self._tokenizer.chat_template or "")
        if chat and self._carries_pair():
            return None
        return official.for_checkpoint(self._config, names, chat)

    def _carries_pair(self) -> bool:
        try:
            text, other_query, other_document = (
                self._rendered(query, document)
                for query, document in (
                    ("alpha", "bravo"),
                    ("charlie", "bravo"),
                    ("alpha", "delta"),
                )
            )
        except Exception:  # a chat template may raise anything at these roles
            return False
        return text not in (other_query, other_document)

    # -- from logits to margins --------------------------------------------------------------------

    def _answers(self) -> tuple[int, int | None, float]:
        if self._modules.answers:
            return (*self._modules.answers, 1.0)
        if self._official:
            true, false, scale = self._official.answers
            return self._id(true), None if false is None else self._id(false), scale
        return self._id("yes"), self._id("no"), 1.0

    def _id(self, word: str | int) -> int:
        if isinstance(word, int):
            return word
        (id,) = self._tokenizer(word, add_special_tokens=False)["input_ids"]
        return int(id)

    def _of_labels(self, logits: torch.Tensor) -> torch.Tensor:
        logits = logits.reshape(-1)
        if len(logits) == 1:
            return logits[0]
        named = self._config.get("id2label") or {}
        positive = [int(at) for at, label in named.items() if str(label).lower() in _RELEVANT]
        right = positive[0] if len(positive) == 1 else 1
        return logits[right] - logits[1 - right]


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _tokenizer(folder: Path) -> Any:
    """Return the tokenizer; for DeBERTa from its file, as transformers drops a part of it."""
    import transformers

    config = _json(folder / "tokenizer_config.json")
    if "Deberta" not in str(config.get("tokenizer_class")):
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    names = {key: config[key] for key in ("cls_token", "sep_token", "pad_token") if key in config}
    made: Any = transformers.PreTrainedTokenizerFast
    return made(tokenizer_file=str(folder / "tokenizer.json"), **names)
