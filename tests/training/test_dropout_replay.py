"""Replayed noise changes no bit of a training: for every model class, and for students whose draws
differ. That a trial is the same alone and in a cohort, also after an interruption, is tested for
every class in test_model_classes.py, where the cohort replays and a student alone does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from raykd.config.cohort import Cohort
from raykd.config.trial import Init, Lora, Shape, TrialSpec
from raykd.runtime.execution import Execution
from raykd.training import distill, step
from raykd.training.dropout_replay import DropoutReplay, replayed_dropout, replays
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

from ..support.model_classes import CASES, Place
from ..support.noise import differing, trained


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    torch.set_num_threads(1)
    return Place(tmp_path_factory.mktemp("classes"))


def load(place: Place, case: str, **execution: Any) -> CohortTrainer:
    return CohortTrainer.load(place.sources(case, dropout=0.1), Execution(**execution))


def short(cohort: Cohort, precision: Any) -> Cohort:
    how = {"steps": 3, "evaluations": 1, "precision": precision}
    return Cohort(tuple(replace(t, training=replace(t.training, **how)) for t in cohort.trials))


# Of a whole training

BF16 = ("bert", "deberta", "gpt2", "t5", "published methods")


@pytest.mark.parametrize(
    ("case", "precision"),
    [*((c, "fp32") for c in CASES), *((c, "bf16") for c in BF16), ("bert", "fp16")],
)
def test_weights_are_those_of_students_that_draw_their_own(
    place: Place, case: str, precision: str
) -> None:
    trainer, cohort = load(place, case), short(place.cohort(case), precision)
    drawn, none = trained(trainer, cohort, replay=False)
    replayed, times = trained(trainer, cohort, replay=True)
    assert none == 0 and times
    assert differing(replayed, drawn) == []


@pytest.fixture(scope="module")
def forward(place: Place) -> TrialSpec:
    """A student of two blocks."""
    return place.cohort("bert").trials[-2]


@pytest.mark.parametrize(
    "how", [{"micro_batch": 6}, {"gradient_checkpointing": True}], ids=lambda how: next(iter(how))
)
def test_noise_of_parts_and_of_recomputed_blocks_could_be_replayed(
    place: Place, how: dict[str, Any]
) -> None:
    """It is not, to save memory; but a setting changes no result."""
    trainer = load(place, "bert", **how)
    drawn, _ = trained(trainer, place.cohort("bert"), replay=False)
    replayed, times = trained(trainer, place.cohort("bert"), replay=True)
    assert times and differing(replayed, drawn) == []


def test_students_of_other_shapes_draw_their_own(place: Place, forward: TrialSpec) -> None:
    """Depths and widths by turns, adapters, and a shape of which there is one student."""
    adapters = replace(forward.training, lora=Lora(2, 4.0, 0.1, None))
    random = Init("random")
    names = iter("abcdefgh")

    def like(shape: Shape, **how: Any) -> TrialSpec:
        blocks = (*forward.layer_map.blocks, None)[: shape.blocks]
        layer_map = replace(forward.layer_map, blocks=blocks)
        return replace(
            forward, shape=shape, init=random, layer_map=layer_map, strategy=next(names), **how
        )

    one, two, three = Shape(2), Shape(3), Shape(2, width=16)
    cohort = Cohort(
        (
            like(one), like(two), like(three), like(Shape(1)), like(one, training=adapters),
            like(three), like(two), like(one, training=adapters),
        )
    )  # fmt: skip
    trainer = load(place, "bert")
    replayed, times = trained(trainer, cohort, replay=True)
    assert times
    for trial in cohort.trials:
        alone, none = trained(trainer, Cohort((trial,)), replay=True)
        assert none == 0
        assert differing(alone, {trial.id: replayed[trial.id]}) == []


def test_a_diverged_student_leaves_and_the_next_one_records(
    place: Place, forward: TrialSpec
) -> None:
    wild = replace(forward, strategy="wild", training=replace(forward.training, lr=1e30))
    others = tuple(replace(forward, strategy=name) for name in ("a", "b"))
    trainer = load(place, "bert")
    replayed, times = trained(trainer, Cohort((wild, *others)), replay=True)
    drawn, _ = trained(trainer, Cohort(others), replay=False)
    assert times and differing(replayed, drawn) == []


def test_noise_that_is_off_by_a_call_is_caught(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What these tests compare depends on the noise."""
    trainer, cohort = load(place, "bert"), place.cohort("bert")
    drawn, _ = trained(trainer, cohort, replay=False)
    noise_of, last = DropoutReplay._noise, dict[torch.Size, Tensor]()

    def late(self: DropoutReplay, x: Tensor, p: float) -> Tensor:
        noise = noise_of(self, x, p)
        before = last.get(x.shape, noise)
        last[x.shape] = noise
        return before if self.replayed else noise

    monkeypatch.setattr(DropoutReplay, "_noise", late)
    replayed, _ = trained(trainer, cohort, replay=True)
    assert differing(replayed, drawn)


def test_a_student_alone_keeps_no_noise(
    place: Place, forward: TrialSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill, "_finish", lambda *_: None)
    monkeypatch.delattr(step, "replayed_dropout")
    memory = Memory()
    load(place, "bert").run(Cohort((forward,)), memory)
    assert memory.metrics[forward.id]


def test_noise_is_replayed_where_drawing_is_slow_and_memory_is_not_short() -> None:
    assert replays(Execution())
    assert replays(Execution(precision="bf16"))
    for other in (
        Execution(torch.device("cuda")), Execution(compile=True), Execution(micro_batch=8),
        Execution(gradient_checkpointing=True),
    ):  # fmt: skip
        assert not replays(other)


# Of the operator

Program = list[tuple[str, Any]]
"""What a student computes, in order."""
STEPS: dict[str, Any] = {
    "dropout": lambda x, p: F.dropout(x, p),
    "not in training": lambda x, p: F.dropout(x, p, training=False),
    "in place": lambda x, p: F.dropout(x * 1, p, inplace=True),
    "of channels": lambda x, p: F.dropout1d(x, p),
    "alpha": lambda x, p: F.alpha_dropout(x, p),
    "transposed": lambda x, p: F.dropout(x.transpose(1, 2), p).transpose(1, 2),
    "in bf16": lambda x, p: F.dropout(x.bfloat16(), p).float(),
    "part": lambda x, p: torch.cat([F.dropout(x[:1], p), x[1:]]),
    "attention": lambda x, p: F.scaled_dot_product_attention(x, x, x, dropout_p=p),
    "masked attention": lambda x, p: F.scaled_dot_product_attention(
        x, x, x, attn_mask=torch.ones(6, 6, dtype=torch.bool).tril(), dropout_p=p
    ),
    "own draw": lambda x, p: x + torch.rand(3) @ torch.ones(3),
    "normal draw": lambda x, p: x * torch.randn(x.shape),  # keeps half of a pair in the generator
    "another stream": lambda x, p: (torch.manual_seed(round(100 * p)), x)[1],
}
PROGRAM = st.lists(
    st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from([0.0, 0.1, 0.5, 1.0])), max_size=6
)


def ran(program: Program) -> tuple[object, ...]:
    """Bits of output, gradient and the generator's state of one student, and strides."""
    torch.manual_seed(3)
    x = leaf = torch.linspace(-2, 2, 3 * 6 * 8).view(3, 6, 8).requires_grad_()
    for name, p in program:
        x = STEPS[name](x, p)
    (gradient,) = torch.autograd.grad(x.square().sum(), leaf)
    bits = (t.contiguous().numpy().tobytes() for t in (x.detach(), gradient, torch.get_rng_state()))
    return *bits, x.stride(), gradient.stride()


@given(st.lists(PROGRAM, min_size=1, max_size=3), st.lists(st.integers(0, 5), max_size=3))
@settings(max_examples=100)
def test_any_students_get_what_torch_draws(programs: list[Program], cuts: list[int]) -> None:
    """Each program runs twice; others begin as the first does, and then differ."""
    programs = [*programs, *(programs[0][:cut] + programs[-1] for cut in cuts), *programs]
    wanted = [ran(program) for program in programs]
    with replayed_dropout() as replay:
        found = [ran(program) for program in programs]
    assert replay is not None
    for program, a, b in zip(programs, wanted, found, strict=True):
        assert a == b, program


def test_noise_is_kept_once_and_freed() -> None:
    x = torch.ones(4, 500)
    with replayed_dropout() as replay:
        assert replay is not None
        for _ in range(3):
            torch.manual_seed(0)
            F.dropout(F.dropout(x, 0.1), 0.2)
        assert replay.replayed == 4 and replay.nbytes == 2 * x.nbytes
        torch.manual_seed(0)
        F.dropout(x, 0.3)  # another rate: noise of its own
        assert replay.replayed == 4 and replay.nbytes == 3 * x.nbytes
    F.dropout(x, 0.1)
    assert replay.nbytes == 0


def test_the_operator_is_torchs_again_after_an_error() -> None:
    with pytest.raises(KeyError), replayed_dropout() as replay:
        raise KeyError
    assert replay is not None
    torch.manual_seed(0)
    F.dropout(torch.ones(500), 0.1)
    assert replay.nbytes == 0
    with replayed_dropout() as first, replayed_dropout() as second:  # two trainings in two threads
        F.dropout(torch.ones(500), 0.1)
        assert first is not None and second is None and first.nbytes
