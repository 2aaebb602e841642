"""The margin of a bi-encoder by another way than the engine's; see `reference`.

Texts are encoded one by one by plain transformers in fp32, and the modules are built from their own
files. The cosine is that of `torch.nn.functional`.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from shards.tools.verify.modules import Modules

Advance = Callable[[int], None]

_DOCUMENTS = ("document", "passage", "corpus")


class SimilarityReference:
    """A bi-encoder as sentence-transformers and plain transformers read it."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "",
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        instruction: str = "",
    ) -> None:
        """Load a bi-encoder.

        Args:
            name: the checkpoint's name, which decides where no file has prompts.
            query_prompt, document_prompt: the operator's prompts; `None` for the checkpoint's own.
            instruction: the operator's default; empty for the checkpoint's own.
        """
        import transformers

        # transformers has no types here.
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        config = _json(folder / "config.json")
        ours = config.get("rerank_gateway") or {}
        self._scale, self._middle = ours.get("scale", 20.0), ours.get("middle", 0.0)
        query, document = _prompts(folder, name)
        query = query if query_prompt is None else query_prompt
        if instruction and query.startswith("Instruct: "):
            query = f"Instruct: {instruction}\n{query.partition(chr(10))[2]}"
        self._query_prompt = query.replace("{instruction}", instruction)
        self._document_prompt = document if document_prompt is None else document_prompt
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._modules = Modules(folder)
        auto: Any = transformers.AutoModel  # which has no types
        settings: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "eager"}
        if form := ours.get("weights"):
            made = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            self._body = auto.from_config(made, **settings).eval()
            self._body.load_state_dict(_from_codes(folder, **form), strict=False)
        else:
            self._body = auto.from_pretrained(folder, local_files_only=True, **settings).eval()

    @torch.inference_mode()
    def margins(self, query: str, documents: Sequence[str], advance: Advance) -> list[float]:
        """Return the margins of a query's documents; call `advance` after each document."""
        asked = self._vector(f"{self._query_prompt}{query}")
        margins: list[float] = []
        for document in documents:
            found = self._vector(f"{self._document_prompt}{document}")
            cosine = float(torch.nn.functional.cosine_similarity(asked, found, dim=0))
            margins.append(self._scale * (cosine - self._middle))
            advance(1)
        return margins

    def _vector(self, text: str) -> torch.Tensor:
        ids = torch.tensor([self._tokenizer(text)["input_ids"]])
        return self._modules.scores(self._body(input_ids=ids).last_hidden_state)


def _prompts(folder: Path, name: str) -> tuple[str, str]:
    prompts = _json(folder / "config_sentence_transformers.json").get("prompts") or {}
    query = prompts.get("query") or ""
    document = next((prompts[name] for name in _DOCUMENTS if prompts.get(name)), "")
    named = f"{name}/{folder.name}".lower()
    if not query and not document and "e5-" in named and "instruct" not in named:
        return "query: ", "passage: "
    return query, document


def _from_codes(folder: Path, bits: int, block: int) -> dict[str, torch.Tensor]:
    """Return tensors that are stored as codes and scales, see `quantised.codes`."""
    from safetensors.torch import load_file

    stored = load_file(folder / "model.safetensors")
    found = {name: tensor for name, tensor in stored.items() if tensor.is_floating_point()}
    for name in [name for name in stored if name.endswith(".codes")]:
        codes = stored[name].to(torch.int16)
        if bits == 4:
            rows, bytes_ = codes.shape
            both = codes.new_empty(rows, 2 * bytes_)
            both[:, 0::2], both[:, 1::2] = codes % 16 - 8, codes // 16 - 8
            codes = both
        scales = found.pop(f"{name.removesuffix('.codes')}.scales").float()
        found[name.removesuffix(".codes")] = codes * scales.repeat_interleave(block, dim=1)
    return found


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found
