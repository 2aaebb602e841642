"""Values of config.json, checked before anything is built from them.

Counts are compared with the stored tensors: a model of 10^9 layers is refused at once, and not when
memory is full.
"""

from collections.abc import Mapping, Sequence

from shards.checkpoint.expect import File
from shards.refusal import Refusal

_SIZES = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "head_dim"),
    *("num_key_value_heads", "type_vocab_size", "embedding_size", "dim", "hidden_dim", "n_heads"),
    *("num_hidden_groups", "inner_group_num", "d_model", "d_ff", "n_embd", "n_head", "n_inner"),
)
_LAYERS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")
_LAYERS_SHARED = frozenset({"albert"})
_POSITIONS = ("max_position_embeddings", "n_positions")
_MOST_POSITIONS = 1 << 27
_MOST_LAYERS = 1000
_EPSILONS = ("rms_norm_eps", "layer_norm_eps", "norm_eps", "layer_norm_epsilon", "rope_theta")
_FLAGS = (
    *("tie_word_embeddings", "attention_bias", "use_sliding_window", "is_decoder", "mlp_bias"),
    *("is_causal", "norm_bias", "classifier_bias", "is_encoder_decoder", "add_cross_attention"),
)
_TEXTS = (
    *("model_type", "hidden_act", "hidden_activation", "activation", "position_embedding_type"),
    *("classifier_pooling", "pooler_hidden_act", "_name_or_path"),
)
_TABLES = ("position_embeddings.weight", "wpe.weight")

Shapes = Mapping[str, Sequence[int]]


def check_config(config: File, stored: Shapes) -> None:
    """Refuse impossible values, and values that contradict the stored tensors.

    Args:
        stored: the shape of each tensor; none for exported graphs.
    """
    largest = max((size for shape in stored.values() for size in shape), default=1 << 30)
    for name in _SIZES:
        least = 0 if name == "type_vocab_size" else 1
        if (size := config.count(name, least=least)) is not None and size > largest:
            raise Refusal(
                f"{config.name}: {name} is {size}, and no stored tensor has a side over {largest}: "
                "it is the configuration of another checkpoint"
            )
    _check_layers(config, stored)
    for name in _POSITIONS:
        config.count(name, least=-1, most=_MOST_POSITIONS)
    _check_tables(config, stored)
    for name in _EPSILONS:
        config.number(name, 1.0)
    for name in _FLAGS:
        config.flag(name, usual=False)
    is_flag = config.text("model_type") == "mobilebert"  # its classifier_activation is one
    for name in _TEXTS if is_flag else (*_TEXTS, "classifier_activation"):
        config.text(name)
    for name in ("rope_parameters", "rope_scaling"):
        config.object(name).number("rope_theta", 1.0)
    kinds = config.content.get("layer_types")
    if kinds is not None and not (isinstance(kinds, list) and set(map(type, kinds)) <= {str}):
        raise config.refuse("layer_types", "a list of names")
    if kinds is not None and config.content.get("num_hidden_layers", len(kinds)) != len(kinds):
        raise config.refuse("layer_types", "a name for each layer")
    _check_names(config)


def _check_layers(config: File, stored: Shapes) -> None:
    shared = config.text("model_type") in _LAYERS_SHARED
    most = min(_MOST_LAYERS, len(stored)) if stored and not shared else _MOST_LAYERS
    for name in _LAYERS:
        layers = config.count(name)
        if layers is not None and layers > most:
            raise Refusal(
                f"{config.name}: {name} is {layers}, and {most} are the most for the "
                f"{len(stored)} tensors that are stored"
            )


def _check_tables(config: File, stored: Shapes) -> None:
    """Refuse more or fewer positions than a table of positions has rows."""
    positions = config.count("max_position_embeddings", least=-1, most=_MOST_POSITIONS)
    for name, shape in stored.items():
        if positions and name.endswith(_TABLES) and len(shape) == 2 and shape[0] != positions:
            raise Refusal(
                f"{config.name}: max_position_embeddings is {positions}, and {name} is "
                f"{list(shape)}: they contradict each other"
            )


def _check_names(config: File) -> None:
    architectures = config.content.get("architectures")
    if architectures is not None and not (
        isinstance(architectures, list) and all(isinstance(name, str) for name in architectures)
    ):
        raise config.refuse("architectures", "a list of names")
    config.object("sentence_transformers")
    labels = config.object("id2label")
    for key in labels.content:
        if not key.isdecimal() or int(key) >= max(1, len(labels.content)):
            raise config.refuse("id2label", "a name for each number from 0 on")
        if not isinstance(labels.content[key], str | int):
            raise config.refuse("id2label", "names")
    config.count("num_labels", most=1 << 20)
