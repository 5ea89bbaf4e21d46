"""Sequence classification: loading, forward, scores, predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from raykd.batches import Batch
from raykd.errors import UserError


def load_model(folder: Path, labels: tuple[str, ...], *, trained: bool) -> PreTrainedModel:
    """A classifier over `labels` from a local folder, in fp32.

    Only safetensors are read, and no code comes with them. Where the model is not `trained` yet,
    a head (or pooler) that it lacks starts from torch's current seed. Raises UserError where
    anything else is lacking: transformers would fill it with noise.
    """
    logging.disable_progress_bar()
    try:
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={name: i for i, name in enumerate(labels)},
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except SafetensorError as error:
        raise UserError(
            f"teacher.model: {folder}: the weights cannot be read ({error}); copy them anew"
        ) from error
    lacking = {*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])}
    encoder = f"{model.base_model_prefix}."
    body = {n for n in lacking if n.startswith(encoder) and ".pooler." not in n}
    if body:
        raise UserError(
            f"teacher.model: {folder}: its configuration asks for {len(body)} weights that it does "
            f"not have in that shape ({min(body)}); config.json belongs to another model"
        )
    if trained and lacking:
        raise UserError(
            f"teacher.model: {folder} has no trained head for {len(labels)} labels "
            f"({min(lacking)}); write `fine_tune: true`"
        )
    loaded: PreTrainedModel = model
    return loaded


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A model's tokenizer; its `model_max_length` is at most what the model has positions for."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    # Many published tokenizers state no limit, and the model fails in the middle of training.
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    positions = getattr(config, "max_position_embeddings", None)
    if positions and not getattr(config, "relative_attention", False):
        if "roberta" in config.model_type or config.model_type in ("camembert", "mpnet"):
            positions -= config.pad_token_id + 1  # they count from behind the padding's own
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return tokenizer


def forward(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Logits [B, C]; the loss positions are the B examples."""
    logits: Tensor = model(**batch.inputs).logits
    return logits


def score(metric: str, predicted: np.ndarray, labels: np.ndarray) -> float:
    """A metric in percent. `f1` is of the second of two classes; `matthews` lies in -100..100."""
    from sklearn import metrics

    if metric == "accuracy":
        return float(np.mean(predicted == labels) * 100)
    if metric == "f1":
        return float(metrics.f1_score(labels == 1, predicted == 1, zero_division=0.0) * 100)
    if metric == "macro_f1":
        f1 = metrics.f1_score(labels, predicted, average="macro", zero_division=0.0)
        return float(f1 * 100)
    if metric == "matthews":
        if len(np.union1d(labels, predicted)) == 1:  # no correlation; sklearn warns of it
            return 0.0
        return float(metrics.matthews_corrcoef(labels, predicted) * 100)
    raise ValueError(f"unknown metric {metric!r}")


def predictions(
    ids: np.ndarray, labels: np.ndarray, logits: np.ndarray, names: tuple[str, ...]
) -> dict[str, Any]:
    """One row a test example, in columns: id, label, predicted, correct, a logit for each class."""
    predicted = logits.argmax(-1)
    return {
        "id": [str(i) for i in ids],
        "label": [names[i] for i in labels],
        "predicted": [names[i] for i in predicted],
        "correct": (predicted == labels).tolist(),
        **{f"logit_{name}": logits[:, i].tolist() for i, name in enumerate(names)},
    }
