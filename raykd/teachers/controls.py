"""Controls: hidden targets that replace the teacher's own states.

If matching helps because the teacher's blocks encode information about a text, it must help more
than targets of the same size with less information about it, or none:

- `untrained`: the states of a randomly initialised teacher of the same configuration, with new
  weights for each seed, so the control describes untrained teachers and not a single one.
- `shuffled`: the teacher's own states, permuted over the tokens of the batch.
- `mean`: the teacher's mean state over training tokens, the same vector for every token.

Only the targets of the hidden loss change. Cross entropy and KL are those of any other trial.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from raykd.config.trial import Init, Shape, TargetKind
from raykd.data.batches import Batch
from raykd.losses.hidden.statistics import Statistics
from raykd.maps.activations import Activation
from raykd.models import stacks
from raykd.models.student import build_student
from raykd.runtime.seeds import stream
from raykd.teachers.targets import LiveTeacher, Part


@dataclass(frozen=True)
class Controls:
    """The controls of a cohort. Its trials share a seed, so trials of one kind share targets."""

    seed: int
    rank: int = 0
    untrained: LiveTeacher | None = None
    statistics: Statistics = field(default_factory=dict)
    """Of the teacher's states, if one of the controls has their mean."""

    def of(self, kind: TargetKind, parts: Sequence[Part], step: int) -> list[Part]:
        """Return the parts of a worker's share at a step, with targets of this kind in place of the
        teacher's states."""
        if kind == "shuffled":
            return shuffled(parts, stream(self.seed, "shuffled", step, self.rank))
        return [
            (
                batch,
                None if targets is None else replace(targets, states_ND=self._states(kind, batch)),
            )
            for batch, targets in parts
        ]

    def _states(self, kind: TargetKind, batch: Batch) -> dict[Activation, Tensor]:
        if kind == "mean":
            return {
                k: of_state.mean_D.expand(len(batch.valid_in(k.stack)), -1)
                for k, of_state in self.statistics.items()
            }
        assert kind == "untrained" and self.untrained is not None
        return self.untrained(batch).states_ND


def by_kind(
    kinds: Collection[TargetKind], parts: list[Part], controls: Controls | None, step: int
) -> dict[TargetKind, list[Part]]:
    """Return the parts with the targets of each kind; `parts` hold the teacher's own targets."""
    parts_by_kind: dict[TargetKind, list[Part]] = {}
    for kind in kinds:
        if kind == "teacher":
            parts_by_kind[kind] = parts
        else:
            assert controls is not None
            parts_by_kind[kind] = controls.of(kind, parts, step)
    return parts_by_kind


def shuffled(parts: Sequence[Part], seed: int) -> list[Part]:
    """Permute the states of a worker's whole share over its valid tokens: one permutation for all
    states of a stack, independent of the padding and of how the share is split into parts."""
    targets_of_parts = [part_targets for _, part_targets in parts if part_targets is not None]
    if not targets_of_parts:
        return list(parts)
    generator = torch.Generator().manual_seed(seed)
    split_states: dict[Activation, tuple[Tensor, ...]] = {}
    for stack_states in (  # the one stack, or the encoder, and then the decoder
        [k for k in targets_of_parts[0].states_ND if k.stack == "encoder"],
        [k for k in targets_of_parts[0].states_ND if k.stack == "decoder"],
    ):
        if stack_states:
            counts = [len(t.states_ND[stack_states[0]]) for t in targets_of_parts]
            order_N = torch.randperm(sum(counts), generator=generator).to(
                targets_of_parts[0].outputs.x_PC.device, non_blocking=True
            )
        for k in stack_states:
            states_ND = torch.cat([t.states_ND[k] for t in targets_of_parts]).index_select(
                0, order_N
            )
            split_states[k] = torch.split(states_ND, counts)
    shuffled_states = iter(
        [{k: x_NDs[i] for k, x_NDs in split_states.items()} for i in range(len(targets_of_parts))]
    )
    return [
        (
            batch,
            None
            if part_targets is None
            else replace(part_targets, states_ND=next(shuffled_states)),
        )
        for batch, part_targets in parts
    ]


def untrained(teacher: PreTrainedModel, seed: int) -> PreTrainedModel:
    """Return a randomly initialised model of the teacher's configuration."""
    shape = Shape.of(stacks.depth(teacher.config))
    return build_student(teacher, shape, Init("random"), stream(seed, "untrained"))
