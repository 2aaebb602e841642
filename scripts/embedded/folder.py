"""A model folder as the Hugging Face hub lays it out, complete or not there at all."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from .pairs import BertLayout
from .scoring import Reranker
from .tokenizer import bert_settings, causal_settings, save_tokenizer

EXTRA = {"rerank_gateway": {"demonstration": True, "languages": ["en", "ru"]}}
BERT_EXTRA = {
    "id2label": {"0": "relevant"},
    "label2id": {"relevant": 0},
    "sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"},
}
SIZE_LIMIT_BYTES = 8_000_000


def save_model_folder(reranker: Reranker, card: str, target: Path) -> int:
    """Writes beside the target and renames, so that no reader meets half a model; the size."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    fresh.chmod(0o755)
    write_weights(reranker, fresh)
    write_config(reranker, fresh)
    settings = bert_settings if isinstance(reranker.layout, BertLayout) else causal_settings
    save_tokenizer(reranker.tokenizer, settings(reranker.layout.longest), fresh)
    (fresh / "README.md").write_text(card, encoding="utf-8")
    size = sum(path.stat().st_size for path in fresh.iterdir())
    if size > SIZE_LIMIT_BYTES:
        raise ValueError(f"{target.name} has {size} bytes, more than {SIZE_LIMIT_BYTES}")
    swap(fresh, target)
    return size


def write_weights(reranker: Reranker, folder: Path) -> None:
    """bf16; the tied head is the embedding table and is not written twice."""
    tensors = {
        name: tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in reranker.model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})


def write_config(reranker: Reranker, folder: Path) -> None:
    model = reranker.model
    config: dict[str, Any] = json.loads(model.config.to_json_string())
    config |= {"architectures": [type(model).__name__], "dtype": "bfloat16"} | EXTRA
    if isinstance(reranker.layout, BertLayout):
        config |= BERT_EXTRA
    else:  # the key that releases before transformers 5 read
        config["rope_theta"] = config["rope_parameters"]["rope_theta"]
    text = json.dumps(config, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def swap(fresh: Path, target: Path) -> None:
    if not target.exists():
        fresh.rename(target)
        return
    old = target.with_name(f".{target.name}-old")
    target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old)


def rounded(reranker: Reranker) -> Reranker:
    """The model as a reader of the folder will have it: weights rounded to bf16, then fp32."""
    with torch.no_grad():
        for parameter in reranker.model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16).float())
    return reranker


def load_tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
