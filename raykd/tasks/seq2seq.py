"""Sequence to sequence: an encoder reads sources, a decoder writes targets.

In training the decoder reads the target shifted right, as the class of the model shifts it. Its
mask comes from the labels and not from the ids that it reads, because the start token may be the
padding token (T5, Marian). For evaluation texts are generated, greedily or by beam search.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from raykd.data.batches import Batch, pad_rows
from raykd.data.encoded import Encoded, encoded, tokenizer_fingerprint
from raykd.data.prepared import Prepared
from raykd.data.splits import REFERENCES
from raykd.data.token_lists import flat, whole_lengths
from raykd.models import loading
from raykd.models.outputs import Head, Outputs
from raykd.runtime.execution import Execution
from raykd.runtime.memo import digest
from raykd.tasks import metrics
from raykd.tasks.evaluation import over_rows
from raykd.tasks.kinds.metric import metric_of
from raykd.tasks.kinds.task_kind import task_kind
from raykd.tasks.known_padding import Padding, known_padding
from raykd.tasks.task import Data, Names, Task, longest_targets

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig

IGNORED = -100  # label of padding in targets
SCALED_BY_TIES = ("umt5", "switch_transformers")

CUT = "cut_off"  # number of texts that reached the length limit


class Seq2Seq(Task):
    """Texts that a decoder writes of the sources that an encoder reads."""

    kind = task_kind("seq2seq")

    def load_model(self, folder: Path, labels: Names, *, trained: bool) -> PreTrainedModel:
        """Loads a model in fp32. Raises UserError if weights are missing, or if `outputs.Head`
        cannot compute the logits from the last state of the decoder."""
        model, lacking = loading.read_model(self.auto, folder)
        loading.refuse_foreign(folder, lacking)
        self.refuse_other_head(model.eval())
        return model

    def refuse_other_head(self, model: PreTrainedModel) -> None:
        """Raises UserError if `head` does not compute the logits of a model in eval mode."""
        x_BT = torch.tensor([[0, 1, 2]], device=model.device)
        encoder_inputs = {"input_ids": x_BT, "attention_mask": torch.ones_like(x_BT)}
        with torch.no_grad():
            expected = model(**encoder_inputs, decoder_input_ids=x_BT, use_cache=False).logits
            encoded = model.get_encoder()(**encoder_inputs).last_hidden_state
            state_BTD = model.get_decoder()(
                input_ids=x_BT,
                encoder_hidden_states=encoded,
                encoder_attention_mask=encoder_inputs["attention_mask"],
                use_cache=False,
            ).last_hidden_state
            loading.refuse_other_logits(
                model, expected, state_BTD, self.head(model), "T5, BART or Marian"
            )

    def encode(
        self, prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, names: Names,
        config: TaskConfig, home: Path,
    ) -> Encoded:  # fmt: skip
        """Sources of every split, targets of train, and references of select as its labels. Raises
        UserError if targets are longer than the limit on generated texts."""
        if config.languages is not None:
            tokenizer.src_lang, tokenizer.tgt_lang = config.languages
        cut = config.model_dump(
            mode="json", exclude={"generation", "data", "metric", "cut_completions"}
        )
        parts = [prepared.fingerprint, split, tokenizer_fingerprint(tokenizer), cut]
        arrays = encoded(home, digest(parts), lambda: _encode(prepared, split, tokenizer, config))
        limit = config.generation.max_length
        if arrays.target_offsets is not None and limit is not None:
            loading.refuse_long("task.generation.max_length", limit, np.diff(arrays.target_offsets))
        return arrays

    def names(self, folder: Path, prepared: Prepared) -> Names:
        return ()

    def collate(
        self,
        encoded: Encoded,
        rows: np.ndarray,
        pad: int,
        whole: np.ndarray | None = None,
        pad_to: int | None = None,
    ) -> Batch:
        """Sources and targets, each padded to its longest. Every target token has a loss position,
        at which the decoder has read all tokens before it."""
        whole = rows if whole is None else whole
        ids_BT, mask_BT = pad_rows(encoded.input_ids, encoded.offsets, rows, pad, pad_to)
        inputs = {"input_ids": ids_BT, "attention_mask": torch.from_numpy(mask_BT.astype(np.int64))}
        valid = torch.from_numpy(np.flatnonzero(mask_BT))
        tokens, positions, places, labels = int(encoded.lengths[whole].sum()), 0, None, None
        if encoded.targets is not None:
            ends = encoded.position_offsets
            labels_BT, target_mask_BT = pad_rows(encoded.targets, ends, rows, IGNORED, pad_to)
            inputs["labels"] = labels_BT
            places = torch.from_numpy(np.flatnonzero(target_mask_BT))
            labels = labels_BT.flatten()[places]
            positions = int((ends[whole + 1] - ends[whole]).sum())
        return Batch(
            encoded.ids[rows], inputs, valid, labels, len(whole), tokens, positions, places
        )

    def forward(self, model: PreTrainedModel, batch: Batch) -> Outputs:
        """The last states x_PD of the decoder at the P target tokens, with the head that maps them
        to logits."""
        source_mask_BT, labels_BT = batch.inputs["attention_mask"], batch.inputs["labels"]
        decoder_ids_BT = _shifted(model, labels_BT)
        assert batch.places is not None
        source = Padding.of(source_mask_BT, batch.valid)
        encoder = model.get_encoder()
        with known_padding(source):
            encoded = encoder(
                input_ids=batch.inputs["input_ids"], attention_mask=source_mask_BT
            ).last_hidden_state
        decoder = model.get_decoder()
        with known_padding(Padding.of(labels_BT, batch.places), bidirectional=source):
            x_BTD = decoder(
                input_ids=decoder_ids_BT,
                attention_mask=(labels_BT != IGNORED).long(),
                encoder_hidden_states=encoded,
                encoder_attention_mask=source_mask_BT,
                use_cache=False,
            ).last_hidden_state
        return Outputs(x_BTD.flatten(0, 1).index_select(0, batch.places), self.head(model))

    def head(self, model: PreTrainedModel) -> Head:
        output, bias = model.get_output_embeddings(), getattr(model, "final_logits_bias", None)
        config = model.config
        # T5 1.0 has the setting; other models of its family scale if their embeddings are tied.
        by_ties = config.model_type in SCALED_BY_TIES and config.tie_word_embeddings
        scaled = getattr(config, "scale_decoder_outputs", by_ties)
        scale = config.d_model**-0.5 if scaled else 1.0
        return Head(output.weight, None if bias is None else bias[0], scale)

    def output_width(self, config: PretrainedConfig) -> int:
        return int(config.d_model)

    def longest_rows(self, rows: int, length: int, target: int | None) -> Encoded:
        return longest_targets(rows, length, length - 1 if target is None else target)

    def evaluate(
        self, model: PreTrainedModel, encoded: Encoded, data: Data, where: Execution
    ) -> np.ndarray:
        """The generated text for each source, its length in tokens, and whether it reached the
        limit, as objects [rows, 3]."""
        task, tokenizer = data.task, data.tokenizer
        limit = task.writes
        assert limit is not None
        config = copy.deepcopy(model.generation_config)
        config.num_beams, config.do_sample = task.generation.beams, False
        config.max_new_tokens, config.max_length = limit, None

        def answer(rows: np.ndarray) -> np.ndarray:
            ids_BT, mask_BT = pad_rows(encoded.input_ids, encoded.offsets, rows, data.pad)
            mask = torch.from_numpy(mask_BT.astype(np.int64)).to(where.device)
            with where.autocast():
                written_BT = model.generate(
                    input_ids=ids_BT.to(where.device), attention_mask=mask, generation_config=config
                ).cpu()
            texts = tokenizer.batch_decode(written_BT, skip_special_tokens=True)
            counts = [_count(ids, config.eos_token_id) for ids in written_BT[:, 1:]]
            row_answers = np.empty((len(rows), 3), dtype=object)
            for i, (text, count) in enumerate(zip(texts, counts, strict=True)):
                row_answers[i] = (text.strip(), count, count >= limit)
            return row_answers

        return over_rows(model, encoded.lengths, data.eval_batch, where.group, answer)

    def score(self, metric: str, answers: np.ndarray, labels: np.ndarray) -> float:
        if metric == CUT:
            return float(np.sum(answers[:, 2].astype(bool)))
        return super().score(metric, answers, labels)

    def constant_answers(
        self, metric: str, labels: np.ndarray, encoded: Encoded | None = None
    ) -> Iterator[np.ndarray]:
        """The commonest text, taken as one that did not reach the limit."""
        first = [refs[0] for refs in metrics.references(labels)]
        texts, counts = np.unique(first, return_counts=True)
        answers = np.empty((len(labels), 3), dtype=object)
        answers[:] = (str(texts[counts.argmax()]), 0, False)
        yield answers

    def secondary_metrics(self, metric: str, names: Names) -> tuple[str, ...]:
        """The other metrics of the same package."""
        related = metrics.ROUGE if metric in metrics.ROUGE else metrics.MATCHED
        built_in = related if metric in related else ()
        others = (name for name in built_in if name != metric)
        return (*others, CUT, *super().secondary_metrics(metric, names))

    def predictions(
        self, ids: np.ndarray, labels: np.ndarray, answers: np.ndarray, names: Names, metric: str
    ) -> dict[str, Any]:
        """Columns: id, label (the first reference), predicted, correct (equal to a reference),
        `score` (the metric of this text, from 0 to 1), tokens, cut_off."""
        texts, references = list(answers[:, 0]), metrics.references(labels)
        return {
            "id": [str(i) for i in ids],
            "label": [row_references[0] for row_references in references],
            "predicted": texts,
            "correct": [
                text in row_references
                for text, row_references in zip(texts, references, strict=True)
            ],
            "score": metric_of(self.kind.name, metric).scores(answers, labels),
            "tokens": [int(n) for n in answers[:, 1]],
            CUT: [bool(x) for x in answers[:, 2]],
        }


def _encode(
    prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, config: TaskConfig
) -> dict[str, np.ndarray]:
    rows = prepared.rows(split)
    limit = min(config.max_length, tokenizer.model_max_length)
    sources = [config.prefix + text for text in rows["text"][:]]
    ids = tokenizer(sources, truncation=True, max_length=limit, padding=False)["input_ids"]
    arrays = {**flat("input_ids", "offsets", ids), "ids": np.array(rows["id"][:])}
    arrays["whole"] = whole_lengths(tokenizer, [sources], np.diff(arrays["offsets"]), limit)
    if split == "train":
        first_targets = [str(text).split(REFERENCES)[0] for text in rows["label"][:]]
        longest = min(config.max_target_length, tokenizer.model_max_length)
        encoding = tokenizer(
            text_target=first_targets, truncation=True, max_length=longest, padding=False
        )
        end = int(tokenizer.eos_token_id)
        targets = [
            target if end in target else [*target[: longest - 1], end]
            for target in encoding["input_ids"]
        ]
        arrays |= flat("targets", "target_offsets", targets)
        arrays["whole_targets"] = whole_lengths(
            tokenizer, [first_targets], np.diff(arrays["target_offsets"]), longest, ["text_target"]
        )
    elif split == "select":
        arrays["labels"] = np.array(rows["label"][:])
    return arrays


def _shifted(model: PreTrainedModel, labels_BT: torch.Tensor) -> torch.Tensor:
    """The ids that the decoder reads: as the class defines them, or for classes without a
    definition (Blenderbot, M2M100) the target after its start token."""
    prepare = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    if prepare is not None:
        decoder_ids_BT: torch.Tensor = prepare(labels_BT)
        return decoder_ids_BT
    start_B1 = torch.full_like(labels_BT[:, :1], model.config.decoder_start_token_id)
    decoder_ids_BT = torch.cat([start_B1, labels_BT[:, :-1]], 1)
    return decoder_ids_BT.masked_fill(decoder_ids_BT == IGNORED, model.config.pad_token_id)


def _count(ids_T: torch.Tensor, ends: int | list[int]) -> int:
    """Number of tokens up to and including the end token; all if there is none."""
    end_T = torch.isin(ids_T, torch.tensor(ends))
    return int(end_T.int().argmax()) + 1 if bool(end_T.any()) else len(ids_T)
