"""Data as public sets are, each with a sweep file and a tiny model: texts that are unbalanced, long
and duplicated; mail with headers and odd bytes as JSON lines; 52 classes, some of one row.

    python -m tests.support.public_like FOLDER

The same arguments write the same bytes.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from . import eight_classes
from .tiny_models import tiny_model
from .world import SPECIAL, write_csv

ODD = ("\x00", "\x1b[0m", "\u2028", "\ufffd", "\u200b", "Ã©", "\U0001f600", "\t", "\r\n", "\xa0")
"""What mail holds: control characters, line separators, bytes read in a wrong encoding."""
SPAM = "offer winner free click money prize urgent pills cheap account".split()
HAM = "meeting notes report tomorrow lunch draft project review agenda thanks".split()
SMALL = {"alone": 8, "pair": 6}
"""How many of the 52 classes have one row, and two."""


def mail(count: int = 700, seed: int = 0) -> list[dict[str, Any]]:
    """Mail with headers, odd characters, a few empty bodies and some sent twice. One in four is
    spam."""
    rng = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for i in range(count):
        spam = rng.random() < 0.25
        words = rng.choices([*(SPAM if spam else HAM), *eight_classes.PLAIN], k=rng.randint(5, 120))
        for _ in range(rng.randint(0, 3)):
            words.insert(rng.randrange(len(words)), rng.choice(ODD))
        body = " ".join(words) if rng.random() > 0.01 else "  "
        header = f"From: user{i % 40}@example.org\r\nSubject: {rng.choice(words)}\r\n\r\n"
        text = header + body if body.strip() else ""
        rows.append({"id": f"<{i}@host>", "text": text, "label": "spam" if spam else "ham",
                     "headers": {"Received": ["a", "b"]}})  # fmt: skip
    return [*rows, *rng.sample(rows, count // 20)]


def many_classes(count: int = 1500, seed: int = 0) -> list[tuple[str, str]]:
    """Rows of 52 classes whose sizes fall as 1 / rank; the last ones have two rows, and one."""
    rng = random.Random(seed)
    small = SMALL["alone"] + SMALL["pair"]
    large = [f"intent_{i:02}" for i in range(52 - small)]
    labels = rng.choices(large, [1 / (i + 2) for i in range(len(large))], k=count)
    labels += [f"intent_{i:02}" for i in range(52 - small, 52 - SMALL["alone"])] * 2
    labels += [f"intent_{i:02}" for i in range(52 - SMALL["alone"], 52)]
    rng.shuffle(labels)
    return [
        (" ".join([*rng.choices(eight_classes.PLAIN, k=rng.randint(3, 14)), f"{label} {i}"]), label)
        for i, label in enumerate(labels)
    ]


def _tokens(texts: Iterable[str]) -> dict[str, int]:
    counts = Counter(word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text))
    words = [word for word, _ in counts.most_common(400)]
    return {word: i for i, word in enumerate(dict.fromkeys([*SPECIAL, *words]))}


def write_model(folder: Path, texts: Iterable[str]) -> Path:
    """A tokenizer that knows the commonest words, and a model of two blocks."""
    numbers = _tokens(texts)
    inner = Tokenizer(models.WordLevel(numbers, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=60,
    ).save_pretrained(folder)  # fmt: skip
    tiny_model("bert", blocks=2, labels=2, vocab=len(numbers)).save_pretrained(folder)
    return folder


TASKS: dict[str, dict[str, Any]] = {
    "topics": {"data": "topics.csv", "split": "split", "max_length": 48},
    "mail": {"data": "mail.jsonl", "drop_empty": True, "metric": "macro_f1", "max_length": 48,
             "class_weights": "balanced"},
    "intents": {"data": "intents.csv", "min_class_rows": 3, "rows": 600, "max_length": 32},
}  # fmt: skip


def write(folder: Path) -> dict[str, Path]:
    """Writes data, model and sweep file of each task, and returns the sweep files by task."""
    folder.mkdir(parents=True, exist_ok=True)
    eight_classes.write(folder / "topics.csv", 900)
    letters, intents = mail(), many_classes()
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in letters)
    (folder / "mail.jsonl").write_bytes(lines.encode())
    write_csv(folder / "intents.csv", intents)
    texts = {
        "topics": [text for text, *_ in eight_classes.rows(900)],
        "mail": [row["text"] for row in letters],
        "intents": [text for text, _ in intents],
    }
    return {name: _write_sweep(folder, name, texts[name]) for name in TASKS}


def _write_sweep(folder: Path, name: str, texts: list[str]) -> Path:
    model = write_model(folder / f"model_{name}", texts)
    task = {**TASKS[name], "data": str(folder / TASKS[name]["data"])}
    sweep: dict[str, Any] = {
        "name": name,
        "task": task,
        "teacher": {"model": str(model), "epochs": 8, "lr": 3e-3},
        "student": {"blocks": 1},
        "training": {"steps": 60, "batch": 16, "lr": 3e-3, "evaluations": 2, "precision": "fp32"},
        "confirm": {"strategies": ["none", "forward", "reverse"], "seeds": 3},
        "cluster": {"cpus_per_worker": 1},
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(sweep), encoding="utf-8")
    return file


if __name__ == "__main__":
    for written in write(Path(sys.argv[1])).values():
        print(written)
