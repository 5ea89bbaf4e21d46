"""The sections of a sweep file for teacher, student, losses and training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from raykd.config.schedule import OrderedStages, Weight
from raykd.config.trial import MOST_EPOCHS, PATIENCE, WARMED
from raykd.config.value_types import OneOf, Positive
from raykd.config.yaml_file import Compound, Model, Number, Plain, Word, by_halves, by_word
from raykd.losses.hidden.registry import hidden_loss, hidden_losses

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig

Precision = Literal["fp32", "bf16"]


def _buffers(weights: Precision, buffers: Precision) -> Literal["fp32"] | None:
    """Return the dtype of buffers if it differs from that of the weights, else None. Raises
    ValueError for bf16 buffers with fp32 weights."""
    if weights == "fp32" and buffers == "bf16":
        raise ValueError("`buffers: bf16` is for `weights: bf16`; leave `buffers` out")
    return None if weights == buffers else "fp32"


class Lora(Model):
    """Low-rank adapters in place of full fine-tuning; merged into the model when it is stored."""

    rank: Positive = 16
    alpha: float = Field(32.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] | None = Field(
        None, description="names of linear layers, such as [q_proj]; default: all in the blocks"
    )


class Teacher(Model):
    """The model that is imitated, and how it is fine-tuned once."""

    model: str = Field(
        examples=["minilm"],
        description="`minilm`, `mpnet`, `smollm2`, a model folder, or a hub name",
    )
    revision: str | None = None
    fine_tune: bool = Field(True, description="false: the model is fine-tuned already")
    epochs: Annotated[
        Annotated[float, Field(gt=0), Number] | Annotated[Literal["auto"], Word], by_word
    ] = Field(
        "auto",
        description=f"auto: until its score on select stops rising, at most {MOST_EPOCHS}; it is "
        f"evaluated once an epoch, ends after {PATIENCE} evaluations without a new best, and the "
        "best is kept. A number: so many, with a rate that decays to zero",
    )
    batch: Positive = 32
    lr: float = Field(5e-5, gt=0)
    warmup: float = Field(
        0.1, ge=0, lt=1, description=f"share of the steps; under `epochs: auto` of {WARMED} epochs"
    )
    weight_decay: Weight = 0.01
    seed: int = 0
    identity: Literal["metric", "recipe"] = Field(
        "metric",
        description="what identifies a fine-tuned teacher. metric: its recipe, and the metric that "
        "chose its checkpoint; recipe: not the metric, as in 0.1.0",
    )
    allow_weak: bool = Field(False, description="go on with a teacher no better than the majority")
    weights: Precision = Field("fp32", description="how they are held while it is fine-tuned")
    buffers: Precision = Field("fp32", description="likewise, see `training.buffers`")
    lora: Lora | None = Field(None, description="it is fine-tuned by adapters")
    bits: Literal[8, 4] | None = Field(
        None, description="of a weight while it is imitated; needs a CUDA GPU and bitsandbytes"
    )
    dropout: bool = Field(
        False, description="its dropout stays on while students imitate it, as in a paper's release"
    )

    @property
    def own_buffers(self) -> Literal["fp32"] | None:
        return _buffers(self.weights, self.buffers)

    def names_metric(self, task: TaskConfig) -> bool:
        """Return whether the metric is added to the teacher's recipe. The default metric is left
        out, so existing fingerprints do not change; with early stopping, the length of the training
        names it."""
        if self.identity == "recipe" or (self.fine_tune and self.epochs == "auto"):
            return False
        return not task.has_default_metric

    @model_validator(mode="after")
    def _some_buffers(self) -> Self:
        _buffers(self.weights, self.buffers)
        return self


class Blocks(Model):
    """Of an encoder-decoder, where its stacks are not equally deep."""

    encoder: Positive = Field(examples=[3])
    decoder: Positive = Field(examples=[2])


class Student(Model):
    """The student's size; what is not stated is as the teacher has it."""

    blocks: Annotated[
        Annotated[Positive, Plain] | Annotated[Blocks, Compound], by_halves(Blocks)
    ] = Field(examples=[3], description="of each stack, where the teacher is an encoder-decoder")
    width: Positive | None = None
    heads: Positive | None = None
    intermediate: Positive | None = None
    projections: Literal["trained", "frozen"] = Field(
        "trained", description="the maps to the teacher's width, where the student's is another"
    )


def _kinds() -> list[str]:
    return [name for name, loss in sorted(hidden_losses().items()) if loss.any_map]


LossKind = Annotated[str, OneOf(_kinds)]
"""Hidden losses that work with any map; the others require the map of their method."""


class Losses(Model):
    """loss = ce * CE + kl * KL(teacher || student) + hidden * hidden loss."""

    ce: Weight = 1.0
    kl: Weight = 1.0
    hidden: Weight = 1.0
    temperature: float = Field(1.0, gt=0)
    kind: LossKind = "normalized_mse"
    options: dict[str, float] = Field(
        {}, description="parameters of the kind, where it has some", examples=[{"temperature": 0.1}]
    )
    embedding: bool | None = Field(
        None,
        description="match the embedding outputs too; by default only under the kinds paper, "
        "paper_bart and paper_t5",
    )
    schedule: OrderedStages | None = Field(
        None,
        description="stages in which weights differ, such as [{until: 0.5, hidden: 1}, {until: 1, "
        "hidden: 0}]; default: constant weights",
    )

    @property
    def stated_options(self) -> tuple[tuple[str, float], ...] | None:
        """Options that differ from the defaults of the kind, by name; None without any."""
        defaults = hidden_loss(self.kind).options
        stated = sorted((k, v) for k, v in self.options.items() if v != defaults[k])
        return tuple(stated) or None

    @model_validator(mode="after")
    def _known_options(self) -> Self:
        options = hidden_loss(self.kind).options
        for name in self.options:
            if name not in options:
                takes = f"takes {', '.join(options)}" if options else "has no options; leave it out"
                raise ValueError(f"options.{name}: {self.kind} {takes}")
        return self


class States(Model):
    """Whether students get the teacher's outputs from it at each step, or from a store."""

    source: Literal["auto", "live", "cached"] = Field("auto", description="auto: the cheaper")
    half: Literal["auto", "float16", "bfloat16"] = Field("auto", description="how states are kept")
    cache: str | None = Field(
        None, description="a folder or fsspec address that all nodes see; default: in the storage"
    )
    limit_gb: float = Field(50.0, gt=0, description="of the store; what was unused longest goes")


class Training(Model):
    """One student's training. `steps` wins over `epochs` where both could count."""

    epochs: float | None = Field(None, gt=0)
    steps: Positive | None = None
    batch: Positive = Field(32, description="rows of the global batch, split over the workers")
    batch_tokens: Positive | None = Field(
        None, description="instead: as many rows as fit so many tokens, padding included"
    )
    lr: float = Field(1e-4, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps")
    weight_decay: Weight = 0.01
    clip: float = Field(1.0, gt=0)
    evaluations: Positive = Field(4, description="evaluations on select; the best is kept")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="bf16 and fp16: autocast, in fp16 with loss scaling; auto: bf16, or on a GPU "
        "without bf16 in hardware fp16, if that is clearly faster than fp32",
    )
    weights: Precision = Field(
        "fp32", description="how weights of students and teacher are held in memory"
    )
    buffers: Precision = Field(
        "fp32",
        description="under `weights: bf16`, what a model computes by itself, such as RoPE's "
        "frequencies. fp32: as transformers holds it; bf16: rounded, as all of them were in 0.1.0",
    )
    lora: Lora | None = Field(None, description="adapters in place of full fine-tuning")
    diverged: float = Field(1e4, gt=0, description="a training loss above this is a divergence")
    freeze_embeddings: bool = Field(
        False, description="the embeddings stay as they began, and a tied output layer with them"
    )

    @property
    def own_buffers(self) -> Literal["fp32"] | None:
        return _buffers(self.weights, self.buffers)

    @model_validator(mode="after")
    def _some_buffers(self) -> Self:
        _buffers(self.weights, self.buffers)
        return self

    @model_validator(mode="after")
    def _scaled_weights(self) -> Self:
        if self.precision == "fp16" and self.weights == "bf16":
            raise ValueError("`precision: fp16` is for `weights: fp32`; leave one of the two out")
        return self

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("`epochs` and `steps` both stand here; leave one out")
        if self.batch_tokens is not None and "batch" in self.model_fields_set:
            raise ValueError("`batch` and `batch_tokens` both stand here; leave one out")
        return self
