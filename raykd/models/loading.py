"""Models and tokenizers from local folders: safetensors only, and no code that comes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from raykd.errors import UserError


def read_model(auto: Any, folder: Path, **options: Any) -> tuple[PreTrainedModel, set[str]]:
    """A model in fp32, and which weights of its own the folder does not have in their shape:
    transformers fills those with noise. Raises UserError where weights cannot be read."""
    logging.disable_progress_bar()
    try:
        model, found = auto.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **{"dtype": torch.float32, **options},
        )
    except SafetensorError as error:
        raise UserError(
            f"teacher.model: {folder}: the weights cannot be read ({error}); copy them anew"
        ) from error
    return model, {*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])}


def refuse_foreign(folder: Path, lacking: set[str]) -> None:
    """Raises UserError where a model's own weights are lacking."""
    if lacking:
        raise UserError(
            f"teacher.model: {folder}: its configuration asks for {len(lacking)} weights that it "
            f"does not have in that shape ({min(lacking)}); config.json belongs to another model"
        )


def refuse_other_logits(
    model: PreTrainedModel, wanted: torch.Tensor, found: torch.Tensor, known: str
) -> None:
    """Raises UserError where the logits that raykd makes of last states are not the model's own."""
    if not torch.allclose(wanted, found, rtol=1e-3, atol=1e-3):
        raise UserError(
            f"teacher.model: {type(model).__name__} makes its logits in a way of its own, which "
            f"raykd does not know; name a model such as {known}"
        )


def refuse_long(key: str, limit: int, lengths: np.ndarray) -> None:
    """Raises UserError where training targets, of so many tokens, are longer than the `limit` that
    a key of the file puts on what is written: no answer could be right."""
    longer = lengths[lengths > limit]
    if len(longer):
        raise UserError(
            f"{key}: {limit} tokens may be written, and {len(longer)} of {len(lengths)} training "
            f"targets are longer; write at least {longer.max()}"
        )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A model's tokenizer; its `model_max_length` is at most what the model has positions for."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    # Many published tokenizers state no limit, and the model fails in the middle of training.
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    limit = positions(config)
    if limit:
        tokenizer.model_max_length = min(tokenizer.model_max_length, limit)
    return tokenizer


def positions(config: PretrainedConfig) -> int | None:
    """How many tokens a model has positions for; None where nothing limits them."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    if not limit or getattr(config, "relative_attention", False):
        return None
    if "roberta" in config.model_type or config.model_type in ("camembert", "mpnet"):
        limit -= config.pad_token_id + 1  # they count from behind the padding's own
    return limit
