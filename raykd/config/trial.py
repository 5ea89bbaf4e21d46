"""The specification of a trial, one student under one configuration, and its id.

A `TrialSpec` holds everything that may affect the result and nothing else: no number of workers,
cohort or machine. Equal ids mean the same experiment.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

from raykd.losses.hidden.registry import hidden_loss
from raykd.losses.hidden.schedule import Schedule, Stage, Weights, first_output_step, weights_at
from raykd.maps.activations import Activation
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, everywhere
from raykd.runtime.memo import digest

MOST_EPOCHS = 20
"""Limit for a teacher with `epochs: auto`; it is evaluated once per epoch."""
PATIENCE = 3
"""Consecutive evaluations without a new best score after which such a training ends."""
WARMED = 2
"""Epochs of which `teacher.warmup` is a share then, as the length of the training is unknown."""
LIKELY_EPOCHS = 9
"""Epochs of such a training in an estimate: a guess (MiniLM took 7, docs/tasks.md)."""

Phase = Literal["explore", "confirm"]
TargetKind = Literal["teacher", "untrained", "shuffled", "mean"]
"""Targets of matched hidden states; a trial with any but `teacher` is a control (controls.py)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a student. None means the value of the teacher. For an encoder-decoder, `blocks`
    are those of the encoder and `decoder_blocks` those of the decoder."""

    blocks: int
    width: int | None = None
    heads: int | None = None
    intermediate: int | None = None
    decoder_blocks: int | None = None

    @classmethod
    def of(cls, depth: Depth) -> Shape:
        """Return the shape with this depth and the other sizes of the teacher."""
        return cls(depth.encoder, decoder_blocks=depth.decoder)

    @property
    def depth(self) -> Depth:
        return Depth(self.blocks, self.decoder_blocks)

    @property
    def told(self) -> int | str:
        """The blocks: a number, or for two stacks a text such as `3+2`."""
        return (
            self.blocks if self.decoder_blocks is None else f"{self.blocks}+{self.decoder_blocks}"
        )

    def __str__(self) -> str:
        return str(self.depth) if self.width is None else f"{self.depth}x{self.width}"


@dataclass(frozen=True, slots=True)
class Init:
    """The initial weights of a student, a factor independent of the layer map.

    `blocks[i]` is the teacher block (1-based) whose weights student block `i + 1` starts from.
    For an encoder-decoder, `blocks` are those of its encoder and `decoder` those of its decoder.
    """

    kind: Literal["random", "copied"]
    blocks: tuple[int, ...] | None = None
    head: bool = False
    decoder: tuple[int, ...] | None = None

    @classmethod
    def of(cls, layer_map: LayerMap, head: bool = False) -> Init:
        """Return the init that copies the teacher blocks of an init map."""
        encoder, *decoder = (tuple(b for b in h.blocks if b) for h in layer_map.halves)
        return cls("copied", encoder, head, decoder[0] if decoder else None)

    @property
    def layer_map(self) -> LayerMap | None:
        """The init map; None if nothing is copied."""
        if self.blocks is None:
            return None
        decoder = None if self.decoder is None else LayerMap(self.decoder)
        return LayerMap(self.blocks, decoder=decoder)

    def __str__(self) -> str:
        if self.layer_map is None:
            return self.kind
        return f"{self.kind} {self.layer_map}" + ("" if self.head else " fresh head")


@dataclass(frozen=True, slots=True)
class Loss:
    """Weights and forms of the three loss terms (paper, section 2). Under a schedule, each weight
    is the largest of the training."""

    ce: float
    kl: float
    hidden: float
    temperature: float
    kind: str
    options: tuple[tuple[str, float], ...] | None = None
    """Parameters of the kind that differ from its defaults, sorted by name; None if none does."""
    class_weights: tuple[tuple[str, float], ...] | None = None
    """Weight of each class in the cross entropy, by label; None if they are equal."""
    schedule: Schedule | None = None
    """Stages of the training with their weights; None if the weights are constant."""

    def weights(self, step: int, steps: int) -> Weights:
        """Return the weights at a step (0-based) of a training of so many steps."""
        if self.schedule is None:
            return Weights(self.ce, self.kl, self.hidden)
        return weights_at(self.schedule, step, steps)

    def may_choose(self, done: int, steps: int) -> bool:
        """Return whether a checkpoint after `done` steps may be chosen: whether cross entropy or KL
        has had a weight, since without one nothing trains the outputs. Always if neither ever has
        one."""
        return self.schedule is None or done > first_output_step(self.schedule, steps)


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters on linear layers: on `targets`, or if None on all inside the blocks. The
    other weights of the student stay at their initial values."""

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Training:
    """Settings of the optimisation: AdamW, linear decay with warm-up, gradient clipping.

    With `patience` the rate stays constant after the warm-up, as the length is not known.
    """

    steps: int
    batch: int
    batch_tokens: int | None
    lr: float
    warmup: float
    weight_decay: float
    clip: float
    evaluations: int
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    diverged: float
    """A training loss above this is a divergence: the student leaves its cohort as FAILED."""
    weights: Literal["fp32", "bf16"] = "fp32"
    """Dtype of the weights of students and teacher; adapters are always fp32."""
    buffers: Literal["fp32"] | None = None
    """With weights in bf16: `fp32` keeps the buffers in fp32 that transformers has in fp32
    (models/dtypes.py). None: the dtype of the weights, as always in raykd 0.1.0."""
    lora: Lora | None = None
    freeze_embeddings: bool = False
    """Whether the embedding tables, and an output layer that shares their weights, stay at their
    initial values."""
    frozen_projections: bool = False
    """Whether the projections to the teacher's width stay at their initial values."""
    teacher_dropout: bool = False
    """Whether the teacher's dropout is active during distillation."""
    patience: int | None = None
    """Evaluations without a new best score on select after which the training ends; None: it runs
    all steps."""


@dataclass(frozen=True)
class TrialSpec:
    task: str
    metric: str
    data: str
    teacher: str
    shape: Shape
    init: Init
    phase: Phase
    strategy: str
    layer_map: LayerMap
    loss: Loss
    training: Training
    seed: int
    targets: TargetKind = "teacher"
    plugins: tuple[str, ...] = ()
    """Hashes of the plug-ins that define the loss, task and metric, sorted."""

    @property
    def teacher_states(self) -> frozenset[Activation]:
        """Activations of the teacher that this trial reads: states, and for some hidden losses
        queries, keys and values."""
        return self.imitated if self.targets in ("teacher", "shuffled") else frozenset()

    @property
    def imitated(self) -> frozenset[Activation]:
        """Activations that the student imitates: the teacher's, or those of a control."""
        return hidden_loss(self.loss.kind).activations(t for _, t in self.layer_map.pairs())

    @property
    def hidden_kinds(self) -> frozenset[str]:
        """The hidden losses that it computes: its own, and those of pairs."""
        return frozenset((self.loss.kind, *self.layer_map.pair_losses))

    @property
    def learns_from_teacher(self) -> bool:
        """Whether its loss has targets other than the labels."""
        return bool(self.loss.kl or (self.loss.hidden and self.layer_map.pairs()))

    @cached_property
    def id(self) -> str:
        """12 hex digits of the SHA-256 of the whole specification."""
        return digest(self.to_json())

    @cached_property
    def family(self) -> str:
        """The id of everything but the map and its strategy, shared by the trials of one search."""
        blank = replace(self, strategy="", layer_map=everywhere(self.shape.depth, None))
        return digest(blank.to_json())

    def to_json(self) -> dict[str, Any]:
        # asdict copies value by value, which is slow for the ten thousand trials of a plan.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        parts: dict[str, Any] = {
            name: _section_json(values[name]) for name in ("shape", "init", "loss", "training")
        }
        if self.plugins:
            parts["plugins"] = list(self.plugins)
        else:
            del values["plugins"]
        return {**values, **parts, "layer_map": self.layer_map.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TrialSpec:
        init = data["init"]
        maps = {k: v and tuple(v) for k, v in init.items() if k in ("blocks", "decoder")}
        return cls(
            **{
                **data,
                "shape": Shape(**data["shape"]),
                "init": Init(**{**init, **maps}),
                "layer_map": LayerMap.from_json(data["layer_map"]),
                "loss": _loss(data["loss"]),
                "plugins": tuple(data.get("plugins", ())),
                "training": _training(data["training"]),
            }
        )


# Fields that were added later. They are left out at these values, so that ids of earlier trials do
# not change.
LATER = {
    "decoder_blocks": None, "decoder": None, "freeze_embeddings": False, "weights": "fp32",
    "buffers": None, "lora": None, "frozen_projections": False, "teacher_dropout": False,
    "patience": None, "options": None, "class_weights": None, "schedule": None,
}  # fmt: skip


def _section_json(section: Shape | Init | Loss | Training) -> dict[str, Any]:
    values = {name: getattr(section, name) for name in section.__slots__}
    stated = {k: v for k, v in values.items() if k not in LATER or v != LATER[k]}
    if isinstance(section, Training) and section.lora is not None:
        stated["lora"] = asdict(section.lora)
    if isinstance(section, Loss) and section.schedule is not None:
        stated["schedule"] = [asdict(stage) for stage in section.schedule]
    return stated


def _loss(data: dict[str, Any]) -> Loss:
    pairs = {name: data.get(name) for name in ("options", "class_weights")}
    stated = {name: p and tuple((k, v) for k, v in p) for name, p in pairs.items()}
    if stages := data.get("schedule"):
        ramps = ("ce", "kl", "hidden")
        stated["schedule"] = tuple(
            Stage(**{**s, **{r: tuple(s[r]) for r in ramps}}) for s in stages
        )
    return Loss(**{**data, **stated})


def _training(data: dict[str, Any]) -> Training:
    lora = data.get("lora")
    if lora is None:
        return Training(**data)
    targets = None if lora["targets"] is None else tuple(lora["targets"])
    return Training(**{**data, "lora": Lora(**{**lora, "targets": targets})})


def learning_rate(trial: TrialSpec, step: int) -> float:
    """Return the learning rate at `step` (0-based): linear warm-up to the trial's rate, then linear
    decay to zero. With `patience` set, the rate does not decay."""
    t = trial.training
    warm = round(t.warmup * t.steps)
    if step < warm:
        return t.lr * (step + 1) / warm
    fixed = t.patience is not None
    return t.lr if fixed else t.lr * (t.steps - step) / max(1, t.steps - warm)
