"""A tiny but real world: a file of labelled texts, a tokenizer, a model folder, a sweep file."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from .tiny_models import tiny_model

GOOD = "good great lovely brilliant moving warm sharp funny".split()
BAD = "bad dull awful tired cold messy weak boring".split()
PLAIN = "the film a story with plot and actor scene of its music long short".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def tokenizer() -> PreTrainedTokenizerFast:
    words = SPECIAL + sorted({*GOOD, *BAD, *PLAIN})
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=60,
    )  # fmt: skip


def texts(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of 3 to 12 words whose label is the majority of their good or bad words."""
    rng = random.Random(seed)
    rows: list[tuple[str, str]] = []
    while len(rows) < count:
        label, other = rng.choice([("pos", "neg"), ("neg", "pos")])
        matching, opposite = (GOOD, BAD) if label == "pos" else (BAD, GOOD)
        words = rng.choices(matching, k=2) + rng.choices(opposite, k=rng.randint(0, 1))
        words += rng.choices(PLAIN, k=rng.randint(1, 9))
        rng.shuffle(words)
        rows.append((" ".join(words), label))
    return rows


def write_csv(
    path: Path, rows: Sequence[tuple[str, ...]], header: tuple[str, ...] = ("text", "label")
) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def write_model(folder: Path, *, kind: str = "bert", blocks: int = 4, dropout: float = 0.1) -> Path:
    model = tiny_model(kind, blocks=blocks, labels=2, vocab=64, dropout=dropout)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def write_sweep(folder: Path, **changes: Any) -> Path:
    """A sweep file that trains in seconds: 240 rows, a teacher of 4 blocks, students of 2."""
    if not (folder / "reviews.csv").exists():
        write_csv(folder / "reviews.csv", texts(240))
    if not (folder / "model").exists():
        write_model(folder / "model")
    sweep: dict[str, Any] = {
        "name": "tiny",
        "task": {"data": str(folder / "reviews.csv")},
        "teacher": {"model": str(folder / "model"), "epochs": 6, "lr": 3e-3},
        "student": {"blocks": 2},
        "training": {"steps": 12, "batch": 16, "lr": 1e-3, "evaluations": 3, "precision": "fp32"},
        "confirm": {"strategies": ["none", "forward", "reverse"], "seeds": 2},
        "cluster": {"cpus_per_worker": 1},  # stated, so that no home begins with a probe of it
        **changes,
    }
    sweep = {k: v for k, v in sweep.items() if v is not ...}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep), encoding="utf-8")
    return path
