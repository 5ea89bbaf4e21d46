"""Tiny random encoder-decoders of every class the seq2seq family is meant for."""

from __future__ import annotations

import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    MBartConfig,
    MBartForConditionalGeneration,
    MT5Config,
    MT5ForConditionalGeneration,
    PegasusConfig,
    PegasusForConditionalGeneration,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)

KINDS = ("t5", "t5_gated", "mt5", "umt5", "bart", "mbart", "marian", "pegasus")


def tiny_seq2seq(
    kind: str,
    blocks: tuple[int, int] = (6, 6),
    width: int = 32,
    vocab: int = 99,
    seed: int = 0,
    dropout: float = 0.1,
) -> PreTrainedModel:
    """Four heads, feed-forward of twice the width; token 0 pads, 1 ends; in eval mode."""
    special = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    t5 = {
        **special, "vocab_size": vocab, "d_model": width, "d_kv": width // 4, "d_ff": 2 * width,
        "num_layers": blocks[0], "num_decoder_layers": blocks[1], "num_heads": 4,
        "dropout_rate": dropout, "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 16, "decoder_start_token_id": 0,
    }  # fmt: skip
    bart = {
        **special, "vocab_size": vocab, "d_model": width, "max_position_embeddings": 64,
        "encoder_layers": blocks[0], "decoder_layers": blocks[1],
        "encoder_attention_heads": 4, "decoder_attention_heads": 4,
        "encoder_ffn_dim": 2 * width, "decoder_ffn_dim": 2 * width,
        "dropout": dropout, "attention_dropout": dropout, "forced_eos_token_id": None,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel
        if kind == "t5":
            model = T5ForConditionalGeneration(T5Config(**t5))
        elif kind == "t5_gated":  # as T5 v1.1 is
            t5_config = T5Config(**t5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
            model = T5ForConditionalGeneration(t5_config)
        elif kind == "mt5":
            model = MT5ForConditionalGeneration(MT5Config(**t5))
        elif kind == "umt5":  # each of its blocks has a position bias of its own
            model = UMT5ForConditionalGeneration(UMT5Config(**t5))
        elif kind == "bart":  # starts with what ends a text
            model = BartForConditionalGeneration(BartConfig(**bart, decoder_start_token_id=1))
        elif kind == "mbart":  # starts with the language, which ends the labels
            model = MBartForConditionalGeneration(MBartConfig(**bart, decoder_start_token_id=1))
        elif kind == "marian":  # starts with what pads, as T5 does
            model = MarianMTModel(MarianConfig(**bart, decoder_start_token_id=0))
        elif kind == "pegasus":
            pegasus_config = PegasusConfig(**bart, decoder_start_token_id=0)
            model = PegasusForConditionalGeneration(pegasus_config)
        else:
            raise ValueError(kind)
    return model.eval()
