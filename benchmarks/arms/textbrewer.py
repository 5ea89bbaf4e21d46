"""TextBrewer 0.2.1 with its `GeneralDistiller`, set up as well as its documentation allows.

Its logits cache does not serve intermediate matching: `GeneralDistiller` switches it off
(distiller_general.py). What its documentation offers instead is a `teacher_cache` in the batch
(docs/source/Concepts.rst), made by the user: here the logits and the matched states of every
row, in memory, for all students of a sweep to share. Batches are padded to their longest row and
grouped by length, which any data loader may do.

Adapted to today's libraries: the loss is registered by `register_new`, since it has none with a
layer norm; saving the student at the end is left out, in its favour.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig
from textbrewer.presets import register_new
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import get_linear_schedule_with_warmup
from transformers.trainer_pt_utils import LengthGroupedSampler

from benchmarks import frame
from benchmarks.frame import EVAL_BATCH, Rows, Setting

Cache = list[tuple[Tensor, dict[int, Tensor]]]
"""For each row its logits and the teacher states by block, padding left out."""


def hidden_loss(state_S: Tensor, state_T: Tensor, mask: Tensor) -> Tensor:
    return frame.normalized_mse(state_S, state_T, mask)


class Distiller(GeneralDistiller):
    setting: Setting

    def save_and_callback(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: no arm saves its student inside the time that is measured."""

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Pass and losses; TextBrewer's own half precision is apex's, for GPUs."""
        with frame.autocast(self.setting):
            return super().train_on_batch(*args, **kwargs)


def cache_teacher(teacher: Any, rows: Rows, blocks: Iterable[int], setting: Setting) -> Cache:
    """One pass over the rows, sorted by length so that little is padded."""
    order = rows.lengths.argsort(kind="stable")
    by_row: dict[int, tuple[Tensor, dict[int, Tensor]]] = {}
    with torch.no_grad(), frame.autocast(setting):
        for at in range(0, len(order), EVAL_BATCH):
            chosen = order[at : at + EVAL_BATCH]
            batch = rows.collate([rows[i] for i in chosen])
            del batch["labels"]
            output = teacher(**batch, output_hidden_states=True)
            for place, row in enumerate(chosen):
                length = int(rows.lengths[row])
                states = {b: output.hidden_states[b][place, :length].clone() for b in blocks}
                by_row[int(row)] = (output.logits[place], states)
    return [by_row[i] for i in range(len(rows))]


def loader(rows: Rows, cache: Cache, setting: Setting) -> DataLoader[Any]:
    def collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = rows.collate(examples)
        cached = [cache[x["row"]] for x in examples]
        states = [
            pad_sequence([states[block] for _, states in cached], batch_first=True)
            for block in setting.layer_map
        ]
        logits = torch.stack([logits for logits, _ in cached])
        return {"teacher": {}, "student": batch, "teacher_cache": [logits, *states]}

    sampler = LengthGroupedSampler(
        setting.batch,
        lengths=rows.lengths.tolist(),
        generator=torch.Generator().manual_seed(setting.seed),
    )
    return DataLoader(rows, setting.batch, sampler=sampler, collate_fn=collate)  # type: ignore[arg-type]


def distil(student: Any, teacher: Any, data: DataLoader[Any], setting: Setting, steps: int) -> None:
    def adaptor_T(batch: Any, outputs: Any) -> dict[str, Any]:
        return {"logits": outputs[0], "hidden": list(outputs[1:])}

    def adaptor_S(batch: Any, outputs: Any) -> dict[str, Any]:
        return {
            "logits": outputs.logits,
            "hidden": outputs.hidden_states,
            "losses": outputs.loss,
            "inputs_mask": batch["attention_mask"],
        }

    matches = [
        {"layer_T": k, "layer_S": k + 1, "feature": "hidden", "loss": "normalized_mse",
         "weight": 1 / len(setting.layer_map)}
        for k in range(len(setting.layer_map))
    ]  # fmt: skip
    distillation = DistillationConfig(
        temperature=1, hard_label_weight=1, kd_loss_weight=1, intermediate_matches=matches
    )
    training = TrainingConfig(
        device="cpu", ckpt_steps=steps, output_dir=tempfile.gettempdir(), log_dir=None
    )
    distiller = Distiller(training, distillation, teacher, student, adaptor_T, adaptor_S)
    distiller.setting = setting
    with distiller:
        distiller.train(
            frame.optimizer(student, setting),
            data,
            num_steps=steps,
            scheduler_class=get_linear_schedule_with_warmup,
            scheduler_args={
                "num_warmup_steps": setting.warm, "num_training_steps": setting.steps,
            },
            max_grad_norm=setting.clip,
            output_hidden_states=True,
        )  # fmt: skip


@dataclass
class Materials:
    rows: Rows
    teacher: Any
    cache: Cache


def load(setting: Setting) -> Materials:
    register_new("match_Loss", "normalized_mse", hidden_loss)
    teacher = frame.load_model(setting.teacher).eval().requires_grad_(False)
    return Materials(Rows.read(setting, "train"), teacher, [])


def cache(materials: Materials, setting: Setting) -> None:
    maps = [m for m, _ in setting.sweep_students] if setting.whole_sweep else [setting.layer_map]
    blocks = sorted({block for layer_map in maps for block in layer_map})
    materials.cache = cache_teacher(materials.teacher, materials.rows, blocks, setting)


def ready(materials: Materials, setting: Setting, student: Any, count: int) -> Callable[[], None]:
    data = loader(materials.rows, materials.cache, setting)
    return partial(distil, student, materials.teacher, data, setting, count)


if __name__ == "__main__":
    frame.main(frame.peer(load, ready, cache))
