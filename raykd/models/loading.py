"""Loads models and tokenizers from local folders: safetensors only, without remote code. Builds
models that are filled from another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.initialization import no_init_weights
from transformers.utils import logging

from raykd.errors import UserError
from raykd.models.outputs import Head


def read_model(auto: Any, folder: Path, **options: Any) -> tuple[PreTrainedModel, set[str]]:
    """Loads a model in fp32, and returns the names of its weights that the folder lacks or has in
    another shape; transformers initialises those at random. Raises UserError if weights cannot be
    read."""
    logging.disable_progress_bar()
    try:
        model, loading_info = auto.from_pretrained(
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
    return model, {
        *loading_info["missing_keys"],
        *(name for name, *_ in loading_info["mismatched_keys"]),
    }


def without_init(kind: type[PreTrainedModel], config: PretrainedConfig) -> PreTrainedModel:
    """A model of this class on the CPU whose weights and saved buffers are allocated and have no
    values yet; fill every one of them. Weights are tied, and other buffers (frequencies of rotary
    positions) have their values, as in the same two steps of `from_pretrained`."""
    with torch.device("cpu"):
        with no_init_weights():
            model = kind(config)
        to_fill = [*model.state_dict(keep_vars=True).values(), *model.parameters()]
        for tensor in to_fill:
            vars(tensor)["_is_hf_initialized"] = True
        model.init_weights()
    for tensor in to_fill:  # with this mark, transformers would never initialise them again
        vars(tensor).pop("_is_hf_initialized", None)
    return model


@torch.no_grad()
def fill(model: PreTrainedModel, source: PreTrainedModel) -> None:
    """Copies all weights and buffers of another model. Raises ValueError if their names or shapes
    differ."""
    targets, sources = (
        {**dict(m.named_parameters()), **dict(m.named_buffers())} for m in (model, source)
    )
    if {n: t.shape for n, t in targets.items()} != {n: t.shape for n, t in sources.items()}:
        raise ValueError(f"the two models are not alike ({type(model).__name__})")
    for name, target in targets.items():
        target.copy_(sources[name])


def refuse_foreign(folder: Path, lacking: set[str]) -> None:
    """Raises UserError if weights of the model are missing."""
    if lacking:
        raise UserError(
            f"teacher.model: {folder}: its configuration asks for {len(lacking)} weights that it "
            f"does not have in that shape ({min(lacking)}); config.json belongs to another model"
        )


def refuse_other_logits(
    model: PreTrainedModel, expected: torch.Tensor, x_BTD: torch.Tensor, head: Head, examples: str
) -> None:
    """Raises UserError if the logits that `head` computes from last states differ from those of the
    model. `examples` names supported models in the error."""
    fits = x_BTD.shape[-1] == head.weight_VD.shape[1]
    if not fits or not torch.allclose(expected, head(x_BTD), rtol=1e-3, atol=1e-3):
        raise UserError(
            f"teacher.model: {type(model).__name__} makes its logits in a way of its own, which "
            f"raykd does not know; name a model such as {examples}"
        )


def refuse_long(key: str, limit: int, lengths: np.ndarray) -> None:
    """Raises UserError if training targets are longer than `limit`, the most tokens that may be
    written: the model could never write such a target. `lengths`: tokens of each target. `key`: the
    key that sets the limit."""
    longer = lengths[lengths > limit]
    if len(longer):
        raise UserError(
            f"{key}: {limit} tokens may be written, and {len(longer)} of {len(lengths)} training "
            f"targets are longer; write at least {longer.max()}"
        )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Loads the tokenizer of a model; `model_max_length` is at most the number of positions of the
    model."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    # Many published tokenizers state no limit, and the model would then fail during training.
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    limit = positions(config)
    if limit:
        tokenizer.model_max_length = min(tokenizer.model_max_length, limit)
    return tokenizer


def with_padding(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer, which pads with the end-of-text token if it has no padding token."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise UserError(
                "teacher.model: its tokenizer has no padding token and no end-of-text token; add "
                "one of them to its tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def follows_padding(config: PretrainedConfig) -> bool:
    """Whether the padding token of a classifier's configuration must be that of its rows: it has
    none, or it is made of a decoder, reads the last token before the padding, and finds it by that
    setting."""
    kind = type(config)
    decoder = kind in MODEL_FOR_CAUSAL_LM_MAPPING and kind not in MODEL_FOR_MASKED_LM_MAPPING
    return decoder or getattr(config, "pad_token_id", None) is None


def positions(config: PretrainedConfig) -> int | None:
    """Number of tokens that a model has positions for; None if there is no limit."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    if not limit or getattr(config, "relative_attention", False):
        return None
    if "roberta" in config.model_type or config.model_type in ("camembert", "mpnet"):
        limit -= config.pad_token_id + 1  # their positions start after that of the padding
    return limit
