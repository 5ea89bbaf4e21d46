"""TrialSpec: one student under one fully stated configuration, and the id that names it.

The spec holds all that decides the result and nothing that must not (worker count, cohort,
machine). Same id, same experiment.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

from raykd.losses.hidden.registry import hidden_loss
from raykd.maps.activations import Activation
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, everywhere
from raykd.runtime.memo import digest

MOST_EPOCHS = 20
"""Of a teacher whose length is `auto`; it is evaluated once an epoch."""
PATIENCE = 3
"""Evaluations in a row without a new best score, after which such a teacher's training ends."""
WARMED = 2
"""Epochs of which `teacher.warmup` is a share then: the length of the training is not known."""
LIKELY_EPOCHS = 9
"""Epochs of such a training that an estimate counts: a guess (MiniLM took 7, docs/tasks.md)."""

Phase = Literal["explore", "confirm"]
TargetKind = Literal["teacher", "untrained", "shuffled", "mean"]
"""What matched hidden states imitate; all but `teacher` make a trial a control (controls.py)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The student's size. None means: as the teacher has it. `decoder_blocks` is an
    encoder-decoder's alone, whose `blocks` are its encoder's."""

    blocks: int
    width: int | None = None
    heads: int | None = None
    intermediate: int | None = None
    decoder_blocks: int | None = None

    @classmethod
    def of(cls, depth: Depth) -> Shape:
        """A model so deep, and else as the teacher."""
        return cls(depth.encoder, decoder_blocks=depth.decoder)

    @property
    def depth(self) -> Depth:
        return Depth(self.blocks, self.decoder_blocks)

    @property
    def told(self) -> int | str:
        """Its blocks: a number, or `3+2` of two stacks."""
        return (
            self.blocks if self.decoder_blocks is None else f"{self.blocks}+{self.decoder_blocks}"
        )

    def __str__(self) -> str:
        return str(self.depth) if self.width is None else f"{self.depth}x{self.width}"


@dataclass(frozen=True, slots=True)
class Init:
    """How the student's weights start; a factor apart from the layer map.

    `blocks[i]` is the teacher block (1-based) whose weights student block `i + 1` starts from;
    `decoder` says the same of an encoder-decoder's decoder, and `blocks` then of its encoder.
    """

    kind: Literal["random", "copied"]
    blocks: tuple[int, ...] | None = None
    head: bool = False
    decoder: tuple[int, ...] | None = None

    @classmethod
    def of(cls, layer_map: LayerMap, head: bool = False) -> Init:
        """Weights copied by an init map, which names a block for each."""
        encoder, *decoder = (tuple(b for b in h.blocks if b) for h in layer_map.halves)
        return cls("copied", encoder, head, decoder[0] if decoder else None)

    @property
    def layer_map(self) -> LayerMap | None:
        """The init map; None where nothing is copied."""
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
    """Weights and forms of the three loss terms (paper, section 2)."""

    ce: float
    kl: float
    hidden: float
    temperature: float
    kind: str
    options: tuple[tuple[str, float], ...] | None = None
    """Parameters of the kind that differ from its defaults, sorted by name; None: none does."""


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters on linear layers (all inside the blocks where `targets` names none); the
    student's own weights stay as they began."""

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Training:
    """The optimisation: AdamW, linear decay with warm-up, gradient clipping.

    Under `patience` the rate stays constant after the warm-up, since the length is not known.
    """

    steps: int
    batch: int
    batch_tokens: int | None
    lr: float
    warmup: float
    weight_decay: float
    clip: float
    evaluations: int
    precision: Literal["auto", "fp32", "bf16"]
    diverged: float
    """A training loss above this is a divergence: the student leaves its cohort as FAILED."""
    weights: Literal["fp32", "bf16"] = "fp32"
    """How the weights of students and teacher are held; adapters are fp32 always."""
    buffers: Literal["fp32"] | None = None
    """Of weights in bf16: in fp32 where transformers has them so (models/dtypes.py). None: as the
    weights, which is all that raykd 0.1.0 had."""
    lora: Lora | None = None
    freeze_embeddings: bool = False
    """Whether the embedding tables stay as they began, and with them an output layer that shares
    their weights."""
    frozen_projections: bool = False
    """Whether the maps to the teacher's width stay as they were drawn."""
    teacher_dropout: bool = False
    """Whether the teacher's dropout is on while it is imitated."""
    patience: int | None = None
    """Evaluations without a new best score on select after which the training ends; None: it has
    all its steps."""


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
    """Hashes of the plug-ins that its loss, task and metric come from, sorted."""

    @property
    def teacher_states(self) -> frozenset[Activation]:
        """What this trial reads of the teacher: states, and under some hidden losses queries, keys
        and values."""
        return self.imitated if self.targets in ("teacher", "shuffled") else frozenset()

    @property
    def imitated(self) -> frozenset[Activation]:
        """What the student imitates, of the teacher or of what a control has in its place."""
        return hidden_loss(self.loss.kind).activations(t for _, t in self.layer_map.pairs())

    @property
    def learns_from_teacher(self) -> bool:
        """Whether its loss has other targets than the labels."""
        return bool(self.loss.kl or (self.loss.hidden and self.layer_map.pairs()))

    @cached_property
    def id(self) -> str:
        """12 hex digits of the SHA-256 of the whole specification."""
        return digest(self.to_json())

    @cached_property
    def family(self) -> str:
        """The id of everything but the map and its name: explore trials of one search share it."""
        blank = replace(self, strategy="", layer_map=everywhere(self.shape.depth, None))
        return digest(blank.to_json())

    def to_json(self) -> dict[str, Any]:
        # Not asdict, which copies value by value: a plan names ten thousand trials.
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        parts: dict[str, Any] = {
            name: _plain(own[name]) for name in ("shape", "init", "loss", "training")
        }
        if self.plugins:
            parts["plugins"] = list(self.plugins)
        else:
            del own["plugins"]
        return {**own, **parts, "layer_map": self.layer_map.to_json()}

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


# Fields that came later: left out where they say nothing, so that the ids of trials that ran
# before they came stay what they were.
LATER = {
    "decoder_blocks": None, "decoder": None, "freeze_embeddings": False, "weights": "fp32",
    "buffers": None, "lora": None, "frozen_projections": False, "teacher_dropout": False,
    "patience": None, "options": None,
}  # fmt: skip


def _plain(part: Shape | Init | Loss | Training) -> dict[str, Any]:
    own = {name: getattr(part, name) for name in part.__slots__}
    found = {k: v for k, v in own.items() if k not in LATER or v != LATER[k]}
    if isinstance(part, Training) and part.lora is not None:
        found["lora"] = asdict(part.lora)
    return found


def _loss(data: dict[str, Any]) -> Loss:
    options = data.get("options")
    return Loss(**{**data, "options": options and tuple((k, v) for k, v in options)})


def _training(data: dict[str, Any]) -> Training:
    lora = data.get("lora")
    if lora is None:
        return Training(**data)
    targets = None if lora["targets"] is None else tuple(lora["targets"])
    return Training(**{**data, "lora": Lora(**{**lora, "targets": targets})})
