"""The hidden loss of one trial: the activations it reads, its trained weights and its value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from raykd.config.trial import TrialSpec
from raykd.data.batches import Batch, valid
from raykd.losses.hidden.inputs import HiddenInputs, Rows
from raykd.losses.hidden.registry import HiddenLoss, TrainedWeight, hidden_loss
from raykd.losses.hidden.schedule import Weights
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


@dataclass(frozen=True)
class PairLoss:
    """The loss of one matched pair: its kind, its function with options, and its weight."""

    student: Activation
    teacher: Activation
    kind: HiddenLoss
    function: Callable[..., Tensor]
    weight: float = 1.0


def pair_losses(trial: TrialSpec) -> list[PairLoss]:
    """The losses of the matched pairs of a trial, in the order of the pairs. A pair with a loss of
    its own has the default options of that loss."""
    kinds = {kind: hidden_loss(kind) for kind in trial.hidden_kinds}
    default = kinds[trial.loss.kind]
    function = default.with_options(trial.loss.options)
    return [
        PairLoss(s, t, default, function, weight)
        if kind in (None, trial.loss.kind)
        else PairLoss(s, t, kinds[kind], kinds[kind].with_options(None), weight)
        for (s, t), (weight, kind) in zip(
            trial.layer_map.pairs(), trial.layer_map.pair_terms(), strict=True
        )
    ]


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
        self._statistics = statistics or {}
        self._heads = getattr(model.config, "num_attention_heads", 0)
        self._mask = partial(release_mask, model)
        self._forward = {
            "pair": self._of_pairs, "padded_pair": self._of_padded_pairs, "blocks": self._of_blocks,
        }[self.kind.form]  # fmt: skip
        self._function = self.kind.with_options(trial.loss.options)
        self._pair_losses = pair_losses(trial) if trial.loss.hidden else []
        # Projections are drawn at a weight of 0 too: the angle probe uses them.
        projects = self.kind.projects or any(p.kind.projects for p in self._pair_losses)
        projects = projects or not self.pairs
        projected = [s for s, _ in trial.layer_map.pairs()] if projects else []
        seed = stream(trial.seed, "projections")
        self.projections = build_projections(projected, width(model), teacher_width, seed)
        weights = _weights(self.kind, trial.layer_map, width(model), teacher_width)
        self.weights = _drawn(weights if self.pairs else {}, stream(trial.seed, "matching"))
        self.names = [f"hidden_{term}" for term in self.kind.terms] if self.pairs else []
        if self.kind.form != "blocks":
            self.names = [_name(pair) for pair in self.pairs]

    @property
    def gathers(self) -> bool:
        """Whether every worker takes part in the loss of every batch, with or without rows."""
        whole = any(not pair.kind.additive for pair in self._pair_losses)
        return whole and self._group.world > 1

    def computed(self, first: int, end: int) -> dict[str, int]:
        """Return at how many of the steps from `first` (0-based) to before `end` each term is
        computed, by name; empty without a schedule, as then all are computed at every step."""
        loss, steps = self._trial.loss, self._trial.training.steps
        if loss.schedule is None or not self.pairs:
            return {}
        counts = dict.fromkeys(["hidden", *self.names], 0)
        for step in range(first, end):
            weights = loss.weights(step, steps)
            if weights.hidden:
                pairs = [_name((p.student, p.teacher)) for p in self._active(weights)]
                on = self.names if self.kind.form == "blocks" else pairs
                for name in ("hidden", *on):
                    counts[name] += 1
        return counts

    def forward(
        self, student_BTD: Values, teacher_ND: Values, teacher_BTD: Values, batch: Batch,
        weights: Weights,
    ) -> Value:  # fmt: skip
        """`student_BTD` holds the student's activations, `teacher_ND` the teacher's at the valid
        tokens, `teacher_BTD` the same with padding, for kinds that include it. Terms of pairs that
        are off are 0."""
        active = self._active(weights)
        losses = self._forward(student_BTD, teacher_ND, teacher_BTD, batch, active)
        return self._summed(losses, active)

    def without_rows(self, batch: Batch, weights: Weights) -> Value:
        """The share of a worker without rows in a batch, for a loss that gathers all rows."""
        active = self._active(weights)
        device = batch.valid.device
        student_ND, teacher_ND = torch.zeros(0, 0, device=device), torch.zeros(0, 0, device=device)
        if self.kind.form == "blocks":
            student = dict.fromkeys(self.reads, student_ND)
            teacher = dict.fromkeys(self.kind.activations(t for _, t in self.pairs), teacher_ND)
            lengths_B = torch.zeros(0, dtype=torch.int64, device=device)
            losses = self._of_gathered_blocks(student, teacher, lengths_B, batch)
            return self._summed(losses, active)
        nothing = torch.zeros((), device=device)
        losses = [
            nothing if pair.kind.additive
            else self._of_whole_batch(pair, student_ND, teacher_ND, batch)
            for pair in active
        ]  # fmt: skip
        return self._summed(losses, active)

    def _active(self, weights: Weights) -> list[PairLoss]:
        """The pairs that are on at a step."""
        if weights.progress is None:
            return self._pair_losses
        on = set(weights.active(self.pairs))
        return [p for p in self._pair_losses if (p.student, p.teacher) in on]

    def _summed(self, losses: list[Tensor], active: list[PairLoss]) -> Value:
        if self.kind.form == "blocks":
            losses = [self._share(self.kind, loss) for loss in losses]
            return torch.stack(losses).sum(), losses
        losses = [self._share(p.kind, loss) for p, loss in zip(active, losses, strict=True)]
        weighted = torch.stack(
            [x if p.weight == 1 else p.weight * x for p, x in zip(active, losses, strict=True)]
        )
        value = weighted.mean() if self.kind.averages else weighted.sum()
        by_pair = {(p.student, p.teacher): x for p, x in zip(active, losses, strict=True)}
        off = torch.zeros_like(value)
        return value, [by_pair.get(pair, off) for pair in self.pairs]

    def _share(self, kind: HiddenLoss, loss: Tensor) -> Tensor:
        """This worker's share. A loss of the whole batch was computed by all workers."""
        return loss if kind.additive else loss / self._group.world

    def _of_pairs(
        self, student_BTD: Values, teacher_ND: Values, teacher_BTD: Values, batch: Batch,
        active: list[PairLoss],
    ) -> list[Tensor]:  # fmt: skip
        losses = []
        for pair in active:
            s, t = pair.student, pair.teacher
            student_ND = valid(student_BTD[s], batch.valid_in(s.stack))
            target_ND = teacher_ND[t]
            if pair.kind.projects:
                student_ND = project(self.projections, s, student_ND)
            if pair.kind.standardized:
                standardize = self._statistics[t].standardize
                student_ND, target_ND = standardize(student_ND), standardize(target_ND)
            losses.append(self._of_whole_batch(pair, student_ND, target_ND, batch))
        return losses

    def _of_whole_batch(
        self, pair: PairLoss, student_ND: Tensor, teacher_ND: Tensor, batch: Batch
    ) -> Tensor:
        if not pair.kind.additive and self._group.world > 1:
            student_ND = self._group.gather_rows(_with_graph(student_ND))
            teacher_ND = self._group.gather_rows(teacher_ND)
        count = batch.count_in(pair.student.stack)
        return pair.function(student_ND, teacher_ND, count, batch.examples)

    def _of_padded_pairs(
        self, student_BTD: Values, teacher_ND: Values, teacher_BTD: Values, batch: Batch,
        active: list[PairLoss],
    ) -> list[Tensor]:  # fmt: skip
        masks = {p.student.stack: self._mask(batch, p.student.stack) for p in active}
        return [
            pair.function(
                project(self.projections, pair.student, student_BTD[pair.student]),
                teacher_BTD[pair.teacher], masks[pair.student.stack],
            )
            for pair in active
        ]  # fmt: skip

    def _of_blocks(
        self, student_BTD: Values, teacher_ND: Values, teacher_BTD: Values, batch: Batch,
        active: list[PairLoss],  # all: a schedule switches no pairs of these kinds
    ) -> list[Tensor]:  # fmt: skip
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


def _name(pair: Pair) -> str:
    return f"hidden_{pair[0].number}_to_{pair[1].number}"


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
