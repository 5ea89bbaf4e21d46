"""What a cohort's memory is said to be: against real trainings' own storages, for every model
class, every hidden loss, and on paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers import LlamaConfig, PreTrainedModel

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.config.trial import Init, Lora, Loss, Shape, Training, TrialSpec
from raykd.data.encoded import Encoded
from raykd.losses.hidden.registry import hidden_losses
from raykd.maps.layer_map import LayerMap, everywhere
from raykd.maps.published import PUBLISHED
from raykd.models.stacks import depth
from raykd.models.student import build_student, width
from raykd.planning.memory.dry_run import Storages, measure
from raykd.planning.memory.footprint import LARGEST_COHORT, Footprint, MemoryQuestion
from raykd.planning.plan import Explored, Plan, Power, make
from raykd.planning.resolve import resolve
from raykd.runtime.execution import Execution
from raykd.tasks.registry import task as task_of
from raykd.tasks.task import Data
from raykd.teachers.targets import LiveTeacher
from raykd.training.distill import distill
from raykd.training.recorder import Memory
from raykd.training.trainer import trainable

from ...support.paper_models import QWEN, TEACHERS
from ...support.tiny_lms import LMS, tiny_lm
from ...support.tiny_models import KINDS, tiny_model
from ...support.tiny_seq2seq import KINDS as SEQ2SEQ
from ...support.tiny_seq2seq import tiny_seq2seq
from ...support.world import write_sweep
from ...support.world_seq2seq import write_sweep as write_pairs_sweep

WRITES = 20
ADAPTERS = Lora(128, 32.0, 0.0, None)


def trial(
    task: str, shape: Shape, kind: str = "mse", layer_map: LayerMap | None = None, **how: Any
) -> TrialSpec:
    training: dict[str, Any] = {
        "steps": 3, "batch": 8, "batch_tokens": None, "lr": 1e-4, "warmup": 0.1,
        "weight_decay": 0.01, "clip": 1.0, "evaluations": 2, "precision": "fp32", "diverged": 1e9,
    }  # fmt: skip
    return TrialSpec(
        task=task, metric="acc", data="", teacher="", shape=shape, init=Init("random"),
        phase="confirm", strategy="", layer_map=layer_map or everywhere(shape.depth, 1),
        loss=Loss(ce=1.0, kl=1.0, hidden=1.0, temperature=1.0, kind=kind),
        training=Training(**{**training, **how}), seed=0,
    )  # fmt: skip


def load_of(
    task: str, made: TrialSpec, rows: int = 4, tokens: int = 8, **more: Any
) -> MemoryQuestion:
    states = tuple(sorted(made.teacher_states))
    targets = 6 if task == "seq2seq" else None
    return MemoryQuestion(made, states, rows, tokens, targets, **more)


def held(model: PreTrainedModel) -> int:
    """Bytes of all weights and buffers, each once."""
    tensors = {t.untyped_storage()._cdata: t for t in (*model.parameters(), *model.buffers())}
    return sum(t.untyped_storage().nbytes() for t in tensors.values())


MODELS = [
    *(("classification", kind, tiny_model) for kind in KINDS),
    *(("causal_lm", kind, tiny_lm) for kind in LMS),
    *(("seq2seq", kind, tiny_seq2seq) for kind in SEQ2SEQ),
]


@pytest.mark.parametrize(("task", "kind", "build"), MODELS, ids=lambda x: getattr(x, "__name__", x))
def test_every_model_class_is_trained_on_shapes(task: str, kind: str, build: Any) -> None:
    """The teacher takes what its weights take, a student four times its own: weights, two moments,
    the best so far (a tied weight once, and none that is frozen)."""
    model = build(kind, blocks=(2, 2) if task == "seq2seq" else 2)
    made = trial(task, Shape.of(depth(model.config)))
    found = measure(model.config, load_of(task, made))
    parameters = 4 * sum(p.numel() for p in model.parameters() if p.requires_grad)
    named = {t.data_ptr(): t for t in model.state_dict().values()}
    frozen = {p.data_ptr() for p in model.parameters() if not p.requires_grad}
    best = sum(t.numel() * t.element_size() for p, t in named.items() if p not in frozen)
    assert found.teacher == pytest.approx(held(model), rel=0.02)
    assert found.student == pytest.approx(held(model) + 2 * parameters + best, rel=0.02)
    assert found.gradients == parameters
    assert found.step > parameters


@pytest.fixture(scope="module")
def unmatched() -> Footprint:
    nothing = trial("classification", Shape(2), layer_map=LayerMap((None, None)))
    return measure(tiny_model("bert", blocks=4).config, load_of("classification", nothing))


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_method_is_computed_on_shapes(name: str, unmatched: Footprint) -> None:
    layer_map, kind = PUBLISHED[name].rule(4, 2, 0), PUBLISHED[name].loss or "mse"
    matched = trial("classification", Shape(2), kind, layer_map)
    found = measure(tiny_model("bert", blocks=4).config, load_of("classification", matched))
    assert found.step > unmatched.step


@pytest.mark.parametrize("kind", sorted(n for n, k in hidden_losses().items() if k.any_map))
def test_every_loss_that_goes_with_any_map_is_computed_on_shapes(
    kind: str, unmatched: Footprint
) -> None:
    matched = trial("classification", Shape(2), kind, LayerMap((4, 2)))
    model = tiny_model("bert", blocks=4)
    assert measure(model.config, load_of("classification", matched)).step > unmatched.step


@pytest.mark.parametrize(("kind", "task"), [("paper_t5", "seq2seq"), ("paper_qwen", "causal_lm")])
def test_losses_that_look_at_padding_are_computed_on_shapes(kind: str, task: str) -> None:
    model = tiny_seq2seq("t5", blocks=(2, 2)) if task == "seq2seq" else tiny_lm("llama", blocks=2)
    shape = Shape.of(depth(model.config))
    matched, plain = (
        measure(model.config, load_of(task, trial(task, shape, kind, everywhere(shape.depth, to))))
        for to in (1, None)
    )
    assert matched.step > plain.step


def rows(count: int, tokens: int, **more: Any) -> Encoded:
    ids = np.random.default_rng(0).integers(3, 60, (count, tokens))
    ends = np.arange(count + 1)
    return Encoded(
        "", ids.ravel(), ends * tokens, None, more.pop("labels", None), np.arange(count),
        targets=ids[:, 1:].ravel(), target_offsets=ends * (tokens - 1), **more,
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "students"), [("smollm2", 1), ("smollm2", 3), ("gpt2", 3)])
def test_a_real_training_holds_what_was_foreseen(kind: str, students: int) -> None:
    """The same count over a real cohort, by raykd's own loop with its evaluations. gpt2 has
    dropout, whose noise a cohort keeps."""
    maps = [LayerMap((2, 4)), LayerMap((4, 2)), LayerMap((1, 3))][:students]
    trials = tuple(trial("causal_lm", Shape(2), "cosine", m) for m in maps)
    states = tuple(sorted({s for t in trials for s in t.teacher_states}))
    choices = {"groups": np.arange(0, 129, 2), "chars": np.full(128, 9)}
    labels, nothing = np.zeros(64, dtype=np.int64), Any
    data = Data(
        task_of("causal_lm"), rows(8, 32), rows(128, 32, labels=labels, **choices),
        rows(128, 32, **choices), lambda: labels, (), 0, nothing, nothing,
    )  # type: ignore[arg-type]  # fmt: skip
    where = Execution()

    def build(of: TrialSpec) -> PreTrainedModel:
        return trainable(build_student(teacher, of.shape, of.init, 0), of, where)

    with Storages() as seen:
        teacher = tiny_lm(kind, width=64, blocks=4, vocab=500)
        live = LiveTeacher(teacher, states, data.family, where.autocast())
        distill(Cohort(trials), data, build, live, width(teacher), Memory(), where=where)
    planned = measure(teacher.config, MemoryQuestion(trials[0], states, 8, 32))
    assert planned.peak(students) == pytest.approx(seen.peak, rel=0.05)


def test_noise_is_held_until_the_students_of_a_step_have_drawn_it() -> None:
    """On a CPU, where the memory of a step is at its end that of gradients."""
    model = tiny_model("bert", width=256, blocks=4, vocab=2000)
    question = load_of("classification", trial("classification", Shape(2)), rows=16, tokens=8)
    step, of_gpu, recomputed = (
        measure(model.config, replace(question, **how)).step
        for how in ({}, {"gpu": True}, {"gradient_checkpointing": True})
    )
    state, attention = 16 * 8 * 256, 16 * 4 * 8 * 8
    noise = 4 * (5 * state + 2 * attention + 16 * 256)  # embeddings, two a block, pooled output
    assert step == of_gpu + noise
    assert recomputed <= of_gpu


WRITING = [
    *(("causal_lm", kind, tiny_lm, 1) for kind in LMS),
    *(("seq2seq", kind, tiny_seq2seq, beams) for kind in SEQ2SEQ for beams in (1, 3)),
]


@pytest.mark.parametrize(
    ("task", "kind", "build", "beams"), WRITING, ids=lambda x: getattr(x, "__name__", x)
)
def test_what_a_model_holds_while_it_writes(task: str, kind: str, build: Any, beams: int) -> None:
    """Texts of real models, which end where the limit is, against what is said of their shapes."""
    model = build(kind, blocks=(2, 2) if task == "seq2seq" else 2, width=64)
    model.generation_config.min_new_tokens = model.generation_config.max_new_tokens = WRITES
    said = SimpleNamespace(
        batch_decode=lambda texts, **_: ["" for _ in texts], model_max_length=64, eos_token_id=None
    )
    asked = SimpleNamespace(
        writes=WRITES, generate=WRITES, generation=SimpleNamespace(beams=beams, max_length=WRITES)
    )
    sources, none = rows(Data.eval_batch, 24), np.zeros(0)
    data = Data(
        task_of(task), sources, sources, sources, lambda: none, (), 0, said, asked
    )  # type: ignore[arg-type]  # fmt: skip
    with Storages() as seen:
        written = data.family.evaluate(model, sources, data, Execution())
    assert len(written) == Data.eval_batch
    shape = Shape.of(depth(model.config))
    made = load_of(task, trial(task, shape), tokens=24, writes=WRITES, beams=beams)
    found = measure(model.config, made)
    assert found.evaluation == pytest.approx(seen.peak, rel=0.1)


def test_a_step_does_not_grow_with_vocabulary_times_tokens() -> None:
    """Four times the tokens: their logits alone would be 2.4 GB more."""
    config = LlamaConfig(
        vocab_size=100_000, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=512,
    )  # fmt: skip
    made = trial("causal_lm", Shape(1))
    small, large = (
        measure(config, load_of("causal_lm", made, rows=rows, tokens=128)) for rows in (16, 64)
    )
    assert large.step - small.step < 20 * 2**20


def test_an_8b_teacher_and_its_student_fit_one_gpu_of_80_gb() -> None:
    """Qwen3-8B and a student of 9 of its 36 blocks, in bf16, on the meta device: whole, and by
    adapters with room to spare. benchmarks/memory.py has longer rows, fp32 and 4 bits."""
    config, shape = TEACHERS[QWEN].full, Shape(9)
    layer_map = LayerMap(tuple(range(4, 37, 4)))

    def peak(**how: Any) -> float:
        made = trial("causal_lm", shape, "cosine", layer_map, weights="bf16", **how)
        few = load_of("causal_lm", made, rows=2, tokens=128, gpu=True)
        return measure(config, few).peak(1) / 1e9

    whole, beside = peak(), peak(lora=ADAPTERS)
    assert 2 * 8.19 + 2 * 2.98 < beside < whole - 12 < 0.8 * 80 - 12


def test_students_that_fit_are_counted_by_what_each_takes() -> None:
    found = Footprint(teacher=100, student=10, step=20, gradients=5, evaluation=8)
    assert [found.peak(k) for k in (1, 2, 3)] == [130, 145, 155]
    assert [found.fitting(m) for m in (0, 144, 145, 164, 10**9)] == [1, 1, 2, 3, LARGEST_COHORT]
    assert replace(found, evaluation=50).peak(2) == 170
    assert found.in_heap() == replace(found, step=30, evaluation=12)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("world")
    sweep = write_sweep(folder)
    return resolve(load(sweep), folder / "home", str(sweep))


def test_a_plan_fills_a_workers_memory(study: Any) -> None:
    def plan(memory: float, gpus: float) -> Plan:
        return make(study, (), Explored({}), int(memory), Power(1, gpus, 1))

    found = plan(2**40, 0).footprint
    room = found.peak(5) + 1
    assert plan((room + 1536 * 2**20) / 0.8, 0).cohort_size == 5
    assert plan(2**40, 0).cohort_size == LARGEST_COHORT
    on_gpu = plan(2**40, 1).footprint
    assert found.step > 1.4 * on_gpu.step
    assert on_gpu.student < found.student  # the best weights are in the host's memory
    assert plan(on_gpu.peak(5) / 0.8 + 2, 1).cohort_size == 5
    assert plan(1, 1).cohort_size == 1


def test_workers_and_controls_take_more(study: Any) -> None:
    def changed(**parts: Any) -> Footprint:
        config = study.config.model_copy(update=parts)
        other = replace(study, config=config)
        return make(other, (), Explored({}), 2**40, Power(1, 0, 1)).footprint

    alone = changed()
    cluster = study.config.cluster
    two = changed(cluster=cluster.model_copy(update={"workers": 2}))
    assert two.gradients == 2 * alone.gradients and two.student == alone.student
    halves = changed(cluster=cluster.model_copy(update={"micro_batch": 2}))
    assert halves.step < alone.step


def test_beams_and_longer_texts_are_planned_for(tmp_path: Path) -> None:
    pairs = resolve(load(write_pairs_sweep(tmp_path)), tmp_path / "home", "")

    def evaluation(**generation: Any) -> int:
        task = pairs.config.task
        task = task.model_copy(update={"generation": task.generation.model_copy(update=generation)})
        other = replace(pairs, config=pairs.config.model_copy(update={"task": task}))
        return make(other, (), Explored({}), 2**40, Power(1, 1, 1)).footprint.evaluation

    short = evaluation()
    assert evaluation(max_length=8) == short  # what targets may have, where it is not said
    assert evaluation(max_length=800) > 2 * short
    assert evaluation(beams=4) > 2 * short


@pytest.mark.parametrize("writes", [1, 2, 3])
@pytest.mark.parametrize(
    ("task", "kind", "build"), [MODELS[-1], MODELS[len(KINDS)]],
    ids=lambda x: getattr(x, "__name__", x),
)  # fmt: skip
def test_texts_may_be_as_short_as_one_token(task: str, kind: str, build: Any, writes: int) -> None:
    model = build(kind, blocks=(2, 2) if task == "seq2seq" else 2)
    made = load_of(task, trial(task, Shape.of(depth(model.config))), writes=writes)
    assert measure(model.config, made).evaluation > 0
