"""English-Romanian pairs from translated programs, and a small untrained T5 for them.

The pairs are messages of LibreOffice, Django, Wagtail and pycountry, read from the catalogues (.mo)
in their packages. Interface texts are enough to exercise models that write, but not for
translation.
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

PAIRS = "pairs.jsonl"
FEWEST_WORDS = 3  # in English; shorter messages are names and labels
VOCABULARY = 4000


def unpack_pairs(archives: list[Path], into: Path) -> None:
    """Writes `pairs.jsonl`: distinct {"en", "ro"} objects, sorted by the English text."""
    pairs = sorted({pair for path in archives for pair in _pairs(path)})
    lines = (json.dumps({"en": en, "ro": ro}, ensure_ascii=False) for en, ro in pairs)
    (into / PAIRS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def unpack_t5(archives: list[Path], into: Path) -> None:
    """Writes a model folder: a tokenizer trained on the pairs, and a model of 4+4 blocks of width
    192 with random weights from a fixed seed."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration
    from transformers.utils import logging

    logging.disable_progress_bar()
    special = ["<pad>", "</s>", "<unk>"]
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, show_progress=False, min_frequency=2
    )
    texts = sorted({pair for path in archives for pair in _pairs(path)})
    inner.train_from_iterator((text for pair in texts for text in pair), trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        model_max_length=512,
    ).save_pretrained(into)  # fmt: skip
    config = T5Config(
        vocab_size=inner.get_vocab_size(), d_model=192, d_kv=32, d_ff=512, num_layers=4,
        num_decoder_layers=4, num_heads=6, decoder_start_token_id=0, pad_token_id=0,
        eos_token_id=1,
        dropout_rate=0.0,  # its random numbers take a third of a CPU step; the model underfits
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        T5ForConditionalGeneration(config).save_pretrained(into)


def _pairs(archive: Path) -> Iterator[tuple[str, str]]:
    """Translated messages of at least `FEWEST_WORDS` words, without keyboard shortcuts."""
    for catalogue in _catalogues(archive):
        for message, translation in messages(catalogue):
            en, ro = (" ".join(text.replace("~", "").split()) for text in (message, translation))
            if en and ro and en != ro and len(en.split()) >= FEWEST_WORDS:
                yield en, ro


def _catalogues(archive: Path) -> Iterator[bytes]:
    if archive.suffix == ".deb":
        with tarfile.open(fileobj=io.BytesIO(_data_of_deb(archive.read_bytes()))) as tar:
            for member in sorted(tar.getmembers(), key=lambda m: m.name):
                file = tar.extractfile(member) if member.name.endswith(".mo") else None
                if file is not None:
                    yield file.read()
        return
    with zipfile.ZipFile(archive) as wheel:
        for name in sorted(wheel.namelist()):
            if "/ro/LC_MESSAGES/" in name and name.endswith(".mo"):
                yield wheel.read(name)


def _data_of_deb(content: bytes) -> bytes:
    """The tar archive of the files of a Debian package: a member of an ar archive (deb(5))."""
    offset = 8
    while offset < len(content):
        name, size = (
            content[offset : offset + 16].decode().strip(),
            int(content[offset + 48 :][:10]),
        )
        offset += 60
        if name.startswith("data.tar"):
            return content[offset : offset + size]
        offset += size + size % 2
    raise ValueError("a Debian package without data.tar")


def messages(catalogue: bytes) -> Iterator[tuple[str, str]]:
    """Messages and translations of a compiled catalogue (GNU gettext's .mo): the singular of plural
    forms, without contexts."""
    (magic,) = struct.unpack("<I", catalogue[:4])
    order = "<" if magic == 0x950412DE else ">"
    count, originals, translations = struct.unpack(f"{order}3I", catalogue[8:20])

    def text(table: int, number: int) -> str:
        length, begin = struct.unpack(f"{order}2I", catalogue[table + 8 * number :][:8])
        whole = catalogue[begin : begin + length].decode("utf-8")
        return whole.split("\x00")[0].split("\x04")[-1]

    for number in range(count):
        yield text(originals, number), text(translations, number)


def columns(folder: Path) -> dict[str, list[str]]:
    """The texts of an unpacked data set by language."""
    rows = [json.loads(line) for line in (folder / PAIRS).read_text(encoding="utf-8").splitlines()]
    return {language: [row[language] for row in rows] for language in ("en", "ro")}
