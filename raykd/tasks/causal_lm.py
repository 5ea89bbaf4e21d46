"""Causal language models: loss on completions only; choices are scored by likelihood, or texts are
generated.

Teacher and student share a tokenizer by construction: a student is cut from its teacher.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from raykd.data import batches
from raykd.data.batches import Batch
from raykd.data.encoded import Encoded
from raykd.data.prepared import Prepared
from raykd.losses.chunked import log_likelihoods
from raykd.models import loading
from raykd.models.outputs import Head, Outputs
from raykd.runtime.execution import Execution
from raykd.tasks import metrics
from raykd.tasks.evaluation import over_rows
from raykd.tasks.kinds.metric import metric_of
from raykd.tasks.kinds.task_kind import task_kind
from raykd.tasks.known_padding import Padding, known_padding
from raykd.tasks.prompt_tokens import encode
from raykd.tasks.task import Data, Names, Task, longest_targets

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig


CAPS = ("final_logit_softcapping", "logits_soft_cap")  # Gemma's and RecurrentGemma's names
CHOICE_METRICS = ("acc", "acc_norm")
ANSWER_METRICS = tuple(metrics.SCORES)


class CausalLM(Task):
    """Completions of prompts."""

    kind = task_kind("causal_lm")

    def load_model(self, folder: Path, labels: Names, *, trained: bool) -> PreTrainedModel:
        """Loads a model in fp32. Raises UserError if weights are missing, or if `outputs.Head`
        cannot compute the logits from the last hidden state."""
        model, lacking = loading.read_model(self.auto, folder)
        loading.refuse_foreign(folder, lacking)
        self.refuse_other_head(model.eval())
        return model

    def refuse_other_head(self, model: PreTrainedModel) -> None:
        """Raises UserError if `head` does not compute the logits of a model in eval mode."""
        x_BT = torch.tensor([[0, 1]], device=model.device)
        inputs = {"input_ids": x_BT, "attention_mask": torch.ones_like(x_BT)}
        with torch.no_grad():
            expected = model(**inputs, use_cache=False).logits
            x_BTD = model.base_model(**inputs, use_cache=False)[0]
            loading.refuse_other_logits(
                model, expected, x_BTD, self.head(model), "Llama, Qwen, Gemma, GPT-2 or GPT-NeoX"
            )

    def load_tokenizer(self, folder: Path) -> PreTrainedTokenizerBase:
        """A tokenizer that pads at the right, with the end-of-text token if it has no padding
        token; losses ignore padding."""
        tokenizer = loading.with_padding(loading.load_tokenizer(folder))
        tokenizer.padding_side = "right"
        return tokenizer

    def encode(
        self, prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, names: Names,
        config: TaskConfig, home: Path,
    ) -> Encoded:  # fmt: skip
        return encode(prepared, split, tokenizer, config, home)

    def collate(
        self,
        encoded: Encoded,
        rows: np.ndarray,
        pad: int,
        whole: np.ndarray | None = None,
        pad_to: int | None = None,
    ) -> Batch:
        """The loss positions are the tokens before each target token; targets are at the end of a
        row."""
        whole = rows if whole is None else whole
        tokens = int(encoded.lengths[whole].sum())
        batch = batches.collate(
            replace(encoded, labels=None), rows, pad, len(whole), tokens, pad_to
        )
        if encoded.targets is None or encoded.target_offsets is None:
            return batch
        ends = encoded.target_offsets
        counts = ends[rows + 1] - ends[rows]
        width = batch.inputs["input_ids"].shape[1]
        first = np.arange(len(rows)) * width + encoded.lengths[rows] - counts - 1
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        labels = encoded.targets[np.repeat(ends[rows], counts) + steps].astype(np.int64)
        return replace(
            batch,
            labels=torch.from_numpy(labels),
            places=torch.from_numpy(np.repeat(first, counts) + steps),
            positions=int((ends[whole + 1] - ends[whole]).sum()),
        )

    def forward(self, model: PreTrainedModel, batch: Batch) -> Outputs:
        """The last hidden states at the loss positions, x_PD, with the head of the model."""
        with known_padding(Padding.of(batch.inputs["attention_mask"], batch.valid)):
            x_BTD: Tensor = model.base_model(**batch.inputs, use_cache=False)[0]
        x_ND = x_BTD.flatten(0, 1)
        return Outputs(x_ND if batch.places is None else x_ND[batch.places], self.head(model))

    def head(self, model: PreTrainedModel) -> Head:
        linear: Any = model.get_output_embeddings()
        caps = (getattr(model.config, name, None) for name in CAPS)
        cap = next((value for value in caps if value is not None), None)
        scale = logit_scale(model.config)
        return Head(linear.weight, getattr(linear, "bias", None), scale, cap)

    def output_width(self, config: PretrainedConfig) -> int:
        return int(config.hidden_size)

    def longest_rows(self, rows: int, length: int, target: int | None) -> Encoded:
        return longest_targets(rows, length, length - 1)

    def evaluate(
        self, model: PreTrainedModel, encoded: Encoded, data: Data, where: Execution
    ) -> np.ndarray:
        """With choices, [rows, most choices, 2]: the log-likelihood of each choice, and the same
        divided by its number of characters; -inf for rows with fewer choices. Otherwise the texts
        [rows] that greedy decoding generates."""
        if encoded.groups is None:
            return _written(model, encoded, data, where)

        sums = self.row_log_likelihoods(model, encoded, data, where)
        assert encoded.chars is not None
        counts = np.diff(encoded.groups)
        answers = np.full((len(counts), counts.max(), 2), -np.inf)
        row = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(len(sums)) - encoded.groups[row]
        answers[row, place] = np.stack([sums, sums / encoded.chars], -1)
        return answers

    def row_log_likelihoods(
        self, model: PreTrainedModel, encoded: Encoded, data: Data, where: Execution
    ) -> np.ndarray:
        """The log-likelihood of the target of each row, [rows] in fp64."""

        def answer(rows: np.ndarray) -> Tensor:
            batch = self.collate(encoded, rows, data.pad).to(where.device)
            assert batch.places is not None and batch.labels is not None
            with where.autocast():
                log_likelihoods_P = log_likelihoods(self.forward(model, batch), batch.labels)
            row_P = batch.places // batch.inputs["input_ids"].shape[1]
            sums = torch.zeros(len(rows), dtype=torch.float64, device=where.device)
            return sums.index_add_(0, row_P, log_likelihoods_P.double())

        return over_rows(model, encoded.lengths, data.eval_batch, where.group, answer)

    def secondary_metrics(self, metric: str, names: Names) -> tuple[str, ...]:
        """The other built-in metrics of choices, or of texts."""
        groups = (CHOICE_METRICS, ANSWER_METRICS)
        built_in = next((group for group in groups if metric in group), ())
        others = (name for name in built_in if name != metric)
        return (*others, *super().secondary_metrics(metric, names))

    def constant_answers(
        self, metric: str, labels: np.ndarray, encoded: Encoded | None = None
    ) -> Iterator[np.ndarray]:
        """The same number of a choice, or the commonest text."""
        values, counts = np.unique(labels, return_counts=True)
        if not metric_of(self.kind.name, metric).choices:
            yield np.full(len(labels), values[counts.argmax()], dtype=object)
            return
        for value in values:
            answers = np.full((len(labels), values.max() + 1, 2), -np.inf)
            answers[:, value] = 0.0
            yield answers

    def class_logits(self, answers: np.ndarray) -> np.ndarray | None:
        """Of choices: their log-likelihoods, so the probability of a choice is given that one of
        them is written."""
        return answers[..., 0] if answers.ndim == 3 else None

    def chosen(self, answers: np.ndarray, metric: str) -> np.ndarray | None:
        if answers.ndim != 3:
            return None
        measure = metrics.choice_acc_norm if metric == "acc_norm" else metrics.choice_acc
        return measure.chosen(answers)

    def predictions(
        self,
        ids: np.ndarray,
        labels: np.ndarray,
        answers: np.ndarray,
        names: Names,
        metric: str,
    ) -> dict[str, Any]:
        """Also has `score`, the metric of each example, and for choices the `log_likelihoods`."""
        registered = metric_of(self.kind.name, metric)
        columns: dict[str, Any] = {"id": [str(i) for i in ids]}
        if registered.choices:
            chosen = self.chosen(answers, metric)
            assert chosen is not None
            columns["label"] = [names[i] if names else str(i) for i in labels]
            columns["predicted"] = [names[i] if names else str(i) for i in chosen]
            columns["correct"] = (chosen == labels).tolist()
            columns["log_likelihoods"] = [a[np.isfinite(a)].tolist() for a in answers[..., 0]]
        else:
            columns["label"], columns["predicted"] = labels.tolist(), answers.tolist()
            pairs = zip(answers, labels, strict=True)
            columns["correct"] = [metrics.normalized(a) == metrics.normalized(b) for a, b in pairs]
        return {**columns, "score": registered.scores(answers, labels)}


def logit_scale(config: PretrainedConfig) -> float:
    """The factor of a model's logits: stated by Cohere and Falcon-H1, and by Granite as a divisor.
    HyperCLOVA X states a factor under Granite's name."""
    if config.model_type.startswith("cohere"):
        return float(config.logit_scale)
    if config.model_type == "falcon_h1":
        return float(config.lm_head_multiplier)
    scaling = float(getattr(config, "logits_scaling", None) or 1.0)
    return scaling if config.model_type == "hyperclovax" else 1.0 / scaling


def _written(model: PreTrainedModel, encoded: Encoded, data: Data, where: Execution) -> np.ndarray:
    limit = data.task.generate
    room = data.tokenizer.model_max_length - limit
    generation = GenerationConfig(
        do_sample=False, num_beams=1, max_new_tokens=limit, pad_token_id=data.pad,
        eos_token_id=data.tokenizer.eos_token_id,
    )  # fmt: skip

    def answer(rows: np.ndarray) -> np.ndarray:
        # Padded at the left, so that every prompt ends where generation begins.
        prompts = [encoded.input_ids[encoded.offsets[i] : encoded.offsets[i + 1]][-room:]
                   for i in rows]  # fmt: skip
        width = max(len(p) for p in prompts)
        x_BT = np.full((len(rows), width), data.pad, np.int64)
        mask_BT = np.zeros_like(x_BT)
        for i, prompt in enumerate(prompts):
            x_BT[i, width - len(prompt) :], mask_BT[i, width - len(prompt) :] = prompt, 1
        tensors = [torch.from_numpy(a).to(where.device) for a in (x_BT, mask_BT)]
        with where.autocast():
            generated = model.generate(
                tensors[0], attention_mask=tensors[1], generation_config=generation
            )
        texts = data.tokenizer.batch_decode(generated[:, width:], skip_special_tokens=True)
        return np.array([t.strip() for t in texts], dtype=object)

    return over_rows(model, encoded.lengths, data.eval_batch, where.group, answer)
