"""Pairs read from packages' catalogues, and the untrained model that is made for them."""

from __future__ import annotations

import gettext
import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from raykd.data.assets.en_ro import PAIRS, messages, unpack_pairs, unpack_t5

TEXTS = {
    "": "Content-Type: text/plain; charset=UTF-8\n",
    "~Open the old file": "Deschide fișierul v~echi",
    "menu\x04Close the whole window": "Închide fereastra întreagă",
    "one page of it\x00%d pages of it": "o pagină din ea\x00%d pagini din ea",
    "Too short": "Prea scurt",
    "the same in both": "the same in both",
    "not yet translated here": "",
}
PAIRS_OF_TEXTS = [
    ("Close the whole window", "Închide fereastra întreagă"),
    ("Open the old file", "Deschide fișierul vechi"),
    ("one page of it", "o pagină din ea"),
]


def compiled(texts: dict[str, str]) -> bytes:
    """A .mo file: header, two tables of (length, place), strings that end with a zero."""
    items = sorted((k.encode(), v.encode()) for k, v in texts.items())
    place, body, tables = 28 + 16 * len(items), b"", [b"", b""]
    for table in range(2):
        for item in items:
            tables[table] += struct.pack("<2I", len(item[table]), place + len(body))
            body += item[table] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(items), 28, 28 + 8 * len(items), 0, 0)
    return head + tables[0] + tables[1] + body


def packages(folder: Path) -> list[Path]:
    """A Debian package and a wheel."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:xz") as files:
        member = tarfile.TarInfo("./usr/lib/program/ro/LC_MESSAGES/app.mo")
        member.size = len(compiled(TEXTS))
        files.addfile(member, io.BytesIO(compiled(TEXTS)))
    deb = folder / "app.deb"
    members = [
        ("debian-binary", b"2.0"),
        ("control.tar.xz", b"xx"),
        ("data.tar.xz", tar.getvalue()),
    ]
    content = b"!<arch>\n"
    for name, data in members:
        content += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data
        content += b"\n" * (len(data) % 2)
    deb.write_bytes(content)
    wheel = folder / "app.whl"
    with zipfile.ZipFile(wheel, "w") as files:
        files.writestr("app/locale/ro/LC_MESSAGES/app.mo", compiled({"one two three": "unu doi"}))
        files.writestr("app/locale/de/LC_MESSAGES/app.mo", compiled({"one two three": "eins zwei"}))
    return [deb, wheel]


def test_a_catalogue_is_read_as_gettext_reads_it() -> None:
    found = dict(messages(compiled(TEXTS)))
    own = gettext.GNUTranslations(io.BytesIO(compiled(TEXTS)))
    assert found["~Open the old file"] == own.gettext("~Open the old file")
    assert found["Close the whole window"] == own.pgettext("menu", "Close the whole window")
    assert found["one page of it"] == own.ngettext("one page of it", "%d pages of it", 1)


def test_pairs_are_messages_that_say_something_in_both_languages(tmp_path: Path) -> None:
    unpack_pairs(packages(tmp_path), tmp_path)
    rows = [json.loads(x) for x in (tmp_path / PAIRS).read_text(encoding="utf-8").splitlines()]
    found = [(r["en"], r["ro"]) for r in rows]
    assert found == sorted([*PAIRS_OF_TEXTS, ("one two three", "unu doi")])


def test_the_model_of_the_pairs_is_the_same_each_time_and_reads_them(tmp_path: Path) -> None:
    archives = packages(tmp_path)
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        unpack_t5(archives, folder)
    models = [AutoModelForSeq2SeqLM.from_pretrained(f).state_dict() for f in (one, other)]
    assert all(torch.equal(x, models[1][k]) for k, x in models[0].items())
    assert (one / "tokenizer.json").read_bytes() == (other / "tokenizer.json").read_bytes()
    tok = AutoTokenizer.from_pretrained(one)
    for _, ro in PAIRS_OF_TEXTS:
        ids = tok(text_target=ro)["input_ids"]
        assert ids[-1] == tok.eos_token_id and tok.decode(ids, skip_special_tokens=True) == ro
