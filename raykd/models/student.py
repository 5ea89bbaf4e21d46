"""Builds a student from its teacher: depth, width, and how its weights start."""

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
from raykd.runtime.seeds import seeded

# Names of the feed-forward width; DistilBERT and GPT-2 have their own. None: four times the width.
INTERMEDIATE = ("intermediate_size", "hidden_dim", "n_inner")


def build_student(teacher: PreTrainedModel, shape: Shape, init: Init, seed: int) -> PreTrainedModel:
    """An untrained student of the teacher's class, trainable as that class is.

    What is random depends on `seed` alone; the global random state is left as it was. `copied`
    takes the embeddings and all shared parts, the blocks that `init.blocks` names (1-based), and
    with `init.head` the classifier or output layer. The weights are on the CPU and in fp32,
    wherever the teacher is, so that a seed means the same weights on every machine.
    Raises ValueError with the line of `misfit`, or where the student would not say what the
    teacher says with its other blocks skipped (verify_student.py).
    """
    problem = misfit(teacher.config, shape, init)
    if problem:
        raise ValueError(problem)
    with seeded(seed):
        student = type(teacher)(student_config(teacher.config, shape, init))
    if init.layer_map is not None:
        blocks = _blocks(init.layer_map)
        if problem := block_kinds.misplaced(teacher, student, blocks):
            raise ValueError(problem)
        _copy(teacher, student, init, blocks)
        fresh = partial(_fresh, student, init)
        if problem := verify_student.difference(teacher, student, blocks, fresh):
            raise ValueError(problem)
    if student.can_generate():
        student.generation_config = copy.deepcopy(teacher.generation_config)
    return student


def misplaced(teacher: PretrainedConfig, shape: Shape, init: Init) -> str | None:
    """What keeps blocks from being copied where `init` has them, in one line that names the blocks
    that may come first; None if nothing does that shows without values of weights. For an init
    without a `misfit`, and by configurations alone."""

    def problem(init: Init) -> str | None:
        assert init.layer_map is not None
        cut = block_kinds.on_meta(student_config(teacher, shape, init))
        return block_kinds.misplaced(whole, cut, _blocks(init.layer_map))

    if init.blocks is None:
        return None
    whole = block_kinds.on_meta(teacher)
    told = problem(init)
    if told is None or init.decoder is not None:
        return told
    count = len(stacks(whole)["encoder"])
    here = "into student block 1:"
    first = [
        b for b in range(1, count + 1)
        if here not in str(problem(replace(init, blocks=(b, *init.blocks[1:]))))
    ]  # fmt: skip
    if len(first) == count:
        return told
    only = f"only block{'s' * (len(first) > 1)} {', '.join(map(str, first))}"
    return f"{told}; {only if first else 'no block'} can come first"


def misfit(teacher: PretrainedConfig, shape: Shape, init: Init) -> str | None:
    """What keeps such a student from being built from such a teacher, in one line; None if
    nothing does. Needs the teacher's configuration alone."""
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
        whole = encoder_decoder.sizes(teacher)
        for name, own in encoder_decoder.sizes(config).items():
            if own != whole[name]:
                theirs = whole[name][0]
                return f"weights of {name} {theirs} cannot be copied into {name} {own[0]}"
        return None
    # Other heads would fit the shapes of most models, and mean another function.
    names = {"hidden_size": "width", "num_attention_heads": "heads", _inner(config): "intermediate"}
    for key, name in names.items():
        own, theirs = getattr(config, key), getattr(teacher, key)
        if own != theirs:
            return f"weights of {name} {theirs} cannot be copied into {name} {own}"
    return None


def _blocks(init_map: LayerMap) -> block_kinds.Blocks:
    halves = zip(("encoder", "decoder"), init_map.halves, strict=False)
    return {stack: [b for b in half.blocks if b is not None] for stack, half in halves}


def _copy(
    teacher: PreTrainedModel, student: PreTrainedModel, init: Init, blocks: block_kinds.Blocks
) -> None:
    sources, targets = stacks(teacher), stacks(student)
    for stack, target in targets.items():
        _copy_blocks(sources[stack], target, blocks[stack])
    # What is left is shared by all blocks (embeddings, position biases, pooler) or is the head.
    inside = tuple(f"{n}." for n, m in student.named_modules() if m in targets.values())
    shared = {
        name: value
        for name, value in teacher.state_dict().items()
        if not name.startswith(inside) and not _fresh(student, init, name)
    }
    # Over the student's own weights, so that a name it does not know is an error.
    student.load_state_dict({**student.state_dict(), **shared})


def _copy_blocks(source: nn.ModuleList, target: nn.ModuleList, blocks: list[int]) -> None:
    first = source[0].state_dict()
    for own, block in zip(target, blocks, strict=True):
        weights, wanted = source[block - 1].state_dict(), own.state_dict()
        # A bias that one block holds for all stays with the first, whichever block comes there.
        for name in (n for n in weights.keys() | wanted.keys() if block_kinds.SHARED in n):
            weights[name] = weights.get(name, first.get(name))
            if name not in wanted:
                del weights[name]
        own.load_state_dict(weights)


def _fresh(student: PreTrainedModel, init: Init, name: str) -> bool:
    return not init.head and _of_head(student, name)


def _of_head(model: PreTrainedModel, name: str) -> bool:
    """Whether a weight outside the blocks belongs to what a task puts on top of the model."""

    def outside(name: str) -> bool:  # T5 has no prefix
        if model.config.is_encoder_decoder:
            return name.startswith("lm_head.")
        return not name.startswith(f"{model.base_model_prefix}.")

    if not outside(name):
        return False
    # An output layer that shares the embeddings' weights comes with them.
    own = dict(model.named_parameters(remove_duplicate=False))
    return not any(own.get(name) is p for n, p in own.items() if not outside(n))


def freeze_embeddings(model: PreTrainedModel) -> None:
    """Keep every embedding table outside the blocks as it is: tokens, positions, types; with them
    an output layer that shares the tokens' weights. T5's position bias is in a block, and learns.
    """
    inside = {m for blocks in stacks(model).values() for m in blocks.modules()}
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module not in inside:
            module.requires_grad_(False)


def student_config(
    teacher: PretrainedConfig, shape: Shape, init: Init | None = None
) -> PretrainedConfig:
    """The teacher's configuration at the student's size; what it says block by block goes with the
    blocks that `init` copies, or begins as the teacher's does.

    A stated width keeps the teacher's number of heads where it divides the width (as the paper's
    widths do), else the largest number below it that does, and the teacher's feed-forward ratio.
    Raises ValueError where stated heads do not divide the width.
    """
    if teacher.is_encoder_decoder:
        return encoder_decoder.sized(teacher, shape, init)
    if shape.decoder_blocks is not None:
        raise ValueError("the teacher has one stack; write its blocks as one number")
    config, copied = copy.deepcopy(teacher), init.blocks if init else None
    block_settings.follow(config, config.num_hidden_layers, shape.blocks, copied)
    config.num_hidden_layers = shape.blocks
    inner = _inner(config)
    wide = shape.width or config.hidden_size
    if wide != config.hidden_size:
        if getattr(config, inner) is not None:
            setattr(config, inner, round(getattr(config, inner) / config.hidden_size * wide))
        # DeBERTa's pooler and ELECTRA's embeddings state their width apart; one that is of its own
        # stays as it is.
        for name in ("pooler_hidden_size", "embedding_size"):
            if getattr(config, name, None) == config.hidden_size:
                setattr(config, name, wide)
        config.hidden_size = wide
    heads = shape.heads or config.num_attention_heads
    if shape.heads is None:
        heads = next(h for h in range(heads, 0, -1) if wide % h == 0)
    if wide % heads:
        raise ValueError(f"{heads} heads do not divide the width {wide}")
    _set_heads(config, teacher, heads)
    if shape.intermediate is not None:
        setattr(config, inner, shape.intermediate)
    return config


def _set_heads(config: PretrainedConfig, teacher: PretrainedConfig, heads: int) -> None:
    """Where keys and values have fewer heads, and where heads have a width of their own."""
    config.num_attention_heads = heads
    pairs = getattr(teacher, "num_key_value_heads", None)
    if pairs is not None:
        most = heads if pairs == teacher.num_attention_heads else min(pairs, heads)
        config.num_key_value_heads = next(h for h in range(most, 0, -1) if heads % h == 0)
    each = getattr(teacher, "head_dim", None)
    if each is not None and each * teacher.num_attention_heads == teacher.hidden_size:
        config.head_dim = config.hidden_size // heads


def _inner(config: PretrainedConfig) -> str:
    return next(name for name in INTERMEDIATE if hasattr(config, name))


def student_parameters(teacher: PretrainedConfig, shape: Shape, auto: Any) -> int:
    """How many parameters such a student of a family's `auto` class has, without allocating
    them."""
    with torch.device("meta"):
        model = auto.from_config(student_config(teacher, shape))
    return sum(p.numel() for p in model.parameters())


def width(model: PreTrainedModel) -> int:
    return int(model.config.hidden_size)
