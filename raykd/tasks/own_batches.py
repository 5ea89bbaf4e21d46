"""Batches of tensors that a caller made, as batches of the training loop.

Shapes: B examples, T padded tokens, U padded target tokens.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto

from raykd.data.batches import Batch

IGNORED = -100  # label of a position without a loss, in transformers

CLASSES: dict[str, Mapping[str, Any]] = {
    "classification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "seq2seq": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    "causal_lm": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
}


def kind_of(model: PreTrainedModel) -> str:
    """The kind of task, as in `registry.tasks`, that the class of a model is for. Raises
    ValueError if it is for none."""
    bases = {base.__name__ for base in type(model).__mro__}
    for kind, names in CLASSES.items():
        if kind != "classification" and model.config.is_encoder_decoder != (kind == "seq2seq"):
            continue
        if bases & set(names.values()):
            return kind
    raise ValueError(
        f"{type(model).__name__} is no model that raykd distils; load it with "
        "AutoModelForSequenceClassification, AutoModelForCausalLM or AutoModelForSeq2SeqLM"
    )


@dataclass(frozen=True)
class BatchReader:
    """Reads the batches of a caller for models of one kind.

    `inputs` are the names of tensors that the models take; `classes` is the number of classes of a
    classifier.
    """

    kind: str
    inputs: frozenset[str]
    classes: int

    @classmethod
    def of(cls, kind: str, *models: PreTrainedModel) -> BatchReader:
        taken = frozenset({"input_ids", "attention_mask"})
        if kind != "seq2seq":
            called = [m if kind == "classification" else m.base_model for m in models]
            taken = frozenset.intersection(*map(_parameters, called))
        return cls(kind, taken - {"labels"}, int(models[0].config.num_labels))

    def tensors(self, content: Mapping[str, Any], name: str) -> dict[str, Tensor]:
        """The tensors of a batch, on the CPU, checked. `name` is that of the batch in errors.
        Raises ValueError."""
        if not isinstance(content, Mapping):
            raise ValueError(
                f"{name} is a {type(content).__name__}; yield dicts with input_ids, "
                "attention_mask and labels"
            )
        for key in ("input_ids", "attention_mask"):
            if key not in content:
                advice = "; it has 1 at tokens and 0 at padding" if key != "input_ids" else ""
                raise ValueError(f"{name} has no {key}{advice}")
        for key in content:
            if key not in self.inputs and key != "labels":
                raise ValueError(f"{name}: {key} is no input of the models here; leave it out")
        found = {k: torch.as_tensor(v).cpu() for k, v in content.items() if v is not None}
        ids_BT, mask_BT = found["input_ids"], found["attention_mask"]
        if ids_BT.ndim != 2 or mask_BT.shape != ids_BT.shape:
            raise ValueError(
                f"{name}: input_ids is {list(ids_BT.shape)} and attention_mask "
                f"{list(mask_BT.shape)}; both are [examples, tokens]"
            )
        if not bool(mask_BT.bool().any(1).all()):
            raise ValueError(f"{name}: a row of attention_mask is all zeros; leave such rows out")
        if "labels" in found:
            self._check_labels(found["labels"], ids_BT, name)
        elif self.kind == "seq2seq":
            raise ValueError(f"{name} has no labels; the decoder reads them, shifted by one")
        return found

    def _check_labels(self, labels: Tensor, ids_BT: Tensor, name: str) -> None:
        if labels.is_floating_point():
            raise ValueError(f"{name}: labels are {labels.dtype}; write whole numbers")
        if self.kind == "classification":
            if labels.shape != ids_BT.shape[:1]:
                raise ValueError(f"{name}: labels are {list(labels.shape)}; they are [examples]")
            if not 0 <= int(labels.min()) <= int(labels.max()) < self.classes:
                raise ValueError(f"{name}: labels go from 0 to {self.classes - 1}")
        elif self.kind == "causal_lm" and labels.shape != ids_BT.shape:
            raise ValueError(f"{name}: labels are {list(labels.shape)}; as input_ids they are "
                             f"{list(ids_BT.shape)}")  # fmt: skip
        elif self.kind == "seq2seq":
            mask_BU = labels != IGNORED
            if labels.ndim != 2 or len(labels) != len(ids_BT) or bool(
                (mask_BU[:, 1:] & ~mask_BU[:, :-1]).any() or not mask_BU.any(1).all()
            ):  # fmt: skip
                raise ValueError(
                    f"{name}: labels are [examples, target tokens], with {IGNORED} at the padding "
                    "at the end of each row"
                )

    def batch(self, tensors: Mapping[str, Tensor], ids: np.ndarray | None = None) -> Batch:
        """The batch of these tensors, with a loss position for each example or target token.
        `ids` identify its examples for a store of teacher outputs."""
        inputs = {k: x.long() if not x.is_floating_point() else x for k, x in tensors.items()}
        labels = inputs.pop("labels", None)
        mask_BT = inputs["attention_mask"].bool()
        examples = len(mask_BT)
        valid = mask_BT.flatten().nonzero().squeeze(1)
        places: Tensor | None = None
        if self.kind == "causal_lm":
            places = valid
            if labels is not None:
                # The model predicts the label of a token at the token before it.
                next_BT = torch.full_like(labels, IGNORED)
                next_BT[:, :-1] = labels[:, 1:].masked_fill(~mask_BT[:, 1:], IGNORED)
                places = ((next_BT != IGNORED) & mask_BT).flatten().nonzero().squeeze(1)
                labels = next_BT.flatten()[places]
        elif self.kind == "seq2seq":
            assert labels is not None
            inputs["labels"] = labels
            places = (labels != IGNORED).flatten().nonzero().squeeze(1)
            labels = labels.flatten()[places]
        positions = examples if places is None else len(places)
        if labels is None:  # with a weight of 0 on the cross entropy
            labels = torch.zeros(positions, dtype=torch.int64)
        ids = np.arange(examples) if ids is None else ids
        return Batch(ids, inputs, valid, labels, examples, len(valid), positions, places)


def _parameters(model: PreTrainedModel) -> frozenset[str]:
    """The names of what a model takes."""
    named = inspect.signature(model.forward).parameters.values()
    return frozenset(p.name for p in named if p.kind is not inspect.Parameter.VAR_KEYWORD)
