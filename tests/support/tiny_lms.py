"""Tiny random causal language models of every class that the conformance suite covers."""

from __future__ import annotations

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

LMS = ("llama", "smollm2", "qwen2", "qwen3", "gemma", "gemma2", "gpt2", "neox")


def tiny_lm(
    kind: str,
    blocks: int = 4,
    width: int = 32,
    vocab: int = 64,
    seed: int = 0,
    dropout: float = 0.1,
    positions: int = 64,
) -> PreTrainedModel:
    """Four heads, keys and values two where the class can, feed-forward of twice the width; pad 0,
    begin 2, end 3; in eval mode."""
    ends = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    usual = {
        **ends,
        "vocab_size": vocab,
        "hidden_size": width,
        "num_hidden_layers": blocks,
        "num_attention_heads": 4,
        "intermediate_size": 2 * width,
        "max_position_embeddings": positions,
        "attention_dropout": dropout,
    }
    grouped = {**usual, "num_key_value_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel
        match kind:
            case "llama":
                model = LlamaForCausalLM(LlamaConfig(**grouped))
            case "smollm2":  # embeddings are the head too
                model = LlamaForCausalLM(LlamaConfig(**grouped, tie_word_embeddings=True))
            case "qwen2":
                model = Qwen2ForCausalLM(Qwen2Config(**grouped, tie_word_embeddings=True))
            case "qwen3":  # heads of a width of their own
                model = Qwen3ForCausalLM(Qwen3Config(**grouped, head_dim=16))
            case "gemma":
                model = GemmaForCausalLM(GemmaConfig(**grouped, head_dim=16))
            case "gemma2":  # full and sliding attention in turn, and capped logits
                gemma2_config = Gemma2Config(
                    **grouped, head_dim=16, sliding_window=8, final_logit_softcapping=2.0,
                    query_pre_attn_scalar=16,
                )  # fmt: skip
                model = Gemma2ForCausalLM(gemma2_config)
            case "gemma3":  # a rotary base for each kind of attention
                gemma3_config = Gemma3TextConfig(
                    **grouped, head_dim=16, sliding_window=8, query_pre_attn_scalar=16,
                    layer_types=["sliding_attention", "full_attention"] * (blocks // 2),
                )  # fmt: skip
                model = Gemma3ForCausalLM(gemma3_config)
            case "gpt2":
                gpt2_config = GPT2Config(
                    **ends, vocab_size=vocab, n_embd=width, n_layer=blocks, n_head=4,
                    n_positions=positions, resid_pdrop=dropout, embd_pdrop=dropout,
                    attn_pdrop=dropout,
                )  # fmt: skip
                model = GPT2LMHeadModel(gpt2_config)
            case "neox":
                model = GPTNeoXForCausalLM(GPTNeoXConfig(**usual, hidden_dropout=dropout))
            case _:
                raise ValueError(kind)
        model.tie_weights()
    return model.eval()
