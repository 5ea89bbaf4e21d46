"""A device named `gpu` whose tensors have shapes and no content, and what it does not allow.

torch's fake tensors raise where the host needs a content (`.item()`, `bool(t)`, `.numpy()`, a
selection by a mask), and where tensors of two devices meet. `NoWait` raises at the rest: copies to
the host, blocking copies from it, and indices that make a GPU's host wait though their result has a
known shape.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.library import Library, fallthrough_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend
from transformers.utils import import_utils

from raykd.data.batches import Batch

aten = torch.ops.aten
ATEN, ANY = Library("aten", "IMPL"), Library("_", "IMPL")  # type: ignore[no-untyped-call]
COPIES = (aten._to_copy.default, aten.copy_.default)
INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default,
           aten._unsafe_index.Tensor, aten._unsafe_index_put.default)  # fmt: skip
RAN = "ran"


class HostWaits(RuntimeError):
    """The host would wait for the GPU here."""


class NoWait(TorchDispatchMode):
    """Raises `HostWaits` where fake tensors go on and the host of a real GPU waits."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        devices = {x.device.type for x in tensors}
        if func in COPIES:
            source = args[1] if func is aten.copy_.default else args[0]
            there = args[0].device if func is aten.copy_.default else kwargs.get("device")
            to = source.device.type if there is None else torch.device(there).type
            blocks = func is aten.copy_.default or not kwargs.get("non_blocking")
            if source.device.type == "gpu" and to == "cpu":
                raise HostWaits(f"{func} to the host")
            if source.device.type == "cpu" and to == "gpu" and blocks and source.ndim:
                raise HostWaits(f"{func} from the host that blocks")
        elif func in INDEXED and "gpu" in devices:
            indices = [x for x in args[1] if x is not None]
            if any(x.dtype in (torch.bool, torch.uint8) for x in indices):
                raise HostWaits(f"{func} by a mask")
            if any(x.device.type == "cpu" for x in indices):
                raise HostWaits(f"{func} by indices of the host")
        return func(*args, **kwargs)


def install() -> torch.device:
    """Register the device, with the functions that torch expects of one. transformers does not
    read masks of fake tensors; here it takes them for real ones."""
    _setup_privateuseone_for_python_backend("gpu")
    module: Any = torch.gpu  # type: ignore[attr-defined]
    module.manual_seed_all = lambda seed: None
    module._is_in_bad_fork = lambda: False
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    # Autocast changes no dtype here.
    ANY.fallback(fallthrough_kernel, "AutocastPrivateUse1")
    # torch has no shapes for this one; it changes its first argument, the scale, in place.
    ATEN.impl("_amp_update_scale_", lambda scale, *rest: scale, "Meta")
    import_utils.is_fake_tensor = lambda x: False
    return torch.device("gpu", 0)


@contextmanager
def simulated() -> Iterator[FakeTensorMode]:
    """Fake tensors, of which real ones may become some; `strict` inside allows no more of them."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


@contextmanager
def strict(mode: FakeTensorMode) -> Iterator[None]:
    """What a step may do: no real tensor, no wait of the host."""
    mode.allow_non_fake_inputs = False
    try:
        with NoWait():
            yield
    finally:
        mode.allow_non_fake_inputs = True


def emptied(model: Any, device: torch.device) -> Any:
    """A model from the meta device on this one, its weights tied again."""
    model.to_empty(device=device)
    model.tie_weights()
    return model


def placed(module: nn.Module, device: torch.device) -> nn.Module:
    """The module on the device; fake tensors cannot be moved in place."""
    for part in module.modules():
        for name, tensor in [*part._parameters.items()]:
            if tensor is not None and tensor.device.type != device.type:
                part._parameters[name] = nn.Parameter(torch.empty_like(tensor, device=device))
        for name, tensor in [*part._buffers.items()]:
            if tensor is not None and tensor.device.type != device.type:
                part._buffers[name] = torch.empty_like(tensor, device=device)
    return module


def as_fake(batch: Batch, mode: FakeTensorMode) -> Batch:
    """A batch of the host without content."""

    def fake(x: Tensor | None) -> Tensor | None:
        return None if x is None else mode.from_tensor(x)

    inputs = {name: mode.from_tensor(x) for name, x in batch.inputs.items()}
    return replace(batch, inputs=inputs, valid=mode.from_tensor(batch.valid),
                   labels=fake(batch.labels), places=fake(batch.places))  # fmt: skip


def outcome(run: Callable[[], object]) -> str:
    """`ran`, or the kind of error, where it was raised, and its first line."""
    try:
        run()
    except Exception as error:
        return told(error)
    return RAN


def told(error: Exception) -> str:
    kind, text = type(error).__name__, str(error).strip().partition("\n")[0]
    if isinstance(error, NotImplementedError) and "from the 'gpu' backend" in text:
        kind, text = HostWaits.__name__, "a tensor made from numbers of the host"
    elif isinstance(error, DataDependentOutputException | DynamicOutputShapeException):
        kind, text = HostWaits.__name__, text.removesuffix(".default")
    elif ".numpy() is not supported" in text:
        kind, text = HostWaits.__name__, ".numpy()"
    frames = traceback.extract_tb(error.__traceback__)
    named = [f for f in frames if re.search(r"/(transformers|raykd|tests/support)/", f.filename)
             and not f.filename.endswith("device.py")]  # fmt: skip
    at = f" in {named[-1].filename.rsplit('/', 1)[-1]}:{named[-1].name}" if named else ""
    return f"{kind}{at}: {text[:120]}"
