"""torchdistill with its `DistillationBox`, hooks on the matched blocks only.

It has no cache of the teacher's outputs (removed in its pull request 539), so the teacher runs at
every step. Its losses know no padding mask: the hidden loss is registered as one of ours, and
takes the mask from the targets. Batches are padded to their longest row and grouped by length by
a sampler, which its data loaders take.

Adapted: it imports torchvision for image models of its own, and torchvision's usual wheel does not
load beside a torch without CUDA, so what it takes from there is stood in for.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset


def stand_in(name: str, **contents: Any) -> None:
    sys.modules[f"torchvision{name}"] = ModuleType(name)
    vars(sys.modules[f"torchvision{name}"]).update(contents)


stand_in(".datasets")
stand_in(".models.densenet", _DenseBlock=nn.Module, _Transition=nn.Module)
stand_in(".models.resnet", BasicBlock=nn.Module, conv1x1=nn.Conv2d)
stand_in(".models")
stand_in("", models=sys.modules["torchvision.models"])

from torchdistill.core.distillation import get_distillation_box  # noqa: E402
from torchdistill.core.interfaces.registry import register_forward_proc_func  # noqa: E402
from torchdistill.datasets.registry import register_collate_func  # noqa: E402
from torchdistill.losses.registry import register_mid_level_loss  # noqa: E402
from torchdistill.optim.registry import register_optimizer, register_scheduler  # noqa: E402

for name in [m for m in sys.modules if m.startswith("torchvision")]:
    del sys.modules[name]  # transformers would take it for the real one

from transformers import get_linear_schedule_with_warmup  # noqa: E402
from transformers.trainer_pt_utils import LengthGroupedSampler  # noqa: E402

from benchmarks import frame  # noqa: E402
from benchmarks.frame import Rows, Setting  # noqa: E402

Outputs = dict[str, dict[str, Any]]


class Pairs(Dataset[Any]):
    """Rows as (sample, target), the form that torchdistill wraps."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[dict[str, Any], int]:
        example = self.rows[row]
        return example, example["labels"]


@register_mid_level_loss
class CrossEntropyToLabels(nn.Module):
    def forward(self, student: Outputs, teacher: Outputs, targets: Any) -> Tensor:
        return F.cross_entropy(student["."]["output"].logits, targets["labels"])


@register_mid_level_loss
class KLToTeacher(nn.Module):
    def forward(self, student: Outputs, teacher: Outputs, targets: Any) -> Tensor:
        logs = [F.log_softmax(x["."]["output"].logits, -1) for x in (student, teacher)]
        return F.kl_div(logs[0], logs[1], log_target=True, reduction="batchmean")


@register_mid_level_loss
class HiddenToTeacher(nn.Module):
    def __init__(self, student: str, teacher: str) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher

    def forward(self, student: Outputs, teacher: Outputs, targets: Any) -> Tensor:
        states = student[self.student]["output"], teacher[self.teacher]["output"]
        own, wanted = (x if isinstance(x, Tensor) else x[0] for x in states)
        return frame.normalized_mse(own, wanted, targets["mask"])


@register_forward_proc_func
def forward_inputs(
    model: Any, sample_batch: Any, targets: Any = None, supp_dict: Any = None, **kwargs: Any
) -> Any:
    return model(**sample_batch)


@register_optimizer
def fused_adamw(modules: Any, weight_decay: float, **kwargs: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(frame.decayed(modules, weight_decay), fused=True, **kwargs)


@register_scheduler
def linear(optimizer: torch.optim.Optimizer, **kwargs: Any) -> Any:
    return get_linear_schedule_with_warmup(optimizer, **kwargs)


def box(student: Any, teacher: Any, rows: Rows, setting: Setting) -> Any:
    @register_collate_func(key="padded")
    def collate(examples: list[Any]) -> tuple[Any, Any, Any]:
        batch = rows.collate([x for x, *_ in examples])
        targets = {"labels": batch.pop("labels"), "mask": batch["attention_mask"]}
        return batch, targets, {}

    def sampler(dataset: Any) -> LengthGroupedSampler:
        return LengthGroupedSampler(
            setting.batch,
            lengths=rows.lengths.tolist(),
            generator=torch.Generator().manual_seed(setting.seed),
        )

    def block(number: int) -> str:
        return f"bert.encoder.layer.{number - 1}"

    pairs = [(block(s), block(t)) for s, t in enumerate(setting.layer_map, 1)]
    terms: dict[str, Any] = {
        "ce": {"criterion": {"key": "CrossEntropyToLabels", "kwargs": {}}, "weight": 1.0},
        "kl": {"criterion": {"key": "KLToTeacher", "kwargs": {}}, "weight": 1.0},
    }
    for s, t in pairs:
        hidden = {"key": "HiddenToTeacher", "kwargs": {"student": s, "teacher": t}}
        terms[f"{s} {t}"] = {"criterion": hidden, "weight": 1 / len(pairs)}
    config = {
        "num_epochs": 1,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": sampler},
            "collate_fn": "padded",
            "kwargs": {"batch_size": setting.batch},
        },
        "teacher": {
            "forward_proc": "forward_inputs",
            "forward_hook": {"output": [t for _, t in pairs]},
            "requires_grad": False,
        },
        "student": {
            "forward_proc": "forward_inputs",
            "forward_hook": {"output": [s for s, _ in pairs]},
        },
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": terms}},
        "optimizer": {
            "key": "fused_adamw",
            "kwargs": {"lr": setting.lr, "weight_decay": setting.weight_decay},
            "filters_params": False,
            "max_grad_norm": setting.clip,
        },
        "scheduler": {
            "key": "linear",
            "kwargs": {"num_warmup_steps": setting.warm, "num_training_steps": setting.steps},
            "scheduling_step": 1,
        },
    }
    data = {"train": Pairs(rows)}
    return get_distillation_box(
        teacher, student, data, config, torch.device("cpu"), None, False, 1.0
    )


def steps(distillation: Any, setting: Setting, count: int) -> None:
    """The loop of torchdistill's own examples."""

    def epoch() -> Any:
        distillation.pre_epoch_process()
        return distillation.train_data_loader

    for sample_batch, targets, supp_dict in frame.epochs(epoch, count):
        distillation.pre_forward_process()
        with frame.autocast(setting):
            loss = distillation.forward_process(sample_batch, targets, supp_dict)
        distillation.post_forward_process(loss=loss)
    distillation.clean_modules()  # else its hooks would stay on the teacher


Materials = tuple[Rows, Any]


def load(setting: Setting) -> Materials:
    logging.disable(logging.INFO)
    return Rows.read(setting, "train"), frame.load_model(setting.teacher).eval()


def ready(materials: Materials, setting: Setting, student: Any, count: int) -> Callable[[], None]:
    rows, teacher = materials
    return partial(steps, box(student, teacher, rows, setting), setting, count)


if __name__ == "__main__":
    frame.main(frame.peer(load, ready))
