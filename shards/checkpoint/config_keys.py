"""The keys of config.json: those that are honoured, and those known not to matter for scores.

The keys of transformers' configuration of the model type are honoured, because the classes of
transformers compute the same as the engines. The keys below change no margin. A checkpoint with any
other key is refused, because code that came with it may have read the key.
"""

from collections.abc import Collection
from functools import cache

from shards.checkpoint.expect import File

_BOOKKEEPING = frozenset(
    {
        *("_commit_hash", "_name_or_path", "name_or_path", "transformers_version", "torch_dtype"),
        *("quantization", "quantization_config"),  # `shards.checkpoint.quantised` reads it
        *("dtype", "auto_map", "rerank_gateway", "language", "languages", "license", "model_name"),
        *("sentence_transformers", "sbert_ce_default_activation_function", "finetuning_task"),
        *(
            "unsloth_fixed",
            "unsloth_version",
            "tokenizer_class",
            "processor_class",
            "model_max_length",
        ),
        *("adapters", "export_model_type", "output_past", "pre_trained", "custom_pipelines"),
        *("_num_labels", "num_labels", "id2label", "label2id", "problem_type", "architectures"),
        *("model_type", "task_specific_params", "vocab_size_or_config_json_file", "prefix"),
    }
)
_RUNNING = frozenset(  # the way of computing, not the result
    {
        *("use_cache", "output_attentions", "output_hidden_states", "return_dict", "torchscript"),
        *("use_return_dict", "chunk_size_feed_forward", "pretraining_tp", "reference_compile"),
        *("repad_logits_with_grad", "deterministic_flash_attn", "use_flash_attn", "unpad_inputs"),
        *("use_memory_efficient_attention", "use_flash_attention", "use_flash_attention_2"),
        *("_attn_implementation", "_attn_implementation_autoset", "attn_implementation"),
        *("_flash_attn_2_enabled", "attn_implementation_internal", "gradient_checkpointing"),
        *("use_bfloat16", "tf_legacy_loss", "fused_bias_fc", "fused_dropout_add_ln", "fused_mlp"),
        *("fp8_format", "fp8_recipe", "compute_dtype", "use_mem_eff_attn", "cache_implementation"),
    }
)
_TRAINING = frozenset(
    {
        *("initializer_range", "initializer_factor", "initializer_cutoff_factor", "layerdrop"),
        *("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout", "dropout"),
        *("classifier_dropout", "classifier_dropout_prob", "embedding_dropout", "mlp_dropout"),
        *("seq_classif_dropout", "qa_dropout", "summary_first_dropout", "summary_last_dropout"),
        *("embd_pdrop", "resid_pdrop", "attn_pdrop", "pooler_dropout", "emb_pdrop"),
        *("label_smoothing", "loss_type", "init_std", "init_method", "sparse_prediction"),
        *("sparse_pred_ignore_index", "decoder_bias", "router_aux_loss_coef", "mlm_probability"),
    }
)
_OTHER_HEADS = frozenset(  # for translation, generation, questions, span prediction
    {
        *("bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "mask_token_id"),
        *("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "bad_words_ids"),
        *("max_length", "min_length", "do_sample", "early_stopping", "num_beams", "top_k", "top_p"),
        *("num_beam_groups", "diversity_penalty", "temperature", "typical_p", "length_penalty"),
        *("repetition_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"),
        *("num_return_sequences", "output_scores", "return_dict_in_generate", "suppress_tokens"),
        *("begin_suppress_tokens", "exponential_decay_length_penalty", "remove_invalid_values"),
        *("pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_type"),
        *(
            "pooler_size_per_head",
            "directionality",
            "span_prediction",
            "cross_attention_hidden_size",
        ),
        *("summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels"),
    }
)
_OF_FAMILIES = {
    "albert": ("down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks"),
    "bert": ("layer_norm_type",),
    "deberta-v2": (
        *("pooler_hidden_size", "norm_rel_ebd", "share_att_key", "position_buckets"),
        *("conv_act", "conv_kernel_size", "conv_groups"),
    ),
    "distilbert": ("tie_weights_",),
    "modernbert": (
        *("global_attn_every_n_layers", "global_rope_theta", "local_rope_theta"),
        "layer_norm_eps",  # its norms have `norm_eps`
    ),
    "llama": ("rope_interleaved",),
    "qwen2": ("use_mrope",),
}
_ROTARY = ("rope_theta", "rope_scaling", "partial_rotary_factor")

# The keys that transformers has; its import, only to look them up, would take a second.
QWEN3_KEYS = frozenset(
    {
        *("attention_bias", "attention_dropout", "bos_token_id", "eos_token_id", "head_dim"),
        *("hidden_act", "hidden_size", "initializer_range", "intermediate_size", "layer_types"),
        *("max_position_embeddings", "max_window_layers", "num_attention_heads", "pad_token_id"),
        *("num_hidden_layers", "num_key_value_heads", "rms_norm_eps", "rope_parameters"),
        *("sliding_window", "tie_word_embeddings", "use_cache", "use_sliding_window", "vocab_size"),
    }
)

BERT_KEYS = frozenset(
    {
        *("hidden_act", "hidden_size", "intermediate_size", "is_decoder", "layer_norm_eps"),
        *("max_position_embeddings", "num_attention_heads", "num_hidden_layers", "pad_token_id"),
        *("tie_word_embeddings", "type_vocab_size", "vocab_size", "classifier_dropout"),
    }
)
_READ_OFTEN = {"qwen3": QWEN3_KEYS, "bert": BERT_KEYS}

# Some families have other names for sizes and do not read these keys; tensors prove the sizes.
_SIZES = frozenset(
    {"hidden_size", "intermediate_size", "num_hidden_layers", "num_layers", "head_dim"}
)

NO_MATTER = _SIZES | _BOOKKEEPING | _RUNNING | _TRAINING | _OTHER_HEADS

# Keys that are honoured where they are set, or of which only some values are served.
_ONLY = {
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "pruned_heads": ({},),
    "tie_encoder_decoder": (False,),
    "position_embedding_type": ("absolute", "rotary", "rope"),  # transformers ignores others
    "use_bidirectional_attention": (False,),
    "head_type": (),
}


def expect_known_keys(config: File, layout_keys: Collection[str] = ()) -> None:
    """Refuse keys of a config.json that are not known for its model type.

    Args:
        layout_keys: the keys that a layout of our own honours.
    """
    model_type = config.text("model_type")
    for key, served in _ONLY.items():
        if key in config and key not in layout_keys and config.content[key] not in served:
            raise config.refuse(key, f"one of {served}" if served else "nothing")
    given = {key: value for key, value in config.content.items() if value not in (None, "", [], {})}
    known = {*NO_MATTER, *_ONLY, *_ROTARY, "is_causal", *layout_keys}
    unknown = given.keys() - known - set(_OF_FAMILIES.get(model_type, ()))
    if unknown and (unknown := unknown - keys_of(model_type)):
        File(config.name, dict.fromkeys(unknown)).expect_keys(())


@cache
def keys_of(model_type: str) -> frozenset[str]:
    """Return the keys that transformers' configuration of a model type has."""
    if model_type in _READ_OFTEN:
        return _READ_OFTEN[model_type]
    from dataclasses import fields

    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if model_type not in CONFIG_MAPPING:
        return frozenset()
    made = CONFIG_MAPPING[model_type]
    names = {field.name for field in fields(made)} | set(made.attribute_map)
    return frozenset(names | set(made().to_dict()))
