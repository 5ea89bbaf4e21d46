"""What a configuration says block by block, for a model made of some of another's blocks.

Most classes alternate kinds of blocks by a list with an entry a block (`layer_types`,
`no_rope_layers`, `attention_window`), by a list of block numbers (`mlp_only_layers`), or by a
count from the bottom (`first_k_dense_replace`). Copied blocks take their own entries with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PretrainedConfig

# Numbers of blocks, from 0.
INDEXES = (
    "mlp_only_layers", "moe_layers", "attn_layer_indices", "local_layer_ids",
    "cross_attention_layers", "rope_scaling_layers",
)  # fmt: skip
# So many blocks at the bottom are of one kind.
LEADING = ("first_k_dense_replace", "num_dense_layers")
LONGER = ("layer_types", "no_rope_layers")  # may go on beyond the last block
# Lists that are about something else, and may have as many entries as there are blocks.
OTHER = ("architectures", "pos_att_type", "eos_token_id", "mrope_section", "attention_types")


def follow(
    config: PretrainedConfig, depth: int, wanted: int, copied: Sequence[int] | None = None,
    stack: str = "",
) -> None:  # fmt: skip
    """Make the settings of a stack of `depth` blocks those of a stack of `wanted` ones: of the
    `copied` blocks (1-based), or where there are none as the stack begins, over and over.
    `stack`: `encoder` or `decoder` where the model has both."""
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
        config.attention_types = [[list(config.attention_layers), 1]]  # GPT-Neo's, said twice


def corrected(config: PretrainedConfig, depth: int) -> str | None:
    """What of the results that raykd 0.1.0 had with such a model was wrong, and no longer is; None
    where nothing was. It is part of what names the model, so that trials run anew."""
    if config.model_type in ("umt5", "switch_transformers"):
        return "logits by ties"  # were sqrt(width) too large
    if getattr(config, "decoder_sparse_step", 1) > 1:
        return "settings by block"
    for name, value in vars(config).items():
        if name.startswith("_") or name == "layer_types" or not isinstance(value, list | tuple):
            continue
        by_number = name in INDEXES and 0 < len(value) < depth
        if by_number or (_of_blocks(name, value, depth) and any(x != value[0] for x in value)):
            return "settings by block"  # copied blocks ran under those of others
    return None


def _list_dense(config: PretrainedConfig, depth: int) -> None:
    """Name the blocks of a plain MLP, where Qwen's mixtures of experts may also say a step."""
    stepped = {i for i in range(depth) if (i + 1) % config.decoder_sparse_step}
    if stepped:
        config.mlp_only_layers = sorted(stepped | set(config.mlp_only_layers or ()))
        config.decoder_sparse_step = 1


def _of_blocks(name: str, value: Any, depth: int) -> bool:
    if not isinstance(value, list | tuple) or name in OTHER:
        return False
    return len(value) == depth or (name in LONGER and len(value) > depth)


def _leading(count: int, blocks: Sequence[int]) -> int:
    """How many blocks at the bottom are still of the bottom's kind."""
    upper = (i for i, block in enumerate(blocks) if block > count)
    return next(upper, len(blocks))
