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
import time
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
from benchmarks.frame import EVAL_BATCH, Clock, Outcome, Rows, Setting

Cache = list[tuple[Tensor, list[Tensor]]]
"""For each row its logits and the matched teacher states, padding left out."""


def hidden_loss(state_S: Tensor, state_T: Tensor, mask: Tensor) -> Tensor:
    return frame.normalized_mse(state_S, state_T, mask)


class Distiller(GeneralDistiller):
    def save_and_callback(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: no arm saves its student inside the time that is measured."""


def cache_teacher(teacher: Any, rows: Rows, layer_map: tuple[int, ...]) -> Cache:
    """One pass over the rows, sorted by length so that little is padded."""
    order = rows.lengths.argsort(kind="stable")
    found: dict[int, tuple[Tensor, list[Tensor]]] = {}
    with torch.no_grad():
        for at in range(0, len(order), EVAL_BATCH):
            chosen = order[at : at + EVAL_BATCH]
            batch = rows.collate([rows[i] for i in chosen])
            del batch["labels"]
            output = teacher(**batch, output_hidden_states=True)
            for place, row in enumerate(chosen):
                length = int(rows.lengths[row])
                states = [output.hidden_states[t][place, :length].clone() for t in layer_map]
                found[int(row)] = (output.logits[place], states)
    return [found[i] for i in range(len(rows))]


def loader(rows: Rows, cache: Cache, setting: Setting) -> DataLoader[Any]:
    def collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = rows.collate(examples)
        cached = [cache[x["row"]] for x in examples]
        states = [
            pad_sequence([states[k] for _, states in cached], batch_first=True)
            for k in range(len(setting.layer_map))
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


def train(setting: Setting, clock: Clock) -> Outcome:
    register_new("match_Loss", "normalized_mse", hidden_loss)
    rows = Rows.read(setting, "train")
    teacher = frame.load_model(setting.teacher).eval().requires_grad_(False)
    student = frame.load_model(setting.student)
    clock.loaded()
    began = time.perf_counter()
    cache = cache_teacher(teacher, rows, setting.layer_map)
    cache_seconds = time.perf_counter() - began
    data = loader(rows, cache, setting)
    distil(frame.load_model(setting.student), teacher, data, setting, frame.WARM_STEPS)
    torch.manual_seed(setting.seed)
    clock.start()
    distil(student, teacher, data, setting, setting.steps)
    clock.stop()
    score = frame.accuracy(student, setting)
    return Outcome(1, clock.seconds, score, cache_seconds, setting.share)


if __name__ == "__main__":
    frame.main(train)
