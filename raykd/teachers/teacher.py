"""Finds, identifies and stores teachers. A teacher is fine-tuned once, and stored by its
fingerprint."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raykd.config.trial import MOST_EPOCHS, PATIENCE
from raykd.data import hub
from raykd.data.assets import packages
from raykd.data.labels import class_weights
from raykd.data.prepared import Prepared
from raykd.errors import UserError, first_line
from raykd.runtime import memo
from raykd.runtime.memo import digest
from raykd.teachers import model_facts
from raykd.teachers.model_facts import Base

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig
    from raykd.config.training import Teacher
    from raykd.tasks.kinds.metric import Metric

logger = logging.getLogger(__name__)

TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "vocab.*", "*.model")
"""Of which one is enough: old models of the hub have a vocabulary alone."""


def find_base(teacher: Teacher, home: Path, file: str) -> Base:
    """Return the base model of an asset name, folder or hub name. Raises UserError without one."""
    folder = _folder(teacher, home, file)
    content = _content(folder, home)
    try:
        facts = model_facts.of_base(folder, content, home)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file}: teacher.model: {_why_unknown(teacher.model, folder, error)}"
        ) from error
    if "problem" in facts:
        raise UserError(f"{file}: teacher.model: {teacher.model}: {facts['problem']}")
    # A correction changes the fingerprints of everything made with this model, and no others.
    content = digest([content, facts["corrected"]]) if facts["corrected"] else content
    return Base(
        folder, content, facts["depth"], facts["width"], tuple(facts["labels"]),
        facts["decoder_depth"],
    )  # fmt: skip


def _why_unknown(name: str, folder: Path, error: Exception) -> str:
    """Return why a configuration is refused. Code that comes with a model is never run."""
    with suppress(OSError, ValueError):
        if "auto_map" in json.loads((folder / "config.json").read_text(encoding="utf-8")):
            return (
                f"{name} has custom code for its classes (`auto_map` in config.json), which is not "
                "run; name a model of a class that transformers has"
            )
    return (
        f"{folder / 'config.json'} is not one that transformers knows ({first_line(error)}); name "
        "a model of a kind that it has"
    )


def _folder(teacher: Teacher, home: Path, file: str) -> Path:
    asset = packages.ASSETS.get(teacher.model)
    packaged = asset is not None and asset.kind == "model"
    if teacher.revision is not None and (packaged or Path(teacher.model).expanduser().exists()):
        raise UserError(
            f"{file}: teacher.revision: {teacher.revision!r} names a commit of a hub's model, and "
            f"{teacher.model} is a {'packaged model' if packaged else 'folder'}; leave it out"
        )
    if asset is not None and packaged:
        return packages.fetch(teacher.model, home)
    folder = Path(teacher.model).expanduser()
    if folder.exists():
        for file_name, description in (
            ("config.json", "configuration"),
            ("tokenizer_config.json", "tokenizer"),
        ):
            if not (folder / file_name).is_file():
                raise UserError(
                    f"{file}: teacher.model: {folder} has no {description} ({file_name}); "
                    "name a folder that `save_pretrained` of both model and tokenizer wrote"
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
        model_names = ", ".join(sorted(n for n, a in packages.ASSETS.items() if a.kind == "model"))
        raise UserError(
            f"{file}: teacher.model: {teacher.model!r} is neither a folder nor a packaged model; "
            f"write one of {model_names}, a folder, or a hub name such as "
            "google-bert/bert-base-uncased"
        )
    return _from_hub(teacher, home, file)


def _from_hub(teacher: Teacher, home: Path, file: str) -> Path:
    """Download the model into the home, which all nodes of a cluster can read."""
    from huggingface_hub import snapshot_download

    logger.info("reading %s from the Hugging Face hub", teacher.model)
    patterns = ["*.json", "*.safetensors", "*.txt", "*.model"]
    try:
        folder = Path(
            snapshot_download(
                teacher.model, revision=teacher.revision, allow_patterns=patterns,
                cache_dir=home / "hf",
            )
        )  # fmt: skip
    except (
        Exception
    ) as error:  # the hub client raises a different exception class for each kind of failure
        raise UserError(
            f"{file}: teacher.model: {teacher.model} cannot be had from the hub "
            f"({hub.reason(error)}); check the name, `teacher.revision` and the network, or name a "
            "local folder"
        ) from error
    for file_names, what in (
        (["config.json"], "no configuration (config.json)"),
        (TOKENIZER_FILES, "no tokenizer"),
        (["*.safetensors"], "no weights as *.safetensors, and pickled ones can run code when read"),
    ):
        if not any(any(folder.glob(name)) for name in file_names):
            raise UserError(
                f"{file}: teacher.model: {teacher.model} has {what}, in this revision; write a "
                "`teacher.revision` that has, or name a folder that `save_pretrained` of both "
                "model and tokenizer wrote"
            )
    return folder


def _content(folder: Path, home: Path) -> str:
    """Return a SHA-256 prefix over weights, configuration and tokenizer, independent of the path.

    Hashing gigabytes takes seconds, so the hash is memoised by path, size and modification time.
    """
    files = sorted(
        p for p in folder.iterdir() if p.suffix in (".safetensors", ".json", ".txt", ".model")
        and p.name != "raykd.json"
    )  # fmt: skip
    stamp = digest([[str(p), p.stat().st_size, p.stat().st_mtime_ns] for p in files])
    hash_file = home / "hashes" / stamp
    if hash_file.exists():
        return hash_file.read_text(encoding="utf-8")
    sha = hashlib.sha256()
    for path in files:
        sha.update(path.name.encode())
        with path.open("rb") as stream:
            sha.update(hashlib.file_digest(stream, "sha256").digest())
    memo.write_text(hash_file, sha.hexdigest()[:12])
    return sha.hexdigest()[:12]


def fingerprint(teacher: Teacher, base: Base, prepared: Prepared, task: TaskConfig) -> str:
    """Return a hash of what a teacher is made of: base weights and tokenizer, labels, data, recipe,
    and the metric that chose its checkpoint and scored it."""
    unnamed = {"model", "revision", "allow_weak", "dropout", "identity"}
    recipe = teacher.model_dump(exclude=unnamed)
    if teacher.epochs == "auto":
        # A model that is not fine-tuned keeps its fingerprint from when 2 was the default.
        recipe["epochs"] = [MOST_EPOCHS, PATIENCE, task.metric] if teacher.fine_tune else 2.0
    if teacher.names_metric(task):
        recipe["metric"] = task.metric
    weights = class_weights(task, prepared.report.classes.get("train", {}))
    if weights is not None and teacher.fine_tune:
        recipe["class_weights"] = list(weights.items())
    # Newer keys at their default value are left out, so existing fingerprints do not change.
    recipe["buffers"] = teacher.own_buffers if teacher.fine_tune else None
    later = {"buffers": None, "lora": None, "weights": "fp32", "bits": None}
    recipe = {k: v for k, v in recipe.items() if k not in later or v != later[k]}
    content = [base.fingerprint, list(prepared.labels), prepared.fingerprint]
    return digest([*content, task.reading, recipe])


@dataclass(frozen=True)
class Stored:
    """A stored teacher: its folder and scores.

    `select_majority` and `test_majority` are the scores of the best constant answer on these
    splits: the majority class.
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
    """Epochs until early stopping; None for a fixed number of epochs."""
    best_epoch: int | None = None


def refuse_unfit(scores: Stored, teacher: Teacher, metric: Metric, file: str) -> None:
    """Raise UserError for a stored teacher that another metric chose, and for one that is no better
    than the best constant answer, unless `allow_weak` is set."""
    if scores.metric != metric.name:
        # raykd 0.1.0 stored teachers of every metric under one name.
        advice = f"delete {scores.folder} to make it again"
        if teacher.identity == "recipe":
            advice = "write `identity: metric`, so that each metric has a teacher of its own"
        raise UserError(
            f"{file}: teacher.identity: {teacher.identity}: the stored teacher "
            f"{scores.fingerprint} was chosen and scored by {scores.metric}, and task.metric is "
            f"{metric.name}; {advice}"
        )
    weak = metric.sign * scores.select <= metric.sign * scores.select_majority
    if weak and not teacher.allow_weak:
        select, constant = (
            f"{score:.{metric.decimals}f}" for score in (scores.select, scores.select_majority)
        )
        raise UserError(
            f"{file}: teacher.model: {teacher.model} reaches {select} {metric.name} "
            f"on select, no better than the {metric.constant} ({constant}); "
            "train it longer (teacher.epochs, teacher.lr), or write `allow_weak: true` to go on "
            "all the same"
        )


def stored(home: Path, name: str) -> Stored | None:
    """Return the stored teacher with this fingerprint, or None."""
    record = home / "teachers" / name / "raykd.json"
    if not record.is_file():
        return None
    return Stored(record.parent, name, **json.loads(record.read_text(encoding="utf-8")))


def store(
    home: Path, name: str, write: Callable[[Path], None], scores: Mapping[str, Any]
) -> Stored:
    """Write a teacher's folder with `write`, atomically, and return the stored teacher."""
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
    result = stored(home, name)
    assert result is not None
    return result


def fine_tune_steps(teacher: Teacher, rows: int, auto: int = MOST_EPOCHS) -> int:
    """Return the optimisation steps. With `epochs: auto`, these are the steps of `auto` epochs, by
    default the maximum."""
    epochs = auto if teacher.epochs == "auto" else teacher.epochs
    return max(1, math.ceil(epochs * rows / teacher.batch))
