"""What a practitioner writes today: `transformers.Trainer` with a distillation loss.

Dynamic padding, grouping by length, fused AdamW, the teacher at every step.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainingArguments

from benchmarks import frame
from benchmarks.frame import Rows, Setting


class Distillation(Trainer):
    def __init__(self, *args: Any, teacher: Any, setting: Setting, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.teacher = teacher
        self.setting = setting

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        labels, mask = inputs.pop("labels"), inputs["attention_mask"]
        # Trainer sets up autocast for the student alone.
        with torch.no_grad(), frame.autocast(self.setting):
            targets = self.teacher(**inputs, output_hidden_states=True)
        outputs = model(**inputs, output_hidden_states=True)
        loss = frame.losses(outputs, targets, mask, labels, self.setting.layer_map)
        return (loss, outputs) if return_outputs else loss


def trainer(student: Any, teacher: Any, rows: Rows, setting: Setting, steps: int) -> Distillation:
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(),  # nothing is written there
        max_steps=steps,
        per_device_train_batch_size=setting.batch,
        learning_rate=setting.lr,
        warmup_steps=setting.warm,
        weight_decay=setting.weight_decay,
        max_grad_norm=setting.clip,
        lr_scheduler_type="linear",
        optim="adamw_torch_fused",
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        save_strategy="no",
        logging_steps=max(1, setting.steps // 10),  # as often as raykd looks at its losses
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        bf16=setting.precision == "bf16",
        dataloader_pin_memory=False,
        seed=setting.seed,
    )
    return Distillation(
        student,
        arguments,
        train_dataset=rows,
        data_collator=rows.collate,
        teacher=teacher,
        setting=setting,
    )


def ready(
    materials: tuple[Rows, Any], setting: Setting, student: Any, count: int
) -> Callable[[], Any]:
    rows, teacher = materials
    train: Callable[[], Any] = trainer(student, teacher, rows, setting, count).train
    return train


if __name__ == "__main__":
    frame.main(frame.peer(frame.load, ready))
