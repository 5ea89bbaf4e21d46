"""The weights of a student that its checkpoint must hold: those that training changes, each once.

The others are made anew where a student is built: frozen parameters, the base of adapters, and the
embedding rows of tokens that no training row has. Weight decay is the only change of such rows, and
it depends on the step alone, so it is applied again, step by step, with the same roundings. Steps
that were skipped (loss_scaler.py) have none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from raykd.models.embedding_rows import EmbeddingRows, decay

Weights = dict[str, Tensor]

SAMPLED = 1024  # rows of a parameter whose initial values are compared
INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes of an element


def copied(weights: Mapping[str, Tensor]) -> Weights:
    """Return copies in the host's memory."""
    return {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}


class TrainedWeights:
    """Reads and writes the weights of a model that training changes."""

    def __init__(
        self,
        model: nn.Module,
        rows: EmbeddingRows | None,
        decay_at: Callable[[int], float],
        adapters: bool,
    ) -> None:
        """`model`: before its first step. `rows`: its word embedding, if only rows of it are
        trained. `decay_at` returns the factor of weight decay at a step (0-based). `adapters`:
        whether only the weights of LoRA are trained."""
        self._model, self._rows, self._decay_at, self._adapters = model, rows, decay_at, adapters
        self._table, self._left_out = "", set[str]()
        constant, seen = list[Tensor](), set[int]()
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if rows is not None and parameter is rows.weight:
                self._table = name
                constant.append(parameter)
            elif id(parameter) in seen:  # tied to one that has another name
                self._left_out.add(name)
            elif not parameter.requires_grad:
                self._left_out.add(name)
                constant += [] if adapters else [parameter]
            seen.add(id(parameter))
        self._initial = _checksum(constant)

    def current(self) -> Weights:
        """Return the weights by name, as the model has them now: not copied."""
        weights: Weights = self._model.state_dict()
        if self._adapters:
            return {name: value for name, value in weights.items() if ".lora_" in name}
        return {name: value for name, value in weights.items() if name not in self._left_out}

    def load(self, weights: Weights) -> None:
        """Load weights that `current` returned, or all of a model. Raises RuntimeError for names
        that the model does not have."""
        names = self._model.load_state_dict(weights, strict=False)
        if names.unexpected_keys:
            raise RuntimeError(f"the model has no weights {names.unexpected_keys}")

    def state(self, updates: int, best: Weights, best_step: int) -> dict[str, Any]:
        """Return what a checkpoint holds after `updates` (0 if their number is unknown): the
        weights of the `model`, the `best` so far, None if they are the same, and the checksum of
        the `initial` values that are left out."""
        shorten = self._trained_rows if updates else lambda weights: weights
        same = bool(best) and best_step == updates
        return {
            "model": shorten(self.current()),
            "best": None if same else shorten(best),
            "initial": int(self._initial),
        }

    def begins_as(self, state: Mapping[str, Any]) -> bool:
        """Return whether the model was built with the weights that a checkpoint leaves out. Another
        version of a package may draw others. Checkpoints of raykd 0.1.0 leave nothing out."""
        return int(state.get("initial", self._initial)) == int(self._initial)

    def restore(
        self, state: Mapping[str, Any], updates: int, best_step: int, skipped: Collection[int] = ()
    ) -> Weights:
        """Load the model's weights from a checkpoint, and return copies of the best. The model must
        be as it was before its first step. `skipped`: steps (0-based) that changed no weight.
        Checkpoints of raykd 0.1.0 hold whole tables."""
        table, done = None, 0
        whole = dict[str, Weights]()
        for name, end in (("best", best_step), ("model", updates)):
            weights = state[name] or {}
            if self._rows is not None and len(weights.get(self._table, ())) == len(self._rows.used):
                table = self._rows.weight.detach().clone() if table is None else table
                taken = (step for step in range(done, end) if step not in skipped)
                factors = (self._decay_at(step) for step in taken)
                decay(table, [factor for factor in factors if factor != 1.0])
                rows, done = weights[self._table].to(table), end
                weights = {**weights, self._table: table.index_copy(0, self._rows.used, rows)}
            whole[name] = weights
        self.load(whole["model"])
        return copied(whole["model" if state["best"] is None else "best"])

    def _trained_rows(self, weights: Weights) -> Weights:
        """Return the weights with only those rows of the word embedding that are trained."""
        if self._rows is None or self._table not in weights:
            return weights
        table = weights[self._table]
        return {**weights, self._table: table[self._rows.used.to(table.device)]}


def _checksum(tensors: list[Tensor]) -> Tensor:
    """Return the sum of some rows of each tensor, read as integers."""
    total = torch.zeros((), dtype=torch.int64)
    for tensor in tensors:
        rows = tensor.detach()[:: max(1, len(tensor) // SAMPLED)] if tensor.ndim else tensor
        bits = rows.contiguous().view(INTEGERS[tensor.element_size()])
        total = total.to(bits.device) + bits.sum(dtype=torch.int64)
    return total
