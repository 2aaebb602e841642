"""JinaBERT: a BERT without positions, whose scores fall with distance (ALiBi), and gated blocks.

Sources: "Jina Embeddings 2" (arXiv:2310.19923), "Train Short, Test Long" (arXiv:2108.12409).
"""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import BertConfig, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


def slopes(heads: int) -> list[float]:
    """Return how fast the scores of each head fall with distance."""
    power = 2 ** math.floor(math.log2(heads))
    first = [2 ** (-8 * (at + 1) / power) for at in range(power)]
    return first if power == heads else first + slopes(2 * power)[0::2][: heads - power]


class _Layer(nn.Module):
    """Attention with ALiBi, and a gated block; norms stand after what is added."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        hidden, inner, eps = config.hidden_size, config.intermediate_size, config.layer_norm_eps
        self.heads = config.num_attention_heads
        own = {name: nn.Linear(hidden, hidden) for name in ("query", "key", "value")}
        output = {"dense": nn.Linear(hidden, hidden), "LayerNorm": nn.LayerNorm(hidden, eps=eps)}
        self.attention = nn.ModuleDict(
            {"self": nn.ModuleDict(own), "output": nn.ModuleDict(output)}
        )
        self.mlp = nn.ModuleDict(
            {
                "gated_layers": nn.Linear(hidden, 2 * inner, bias=False),
                "wo": nn.Linear(inner, hidden),
                "layernorm": nn.LayerNorm(hidden, eps=eps),
            }
        )
        self.is_relu = config.feed_forward_type == "reglu"

    def forward(self, states: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Return the states after the layer; `bias` is added to scores."""
        attention: Any = self.attention
        q, k, v = (
            attention["self"][name](states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        joined = attended.transpose(1, 2).flatten(2)
        output = attention["output"]
        states = output["LayerNorm"](output["dense"](joined) + states)
        mlp: Any = self.mlp
        gate, other = mlp["gated_layers"](states).chunk(2, dim=-1)
        gate = functional.relu(gate) if self.is_relu else functional.gelu(gate)
        return mlp["layernorm"](mlp["wo"](gate * other) + states)  # type: ignore[no-any-return]  # ModuleDict is untyped


class JinaBert(BertPreTrainedModel):  # type: ignore[no-untyped-call]  # has few types
    """The cross-encoder, under the names of the checkpoint's tensors."""

    config_class = BertConfig

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        hidden, eps = config.hidden_size, config.layer_norm_eps
        embeddings = {
            "word_embeddings": nn.Embedding(config.vocab_size, hidden),
            "token_type_embeddings": nn.Embedding(config.type_vocab_size, hidden),
            "LayerNorm": nn.LayerNorm(hidden, eps=eps),
        }
        layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.bert = nn.ModuleDict(
            {
                "embeddings": nn.ModuleDict(embeddings),
                "encoder": nn.ModuleDict({"layer": layers}),
                "pooler": nn.ModuleDict({"dense": nn.Linear(hidden, hidden)}),
            }
        )
        self.classifier = nn.Linear(hidden, int(config.num_labels or 1))
        self.post_init()  # type: ignore[no-untyped-call]  # as above

    def get_input_embeddings(self) -> nn.Module:
        """Return the table of tokens."""
        bert: Any = self.bert
        found: nn.Module = bert["embeddings"]["word_embeddings"]
        return found

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Return logits, `[pairs, labels]`."""
        bert: Any = self.bert
        table = bert["embeddings"]
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        embedded = table["word_embeddings"](input_ids) + table["token_type_embeddings"](types)
        states = table["LayerNorm"](embedded)
        bias = self._bias(input_ids, attention_mask).to(states.dtype)
        for layer in bert["encoder"]["layer"]:
            states = layer(states, bias)
        pooled = torch.tanh(bert["pooler"]["dense"](states[:, 0].to(self.classifier.weight.dtype)))
        return SequenceClassifierOutput(logits=self.classifier(pooled))

    def _bias(self, input_ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        distance = (places[:, None] - places).abs()
        falls = torch.tensor(slopes(self.config.num_attention_heads), device=input_ids.device)
        bias = -falls[:, None, None] * distance
        if mask is None:
            return bias[None]
        return bias[None].masked_fill(mask[:, None, None] == 0, float("-inf"))
