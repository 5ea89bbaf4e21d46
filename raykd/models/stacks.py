"""What a configuration says of an encoder-decoder's two stacks, under the names that T5's and
BART's relatives have for it."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from transformers import PretrainedConfig

from raykd.config.trial import Init, Shape
from raykd.maps.layer_map import Depth
from raykd.models import block_settings


@dataclass(frozen=True)
class Names:
    """Attributes of a configuration, the encoder's first where each stack has its own."""

    blocks: tuple[str, str]
    heads: tuple[str, ...]
    intermediate: tuple[str, ...]


STACKS = ("encoder", "decoder")
T5 = Names(("num_layers", "num_decoder_layers"), ("num_heads",), ("d_ff",))
BART = Names(
    ("encoder_layers", "decoder_layers"),
    ("encoder_attention_heads", "decoder_attention_heads"),
    ("encoder_ffn_dim", "decoder_ffn_dim"),
)


def names(config: PretrainedConfig) -> Names:
    """Raises ValueError for a configuration of neither family."""
    for known in (T5, BART):
        if all(hasattr(config, n) for n in (*known.blocks, *known.heads, *known.intermediate)):
            return known
    raise ValueError(
        f"{config.model_type} is an encoder-decoder whose stacks are not described as T5's or "
        "BART's are; T5, mT5, BART, mBART, Marian and Pegasus can be cut"
    )


def depth(config: PretrainedConfig) -> Depth:
    """How many blocks a model of this configuration has; of an encoder-decoder in both stacks."""
    if not config.is_encoder_decoder:
        return int(config.num_hidden_layers)
    encoder, decoder = names(config).blocks
    return int(getattr(config, encoder)), int(getattr(config, decoder))


def sizes(config: PretrainedConfig) -> dict[str, tuple[int, ...]]:
    """All that must be alike for a block's weights to fit and to mean the same."""
    found = names(config)
    return {
        "width": (config.d_model,),
        "heads": tuple(getattr(config, n) for n in found.heads),
        "intermediate": tuple(getattr(config, n) for n in found.intermediate),
    }


def sized(teacher: PretrainedConfig, shape: Shape, init: Init | None = None) -> PretrainedConfig:
    """The teacher's configuration at the student's size, by the rules of `student_config`.

    A stated width or number of heads sets T5's width of a head to width / heads, as the paper's
    students have it. Raises ValueError where a stack has no depth, or heads do not divide.
    """
    if shape.decoder_blocks is None:
        raise ValueError("an encoder-decoder's blocks are two numbers, of encoder and of decoder")
    config, found = copy.deepcopy(teacher), names(teacher)
    wanted = (shape.blocks, shape.decoder_blocks)
    copied = (None, None) if init is None else (init.blocks, init.decoder)
    for name, stack, blocks, named in zip(found.blocks, STACKS, wanted, copied, strict=True):
        block_settings.follow(config, getattr(teacher, name), blocks, named, stack)
        setattr(config, name, blocks)
    wide = shape.width or teacher.d_model
    for name in found.intermediate:
        own = getattr(teacher, name)
        setattr(config, name, shape.intermediate or round(own / teacher.d_model * wide))
    for name in found.heads:
        own = getattr(teacher, name)
        heads = shape.heads or next(h for h in range(own, 0, -1) if wide % h == 0)
        if wide % heads and (shape.heads or shape.width):
            raise ValueError(f"{heads} heads do not divide the width {wide}")
        setattr(config, name, heads if shape.heads or shape.width else own)
    config.d_model = wide
    if found is T5 and (shape.width or shape.heads):
        config.d_kv = wide // config.num_heads
    return config
