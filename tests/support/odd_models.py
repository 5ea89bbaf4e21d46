"""Tiny random models whose blocks differ or depend on their position: six blocks of width 32, four
heads, 97 tokens. Norms and biases are random too, so that no default value hides an error."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import (
    BigBirdConfig,
    BigBirdForSequenceClassification,
    BlenderbotConfig,
    BlenderbotForConditionalGeneration,
    CodeGenConfig,
    CodeGenForCausalLM,
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    DiffLlamaConfig,
    DiffLlamaForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LongformerConfig,
    LongformerForSequenceClassification,
    MixtralConfig,
    MixtralForCausalLM,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PegasusXConfig,
    PegasusXForConditionalGeneration,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from .tiny_lms import LMS, tiny_lm
from .tiny_models import KINDS, tiny_model
from .tiny_seq2seq import KINDS as SEQ2SEQ
from .tiny_seq2seq import tiny_seq2seq

ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
USUAL: dict[str, Any] = {
    **ENDS, "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 6, "num_attention_heads": 4,
    "intermediate_size": 64, "max_position_embeddings": 64,
}  # fmt: skip
GROUPED = {**USUAL, "num_key_value_heads": 2}
UNPADDED = {"vocab_size": 97, "n_embd": 32, "n_layer": 6, "n_head": 4, "n_positions": 64}
GPT2 = {**ENDS, **UNPADDED}
NEO = {
    **ENDS, "vocab_size": 97, "hidden_size": 32, "num_layers": 6, "num_heads": 4,
    "intermediate_size": 64, "max_position_embeddings": 64, "window_size": 4,
    "attention_types": [[["global", "local"], 3]],
}  # fmt: skip
EXPERTS = {
    **GROUPED, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}  # fmt: skip
DEEPSEEK = {
    **USUAL, "num_key_value_heads": 4, "first_k_dense_replace": 2, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_group": 2, "topk_group": 1,
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}  # fmt: skip
TWO = {
    "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "decoder_start_token_id": 0,
    "vocab_size": 97, "d_model": 32,
}  # fmt: skip
BART = {
    **TWO, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
}  # fmt: skip
STAGGERED = {**BART, "block_size": 4, "num_global_tokens": 3, "stagger_local_blocks": True}

Build = Callable[[], PreTrainedModel]


def _drawn(kind: type[PreTrainedModel], config: type[Any], **settings: Any) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(config(**settings))
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data *= 5
            else:
                parameter.data += 0.3 * torch.randn_like(parameter)
    return model.eval()


ODD: dict[str, Build] = {
    "smollm3": partial(
        _drawn, SmolLM3ForCausalLM, SmolLM3Config, **GROUPED, no_rope_layers=[1, 1, 0, 1, 1, 0]
    ),
    "qwen3_moe, every second": partial(
        _drawn, Qwen3MoeForCausalLM, Qwen3MoeConfig, **EXPERTS, decoder_sparse_step=2
    ),
    "qwen3_moe, two dense": partial(
        _drawn, Qwen3MoeForCausalLM, Qwen3MoeConfig, **EXPERTS, mlp_only_layers=[0, 3]
    ),
    "mixtral": partial(
        _drawn, MixtralForCausalLM, MixtralConfig, **GROUPED, num_local_experts=4
    ),
    "deepseek_v3": partial(_drawn, DeepseekV3ForCausalLM, DeepseekV3Config, **DEEPSEEK),
    "diffllama": partial(_drawn, DiffLlamaForCausalLM, DiffLlamaConfig, **GROUPED),
    "gpt2, scaled by number": partial(
        _drawn, GPT2LMHeadModel, GPT2Config, **GPT2, scale_attn_by_inverse_layer_idx=True
    ),
    "gpt_neo": partial(_drawn, GPTNeoForCausalLM, GPTNeoConfig, **NEO),
    "gemma3": partial(
        _drawn, Gemma3ForCausalLM, Gemma3TextConfig, **GROUPED, head_dim=8, sliding_window=8
    ),
    "qwen2, windows above": partial(
        _drawn, Qwen2ForCausalLM, Qwen2Config, **GROUPED, use_sliding_window=True,
        sliding_window=4, max_window_layers=3,
    ),
    "tied llama": partial(
        _drawn, LlamaForCausalLM, LlamaConfig, **GROUPED, tie_word_embeddings=True
    ),
    "modernbert": partial(
        _drawn, ModernBertForSequenceClassification, ModernBertConfig, **USUAL, num_labels=3,
        cls_token_id=1, sep_token_id=2, local_attention=8,
    ),
    "longformer": partial(
        _drawn, LongformerForSequenceClassification, LongformerConfig, **USUAL,
        attention_window=[4, 4, 8, 4, 8, 8],
    ),
    "pegasus_x": partial(_drawn, PegasusXForConditionalGeneration, PegasusXConfig, **STAGGERED),
    "blenderbot": partial(
        _drawn, BlenderbotForConditionalGeneration, BlenderbotConfig, **BART
    ),
}  # fmt: skip
EVEN: dict[str, Build] = {
    **{kind: partial(tiny_model, kind) for kind in KINDS},
    **{kind: partial(tiny_lm, kind, 6) for kind in LMS},
    **{kind: partial(tiny_seq2seq, kind) for kind in SEQ2SEQ},
}
"""Classes whose blocks are all interchangeable."""

RARE: dict[str, Build] = {
    "bigbird": partial(  # a text too short for its windows makes its attention full for good
        _drawn, BigBirdForSequenceClassification, BigBirdConfig, **USUAL, num_labels=3,
        attention_type="block_sparse", block_size=4, num_random_blocks=1,
    ),
    "lfm2": partial(  # with its cache it cannot be run without a block of attention
        _drawn, Lfm2ForCausalLM, Lfm2Config, **GROUPED,
        layer_types=["conv", "conv", "full_attention"] * 2,
    ),
    "codegen": partial(  # its configuration has no padding token
        _drawn, CodeGenForCausalLM, CodeGenConfig, **UNPADDED, rotary_dim=4
    ),
}  # fmt: skip
"""Classes with a trait that asks something of the guard itself."""
