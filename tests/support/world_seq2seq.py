"""A tiny real world for encoder-decoders: sources of number words and their translations."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from .tiny_seq2seq import tiny_seq2seq

WORDS = {"one": "un", "two": "doi", "three": "trei", "four": "patru", "five": "cinci"}
SPECIAL = ["<pad>", "</s>", "<unk>"]


def tokenizer() -> PreTrainedTokenizerFast:
    words = [*SPECIAL, *WORDS, *WORDS.values()]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>", eos_token="</s>",
        model_max_length=60,
    )  # fmt: skip


def pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Distinct sources of one to six words, each with its target."""
    rng, targets = random.Random(seed), dict[str, str]()
    while len(targets) < count:
        words = rng.choices(list(WORDS), k=rng.randint(1, 6))
        targets[" ".join(words)] = " ".join(WORDS[w] for w in words)
    return list(targets.items())


def write_pairs(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("en", "ro"), *rows])
    return path


def write_model(folder: Path, kind: str = "t5", blocks: tuple[int, int] = (4, 4)) -> Path:
    model = tiny_seq2seq(kind, blocks, vocab=16)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def write_sweep(folder: Path, kind: str = "t5", **changes: Any) -> Path:
    """A sweep file that trains in seconds: a teacher of 4+4 blocks, students of 2+2."""
    if not (folder / "pairs.csv").exists():
        write_pairs(folder / "pairs.csv", pairs(160))
    if not (folder / "model").exists():
        write_model(folder / "model", kind)
    sweep: dict[str, Any] = {
        "name": "tiny seq2seq",
        "task": {
            "kind": "seq2seq", "data": str(folder / "pairs.csv"), "source": "en", "target": "ro",
            "max_target_length": 8,
        },
        "teacher": {
            "model": str(folder / "model"), "epochs": 1, "lr": 3e-3, "allow_weak": True,
        },
        "student": {"blocks": 2},
        "training": {"steps": 6, "batch": 16, "lr": 1e-3, "evaluations": 2, "precision": "fp32"},
        "confirm": {"strategies": ["none", "forward"], "seeds": 2},
        **changes,
    }  # fmt: skip
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep), encoding="utf-8")
    return path
