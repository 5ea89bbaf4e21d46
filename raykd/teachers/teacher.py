"""The teacher: found, identified by content, fine-tuned once, stored by its fingerprint."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raykd.config.trial import MOST_EPOCHS, PATIENCE
from raykd.data import hub
from raykd.data.assets import packages
from raykd.data.prepared import Prepared
from raykd.errors import UserError, first_line
from raykd.runtime import memo
from raykd.runtime.memo import digest
from raykd.teachers import model_facts
from raykd.teachers.model_facts import Base

if TYPE_CHECKING:
    from raykd.config.training import Teacher


def find_base(teacher: Teacher, home: Path, file: str) -> Base:
    """The base model by asset name, folder or hub name. Raises UserError where there is none."""
    folder = _folder(teacher, home, file)
    content = _content(folder, home)
    try:
        found = model_facts.of_base(folder, content, home)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file}: teacher.model: {folder / 'config.json'} is not one that transformers knows "
            f"({first_line(error)}); name a model of a kind that it has"
        ) from error
    # A correction changes the names of all that is made with this model, and of nothing else.
    content = digest([content, found["corrected"]]) if found["corrected"] else content
    return Base(
        folder, content, found["depth"], found["width"], tuple(found["labels"]),
        found["decoder_depth"],
    )  # fmt: skip


def _folder(teacher: Teacher, home: Path, file: str) -> Path:
    asset = packages.ASSETS.get(teacher.model)
    if asset is not None and asset.kind == "model":
        return packages.fetch(teacher.model, home)
    folder = Path(teacher.model).expanduser()
    if folder.exists():
        for needed, what in (
            ("config.json", "configuration"),
            ("tokenizer_config.json", "tokenizer"),
        ):
            if not (folder / needed).is_file():
                raise UserError(
                    f"{file}: teacher.model: {folder} has no {what} ({needed}); name a folder that "
                    "`save_pretrained` of both model and tokenizer wrote"
                )
        if not any(folder.glob("*.safetensors")):
            pickled = next(iter(sorted(folder.glob("*.bin"))), None)
            raise UserError(
                f"{file}: teacher.model: {folder} has "
                + (
                    f"pickled weights only ({pickled.name}), which can run code when read; save "
                    "them again as safetensors"
                    if pickled
                    else "no weights (*.safetensors)"
                )
            )
        return folder
    if teacher.model.count("/") != 1 or teacher.model.startswith((".", "/", "~")):
        known = ", ".join(sorted(n for n, a in packages.ASSETS.items() if a.kind == "model"))
        raise UserError(
            f"{file}: teacher.model: {teacher.model!r} is neither a folder nor a packaged model; "
            f"write one of {known}, a folder, or a hub name such as google-bert/bert-base-uncased"
        )
    return _from_hub(teacher, home, file)


def _from_hub(teacher: Teacher, home: Path, file: str) -> Path:
    """Into the home, which all nodes of a cluster see."""
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.txt", "*.model"]
    try:
        return Path(
            snapshot_download(
                teacher.model, revision=teacher.revision, allow_patterns=patterns,
                cache_dir=home / "hf",
            )
        )  # fmt: skip
    except Exception as error:  # the hub's client raises a family of its own per kind of failure
        raise UserError(
            f"{file}: teacher.model: {teacher.model} cannot be had from the hub "
            f"({hub.reason(error)}); check the name, `teacher.revision` and the network, or name a "
            "local folder"
        ) from error


def _content(folder: Path, home: Path) -> str:
    """SHA-256 over the weights, the configuration and the tokenizer, whatever the folder's name.

    Hashing gigabytes takes seconds, so the answer is kept by path, size and time of change.
    """
    files = sorted(
        p for p in folder.iterdir() if p.suffix in (".safetensors", ".json", ".txt", ".model")
        and p.name != "raykd.json"
    )  # fmt: skip
    stamp = digest([[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in files])
    known = home / "hashes" / stamp
    if known.exists():
        return known.read_text(encoding="utf-8")
    sha = hashlib.sha256()
    for path in files:
        sha.update(path.name.encode())
        with path.open("rb") as stream:
            sha.update(hashlib.file_digest(stream, "sha256").digest())
    memo.write_text(known, sha.hexdigest()[:12])
    return sha.hexdigest()[:12]


def fingerprint(
    teacher: Teacher, base: Base, prepared: Prepared, reading: object, metric: str
) -> str:
    """Names a teacher by what it is made of: base weights and tokenizer, labels, data, recipe; and
    by the metric, where that decides how long it is trained."""
    recipe = teacher.model_dump(exclude={"model", "revision", "allow_weak", "dropout"})
    if teacher.epochs == "auto":
        # A model that is not trained has the name that it had when 2 was the default.
        recipe["epochs"] = [MOST_EPOCHS, PATIENCE, metric] if teacher.fine_tune else 2.0
    # Keys that came later stay out where they say nothing, so that teachers keep their names.
    recipe["buffers"] = teacher.own_buffers if teacher.fine_tune else None
    later = {"buffers": None, "lora": None, "weights": "fp32", "bits": None}
    recipe = {k: v for k, v in recipe.items() if k not in later or v != later[k]}
    return digest([base.fingerprint, list(prepared.labels), prepared.fingerprint, reading, recipe])


@dataclass(frozen=True)
class Stored:
    """A teacher ready for use: its folder and the scores (percent) it was stored with.

    The majorities are the best that always answering one class scores on these splits.
    """

    folder: Path
    fingerprint: str
    metric: str
    select: float
    test: float
    select_majority: float
    test_majority: float
    seconds: float
    epochs: int | None = None
    """Of a teacher that was trained until select stopped rising, how many that took."""
    best_epoch: int | None = None

    @property
    def weak(self) -> bool:
        return self.select <= self.select_majority


def refuse_weak(found: Stored, teacher: Teacher, file: str) -> None:
    """Raises UserError for a teacher no better than the majority class, unless the file allows
    it."""
    if found.weak and not teacher.allow_weak:
        raise UserError(
            f"{file}: teacher.model: {teacher.model} reaches {found.select:.1f} {found.metric} on "
            "select, no better than always giving the commonest answer "
            f"({found.select_majority:.1f}); train it longer (teacher.epochs, teacher.lr), or "
            "write `allow_weak: true` to go on all the same"
        )


def stored(home: Path, name: str) -> Stored | None:
    """The teacher of this fingerprint, if it was stored."""
    note = home / "teachers" / name / "raykd.json"
    if not note.is_file():
        return None
    return Stored(note.parent, name, **json.loads(note.read_text(encoding="utf-8")))


def store(
    home: Path, name: str, write: Callable[[Path], None], scores: Mapping[str, Any]
) -> Stored:
    """Write a teacher's folder by `write`, complete or not at all."""
    final = home / "teachers" / name
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=final.parent))
    try:
        write(draft)
        (draft / "raykd.json").write_text(json.dumps(scores), encoding="utf-8")
        try:
            draft.rename(final)
        except OSError:  # another process stored the same teacher first
            if stored(home, name) is None:
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    found = stored(home, name)
    assert found is not None
    return found


def fine_tune_steps(teacher: Teacher, rows: int, auto: int = MOST_EPOCHS) -> int:
    """Optimisation steps; where select decides (`epochs: auto`), those of `auto` epochs, which are
    by default the most that there can be."""
    epochs = auto if teacher.epochs == "auto" else teacher.epochs
    return max(1, math.ceil(epochs * rows / teacher.batch))
