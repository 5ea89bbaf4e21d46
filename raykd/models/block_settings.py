"""Settings of a configuration that are stated block by block, for a model made of some blocks of
another.

Most classes alternate kinds of blocks by a list with an entry for each block (`layer_types`,
`no_rope_layers`, `attention_window`), by a list of block numbers (`mlp_only_layers`), or by a count
from the bottom (`first_k_dense_replace`). Copied blocks keep their own entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PretrainedConfig

# Lists of block numbers, from 0.
INDEXES = (
    "mlp_only_layers", "moe_layers", "attn_layer_indices", "local_layer_ids",
    "cross_attention_layers", "rope_scaling_layers",
)  # fmt: skip
# Numbers of blocks at the bottom that are of one kind.
LEADING = ("first_k_dense_replace", "num_dense_layers")
LONGER = ("layer_types", "no_rope_layers")  # may have entries beyond the last block
# Lists with another meaning, which may happen to have as many entries as there are blocks.
OTHER = ("architectures", "pos_att_type", "eos_token_id", "mrope_section", "attention_types")


def follow(
    config: PretrainedConfig, depth: int, wanted: int, copied: Sequence[int] | None = None,
    stack: str = "",
) -> None:  # fmt: skip
    """Changes the settings of a stack of `depth` blocks to those of a stack of `wanted` blocks: the
    `copied` blocks (1-based), or if there are none, the blocks of the stack from the beginning,
    repeated. `stack`: `encoder` or `decoder` if the model has both."""
    blocks = copied or [i % depth + 1 for i in range(wanted)]
    if getattr(config, "decoder_sparse_step", None) and hasattr(config, "mlp_only_layers"):
        _list_dense(config, depth)
    for name, value in list(vars(config).items()):
        decoder = name.startswith("decoder")
        if name.startswith("_") or not value or (stack and decoder != (stack == "decoder")):
            continue
        if name in INDEXES:
            setattr(config, name, [i for i, block in enumerate(blocks) if block - 1 in value])
        elif name in LEADING:
            setattr(config, name, _leading(value, blocks))
        elif _of_blocks(name, value, depth):
            setattr(config, name, type(value)(value[block - 1] for block in blocks))
    if getattr(config, "attention_types", None) and hasattr(config, "attention_layers"):
        config.attention_types = [[list(config.attention_layers), 1]]  # GPT-Neo stores it twice


def keep_all(config: PretrainedConfig) -> None:
    """Turns off the random skipping of blocks in training (M2M100): a skipped block has no states
    to match."""
    for name in _dropping(config):
        setattr(config, name, 0.0)


def _dropping(config: PretrainedConfig) -> list[str]:
    return [n for n, value in vars(config).items() if n.endswith("layerdrop") and value]


def corrected(config: PretrainedConfig, depth: int) -> str | None:
    """What was wrong in results of raykd 0.1.0 with such a model and is now corrected; None if
    nothing was. The text is part of the name of the model, so that affected trials run again."""
    if config.model_type in ("umt5", "switch_transformers"):
        return "logits by ties"  # they were too large by sqrt(width)
    if config.model_type in ("longformer", "led"):
        return "states without padding"  # tokens were taken from rows padded to a window
    if getattr(config, "decoder_sparse_step", 1) > 1:
        return "settings by block"
    if _dropping(config):
        return "no block skipped"
    for name, value in vars(config).items():
        if name.startswith("_") or name == "layer_types" or not isinstance(value, list | tuple):
            continue
        by_number = name in INDEXES and 0 < len(value) < depth
        if by_number or (
            _of_blocks(name, value, depth) and any(entry != value[0] for entry in value)
        ):
            return "settings by block"  # copied blocks ran with the settings of others
    return None


def _list_dense(config: PretrainedConfig, depth: int) -> None:
    """Lists the blocks with a dense MLP, which Qwen's mixtures of experts may state by a step."""
    stepped = {i for i in range(depth) if (i + 1) % config.decoder_sparse_step}
    if stepped:
        config.mlp_only_layers = sorted(stepped | set(config.mlp_only_layers or ()))
        config.decoder_sparse_step = 1


def _of_blocks(name: str, value: Any, depth: int) -> bool:
    if not isinstance(value, list | tuple) or name in OTHER:
        return False
    return len(value) == depth or (name in LONGER and len(value) > depth)


def _leading(count: int, blocks: Sequence[int]) -> int:
    """Number of blocks at the bottom that are still of the kind of the bottom."""
    upper = (i for i, block in enumerate(blocks) if block > count)
    return next(upper, len(blocks))
