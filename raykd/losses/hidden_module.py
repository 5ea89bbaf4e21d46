"""The hidden loss of one trial: the activations it reads, its trained weights and its value."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from raykd.config.trial import TrialSpec
from raykd.data.batches import Batch, valid
from raykd.losses.hidden.inputs import HiddenInputs, Rows
from raykd.losses.hidden.registry import HiddenLoss, TrainedWeight, hidden_loss
from raykd.losses.hidden.statistics import Statistics
from raykd.maps.activations import Activation, Stack
from raykd.maps.layer_map import LayerMap, Pair
from raykd.models.projections import build_projections, project
from raykd.models.student import width
from raykd.runtime.group import Group
from raykd.runtime.seeds import stream

Values = Mapping[Activation, Tensor]
Value = tuple[Tensor, list[Tensor]]
"""The loss and its terms: one for each matched pair, or those that the kind names."""


class HiddenLossModule(nn.Module):
    """Compares the captured activations of a student with those of its teacher.

    Its projections and weights are trained with the student and never exported. Random values
    depend on the trial's seed alone. Values are shares of the loss of the global batch, which sum
    to it over the workers and micro-batches.
    """

    def __init__(
        self, trial: TrialSpec, model: PreTrainedModel, teacher_width: int, group: Group,
        statistics: Statistics | None = None,
    ) -> None:  # fmt: skip
        """`statistics`: of the teacher's states, for kinds that standardise."""
        super().__init__()
        self.kind = hidden_loss(trial.loss.kind)
        self.pairs: tuple[Pair, ...] = trial.layer_map.pairs() if trial.loss.hidden else ()
        self.reads = self.kind.activations(s for s, _ in self.pairs)
        self._trial, self._group = trial, group
        self._statistics = statistics or {} if self.kind.standardized else None
        self._heads = getattr(model.config, "num_attention_heads", 0)
        self._mask = partial(release_mask, model)
        self._forward = {
            "pair": self._of_pairs, "padded_pair": self._of_padded_pairs, "blocks": self._of_blocks,
        }[self.kind.form]  # fmt: skip
        self._function = self.kind.with_options(trial.loss.options)
        # Projections are drawn at a weight of 0 too: the angle probe uses them.
        projects = self.kind.projects or not self.pairs
        projected = [s for s, _ in trial.layer_map.pairs()] if projects else []
        seed = stream(trial.seed, "projections")
        self.projections = build_projections(projected, width(model), teacher_width, seed)
        weights = _weights(self.kind, trial.layer_map, width(model), teacher_width)
        self.weights = _drawn(weights if self.pairs else {}, stream(trial.seed, "matching"))
        self.names = [f"hidden_{term}" for term in self.kind.terms] if self.pairs else []
        if self.kind.form != "blocks":
            self.names = [f"hidden_{s.number}_to_{t.number}" for s, t in self.pairs]

    @property
    def gathers(self) -> bool:
        """Whether every worker takes part in the loss of every batch, with or without rows."""
        return bool(self.pairs) and not self.kind.additive and self._group.world > 1

    def forward(
        self, student_BTD: Values, teacher_ND: Values, teacher_BTD: Values, batch: Batch
    ) -> Value:
        """`student_BTD` holds the student's activations, `teacher_ND` the teacher's at the valid
        tokens, `teacher_BTD` the same with padding, for kinds that include it."""
        losses = self._forward(student_BTD, teacher_ND, teacher_BTD, batch)
        return self._summed(losses)

    def without_rows(self, batch: Batch) -> Value:
        """The share of a worker without rows in a batch, for a kind that gathers all rows."""
        device = batch.valid.device
        student_ND, teacher_ND = torch.zeros(0, 0, device=device), torch.zeros(0, 0, device=device)
        if self.kind.form == "blocks":
            student = dict.fromkeys(self.reads, student_ND)
            teacher = dict.fromkeys(self.kind.activations(t for _, t in self.pairs), teacher_ND)
            lengths_B = torch.zeros(0, dtype=torch.int64, device=device)
            return self._summed(self._of_gathered_blocks(student, teacher, lengths_B, batch))
        stacks = [s.stack for s, _ in self.pairs]
        return self._summed(
            [self._of_whole_batch(student_ND, teacher_ND, s, batch) for s in stacks]
        )

    def _summed(self, losses: list[Tensor]) -> Value:
        if not self.kind.additive:  # the loss of the whole batch, which all workers computed
            losses = [loss / self._group.world for loss in losses]
        stacked = torch.stack(losses)
        if self.kind.form == "blocks" or not self.kind.averages:
            return stacked.sum(), losses
        return stacked.mean(), losses

    def _of_pairs(
        self, student_BTD: Values, teacher_ND: Values, teacher_BTD: Values, batch: Batch
    ) -> list[Tensor]:
        losses = []
        for s, t in self.pairs:
            student_ND = valid(student_BTD[s], batch.valid_in(s.stack))
            student_ND = project(self.projections, s, student_ND)
            target_ND = teacher_ND[t]
            if self._statistics is not None:
                standardize = self._statistics[t].standardize
                student_ND, target_ND = standardize(student_ND), standardize(target_ND)
            losses.append(self._of_whole_batch(student_ND, target_ND, s.stack, batch))
        return losses

    def _of_whole_batch(
        self, student_ND: Tensor, teacher_ND: Tensor, stack: Stack, batch: Batch
    ) -> Tensor:
        if self.gathers:
            student_ND = self._group.gather_rows(_with_graph(student_ND))
            teacher_ND = self._group.gather_rows(teacher_ND)
        loss: Tensor = self._function(student_ND, teacher_ND, batch.count_in(stack), batch.examples)
        return loss

    def _of_padded_pairs(
        self, student_BTD: Values, teacher_ND: Values, teacher_BTD: Values, batch: Batch
    ) -> list[Tensor]:
        masks = {s.stack: self._mask(batch, s.stack) for s, _ in self.pairs}
        return [
            self._function(
                project(self.projections, s, student_BTD[s]), teacher_BTD[t], masks[s.stack]
            )
            for s, t in self.pairs
        ]

    def _of_blocks(
        self, student_BTD: Values, teacher_ND: Values, teacher_BTD: Values, batch: Batch
    ) -> list[Tensor]:
        student_ND = {}
        for activation, x_BTD in student_BTD.items():
            x_ND = valid(x_BTD, batch.valid)
            student_ND[activation] = (
                x_ND if activation.inside else project(self.projections, activation, x_ND)
            )
        mask_BT = batch.inputs["attention_mask"].bool()
        if self.gathers:
            return self._of_gathered_blocks(student_ND, teacher_ND, mask_BT.sum(1), batch)
        rows = Rows(mask_BT, batch.valid, batch.examples, batch.tokens)
        return self._terms(student_ND, teacher_ND, rows, batch)

    def _of_gathered_blocks(
        self, student_ND: Values, teacher_ND: Values, lengths_B: Tensor, batch: Batch
    ) -> list[Tensor]:
        # Sorted: workers must gather in one order.
        student = {
            a: self._group.gather_rows(_with_graph(student_ND[a])) for a in sorted(student_ND)
        }
        teacher = {a: self._group.gather_rows(teacher_ND[a]) for a in sorted(teacher_ND)}
        lengths = self._group.gather_rows(lengths_B[:, None].float())[:, 0].long()
        rows = Rows.of_lengths(lengths, batch.examples, batch.tokens)
        return self._terms(student, teacher, rows, batch)

    def _terms(
        self, student_ND: Values, teacher_ND: Values, rows: Rows, batch: Batch
    ) -> list[Tensor]:
        layer_map = self._trial.layer_map
        if self.kind.map_of_epoch is not None:
            layer_map = self.kind.map_of_epoch(layer_map, self._trial.seed, batch.epoch)
        inputs = HiddenInputs(
            layer_map.pairs(), student_ND, teacher_ND, rows, self._heads, dict(self.weights)
        )
        return list(self._function(inputs))


def _with_graph(x_ND: Tensor) -> Tensor:
    """x_ND as part of a graph on every worker, since the backward pass of a gather waits for all of
    them: states of frozen embeddings have no graph, nor has a worker without rows."""
    return x_ND if x_ND.requires_grad else x_ND.detach().requires_grad_()


def release_mask(model: PreTrainedModel, batch: Batch, stack: Stack) -> Tensor:
    """The token mask of a stack in the paper's release, [B, T] of booleans: the mask of the source,
    or one derived from the ids that the decoder reads."""
    if stack == "encoder":
        return batch.inputs["attention_mask"].bool()
    read_BT: Tensor = model.prepare_decoder_input_ids_from_labels(batch.inputs["labels"])
    return read_BT.ne(model.config.pad_token_id)


def _weights(
    kind: HiddenLoss, layer_map: LayerMap, student_width: int, teacher_width: int
) -> dict[str, TrainedWeight]:
    return {} if kind.weights is None else kind.weights(layer_map, student_width, teacher_width)


def _drawn(weights: Mapping[str, TrainedWeight], seed: int) -> nn.ParameterDict:
    generator = torch.Generator().manual_seed(seed)
    parameters = nn.ParameterDict()
    for name, weight in weights.items():
        values = torch.zeros(weight.shape)
        if not weight.zeros:
            nn.init.xavier_uniform_(values, generator=generator)
        parameters[name] = nn.Parameter(values)
    return parameters
