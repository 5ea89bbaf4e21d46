"""Whether a student cut from a teacher says what the teacher says with its other blocks skipped.

Weights alone do not tell: a block may also go by its place (rotary positions in some blocks only,
a factor of its number), and then computes another function where it is copied to. Compared are
every tensor of the student with the one that it comes from, and one forward pass of a few tokens,
on the CPU and in fp32, whatever the teacher is held in. The pass is held against the teacher's own
code, built on meta from its configuration and filled with the student's tensors, so that no weight
is held twice. Each copied block is called there with what it is called with in the whole teacher:
masks and positions that a teacher gives by a block's number are those of its old place.
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

TOLERANCE = 1e-4  # of the standard deviation of what is compared
TOKENS = 13

Inputs = dict[str, Any]


def difference(
    teacher: PreTrainedModel, student: PreTrainedModel, blocks: Blocks, fresh: Callable[[str], bool]
) -> str | None:
    """In what a student differs from the teacher with exactly these blocks, in one line; None
    where in nothing. `fresh` tells its tensors that are not copied (a new head). A teacher on meta
    has no values to compare."""
    if teacher.device.type == "meta":
        return None
    found = _foreign(teacher, student, blocks, fresh)
    if found is None:
        try:
            gap = _gap(teacher, student, blocks)
        except Exception as error:  # the classes of transformers raise many kinds
            return f"{type(teacher).__name__}: {_run_of(blocks)} cannot be run: {_line(error)}"
        if gap <= TOLERANCE:  # NaN is not
            return None
        found = (
            f"what it says differs by {gap:.2g} of its standard deviation, so that the class's "
            "blocks go by their place in some way"
        )
    return (
        f"{type(teacher).__name__}: {_run_of(blocks)} is not the teacher with its other blocks "
        f"skipped: {found}"
    )


def _run_of(blocks: Blocks) -> str:
    copied = " and ".join(f"{stack} {named}" for stack, named in blocks.items())
    return (
        f"a student of the blocks {copied.removeprefix('encoder ') if len(blocks) == 1 else copied}"
    )


def _line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0][:200]}" if said else type(error).__name__


def _foreign(
    teacher: PreTrainedModel, student: PreTrainedModel, blocks: Blocks, fresh: Callable[[str], bool]
) -> str | None:
    """A tensor of the student, saved or not, that is not the teacher's."""
    theirs, places = dict(_tensors(teacher)), _places(teacher, student, blocks)
    for name, own in _tensors(student):
        if fresh(name):
            continue
        source = _source(name, theirs, places)
        value = theirs.get(source)
        if value is None or value.shape != own.shape:
            return f"the teacher has no {source} like its {name}"
        if not torch.equal(own.to(value.dtype), value.cpu()):
            return f"its {name} is not the teacher's {source}"
    return None


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _places(
    teacher: PreTrainedModel, student: PreTrainedModel, blocks: Blocks
) -> dict[str, tuple[str, str]]:
    """Of the name of each block of the student: that of its source, and of the source's stack."""
    found, theirs = {}, {m: n for n, m in teacher.named_modules()}
    mine, sources = {m: n for n, m in student.named_modules()}, stacks(teacher)
    for stack, target in stacks(student).items():
        prefix, whole = mine[target], theirs[sources[stack]]
        for position, block in enumerate(blocks[stack]):
            found[f"{prefix}.{position}."] = (f"{whole}.{block - 1}.", f"{whole}.0.")
    return found


def _source(name: str, theirs: dict[str, Tensor], places: dict[str, tuple[str, str]]) -> str:
    """The teacher's name of what is called so in the student."""
    for prefix, (source, first) in places.items():
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            # A bias that one block holds for all is with the first, whichever block comes there.
            return first + rest if SHARED in rest and source + rest not in theirs else source + rest
    return name


@torch.no_grad()
def _gap(teacher: PreTrainedModel, student: PreTrainedModel, blocks: Blocks) -> float:
    """The largest difference between what the student and the reference say, in standard
    deviations of the reference: of the last states of each stack, and of the logits."""
    # Of the same tensors. A pass may change a model: BigBird's attention stays full after a text
    # that is too short for its windows.
    student = copy.deepcopy(student, {id(x): x for _, x in _tensors(student)}).eval()
    with torch.device("cpu"), torch.autocast("cpu", enabled=False):
        reference, inputs = _skeleton(teacher, student, blocks), _inputs(student)
        runs, owners = stacks(reference), _owners(reference)
        for (stack, whole), running in zip(runs.items(), owners, strict=True):
            depth = len(whole)
            _cut(reference, whole, blocks[stack], inputs)
            if hasattr(running, "config"):  # what a block itself reads stays the teacher's
                running.config = _shortened(running.config, depth, blocks, stack)
        own = _said(student, _owners(student), inputs)
        student(
            **{k: v for k, v in inputs.items() if k != "use_cache"}
        )  # as its users will call it
        said = _said(reference, owners, inputs), own
    return max(_apart(theirs, own) for theirs, own in zip(*said, strict=True))


def _apart(theirs: Tensor, own: Tensor) -> float:
    scale = theirs.std().item() or theirs.abs().max().item() or 1.0
    return ((theirs - own).abs().max() / scale).item()


def _owners(model: PreTrainedModel) -> list[nn.Module]:
    """The modules that run the stacks."""
    return [owner(model, blocks) for blocks in stacks(model).values()]


def _skeleton(
    teacher: PreTrainedModel, student: PreTrainedModel, blocks: Blocks
) -> PreTrainedModel:
    """The whole teacher with the student's tensors; blocks that are not copied are zero."""
    with torch.device("meta"):
        whole = type(teacher)(copy.deepcopy(teacher.config)).eval()
    places, shapes = _places(whole, student, blocks), dict(_tensors(whole))
    filled = {_source(name, shapes, places): own for name, own in _tensors(student)}
    zeros: dict[object, Tensor] = {}  # of what the student has no tensor for, shared by all blocks
    for prefix, module in whole.named_modules():
        for table in (module._parameters, module._buffers):
            for key, value in table.items():
                if value is not None:
                    dtype = torch.float32 if value.is_floating_point() else value.dtype
                    own = filled.get(f"{prefix}.{key}".lstrip("."))
                    if own is None:
                        form = (value.shape, dtype)
                        own = zeros.setdefault(form, torch.zeros(value.shape, dtype=dtype))
                    table[key] = own
    return whole


def _shortened(
    config: PretrainedConfig, depth: int, blocks: Blocks, stack: str
) -> PretrainedConfig:
    """A stack's configuration for the loop over its blocks."""
    config, named = copy.copy(config), blocks[stack]
    if len(blocks) == 1:
        config.num_hidden_layers = len(named)
    block_settings.follow(config, depth, len(named), named, stack if len(blocks) > 1 else "")
    return config


def _cut(
    model: PreTrainedModel, whole: nn.ModuleList, named: Sequence[int], inputs: Inputs
) -> None:
    """Leave a stack only these blocks, each called as it is in the whole model."""
    calls: list[tuple[list[Any], dict[str, Any]]] = []
    passed: list[Tensor] = []  # from block to block, beside the first state: PegasusX's global one

    def entering(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append((list(args), dict(kwargs)))

    def leaving(module: nn.Module, args: Any, output: Any) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        passed.extend(x for x in outputs if isinstance(x, Tensor) and x.ndim == 3)

    hooks = [h for block in whole for h in (
        block.register_forward_pre_hook(entering, with_kwargs=True),
        block.register_forward_hook(leaving),
    )]  # fmt: skip
    model(**inputs)
    for hook in hooks:
        hook.remove()
    if len(calls) != len(whole):
        raise ValueError(f"{type(model).__name__} does not call each of its blocks once")
    states = {id(x) for x in passed}
    moving: set[int | str] = {0, "hidden_states"}
    for args, kwargs in calls:
        slots: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
        moving |= {slot for slot, value in slots if id(value) in states}
    kept = [_called(whole[block - 1], *calls[block - 1], moving) for block in named]
    del whole[:]
    whole.extend(kept)


def _called(
    block: nn.Module, args: list[Any], kwargs: dict[str, Any], moving: set[int | str]
) -> nn.Module:
    """The same block, which takes the states that it is given and all else from that call."""

    def forward(*given: Any, **named: Any) -> Any:
        own = [given[i] if i in moving else value for i, value in enumerate(args)]
        return block.forward(*own, **{k: named[k] if k in moving else v for k, v in kwargs.items()})

    called = copy.copy(block)
    vars(called)["forward"] = forward
    return called


def _inputs(model: PreTrainedModel) -> Inputs:
    """One row, and what a decoder reads of it; no token of them pads or ends a text."""
    config = model.config
    end = torch.tensor(getattr(config, "eos_token_id", None) or 0)
    special = {getattr(config, "pad_token_id", None), *end.flatten().tolist()}
    ids = torch.tensor([i for i in range(min(config.vocab_size, 1000)) if i not in special])
    draw = torch.Generator().manual_seed(0)
    read, written = ids[torch.randint(len(ids), (2, 1, TOKENS), generator=draw)]
    inputs = {"input_ids": read, "attention_mask": torch.ones_like(read)}
    if config.is_encoder_decoder:
        inputs |= {"decoder_input_ids": written, "decoder_attention_mask": torch.ones_like(written)}
    if "use_cache" in inspect.signature(model.forward).parameters:
        return {**inputs, "use_cache": False}
    return inputs


def _said(model: PreTrainedModel, owners: Sequence[nn.Module], inputs: Inputs) -> list[Tensor]:
    """What leaves the stacks, by the modules that run them, and the logits."""
    found: list[Tensor] = []

    def leaving(module: nn.Module, args: Any, output: Any) -> None:
        found.append(output if isinstance(output, Tensor) else output[0])

    hooks = [each.register_forward_hook(leaving) for each in owners]
    logits = model(**inputs)[0]
    for hook in hooks:
        hook.remove()
    return [*found, logits]
