"""The two stacks of an encoder-decoder in its configuration, under the attribute names of the T5
and BART families."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from transformers import PretrainedConfig

from raykd.config.trial import Init, Shape
from raykd.maps.depth import Depth
from raykd.models import block_settings


@dataclass(frozen=True)
class Names:
    """Attributes of a configuration; if each stack has its own, that of the encoder first."""

    blocks: tuple[str, str]
    heads: tuple[str, ...]
    intermediate: tuple[str, ...]


STACKS = ("encoder", "decoder")
DESCRIBED = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size")
T5 = Names(("num_layers", "num_decoder_layers"), ("num_heads",), ("d_ff",))
BART = Names(
    ("encoder_layers", "decoder_layers"),
    ("encoder_attention_heads", "decoder_attention_heads"),
    ("encoder_ffn_dim", "decoder_ffn_dim"),
)


def names(config: PretrainedConfig) -> Names:
    """Raises ValueError for a configuration of neither family."""
    for family in (T5, BART):
        attributes = ("d_model", *family.blocks, *family.heads, *family.intermediate)
        if all(hasattr(config, n) for n in attributes):
            return family
    raise ValueError(
        f"{config.model_type} is an encoder-decoder whose stacks are not described as T5's or "
        "BART's are; T5, mT5, BART, mBART, Marian and Pegasus can be cut"
    )


def undescribed(config: PretrainedConfig) -> str | None:
    """Why a configuration does not describe a text model of equal blocks, in one line; None if it
    does."""
    lacking = [name for name in DESCRIBED if not hasattr(config, name)]
    if not lacking:
        try:
            depth(config)
        except ValueError as error:
            return str(error)
        return None
    if parts := list(config.sub_configs):
        return (
            f"{config.model_type} is a model of several parts ({', '.join(parts)}), and students "
            "are cut from text models; name a model of text alone"
        )
    return (
        f"{config.model_type} cannot be cut: its configuration states no {lacking[0]}; name a "
        "transformer of equal blocks"
    )


def depth(config: PretrainedConfig) -> Depth:
    """Number of blocks of a model with this configuration; for an encoder-decoder, of both
    stacks."""
    if not config.is_encoder_decoder:
        return Depth(int(config.num_hidden_layers))
    encoder, decoder = names(config).blocks
    return Depth(int(getattr(config, encoder)), int(getattr(config, decoder)))


def sizes(config: PretrainedConfig) -> dict[str, tuple[int, ...]]:
    """Sizes that must agree so that the weights of a block fit and keep their function."""
    attributes = names(config)
    return {
        "width": (config.d_model,),
        "heads": tuple(getattr(config, n) for n in attributes.heads),
        "intermediate": tuple(getattr(config, n) for n in attributes.intermediate),
    }


def sized(teacher: PretrainedConfig, shape: Shape, init: Init | None = None) -> PretrainedConfig:
    """The teacher's configuration at the size of the student, by the rules of `student_config`.

    With a stated width or number of heads, the head width of T5 is width / heads, as in the paper's
    students. Raises ValueError if a stack has no depth, or heads do not divide the width.
    """
    if shape.decoder_blocks is None:
        raise ValueError("an encoder-decoder's blocks are two numbers, of encoder and of decoder")
    config, attributes = copy.deepcopy(teacher), names(teacher)
    block_settings.keep_all(config)
    depths = (shape.blocks, shape.decoder_blocks)
    copied = (None, None) if init is None else (init.blocks, init.decoder)
    for name, stack, blocks, copied_blocks in zip(
        attributes.blocks, STACKS, depths, copied, strict=True
    ):
        block_settings.follow(config, getattr(teacher, name), blocks, copied_blocks, stack)
        setattr(config, name, blocks)
    width = shape.width or teacher.d_model
    for name in attributes.intermediate:
        teacher_value = getattr(teacher, name)
        setattr(config, name, shape.intermediate or round(teacher_value / teacher.d_model * width))
    for name in attributes.heads:
        teacher_value = getattr(teacher, name)
        heads = shape.heads or next(h for h in range(teacher_value, 0, -1) if width % h == 0)
        if width % heads and (shape.heads or shape.width):
            raise ValueError(f"{heads} heads do not divide the width {width}")
        setattr(config, name, heads if shape.heads or shape.width else teacher_value)
    config.d_model = width
    if attributes is T5 and (shape.width or shape.heads):
        config.d_kv = width // config.num_heads
    return config
