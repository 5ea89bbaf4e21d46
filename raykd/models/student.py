"""Builds a student from its teacher: depth, width and initial weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from raykd.config.trial import Init, Shape
from raykd.maps.layer_map import LayerMap, check
from raykd.models import block_kinds, block_settings, verify_student
from raykd.models import stacks as encoder_decoder
from raykd.models.capture import stacks
from raykd.models.loading import fill, without_init
from raykd.runtime.seeds import seeded

# Names of the feed-forward width: most classes', DistilBERT's, GPT-2's (None means 4 x the width),
# OPT's, Falcon's.
INTERMEDIATE = ("intermediate_size", "hidden_dim", "n_inner", "ffn_dim", "ffn_hidden_size")
# Numbers of key and value heads; Falcon's is the second.
KEY_VALUE_HEADS = ("num_key_value_heads", "num_kv_heads")


def build_student(
    teacher: PreTrainedModel, shape: Shape, init: Init, seed: int,
    like: PreTrainedModel | None = None,
) -> PreTrainedModel:  # fmt: skip
    """An untrained student of the teacher's class, with the trainable parameters of that class.

    Random values depend on `seed` alone; the global random state is not changed. `copied` copies
    the embeddings and all shared parts, the blocks in `init.blocks` (1-based), and with `init.head`
    the classifier or output layer. Weights are on the CPU and in fp32, whatever the device of the
    teacher, so that a seed gives the same weights on every machine. They share no memory with
    another model. `like`: a student that this function built from the same arguments and that was
    not changed since; its weights are copied, in place of drawing and verifying the same ones.

    Raises ValueError with the line of `misfit`, or if the student would not compute what the
    teacher computes with its other blocks skipped (verify_student.py).
    """
    problem = misfit(teacher.config, shape, init)
    if problem:
        raise ValueError(problem)
    student = _filled(teacher, shape, init, seed, like)
    if student is None:
        with seeded(seed):
            student = type(teacher)(student_config(teacher.config, shape, init))
        if init.layer_map is not None:
            _copy_verified(teacher, student, init)
    if student.can_generate():
        student.generation_config = copy.deepcopy(teacher.generation_config)
    return student


def _filled(
    teacher: PreTrainedModel, shape: Shape, init: Init, seed: int, like: PreTrainedModel | None
) -> PreTrainedModel | None:
    """The student, built without the time for initial values that are overwritten at once; None if
    some of its initial values remain, or if it cannot be built in this way."""
    whole = init.layer_map is not None and init.head and teacher.device.type != "meta"
    if like is None and not whole:
        return None
    try:
        with seeded(seed):
            student = without_init(type(teacher), student_config(teacher.config, shape, init))
        if like is not None:
            fill(student, like)
            return student
        copied = _copy_verified(teacher, student, init)
    except Exception:  # the initialised model can be filled, or tells why not
        return None
    saved = {*student.state_dict(), *(n for n, _ in student.named_parameters())}
    return student if saved <= copied else None


def _copy_verified(teacher: PreTrainedModel, student: PreTrainedModel, init: Init) -> set[str]:
    """Copies what `init` copies, and returns the names of what was copied. Raises ValueError if
    the student would compute something else."""
    assert init.layer_map is not None
    blocks = _blocks(init.layer_map)
    if problem := block_kinds.misplaced(teacher, student, blocks):
        raise ValueError(problem)
    copied = _copy(teacher, student, init, blocks)
    fresh = partial(_fresh, student, init)
    if problem := verify_student.difference(teacher, student, blocks, fresh):
        raise ValueError(problem)
    return copied


def misplaced(teacher: PretrainedConfig, shape: Shape, init: Init) -> str | None:
    """Why blocks cannot be copied as `init` states, in one line that lists the blocks that can come
    first; None if no reason is visible without values of weights. For an init without a `misfit`;
    reads configurations only."""

    def problem(init: Init) -> str | None:
        assert init.layer_map is not None
        cut = block_kinds.on_meta(student_config(teacher, shape, init))
        return block_kinds.misplaced(teacher_model, cut, _blocks(init.layer_map))

    if init.blocks is None:
        return None
    teacher_model = block_kinds.on_meta(teacher)
    reason = problem(init)
    if reason is None or init.decoder is not None:
        return reason
    count = len(stacks(teacher_model)["encoder"])
    target = "into student block 1:"
    first = [
        b for b in range(1, count + 1)
        if target not in str(problem(replace(init, blocks=(b, *init.blocks[1:]))))
    ]  # fmt: skip
    if len(first) == count:
        return reason
    only = f"only block{'s' * (len(first) > 1)} {', '.join(map(str, first))}"
    return f"{reason}; {only if first else 'no block'} can come first"


def misfit(teacher: PretrainedConfig, shape: Shape, init: Init) -> str | None:
    """Why such a student cannot be built from such a teacher, in one line; None if it can. Needs
    only the configuration of the teacher."""
    try:
        config = student_config(teacher, shape)
    except ValueError as error:
        return str(error)
    if init.kind == "random":
        return None
    if init.layer_map is None:
        return "a copied init names the teacher block that each student block starts from"
    problem = check(init.layer_map, encoder_decoder.depth(teacher), shape.depth)
    if problem:
        return f"init map {problem}"
    if teacher.is_encoder_decoder:
        teacher_sizes = encoder_decoder.sizes(teacher)
        for name, size in encoder_decoder.sizes(config).items():
            if size != teacher_sizes[name]:
                teacher_size = teacher_sizes[name][0]
                return f"weights of {name} {teacher_size} cannot be copied into {name} {size[0]}"
        return None
    # In most models, weights fit another number of heads, but then compute another function.
    names = {"hidden_size": "width", "num_attention_heads": "heads"}
    if inner := _inner(config):
        names[inner] = "intermediate"
    for key, name in names.items():
        size, teacher_size = getattr(config, key), getattr(teacher, key)
        if size != teacher_size:
            return f"weights of {name} {teacher_size} cannot be copied into {name} {size}"
    return None


def _blocks(init_map: LayerMap) -> block_kinds.Blocks:
    halves = zip(("encoder", "decoder"), init_map.halves, strict=False)
    return {stack: [b for b in half.blocks if b is not None] for stack, half in halves}


def _copy(
    teacher: PreTrainedModel, student: PreTrainedModel, init: Init, blocks: block_kinds.Blocks
) -> set[str]:
    """Returns the names of the copied weights and saved buffers."""
    sources, targets = stacks(teacher), stacks(student)
    for stack, target in targets.items():
        _copy_blocks(sources[stack], target, blocks[stack])
    # The rest is shared by all blocks (embeddings, position biases, pooler) or is the head.
    inside = tuple(f"{n}." for n, m in student.named_modules() if m in targets.values())
    shared = {
        name: value
        for name, value in teacher.state_dict().items()
        if not name.startswith(inside) and not _fresh(student, init, name)
    }
    # Added to the weights of the student, so that a name it does not have is an error.
    own = student.state_dict()
    student.load_state_dict({**own, **shared})
    # A block is copied whole, or its `load_state_dict` raises.
    return {*shared, *(name for name in own if name.startswith(inside))}


def _copy_blocks(source: nn.ModuleList, target: nn.ModuleList, blocks: list[int]) -> None:
    first = source[0].state_dict()
    for copied_block, block in zip(target, blocks, strict=True):
        weights, copied_weights = source[block - 1].state_dict(), copied_block.state_dict()
        # A bias that all blocks share stays in the first block of the student.
        for name in (n for n in weights.keys() | copied_weights.keys() if block_kinds.SHARED in n):
            weights[name] = weights.get(name, first.get(name))
            if name not in copied_weights:
                del weights[name]
        copied_block.load_state_dict(weights)


def _fresh(student: PreTrainedModel, init: Init, name: str) -> bool:
    return not init.head and _of_head(student, name)


def _of_head(model: PreTrainedModel, name: str) -> bool:
    """Whether a weight outside the blocks belongs to the head of a task."""

    def outside(name: str) -> bool:  # T5 has no prefix
        if model.config.is_encoder_decoder:
            return name.startswith("lm_head.")
        return not name.startswith(f"{model.base_model_prefix}.")

    if not outside(name):
        return False
    # An output layer that is tied to the embeddings is copied with them.
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return not any(parameters.get(name) is p for n, p in parameters.items() if not outside(n))


def freeze_embeddings(model: PreTrainedModel) -> None:
    """Freezes every embedding table outside the blocks (tokens, positions, types), and an output
    layer that is tied to the token embedding. T5's position bias is in a block and stays
    trainable."""
    inside = {m for blocks in stacks(model).values() for m in blocks.modules()}
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module not in inside:
            module.requires_grad_(False)


def student_config(
    teacher: PretrainedConfig, shape: Shape, init: Init | None = None
) -> PretrainedConfig:
    """The teacher's configuration at the size of the student. Settings by block are those of the
    blocks that `init` copies, or the teacher's first ones.

    A stated width keeps the teacher's number of heads if it divides the width (as in the paper),
    else uses the largest smaller number that does, and keeps the teacher's feed-forward ratio.
    Raises ValueError if stated heads do not divide the width, or if the class has no such size.
    """
    if teacher.is_encoder_decoder:
        return encoder_decoder.sized(teacher, shape, init)
    if shape.decoder_blocks is not None:
        raise ValueError("the teacher has one stack; write its blocks as one number")
    config, copied = copy.deepcopy(teacher), init.blocks if init else None
    block_settings.keep_all(config)
    block_settings.follow(config, config.num_hidden_layers, shape.blocks, copied)
    config.num_hidden_layers = shape.blocks
    inner = _inner(config)
    new_width = shape.width or config.hidden_size
    if new_width != config.hidden_size:
        if inner and getattr(config, inner) is not None:
            setattr(config, inner, round(getattr(config, inner) / config.hidden_size * new_width))
        # DeBERTa's pooler and the embeddings of ELECTRA and OPT have their own width setting, which
        # changes only where it equals the hidden size.
        for name in ("pooler_hidden_size", "embedding_size", "word_embed_proj_dim"):
            if getattr(config, name, None) == config.hidden_size:
                setattr(config, name, new_width)
        config.hidden_size = new_width
    heads = shape.heads or config.num_attention_heads
    if shape.heads is None:
        heads = next(h for h in range(heads, 0, -1) if new_width % h == 0)
    if new_width % heads:
        raise ValueError(f"{heads} heads do not divide the width {new_width}")
    _set_heads(config, teacher, heads)
    if shape.intermediate is not None:
        if inner is None:
            raise ValueError(
                f"the feed-forward width of {config.model_type} follows from its width, so "
                "`intermediate` cannot be stated"
            )
        setattr(config, inner, shape.intermediate)
    return config


def _set_heads(config: PretrainedConfig, teacher: PretrainedConfig, heads: int) -> None:
    """Sets the heads, including separate numbers of key and value heads and separate head
    widths."""
    config.num_attention_heads = heads
    for name in KEY_VALUE_HEADS:
        kv_heads = getattr(teacher, name, None)
        if kv_heads is not None:
            limit = heads if kv_heads == teacher.num_attention_heads else min(kv_heads, heads)
            setattr(config, name, next(h for h in range(limit, 0, -1) if heads % h == 0))
    head_width = getattr(teacher, "head_dim", None)
    settable = not isinstance(getattr(type(config), "head_dim", None), property)  # Falcon's is not
    if (
        settable
        and head_width is not None
        and head_width * teacher.num_attention_heads == teacher.hidden_size
    ):
        config.head_dim = config.hidden_size // heads


def _inner(config: PretrainedConfig) -> str | None:
    """The attribute of the feed-forward width; None if it follows from the width (BLOOM, MPT)."""
    return next((name for name in INTERMEDIATE if hasattr(config, name)), None)


def student_parameters(teacher: PretrainedConfig, shape: Shape, auto: Any) -> int:
    """Number of parameters of such a student of the family's `auto` class, without allocating
    them."""
    with torch.device("meta"):
        model = auto.from_config(student_config(teacher, shape))
    return sum(p.numel() for p in model.parameters())


def width(model: PreTrainedModel) -> int:
    return int(model.config.hidden_size)
