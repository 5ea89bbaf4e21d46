"""Verifies that a student cut from a teacher computes what the teacher computes with its other
blocks skipped.

Comparing weights is not enough: a block may also depend on its position (rotary positions in some
blocks only, a factor of its number), and then computes another function after it is copied. Two
things are compared: every tensor of the student with its source, and one forward pass of a few
tokens, on the CPU and in fp32, whatever the dtype of the teacher. The reference of the pass is the
code of the teacher, built on meta from its configuration and filled with the tensors of the
student, so that no weight is held twice. Each copied block is called there with the arguments that
it has in the whole teacher: masks and positions that a teacher derives from the number of a block
are those of its old position.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from raykd.models import block_settings
from raykd.models.block_kinds import SHARED, Blocks
from raykd.models.capture import owner, stacks
from raykd.runtime.seeds import seeded

TOLERANCE = 1e-4  # largest difference, in standard deviations of the reference
TOKENS = 13

Inputs = dict[str, Any]


def difference(
    teacher: PreTrainedModel, student: PreTrainedModel, blocks: Blocks, fresh: Callable[[str], bool]
) -> str | None:
    """How a student differs from the teacher with exactly these blocks, in one line; None if it
    does not. `fresh` returns whether a tensor is not copied (a new head). A teacher on meta has no
    values to compare."""
    if teacher.device.type == "meta":
        return None
    problem = _foreign(teacher, student, blocks, fresh)
    if problem is None:
        try:
            with seeded(0):  # BigBird draws in eval mode too
                gap = _gap(teacher, student, blocks)
        except Exception as error:  # the classes of transformers raise many kinds
            return f"{type(teacher).__name__}: {_run_of(blocks)} cannot be run: {_line(error)}"
        if gap <= TOLERANCE:  # NaN is not
            return None
        problem = (
            f"what it says differs by {gap:.2g} of its standard deviation, so that the class's "
            "blocks go by their place in some way"
        )
    return (
        f"{type(teacher).__name__}: {_run_of(blocks)} is not the teacher with its other blocks "
        f"skipped: {problem}"
    )


def _run_of(blocks: Blocks) -> str:
    copied = " and ".join(f"{stack} {numbers}" for stack, numbers in blocks.items())
    return (
        f"a student of the blocks {copied.removeprefix('encoder ') if len(blocks) == 1 else copied}"
    )


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _foreign(
    teacher: PreTrainedModel, student: PreTrainedModel, blocks: Blocks, fresh: Callable[[str], bool]
) -> str | None:
    """A tensor of the student, saved or not, that differs from that of the teacher, in one line."""
    teacher_tensors, places = dict(_tensors(teacher)), _places(teacher, student, blocks)
    for name, tensor in _tensors(student):
        if fresh(name):
            continue
        source = _source(name, teacher_tensors, places)
        value = teacher_tensors.get(source)
        if value is None or value.shape != tensor.shape:
            return f"the teacher has no {source} like its {name}"
        if not torch.equal(tensor.to(value.dtype), value.cpu()):
            return f"its {name} is not the teacher's {source}"
    return None


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _places(
    teacher: PreTrainedModel, student: PreTrainedModel, blocks: Blocks
) -> dict[str, tuple[str, str]]:
    """Maps the name prefix of each student block to that of its source block and that of the first
    block of the source's stack."""
    prefixes, teacher_names = {}, {m: n for n, m in teacher.named_modules()}
    student_names, sources = {m: n for n, m in student.named_modules()}, stacks(teacher)
    for stack, target in stacks(student).items():
        prefix, source_prefix = student_names[target], teacher_names[sources[stack]]
        for position, block in enumerate(blocks[stack]):
            prefixes[f"{prefix}.{position}."] = (
                f"{source_prefix}.{block - 1}.",
                f"{source_prefix}.0.",
            )
    return prefixes


def _source(
    name: str, teacher_tensors: dict[str, Tensor], places: dict[str, tuple[str, str]]
) -> str:
    """Name in the teacher of a tensor of the student."""
    for prefix, (source, first) in places.items():
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            # A bias that all blocks of a stack share is stored in the first block.
            return (
                first + rest
                if SHARED in rest and source + rest not in teacher_tensors
                else source + rest
            )
    return name


@torch.no_grad()
def _gap(teacher: PreTrainedModel, student: PreTrainedModel, blocks: Blocks) -> float:
    """The largest difference between student and reference in the last states of each stack and in
    the logits, in standard deviations of the reference."""
    # A copy with the same tensors, since a pass can change a model: BigBird's attention stays full
    # after a text that is too short for its windows.
    student = copy.deepcopy(student, {id(x): x for _, x in _tensors(student)}).eval()
    with torch.device("cpu"), torch.autocast("cpu", enabled=False):
        reference, inputs = _skeleton(teacher, student, blocks), _inputs(student)
        runs, owners = stacks(reference), _owners(reference)
        for (stack, running_blocks), running in zip(runs.items(), owners, strict=True):
            depth = len(running_blocks)
            _cut(reference, running_blocks, blocks[stack], inputs)
            if hasattr(running, "config"):  # the blocks themselves keep the teacher's configuration
                running.config = _shortened(running.config, depth, blocks, stack)
        student_outputs = _outputs(student, _owners(student), inputs)
        student(
            **{k: v for k, v in inputs.items() if k != "use_cache"}
        )  # as in later use, with caching
        reference_outputs = _outputs(reference, owners, inputs)
    pairs = zip(reference_outputs, student_outputs, strict=True)
    return max(_apart(expected, actual) for expected, actual in pairs)


def _apart(expected: Tensor, actual: Tensor) -> float:
    scale = expected.std().item() or expected.abs().max().item() or 1.0
    return ((expected - actual).abs().max() / scale).item()


def _owners(model: PreTrainedModel) -> list[nn.Module]:
    """The modules that call the blocks of each stack."""
    return [owner(model, blocks) for blocks in stacks(model).values()]


def _skeleton(
    teacher: PreTrainedModel, student: PreTrainedModel, blocks: Blocks
) -> PreTrainedModel:
    """The whole teacher with the tensors of the student; blocks that are not copied are zero."""
    with torch.device("meta"):
        skeleton = type(teacher)(copy.deepcopy(teacher.config)).eval()
    places, shapes = _places(skeleton, student, blocks), dict(_tensors(skeleton))
    filled = {_source(name, shapes, places): tensor for name, tensor in _tensors(student)}
    zeros: dict[object, Tensor] = {}  # tensors that the student lacks, shared by all blocks
    for prefix, module in skeleton.named_modules():
        for table in (module._parameters, module._buffers):
            for key, value in table.items():
                if value is not None:
                    dtype = torch.float32 if value.is_floating_point() else value.dtype
                    tensor = filled.get(f"{prefix}.{key}".lstrip("."))
                    if tensor is None:
                        layout = (value.shape, dtype)
                        tensor = zeros.setdefault(layout, torch.zeros(value.shape, dtype=dtype))
                    table[key] = tensor
    return skeleton


def _shortened(
    config: PretrainedConfig, depth: int, blocks: Blocks, stack: str
) -> PretrainedConfig:
    """The configuration of a stack, for the loop over the remaining blocks."""
    config, numbers = copy.copy(config), blocks[stack]
    if len(blocks) == 1:
        config.num_hidden_layers = len(numbers)
    block_settings.follow(config, depth, len(numbers), numbers, stack if len(blocks) > 1 else "")
    return config


def _cut(
    model: PreTrainedModel, stack: nn.ModuleList, numbers: Sequence[int], inputs: Inputs
) -> None:
    """Reduces a stack to these blocks, each called with the arguments it has in the whole model."""
    calls: list[tuple[list[Any], dict[str, Any]]] = []
    passed: list[Tensor] = []  # states passed between blocks; PegasusX also passes global ones

    def entering(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append((list(args), dict(kwargs)))

    def leaving(module: nn.Module, args: Any, output: Any) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        passed.extend(x for x in outputs if isinstance(x, Tensor) and x.ndim == 3)

    hooks = [h for block in stack for h in (
        block.register_forward_pre_hook(entering, with_kwargs=True),
        block.register_forward_hook(leaving),
    )]  # fmt: skip
    model(**inputs)
    for hook in hooks:
        hook.remove()
    if len(calls) != len(stack):
        raise ValueError(f"{type(model).__name__} does not call each of its blocks once")
    states = {id(x) for x in passed}
    moving: set[int | str] = {0, "hidden_states"}
    for args, kwargs in calls:
        slots: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
        moving |= {slot for slot, value in slots if id(value) in states}
    remaining = [_called(stack[block - 1], *calls[block - 1], moving) for block in numbers]
    del stack[:]
    stack.extend(remaining)


def _called(
    block: nn.Module, args: list[Any], kwargs: dict[str, Any], moving: set[int | str]
) -> nn.Module:
    """A copy of the block that takes its states from the caller, and all other arguments from a
    recorded call."""

    def forward(*new_args: Any, **new_kwargs: Any) -> Any:
        arguments = [new_args[i] if i in moving else value for i, value in enumerate(args)]
        return block.forward(
            *arguments, **{k: new_kwargs[k] if k in moving else v for k, v in kwargs.items()}
        )

    replacement = copy.copy(block)
    vars(replacement)["forward"] = forward
    return replacement


def _inputs(model: PreTrainedModel) -> Inputs:
    """One row, and the input of a decoder for it, without padding and end tokens."""
    config = model.config
    end = torch.tensor(getattr(config, "eos_token_id", None) or 0)
    special = {getattr(config, "pad_token_id", None), *end.flatten().tolist()}
    ids = torch.tensor([i for i in range(min(config.vocab_size, 1000)) if i not in special])
    generator = torch.Generator().manual_seed(0)
    source_ids, target_ids = ids[torch.randint(len(ids), (2, 1, TOKENS), generator=generator)]
    inputs = {"input_ids": source_ids, "attention_mask": torch.ones_like(source_ids)}
    if config.is_encoder_decoder:
        inputs |= {
            "decoder_input_ids": target_ids,
            "decoder_attention_mask": torch.ones_like(target_ids),
        }
    if "use_cache" in inspect.signature(model.forward).parameters:
        return {**inputs, "use_cache": False}
    return inputs


def _outputs(model: PreTrainedModel, owners: Sequence[nn.Module], inputs: Inputs) -> list[Tensor]:
    """The outputs of the modules that call the stacks, and the logits."""
    states: list[Tensor] = []

    def leaving(module: nn.Module, args: Any, output: Any) -> None:
        states.append(output if isinstance(output, Tensor) else output[0])

    hooks = [stack_owner.register_forward_hook(leaving) for stack_owner in owners]
    logits = model(**inputs)[0]
    for hook in hooks:
        hook.remove()
    return [*states, logits]
