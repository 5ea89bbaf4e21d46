"""A tiny configuration of every text class of transformers: six blocks of width 32, four heads, a
vocabulary of 97."""

from __future__ import annotations

from typing import Any

from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    PretrainedConfig,
)

BLOCKS = 6
SIZES: dict[str, Any] = {
    "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": BLOCKS, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 64, "head_dim": 8,
    "max_position_embeddings": 64, "d_model": 32, "n_embd": 32, "dim": 32, "n_layer": BLOCKS,
    "n_layers": BLOCKS, "num_layers": BLOCKS, "num_decoder_layers": BLOCKS, "n_head": 4,
    "n_heads": 4, "num_heads": 4, "ffn_dim": 64, "d_ff": 64, "d_inner": 64, "hidden_dim": 64,
    "d_kv": 8, "encoder_layers": BLOCKS, "decoder_layers": BLOCKS, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "n_positions": 64,
    "embedding_size": 32, "word_embed_proj_dim": 32, "num_experts": 4, "num_local_experts": 4,
    "num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_routed_experts": 4,
    "shared_expert_intermediate_size": 16, "rotary_dim": 4, "q_lora_rank": 16, "kv_lora_rank": 16,
    "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "n_group": 2, "topk_group": 1,
    "sliding_window": 8, "attention_window": 8, "local_attention": 8, "state_size": 8,
    "encoder_sparse_step": 2, "decoder_sparse_step": 2, "ffn_hidden_size": 64,
}  # fmt: skip
TOKENS = {
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 0,
    "cls_token_id": 1, "sep_token_id": 2,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 32},
    "cohere": {"logit_scale": 0.25},
    "cohere2": {"logit_scale": 0.25},
    "granite": {"logits_scaling": 4.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.5},
    "granitemoe": {"logits_scaling": 4.0},
    "hyperclovax": {"logits_scaling": 4.0},
    "gpt_neo": {"attention_types": [[["global", "local"], 3]], "window_size": 4},
    "big_bird": {"block_size": 4, "num_random_blocks": 1},
    "smollm3": {"no_rope_layers": [1, 1, 0, 1, 1, 0]},
    "esmc": {"num_key_value_heads": 4},
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4},
    "lilt": {"hidden_size": 48},
    "llama4_text": {"intermediate_size_mlp": 64},
    "luke": {"entity_vocab_size": 20, "entity_emb_size": 32},
    "modernbert": {"global_attn_every_n_layers": 3},
    "zaya": {"num_experts_per_tok": 1},
}
"""Settings that a class is tried with, so that no default hides a fault."""
UNSETTABLE = {
    "xlnet": ("max_position_embeddings",), "prophetnet": ("num_hidden_layers",),
    "funnel": ("num_hidden_layers",),
}  # fmt: skip
"""Settings that a class has and refuses."""
KINDS = {
    "classification": MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    "causal_lm": MODEL_FOR_CAUSAL_LM_MAPPING,
    "seq2seq": MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
}


def text_classes() -> list[str]:
    """The model types that transformers has a class of for some kind of task."""
    return sorted(
        name for name, config in CONFIG_MAPPING.items()
        if any(config in mapping for mapping in KINDS.values())
    )  # fmt: skip


def tiny_config(name: str) -> PretrainedConfig:
    """Raises whatever the class raises if it cannot be made so small by these names."""
    kind = CONFIG_MAPPING[name]
    usual = kind()
    settings = {k: v for k, v in SIZES.items() if _settable(kind, usual, k)} | TOKENS
    for refused in UNSETTABLE.get(name, ()):
        settings.pop(refused, None)
    if hasattr(usual, "qk_rope_head_dim"):
        settings.pop("head_dim", None)
        settings["num_key_value_heads"] = 4
    for alias, real in kind.attribute_map.items():
        if alias in settings and real in settings:
            del settings[alias]
    layer_types = getattr(usual, "layer_types", None)
    if layer_types and _settable(kind, usual, "layer_types"):
        kinds = list(dict.fromkeys(layer_types))
        settings["layer_types"] = [kinds[i % len(kinds)] for i in range(BLOCKS)]
    if isinstance(getattr(usual, "first_k_dense_replace", None), int):
        settings["first_k_dense_replace"] = 1
    return kind(**{**settings, **OWN.get(name, {})})


def _settable(kind: Any, usual: PretrainedConfig, name: str) -> bool:
    """Whether instances have this setting, and not as a property without a setter."""
    own = getattr(kind, kind.attribute_map.get(name, name), None)
    return hasattr(usual, name) and not (isinstance(own, property) and own.fset is None)
