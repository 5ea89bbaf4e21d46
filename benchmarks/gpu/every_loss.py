"""Every hidden loss and published method: one step on the device against the CPU, in fp32; and that
each is finite under bf16 autocast. The losses of encoder-decoders and language models are of those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import BartConfig, LlamaConfig, T5Config

from benchmarks.gpu import world
from benchmarks.gpu.section import Answer, Run
from benchmarks.gpu.world import PAD
from raykd.config.trial import Init, Shape, TrialSpec
from raykd.data.encoded import Encoded
from raykd.losses.hidden.registry import HiddenLoss, hidden_loss, hidden_losses
from raykd.losses.hidden.statistics import unit_statistics
from raykd.maps import strategies
from raykd.maps.layer_map import LayerMap
from raykd.maps.published import PUBLISHED
from raykd.models.student import build_student, width
from raykd.runtime.execution import Execution
from raykd.runtime.execution_settings import Precision
from raykd.runtime.seeds import seeded
from raykd.tasks.registry import task as task_of
from raykd.tasks.task import Task
from raykd.teachers.targets import LiveTeacher
from raykd.training.learner import Learner

TERMS, GRADIENT = 1e-4, 1e-3  # relative, of the loss's terms and of the whole gradient's norm
VOCAB = 99
BLOCKS, STUDENT = 4, 2


@dataclass(frozen=True)
class Case:
    task: str
    config: Any
    kind: str
    layer_map: LayerMap
    width: int | None = None

    @property
    def name(self) -> str:
        return f"{self.config.model_type} {self.kind}"


def cases() -> Iterator[Case]:
    bert = replace(world.TINY, dropout=0.0).config()
    ahead = strategies.forward(BLOCKS, STUDENT, 0)
    of_methods = {method.loss for method in PUBLISHED.values()}
    for name, loss in sorted(hidden_losses().items()):
        if loss.form != "blocks" or name not in of_methods:
            yield Case("classification", bert, name, ahead, width=16)
    for method in PUBLISHED.values():
        same_heads = hidden_loss(method.loss).equal_heads
        layer_map = method.rule(BLOCKS, STUDENT, 0)
        yield Case("classification", bert, method.loss, layer_map, None if same_heads else 16)
    ends = {"vocab_size": VOCAB, "pad_token_id": PAD, "eos_token_id": 1}
    llama = LlamaConfig(
        **ends, hidden_size=32, num_hidden_layers=BLOCKS, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=64, max_position_embeddings=64,
        initializer_range=0.15,
    )  # fmt: skip
    for kind in ("normalized_mse", "cosine", "paper_qwen"):
        yield Case("causal_lm", llama, kind, ahead, width=16 if kind == "cosine" else None)
    both = replace(ahead, decoder=LayerMap((None, BLOCKS)))
    t5 = T5Config(
        **ends, d_model=32, d_kv=8, d_ff=64, num_layers=BLOCKS, num_decoder_layers=BLOCKS,
        num_heads=4, dropout_rate=0.0, decoder_start_token_id=PAD,
    )  # fmt: skip
    for kind in ("normalized_mse", "paper_t5"):
        yield Case("seq2seq", t5, kind, both)
    bart = BartConfig(
        **ends, d_model=32, encoder_layers=BLOCKS, decoder_layers=BLOCKS, encoder_ffn_dim=64,
        encoder_attention_heads=4, decoder_attention_heads=4, decoder_ffn_dim=64, dropout=0.0,
        max_position_embeddings=64, bos_token_id=None, decoder_start_token_id=1, init_std=0.15,
        forced_eos_token_id=None,
    )  # fmt: skip
    yield Case("seq2seq", bart, "paper_bart", both)


def every_loss(run: Run) -> Answer:
    figures: dict[str, Any] = run.partial.setdefault("each", {})
    problems = []
    for case in cases():
        try:
            wanted, gradient = step(case, torch.device("cpu"))
            found, own = step(case, run.device)
            loose, _ = step(case, run.device, "bf16")
        except Exception as error:
            problems.append(f"{case.name}: {type(error).__name__}: {str(error)[:300]}")
            continue
        terms = float(((found - wanted).abs() / wanted.abs().clamp(min=1e-3)).max())
        apart = float((own - gradient).norm() / gradient.norm())
        bf16 = float((loose[0] - wanted[0]).abs() / wanted[0].abs())
        figures[case.name] = {"terms": terms, "gradient": apart, "bf16 loss": bf16}
        if not (terms <= TERMS and apart <= GRADIENT and bf16 <= 0.2):
            problems.append(f"{case.name}: {figures[case.name]}")
    run.say(f"{len(figures)} losses compared")
    return Answer({"allowed": {"terms": TERMS, "gradient": GRADIENT}, "each": figures},
                  tuple(problems))  # fmt: skip


def prepared(case: Case) -> tuple[Task, TrialSpec, HiddenLoss]:
    """A case's family, its trial and the kind of its hidden loss."""
    two = case.layer_map.decoder is not None
    shape = Shape(STUDENT, width=case.width, decoder_blocks=STUDENT if two else None)
    spec = world.trial(world.TINY, case.layer_map, kind=case.kind)
    spec = replace(spec, task=case.task, shape=shape, init=Init("random"))
    return task_of(case.task), spec, hidden_loss(case.kind)


def step(
    case: Case, device: torch.device, precision: Precision = "fp32"
) -> tuple[torch.Tensor, torch.Tensor]:
    """The terms of one step's loss and the whole gradient, on the CPU, after which the optimiser
    has gone a step. Two parts of a batch, as where memory is short."""
    family, spec, loss = prepared(case)
    with seeded(0):
        teacher = family.auto.from_config(case.config).eval()
    student = build_student(teacher, spec.shape, spec.init, 1)
    teacher.to(device)
    where = Execution(device, precision=precision)
    used = torch.arange(VOCAB // 2)
    statistics = unit_statistics(spec.hidden_kinds, spec.imitated, width(teacher), device)
    how = (family, width(teacher), where, used, statistics)
    learner = Learner(spec, student, *how)
    live = LiveTeacher(teacher, spec.teacher_states, family, where.autocast(), padded=loss.padded)
    encoded = rows(case.task)
    whole = np.arange(len(encoded.ids))
    halves = np.array_split(whole, 2 if loss.divisible else 1)
    for part, mine in enumerate(halves):
        batch = family.collate(encoded, mine, PAD, whole).pinned(device).to(device)
        learner.backward(batch, live(batch), 0, part, len(halves))
    terms = learner.sums.cpu()
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in learner.parameters]
    gradient = torch.cat([g.flatten().float() for g in grads]).cpu()
    learner.update(0)
    live.close()
    if not bool(torch.isfinite(terms).all()):
        raise ValueError(f"terms {terms.tolist()}")
    return terms, gradient


def rows(task: str) -> Encoded:
    """Of tokens in the lower half of the vocabulary; where text is written, its last ones (or
    texts of their own) are the targets."""
    drawn = world.rows(8, VOCAB // 2, 8, 16, 3)
    if task == "classification":
        return drawn
    counts = np.minimum(drawn.lengths - 2, 3 + np.arange(len(drawn.ids)) % 3)
    ends = np.concatenate([[0], np.cumsum(counts)])
    tails = [drawn.input_ids[e - c : e] for e, c in zip(drawn.offsets[1:], counts, strict=True)]
    return replace(drawn, labels=None, targets=np.concatenate(tails), target_offsets=ends)
