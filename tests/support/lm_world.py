"""A tiny but real world for causal language models: reviews with a word that follows them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from .tiny_lms import tiny_lm
from .world import BAD, GOOD, PLAIN, texts, write_csv

WORDS = ["<pad>", "<unk>", "<s>", "</s>", "positive", "negative", "Review", "Sentiment", ":", "?"]
CHAT = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }} </s>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
CHOICES = {"choices": ["negative", "positive"]}
WRITTEN = {"choices": ..., "generate": 4}
CHAT_TASK = {"chat": True, "prompt": "text"}


def lm_tokenizer(chat: bool = False) -> PreTrainedTokenizerFast:
    words = WORDS + sorted({*GOOD, *BAD, *PLAIN, "user", "assistant", "[", "]"})
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>", bos_token="<s>",
        eos_token="</s>", model_max_length=60, chat_template=CHAT if chat else None,
    )  # fmt: skip


def write_lm(
    folder: Path, kind: str = "llama", blocks: int = 4, dropout: float = 0.1, chat: bool = False
) -> Path:
    tiny_lm(kind, blocks=blocks, dropout=dropout).save_pretrained(folder)
    lm_tokenizer(chat).save_pretrained(folder)
    return folder


def write_rows(path: Path, count: int = 240) -> Path:
    words = {"pos": "positive", "neg": "negative"}
    rows = [(text, words[label]) for text, label in texts(count)]
    return write_csv(path, rows, ("text", "label"))


def write_texts(path: Path, count: int = 240) -> Path:
    """Texts without labels: two runs of words in a fixed order, each from a word at random, so
    that most words follow from the one before."""
    rng, words = random.Random(0), sorted({*GOOD, *BAD, *PLAIN})
    places = [(rng.randrange(len(words)), rng.randint(2, 6)) for _ in range(2 * count)]
    runs = [[words[(first + i) % len(words)] for i in range(n)] for first, n in places]
    rows = [(" ".join(runs[2 * i] + runs[2 * i + 1]),) for i in range(count)]
    return write_csv(path, rows, ("text",))


def write_plain_sweep(folder: Path, rows: int = 240, **changes: Any) -> Path:
    """As `write_lm_sweep`, for texts without labels."""
    data = write_texts(folder / "texts.csv", rows)
    plain = {"kind": "language_modeling", "data": str(data)}
    task = {**plain, "prompt": ..., "completion": ..., "choices": ...}
    teacher = {"model": str(folder / "model"), "epochs": 12, "lr": 1e-2}
    return write_lm_sweep(folder, task=task, **{"teacher": teacher, **changes})


def write_lm_sweep(folder: Path, task: dict[str, Any] | None = None, **changes: Any) -> Path:
    """A sweep file that trains in seconds: 240 rows, a teacher of 4 blocks, students of 2. A value
    of `...` leaves its key out."""
    if not (folder / "reviews.csv").exists():
        write_rows(folder / "reviews.csv")
    if not (folder / "model").exists():
        write_lm(folder / "model")
    sweep: dict[str, Any] = {
        "name": "tiny",
        "task": {
            "kind": "causal_lm",
            "data": str(folder / "reviews.csv"),
            "prompt": "Review: {text} Sentiment:",
            "completion": "label",
            **CHOICES,
            **(task or {}),
        },
        "teacher": {"model": str(folder / "model"), "epochs": 6, "lr": 3e-3},
        "student": {"blocks": 2},
        "training": {"steps": 12, "batch": 16, "lr": 1e-3, "evaluations": 3, "precision": "fp32"},
        "confirm": {"strategies": ["none", "forward", "reverse"], "seeds": 2},
        **changes,
    }
    sweep["task"] = {k: v for k, v in sweep["task"].items() if v is not ...}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(sweep))), encoding="utf-8")
    return path
