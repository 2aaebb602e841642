"""Folders in the layouts of models with code of their own, with tiny random weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tests import checkpoints
from tests.shards.checkpoint.hub_layouts import plain_pair, write_json


def _random(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Return wide random tensors; norms around one."""
    torch.manual_seed(3)
    tensors = {name: 0.25 * torch.randn(shape) for name, shape in shapes.items()}
    for name, tensor in tensors.items():
        if name.endswith("weight") and len(tensor.shape) == 1:
            tensor += 1.0
    return tensors


def _write(folder: Path, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Path:
    from safetensors.torch import save_file

    write_json(folder / "config.json", config)
    save_file(_random(shapes), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _both(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (64,), f"{name}.bias": (64,)}


_ENCODER: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "id2label": {"0": "LABEL_0"},
    "layer_norm_eps": 1e-5,
}


def gte_new(folder: Path, **more: Any) -> Path:
    """Write gte-multilingual-reranker's original layout, with its own model type."""
    tokenizer = checkpoints.piece_tokenizer()
    rows = tokenizer.get_vocab_size()
    config = _ENCODER | {
        "architectures": ["NewForSequenceClassification"],
        "auto_map": {"AutoModelForSequenceClassification": "modeling.NewForSequenceClassification"},
        "model_type": "new",
        "vocab_size": rows,
        "pad_token_id": 1,
        "type_vocab_size": 1,
        "max_position_embeddings": 512,
        "hidden_act": "gelu",
        "pack_qkv": True,
        "position_embedding_type": "rope",
        "rope_theta": 20000,
        "rope_scaling": {"factor": 8.0, "type": "ntk"},
        "layer_norm_type": "layer_norm",
        "logn_attention_scale": False,
        "unpad_inputs": False,
        "use_memory_efficient_attention": False,
        **more,
    }
    shapes = {
        "new.embeddings.word_embeddings.weight": (rows, 64),
        "new.embeddings.token_type_embeddings.weight": (1, 64),
        **_norm("new.embeddings.LayerNorm"),
        **_both("new.pooler.dense", 64, 64),
        **_both("classifier", 1, 64),
    }
    for at in range(2):
        layer = f"new.encoder.layer.{at}"
        shapes |= _both(f"{layer}.attention.qkv_proj", 192, 64)
        shapes |= _both(f"{layer}.attention.o_proj", 64, 64)
        shapes |= _norm(f"{layer}.attn_ln") | _norm(f"{layer}.mlp_ln")
        shapes |= _both(f"{layer}.mlp.down_proj", 64, 128)
        shapes[f"{layer}.mlp.up_gate_proj.weight"] = (256, 64)
    _write(folder, config, shapes)
    checkpoints.write_tokenizer(
        folder, tokenizer, tokenizer_class="XLMRobertaTokenizer", limit=512, pad_token="<pad>"
    )
    return folder


def jina_flash(folder: Path) -> Path:
    """Write jina-reranker-v2's layout: an XLM-R with joined queries, keys and values."""
    tokenizer = checkpoints.piece_tokenizer()
    rows = tokenizer.get_vocab_size()
    config = _ENCODER | {
        "architectures": ["XLMRobertaForSequenceClassification"],
        "auto_map": {"AutoModelForSequenceClassification": "modeling.XLMRobertaForSequence"},
        "model_type": "xlm-roberta",
        "vocab_size": rows,
        "pad_token_id": 1,
        "type_vocab_size": 1,
        "max_position_embeddings": 130,
        "hidden_act": "gelu",
        "use_flash_attn": True,
    }
    shapes = {
        "roberta.embeddings.word_embeddings.weight": (rows, 64),
        "roberta.embeddings.position_embeddings.weight": (130, 64),
        "roberta.embeddings.token_type_embeddings.weight": (1, 64),
        **_norm("roberta.emb_ln"),
        **_both("classifier.dense", 64, 64),
        **_both("classifier.out_proj", 1, 64),
    }
    for at in range(2):
        layer = f"roberta.encoder.layers.{at}"
        shapes |= _both(f"{layer}.mixer.Wqkv", 192, 64) | _both(f"{layer}.mixer.out_proj", 64, 64)
        shapes |= _norm(f"{layer}.norm1") | _norm(f"{layer}.norm2")
        shapes |= _both(f"{layer}.mlp.fc1", 128, 64) | _both(f"{layer}.mlp.fc2", 64, 128)
    _write(folder, config, shapes)
    checkpoints.write_tokenizer(
        folder, tokenizer, tokenizer_class="XLMRobertaTokenizer", limit=128, pad_token="<pad>"
    )
    return folder


def jina_bert(folder: Path, **more: Any) -> Path:
    """Write jina-reranker-v1-turbo's layout: ALiBi, gated blocks, no positions."""
    tokenizer = checkpoints.word_tokenizer()
    rows = tokenizer.get_vocab_size()
    config = _ENCODER | {
        "architectures": ["JinaBertForSequenceClassification"],
        "auto_map": {"AutoModelForSequenceClassification": "modeling_bert.JinaBert"},
        "model_type": "bert",
        "vocab_size": rows,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "max_position_embeddings": 512,
        "hidden_act": "gelu",
        "position_embedding_type": "alibi",
        "feed_forward_type": "geglu",
        "emb_pooler": None,
        **more,
    }
    shapes = {
        "bert.embeddings.word_embeddings.weight": (rows, 64),
        "bert.embeddings.token_type_embeddings.weight": (2, 64),
        **_norm("bert.embeddings.LayerNorm"),
        **_both("bert.pooler.dense", 64, 64),
        **_both("classifier", 1, 64),
    }
    for at in range(2):
        layer = f"bert.encoder.layer.{at}"
        for name in ("query", "key", "value"):
            shapes |= _both(f"{layer}.attention.self.{name}", 64, 64)
        shapes |= _both(f"{layer}.attention.output.dense", 64, 64)
        shapes |= _norm(f"{layer}.attention.output.LayerNorm") | _norm(f"{layer}.mlp.layernorm")
        shapes |= _both(f"{layer}.mlp.wo", 64, 128)
        shapes[f"{layer}.mlp.gated_layers.weight"] = (256, 64)
    _write(folder, config, shapes)
    checkpoints.write_tokenizer(
        folder, tokenizer, tokenizer_class="BertTokenizer", do_lower_case=False, limit=512
    )
    return folder


def nemotron(folder: Path, **more: Any) -> Path:
    """Write llama-nemotron-rerank's layout: a Llama that attends both ways, and mean pooling."""
    plain_pair(folder, "llama")
    checkpoints.change_config(
        folder,
        architectures=["LlamaBidirectionalForSequenceClassification"],
        auto_map={"AutoModelForSequenceClassification": "llama_bidirectional_model.Llama"},
        model_type="llama_bidirec",
        pooling="avg",
        temperature=0.5,
        **more,
    )
    return folder


def gemma(folder: Path) -> Path:
    """Write bge-reranker-v2-gemma's kind: no file has its prompt, its name selects one."""
    tokenizer = Tokenizer.from_str(checkpoints.chat_tokenizer(("Yes Yes Yes",)).to_str())
    tokenizer.add_special_tokens(["<bos>"])
    checkpoints.decoder(folder, "gemma", vocab_size=tokenizer.get_vocab_size())
    checkpoints.change_config(folder, _name_or_path="BAAI/bge-reranker-v2-gemma")
    checkpoints.write_tokenizer(
        folder, tokenizer, tokenizer_class="PreTrainedTokenizerFast", bos_token="<bos>"
    )
    return folder


def named(folder: Path, model: str, name: str) -> Path:
    """Write a decoder that only its name identifies; its tokenizer has the answers Yes and 1."""
    tokenizer = checkpoints.chat_tokenizer(("Yes Yes Yes",))
    checkpoints.decoder(folder, model, vocab_size=tokenizer.get_vocab_size())
    checkpoints.change_config(folder, _name_or_path=name)
    checkpoints.write_tokenizer(
        folder,
        tokenizer,
        tokenizer_class="Qwen2Tokenizer" if model == "qwen3" else "PreTrainedTokenizerFast",
        unk_token=None,
    )
    return folder


def deberta(folder: Path) -> Path:
    """Write mxbai-rerank-v1's kind: transformers loses its tokenizer's character map."""
    words = dict.fromkeys(f"▁{word}" for word in " ".join(checkpoints.SAMPLES).split())
    letters = dict.fromkeys("▁" + "".join(checkpoints.SAMPLES).replace(" ", "") + "full")
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    pieces = [(piece, 0.0) for piece in special] + [(word, -7.0) for word in words]
    pieces += [(letter, -9.0) for letter in letters] + [("fi", -5.0), ("[MASK]", 0.0)]
    tokenizer = Tokenizer(models.Unigram(list(dict(pieces).items()), unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer.add_special_tokens([*special, "[MASK]"])
    checkpoints.encoder(
        folder,
        "deberta-v2",
        vocab_size=tokenizer.get_vocab_size(),
        relative_attention=True,
        position_biased_input=False,
        pos_att_type=["p2c", "c2p"],
        max_relative_positions=-1,
        type_vocab_size=0,
    )
    checkpoints.write_tokenizer(
        folder,
        tokenizer,
        tokenizer_class="DebertaV2Tokenizer",
        limit=512,
        do_lower_case=False,
        **{f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "unk", "mask")},
    )
    return folder
