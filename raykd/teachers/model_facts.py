"""Memoised facts about a model from transformers. Importing transformers takes seconds, and `plan`
and `status` need nothing else from it."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from raykd.config.trial import Init, Shape
from raykd.errors import first_line
from raykd.maps.depth import Depth
from raykd.runtime.memo import memoised
from raykd.version import __version__

if TYPE_CHECKING:
    from transformers import PretrainedConfig

AT_HAND = 5 * 10**8  # bytes of weights that a plan still reads

T = TypeVar("T")


def of_base(folder: Path, fingerprint: str, home: Path) -> dict[str, Any]:
    """Return the `depth` and `width` of the model in a folder, the `decoder_depth` (None for one
    stack), its `labels` in its own order, and `corrected`: fixes since 0.1.0 that change results.
    Of a model that is not described by such numbers, return only the `problem`.

    Raises OSError or ValueError if transformers does not know the model.
    """

    def ask() -> dict[str, Any]:
        from raykd.models import block_settings, stacks
        from raykd.models.router import coefficient

        config = read_config(folder)
        if problem := stacks.undescribed(config):
            return {"problem": problem}
        depth = stacks.depth(config)
        corrections = [block_settings.corrected(config, depth.encoder)]
        corrections += ["router loss"] if coefficient(config) else []
        return {
            "depth": depth.encoder,
            "decoder_depth": depth.decoder,
            "width": config.hidden_size,
            "labels": [str(config.id2label[i]) for i in range(len(config.id2label))],
            "corrected": ", ".join(filter(None, corrections)),
        }

    return remembered(home, ["base, corrected", fingerprint], ask)


def other_problem(base: Base) -> str | None:
    """Return one line on why the outputs of a classifier that is not fine-tuned are no logits of
    one class per text, or None."""
    stated = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))
    problem = stated.get("problem_type")
    if problem in (None, "single_label_classification"):
        return None
    return (
        f"its config.json says `problem_type: {problem}`, and this task has one class per text; "
        "write `fine_tune: true`, or name a classifier of one class per text"
    )


def foreign_tokenizer(base: Base, home: Path) -> str | None:
    """Return one line on why the tokenizer in a base's folder cannot belong to its model, or None.
    A model may have more embeddings than the tokenizer has tokens."""

    def ask() -> str | None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(base.folder, local_files_only=True)
        tokens, embeddings = (
            max(tokenizer.get_vocab().values()) + 1,
            read_config(base.folder).vocab_size,
        )
        if tokens <= embeddings:
            return None
        return (
            f"the tokenizer has {tokens} tokens and the model embeddings for {embeddings}, so they "
            "belong to different models; put the model's own tokenizer there"
        )

    return remembered(home, ["tokenizer", base.fingerprint], ask)


def uncuttable(base: Base, shape: Shape, labels: int, home: Path, kind: str) -> str | None:
    """Return `sample_run.uncuttable` for students of this base with `labels` labels."""

    def ask() -> str | None:
        from raykd.tasks.registry import task as task_of
        from raykd.teachers.sample_run import uncuttable

        return uncuttable(labelled(read_config(base.folder), labels), shape, task_of(kind))

    return remembered(home, ["uncuttable", base.fingerprint, asdict(shape), labels, kind], ask)


def misfit(base: Base, shape: Shape, init: Init, home: Path) -> str | None:
    """Return `student.misfit` for students of this base."""

    def ask() -> str | None:
        from raykd.models.student import misfit

        return misfit(read_config(base.folder), shape, init)

    return remembered(home, ["misfit", base.fingerprint, asdict(shape), asdict(init)], ask)


def unequal(base: Base, shape: Shape, init: Init, home: Path) -> str | None:
    """Return one line on why students that start from these blocks compute other outputs than the
    base with its other blocks skipped, or None. For an init without a `misfit`.

    Uses the base's weights if they are small enough to be read for a plan. For larger models it
    uses the configuration; their weights are checked when the teacher is made (fine_tune.py).
    """

    def ask() -> str | None:
        from transformers import AutoModel

        from raykd.models.loading import read_model
        from raykd.models.student import build_student, misplaced

        config = read_config(base.folder)
        size = sum(f.stat().st_size for f in base.folder.glob("*.safetensors"))
        if not 0 < size <= AT_HAND:
            return misplaced(config, shape, init)
        try:
            build_student(read_model(AutoModel, base.folder)[0], shape, init, 0)
        except Exception as error:  # the classes of transformers raise many kinds
            return misplaced(config, shape, init) or first_line(error)
        return None

    question: list[object] = ["unequal", base.fingerprint, asdict(shape), asdict(init)]
    return None if init.blocks is None else remembered(home, question, ask)


def unreadable(base: Base, shape: Shape, kind: str, home: Path) -> str | None:
    """Return `losses.fit.misfit` for students of this base."""

    def ask() -> str | None:
        from raykd.losses.fit import misfit

        return misfit(read_config(base.folder), shape, kind)

    return remembered(home, ["unreadable", base.fingerprint, asdict(shape), kind], ask)


def parameters(base: Base, shape: Shape, labels: int, home: Path, kind: str) -> int:
    """Return `student.student_parameters` for students of this base with `labels` labels."""

    def ask() -> int:
        from raykd.models.student import student_parameters
        from raykd.tasks.registry import task as task_of

        config = labelled(read_config(base.folder), labels)
        return student_parameters(config, shape, task_of(kind).auto)

    return remembered(home, ["parameters", base.fingerprint, asdict(shape), labels, kind], ask)


def lora_misfit(
    base: Base, shape: Shape, targets: tuple[str, ...], home: Path, kind: str
) -> str | None:
    """Return `lora.misfit` for students of this base."""

    def ask() -> str | None:
        import torch

        from raykd.models import lora
        from raykd.models.student import student_config
        from raykd.tasks.registry import task as task_of

        with torch.device("meta"):
            model = task_of(kind).auto.from_config(student_config(read_config(base.folder), shape))
        return lora.misfit(model, targets)

    return remembered(home, ["lora", base.fingerprint, asdict(shape), targets, kind], ask)


def read_config(folder: Path) -> PretrainedConfig:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def labelled(config: PretrainedConfig, labels: int) -> PretrainedConfig:
    """Set the number of labels, if the task has any, and return the configuration. Classifiers also
    need a padding token, which the tokenizer tells when the model is loaded."""
    if labels:
        config.num_labels = labels
        if getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = 0
    return config


def remembered(home: Path, question: list[object], ask: Callable[[], T]) -> T:
    """Return the memoised answer of `ask`, computed once per version of raykd and transformers."""
    return memoised(home, [*question, __version__, _transformers()], ask)


@cache  # reading it takes a millisecond, and an estimate calls it once per cohort
def _transformers() -> str:
    return importlib.metadata.version("transformers")


@dataclass(frozen=True)
class Base:
    """The model a teacher starts from: a folder in transformers' format and its content hash."""

    folder: Path
    fingerprint: str
    depth: int
    """Blocks; for an encoder-decoder, those of the encoder."""
    width: int
    labels: tuple[str, ...]
    """The labels of its classifier, in its own order."""
    decoder_depth: int | None = None

    @property
    def depths(self) -> Depth:
        """The number of blocks, of both stacks if there are two."""
        return Depth(self.depth, self.decoder_depth)
