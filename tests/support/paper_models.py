"""The paper's teachers: their full configurations, and tiny random ones of the same classes and
depths, each as a folder that the hub would give."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    T5Config,
)

from .paper_rows import WORDS

BERT, BART = "google-bert/bert-base-uncased", "facebook/bart-large"
T5, QWEN = "google-t5/t5-base", "Qwen/Qwen3-8B"


@dataclass(frozen=True)
class Teacher:
    auto: Any
    full: PretrainedConfig
    parameters: int
    """Of the full model (a classifier's with two labels), as its authors or the hub count them."""
    scale: int
    """How many times narrower the tiny one is."""
    tiny: dict[str, Any]


SPECIAL = ["<pad>", "</s>", "<unk>", "<s>"]
VOCABULARY = [*SPECIAL, *sorted(set(WORDS)), *"|:?.ABCDEQ", "Question", "Answer", "translate", "to"]
OWN = {"vocab_size": len(VOCABULARY), "pad_token_id": 0, "eos_token_id": 1}

TEACHERS = {
    BERT: Teacher(
        AutoModelForSequenceClassification,
        BertConfig(),
        109_483_778,
        16,
        {"hidden_size": 48, "intermediate_size": 192, "vocab_size": len(VOCABULARY)},
    ),
    BART: Teacher(
        AutoModelForSeq2SeqLM,
        BartConfig(),
        406_291_456,
        16,
        {
            **OWN, "d_model": 64, "encoder_ffn_dim": 256, "decoder_ffn_dim": 256,
            "bos_token_id": 3, "decoder_start_token_id": 1, "forced_eos_token_id": 1,
        },
    ),
    T5: Teacher(
        AutoModelForSeq2SeqLM,
        T5Config(
            d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12, vocab_size=32128,
            decoder_start_token_id=0,
        ),
        222_903_552,
        16,
        {**OWN, "d_model": 48, "d_kv": 4, "d_ff": 192},
    ),
    QWEN: Teacher(
        AutoModelForCausalLM,
        Qwen3Config(
            vocab_size=151936, hidden_size=4096, intermediate_size=12288, num_hidden_layers=36,
            num_attention_heads=32, num_key_value_heads=8, head_dim=128,
            max_position_embeddings=40960, tie_word_embeddings=False,
        ),
        8_190_735_360,
        128,
        {
            **OWN, "hidden_size": 32, "intermediate_size": 96, "num_attention_heads": 4,
            "num_key_value_heads": 1, "head_dim": 8, "bos_token_id": None,
        },
    ),
}  # fmt: skip


def tokenizer(repository: str) -> PreTrainedTokenizerFast:
    """Words of the fixture rows, with the special tokens where the model's own has them."""
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(VOCABULARY)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    ends, begins = ("</s>", 1), ("<s>", 3)
    if repository == BERT:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[begins, ends]
        )
    elif repository == BART:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[begins, ends]
        )
    elif repository == T5:
        inner.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[ends]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>", eos_token="</s>",
        model_max_length=512,
    )  # fmt: skip


def write_full(folder: Path, repository: str) -> Path:
    """Write configuration and tokenizer; the weights file is empty, as nothing is trained."""
    TEACHERS[repository].full.save_pretrained(folder)
    tokenizer(repository).save_pretrained(folder)
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def write_tiny(folder: Path, repository: str) -> Path:
    """Write a tiny model as deep as the real one. On the hub, BART-large and BERT are base models
    without a task head."""
    teacher = TEACHERS[repository]
    config = copy.deepcopy(teacher.full)
    for name, value in teacher.tiny.items():
        setattr(config, name, value)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = teacher.auto.from_config(config)
    if repository in (BERT, BART):
        model = model.base_model
    model.save_pretrained(folder)
    tokenizer(repository).save_pretrained(folder)
    return folder
