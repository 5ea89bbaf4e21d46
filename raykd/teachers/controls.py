"""Controls: what a student's hidden states may imitate in place of the teacher's own.

If matching helps because of what the teacher's blocks know of a text, it must help more than
targets of the same size that know less of it, or nothing:

- `untrained`: the states of a teacher of the same configuration with random weights, drawn anew
  for each seed, so that the control speaks of untrained teachers and not of one of them.
- `shuffled`: the teacher's own states, each given to another token of the batch.
- `mean`: the teacher's mean state over training tokens, the same vector for every token.

Only the targets of the hidden loss change. Cross entropy and KL are those of any other trial.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from raykd.config.trial import Init, Shape, TargetKind
from raykd.data.batches import Batch, eval_batches
from raykd.maps.activations import Activation, states
from raykd.models import stacks
from raykd.models.student import build_student
from raykd.runtime.seeds import stream
from raykd.teachers.fill_cache import FILL_BATCH, Filler, sample
from raykd.teachers.targets import LiveTeacher, Part

MEAN_ROWS = 512  # over so many training rows, spread evenly, the mean states are taken


@dataclass(frozen=True)
class Controls:
    """A cohort's. All its trials share a seed, so all of one kind imitate the same targets."""

    seed: int
    rank: int = 0
    untrained: LiveTeacher | None = None
    means_D: Mapping[Activation, Tensor] = field(default_factory=dict)

    def of(self, kind: TargetKind, parts: Sequence[Part], step: int) -> list[Part]:
        """The parts of a worker's share at a step, with the targets of this kind in place of the
        teacher's states."""
        if kind == "shuffled":
            return shuffled(parts, stream(self.seed, "shuffled", step, self.rank))
        return [
            (batch, None if told is None else replace(told, states_ND=self._states(kind, batch)))
            for batch, told in parts
        ]

    def _states(self, kind: TargetKind, batch: Batch) -> dict[Activation, Tensor]:
        if kind == "mean":
            return {
                k: x_D.expand(len(batch.valid_in(k.stack)), -1) for k, x_D in self.means_D.items()
            }
        assert kind == "untrained" and self.untrained is not None
        return self.untrained(batch).states_ND


def by_kind(
    kinds: Collection[TargetKind], parts: list[Part], controls: Controls | None, step: int
) -> dict[TargetKind, list[Part]]:
    """`parts` hold the teacher's own targets; the same with those of each kind."""
    found: dict[TargetKind, list[Part]] = {}
    for kind in kinds:
        if kind == "teacher":
            found[kind] = parts
        else:
            assert controls is not None
            found[kind] = controls.of(kind, parts, step)
    return found


def shuffled(parts: Sequence[Part], seed: int) -> list[Part]:
    """The states of a worker's whole share, permuted over its valid tokens: one permutation for
    all states of a stack, whatever the padding and however the share is cut into parts."""
    told = [targets for _, targets in parts if targets is not None]
    if not told:
        return list(parts)
    draw = torch.Generator().manual_seed(seed)
    split: dict[Activation, tuple[Tensor, ...]] = {}
    for own in (  # the one stack, or the encoder, and then the decoder
        [k for k in told[0].states_ND if k.stack == "encoder"],
        [k for k in told[0].states_ND if k.stack == "decoder"],
    ):
        if own:
            counts = [len(t.states_ND[own[0]]) for t in told]
            order_N = torch.randperm(sum(counts), generator=draw).to(told[0].outputs.x_PC.device)
        for k in own:
            whole_ND = torch.cat([t.states_ND[k] for t in told]).index_select(0, order_N)
            split[k] = torch.split(whole_ND, counts)
    changed = iter([{k: x[i] for k, x in split.items()} for i in range(len(told))])
    return [
        (batch, None if targets is None else replace(targets, states_ND=next(changed)))
        for batch, targets in parts
    ]


def untrained(teacher: PreTrainedModel, seed: int) -> PreTrainedModel:
    """A model of the teacher's configuration as it is before any training."""
    shape = Shape.of(stacks.depth(teacher.config))
    return build_student(teacher, shape, Init("random"), stream(seed, "untrained"))


def mean_states(filler: Filler) -> dict[Activation, Tensor]:
    """The mean of each teacher state [D] over the valid tokens of a sample of training rows.

    By passes of the teacher alone, so that it is the same whichever source feeds the students,
    whoever trains beside them, and after an interruption.
    """
    named = states(stacks.depth(filler.teacher.config))
    rows, tokens = sample(filler.encoded, MEAN_ROWS), dict.fromkeys(named, 0)
    sums_D: dict[Activation, Tensor] = {}
    with filler.live(named) as live:
        for part in eval_batches(filler.encoded.lengths[rows], FILL_BATCH):
            found = filler.targets(live, rows[part]).states_ND
            for k, x_ND in found.items():
                tokens[k] += len(x_ND)
                sums_D[k] = sums_D.get(k, 0) + x_ND.double().sum(0)
    return {k: (x_D / tokens[k]).float().to(filler.device) for k, x_D in sums_D.items()}
