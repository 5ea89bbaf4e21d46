"""One student in training: its weights, optimiser, running losses and best state so far."""

from __future__ import annotations

import time
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from raykd.config.trial import TrialSpec, learning_rate
from raykd.data.batches import Batch
from raykd.losses import outputs
from raykd.losses.hidden.schedule import Weights
from raykd.losses.hidden.statistics import Statistics
from raykd.losses.hidden_module import HiddenLossModule
from raykd.models.capture import ActivationCapture, stacks
from raykd.models.embedding_rows import train_rows
from raykd.models.router import router_loss
from raykd.models.student import freeze_embeddings
from raykd.runtime.execution import Execution
from raykd.runtime.group import GradientSum
from raykd.runtime.seeds import reseed, stream
from raykd.tasks.task import Task
from raykd.teachers.targets import Targets
from raykd.training.loss_scaler import LossScaler
from raykd.training.trained_weights import TrainedWeights, copied

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def moved(module: ModuleT, device: torch.device) -> ModuleT:
    """Move the module to the device. A module already on it is not touched: dry_run.py trains on
    fake tensors, which torch cannot move."""
    parameter = next(module.parameters(), None)
    return module if parameter is None or parameter.device == device else module.to(device)


KEPT = ("counted", "steps", "best_score", "best_step", "examples", "seconds")
"""Plain attributes of a learner that its checkpoint holds under the same names."""


class Learner:
    """A trial's student in training. Its results are independent of the rest of its cohort."""

    def __init__(
        self,
        trial: TrialSpec,
        model: PreTrainedModel,
        family: Task,
        teacher_width: int,
        where: Execution,
        used: Tensor | None = None,
        statistics: Statistics | None = None,
    ) -> None:
        """`used`: the token ids that occur in the training rows; None means the full vocabulary.
        `statistics`: of the teacher's states, for hidden losses that standardise."""
        self.trial = trial
        device, group = where.device, where.group
        self.model = moved(model, device)
        self.family = family
        self.hidden = HiddenLossModule(trial, model, teacher_width, group, statistics)
        self.router = router_loss(model)
        # Hooks cannot read tensors inside a compiled block; only its input and output states.
        inside = any(activation.inside for activation in self.hidden.reads)
        if where.compile and not inside and self.router is None:
            # Block by block: identical blocks are compiled once, and hooks keep working.
            for blocks in stacks(model).values():
                for block in blocks:
                    block.compile(dynamic=True)
        if trial.training.freeze_embeddings:
            freeze_embeddings(model)
        self.embedding_rows = None if used is None else train_rows(self.model, used)
        adapters = trial.training.lora is not None
        self.weights = TrainedWeights(model, self.embedding_rows, self._decay, adapters)
        moved(self.hidden, device)
        self.projections.requires_grad_(not trial.training.frozen_projections)
        self.taps = ActivationCapture(model, self.hidden.reads)
        trained = [self.model, self.hidden]
        self.parameters: list[nn.Parameter] = [
            p for m in trained for p in m.parameters() if p.requires_grad
        ]
        if self.embedding_rows is not None:
            self.parameters.insert(0, self.embedding_rows.rows)
        groups: list[dict[str, Any]] = [  # no weight decay on biases and norms
            {"params": [p for p in self.parameters if p.ndim > 1]},
            {"params": [p for p in self.parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups, lr=trial.training.lr, weight_decay=trial.training.weight_decay, fused=True
        )
        scaled = where.precision == "fp16"
        self.scaler = LossScaler(self.optimizer, trial.training.steps, device) if scaled else None
        self.class_weights = outputs.class_weights(trial.loss.class_weights, model.config, device)
        self.group = group
        self.gradients = GradientSum(self.parameters, group)
        self.autocast = where.autocast()
        router_names = [] if self.router is None else ["router"]
        self.names = ["loss", "ce", "kl", "hidden", *router_names, *self.hidden.names]
        self.sums = torch.zeros(len(self.names), device=device)
        self.counted = self.examples = self.steps = 0
        self.best_score, self.best_step = float("-inf"), 0
        self.best: dict[str, Tensor] = {}
        self.failure: str | None = None
        self.pruned = False
        self.seconds = 0.0

    @property
    def projections(self) -> nn.ModuleDict:
        """From the student's width to the teacher's, by the matched student state."""
        return self.hidden.projections

    @property
    def training(self) -> bool:
        """Whether the student is neither diverged nor pruned."""
        return self.failure is None and not self.pruned

    @property
    def skipped_steps(self) -> int:
        """How many steps were skipped so far, as gradients overflowed in fp16. The host waits."""
        return 0 if self.scaler is None else len(self.scaler.skipped_steps())

    def prune(self) -> None:
        """Drop the student from its cohort and free its memory."""
        self.pruned = True
        self._release()

    def backward(
        self, batch: Batch, targets: Targets | None, step: int, part: int = 0, parts: int = 1
    ) -> None:
        """Run forward and backward on one part of this worker's share. After the last part, the
        all-reduce of the gradients starts."""
        start = time.perf_counter()
        # Seeded at every step: dropout depends only on seed, step, worker and part, so other
        # students in the cohort, an interruption or another strategy do not change the noise.
        part_key = (part,) if part else ()
        reseed(stream(self.trial.seed, "step", step, self.group.rank, *part_key))
        self.model.train()
        if part == 0:
            self.examples += batch.examples
        weights = self.trial.loss.weights(step, self.trial.training.steps)
        terms: list[Tensor] = []
        if batch.labels is not None and len(batch.labels):
            terms = self._losses(batch, targets, weights)
        elif self.hidden.gathers and weights.hidden:
            terms = self._losses_without_rows(batch, weights)
        if terms:
            loss = terms[0] if self.scaler is None else self.scaler.scale(terms[0])
            loss.backward()  # type: ignore[no-untyped-call]
            self.taps.clear()  # gradient checkpointing captures states again as it recomputes
            if self.router is not None:
                self.router.clear()
            self.sums += torch.stack([t.detach() for t in terms])
        if part == parts - 1:
            self.counted += 1
            self.gradients.start()
        self.seconds += time.perf_counter() - start

    def _losses(self, batch: Batch, targets: Targets | None, weights: Weights) -> list[Tensor]:
        loss = self.trial.loss
        assert batch.labels is not None
        with self.autocast:
            student_outputs = self.family.forward(self.model, batch)
            teacher_outputs = targets.outputs if targets is not None and loss.kl else None
            ce, kl = outputs.outputs(
                student_outputs, teacher_outputs, batch.labels, loss.temperature, batch.positions,
                self.class_weights,
            )  # fmt: skip
        hidden = torch.zeros_like(ce)
        terms = [hidden] * len(self.hidden.names)
        # At a weight of 0, neither the loss nor the gradients of its projections are computed.
        if targets is not None and self.hidden.pairs and weights.hidden:
            hidden, terms = self.hidden(
                self.taps.values, targets.states_ND, targets.states_BTD, batch, weights
            )
        self.taps.clear()
        total = weights.ce * ce + weights.kl * kl + weights.hidden * hidden
        if self.router is not None:
            router = self.router(batch)
            total, terms = total + self.router.weight * router, [router, *terms]
        return [total, ce, kl, hidden, *terms]

    def _losses_without_rows(self, batch: Batch, weights: Weights) -> list[Tensor]:
        """This worker's share in a loss of the whole batch, of which it has no rows."""
        hidden, terms = self.hidden.without_rows(batch, weights)
        none = torch.zeros_like(hidden)
        terms = terms if self.router is None else [none, *terms]
        return [weights.hidden * hidden, none, none, hidden, *terms]

    def update(self, step: int) -> None:
        """One optimiser step on the summed gradients. In fp16 it is skipped if one is not finite:
        weights and moments stay as they are, and the rate goes on with the steps."""
        start = time.perf_counter()
        self.gradients.wait()
        self.steps = step + 1
        # A batch without loss positions gives no gradients, which a scaler does not take.
        scaler = self.scaler if any(p.grad is not None for p in self.parameters) else None
        if scaler is not None:
            scaler.unscale()
        nn.utils.clip_grad_norm_(self.parameters, self.trial.training.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.trial, step)
        skipped = None if scaler is None else scaler.step(step)
        if scaler is None:
            self.optimizer.step()
        if self.embedding_rows is not None:
            self.embedding_rows.decayed(self._decay(step), skipped)
        self.optimizer.zero_grad(set_to_none=True)  # frees the gradients until the next step
        self.seconds += time.perf_counter() - start

    def running_losses(self, step: int) -> dict[str, float]:
        """Return the mean loss terms since the last call, and stop the student if it diverged. In
        fp16, also the number of steps that were skipped since the beginning."""
        means = self.mean_losses()
        if not means["loss"] <= self.trial.training.diverged:  # NaN compares false
            advice = "" if self.scaler is None else "; a pass may overflow in fp16, so try fp32"
            self.failure = f"diverged: training loss {means['loss']:.4g} at step {step}{advice}"
            self._release()
        if self.scaler is not None:
            means["skipped_steps"] = float(self.skipped_steps)
        return means

    def mean_losses(self) -> dict[str, float]:
        """Return the mean loss terms since the last call, by name, over the steps at which they
        were computed, without terms that never were. Only here the host waits for the device."""
        values = (self.group.sum(self.sums.clone()) / max(1, self.counted)).tolist()
        means = dict(zip(self.names, values, strict=True))
        for name, steps in self.hidden.computed(self.steps - self.counted, self.steps).items():
            mean = means.pop(name)
            if steps:
                means[name] = mean * self.counted / steps
        self.sums.zero_()
        self.counted = 0
        return means

    def _release(self) -> None:
        """Free the memory of a student that left its cohort."""
        self.taps.remove()
        self.model.to("meta")
        self.hidden.to("meta")
        if self.embedding_rows is not None:
            self.embedding_rows.release()
        self.parameters.clear()
        self.optimizer.param_groups.clear()
        self.optimizer.state.clear()
        self.best.clear()

    def keep_best(self, score: float, step: int, sign: int = 1) -> None:
        """Keep the weights if `score` on select is the best so far; the earliest wins a tie. With
        `sign` -1 the smallest is the best."""
        best = sign * self.best_score if self.best_step else float("-inf")
        if sign * score > best:
            self.best_score, self.best_step = score, step
            # No copy is needed after the last step, when the model holds the weights, and of an
            # explored student, of which only the score counts.
            needed = step < self.trial.training.steps and self.trial.phase != "explore"
            self.best = copied(self.weights.current()) if needed else {}

    def restore_best(self) -> None:
        if self.best:
            self.weights.load(self.best)

    def _decay(self, step: int) -> float:
        """Return the factor of weight decay at `step` (0-based), if it is not skipped."""
        return 1 - learning_rate(self.trial, step) * self.trial.training.weight_decay

    def state(self) -> dict[str, Any]:
        """Return what a resume needs: tensors and plain values only, readable without pickle."""
        if not self.training:
            return {"failure": self.failure, "pruned": self.pruned}
        return {
            "failure": None,
            "pruned": False,
            **self.weights.state(self.steps, self.best, self.best_step),
            "projections": self.projections.state_dict(),
            # Named as in raykd 0.1.0, so that its checkpoints can be read.
            "matching": {f"_weights.{k}": v for k, v in self.hidden.weights.items()},
            "optimizer": self.optimizer.state_dict(),
            "sums": self.sums,
            **({} if self.scaler is None else self.scaler.state()),
            **{name: getattr(self, name) for name in KEPT},
        }

    def load(self, state: dict[str, Any]) -> None:
        self.failure, self.pruned = state["failure"], state["pruned"]
        if not self.training:
            self._release()
            return
        for name in KEPT:  # "steps" is not in the checkpoints of 0.1.0
            setattr(self, name, state.get(name, getattr(self, name)))
        skipped = frozenset(state.get("skipped", ()))  # in the checkpoints of fp16
        self.best = self.weights.restore(state, self.steps, self.best_step, skipped)
        self.projections.load_state_dict(state["projections"])
        matching = {k.removeprefix("_weights."): v for k, v in state["matching"].items()}
        self.hidden.weights.load_state_dict(matching)
        self.optimizer.load_state_dict(state["optimizer"])
        self.sums.copy_(state["sums"])
        if self.scaler is not None and "scaler" in state:
            self.scaler.load(state)
