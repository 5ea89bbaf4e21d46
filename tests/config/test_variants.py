"""Variants in one sweep file: what is laid over, their names, every mistake in either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from raykd.config.sweep import SweepConfig, load
from raykd.config.variants import laid
from raykd.planning.resolve import resolve
from raykd.planning.trials import confirm_trials

from ..support import world
from ..support.smallest import SMALLEST
from .test_mistakes import complaints

OVER: dict[str, Any] = {
    "losses": {"kind": "paper"},
    "training": {"lr": 1e-5, "epochs": None, "steps": 7},
    "confirm": {"strategies": ["none", {"strategy": "all_to_one", "lr": 2e-5}]},
}
BOTH: dict[str, Any] = {
    **SMALLEST, "losses": {"hidden": 3.0}, "training": {"epochs": 2.0, "batch": 16},
    "confirm": {"seeds": 2, "strategies": ["forward"]}, "variants": {"as_released": OVER},
}  # fmt: skip


def read(folder: Path, sweep: dict[str, Any]) -> SweepConfig:
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(sweep), encoding="utf-8")
    return load(file)


def test_without_a_word_a_file_is_clean(tmp_path: Path) -> None:
    bare = {k: v for k, v in BOTH.items() if k != "variants"}
    clean = read(tmp_path, BOTH)
    assert clean == read(tmp_path, {**BOTH, "variant": "clean"}) == read(tmp_path, bare)
    assert (clean.name, clean.variant, clean.losses.kind) == ("first", "clean", "normalized_mse")


def test_the_other_variant_is_laid_over_key_by_key_under_a_name_of_its_own(tmp_path: Path) -> None:
    found = read(tmp_path, {**BOTH, "variant": "as_released"})
    assert (found.name, found.variant) == ("first as_released", "as_released")
    assert (found.losses.kind, found.losses.hidden) == ("paper", 3.0)
    t = found.training
    assert (t.lr, t.steps, t.epochs, t.batch) == (1e-5, 7, None, 16)
    assert found.confirm is not None and found.confirm.seeds == 2
    assert [(s.label, s.lr) for s in found.confirm.strategies] == [
        ("none", None), ("all_to_one", 2e-5),
    ]  # fmt: skip
    # It is whole: nothing is left to be laid over.
    assert found.variants is None and SweepConfig.model_validate(found.model_dump()) == found


mappings = st.recursive(
    st.integers() | st.lists(st.integers()),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
dicts = st.dictionaries(st.sampled_from("abc"), mappings)


@given(dicts, dicts)
def test_what_is_laid_over_stands_and_the_rest_stays(over: Any, under: Any) -> None:
    found = laid(over, under)
    assert laid(over, found) == found and laid({}, under) == under and laid(over, {}) == over
    assert found.keys() == over.keys() | under.keys()
    for key, value in found.items():
        if key not in over:
            assert value == under[key]
        elif not isinstance(over[key], dict):
            assert value == over[key]


HOME = "variants.as_released"
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"training": {"lr": 0}}, ".training.lr: 0 will not do; write a number greater than 0"),
    ({"trainig": {"lr": 1}}, ".trainig: unknown key; did you mean `training`?"),
    ({"losses": {"kind": "papr"}}, '.losses.kind: "papr" is not known; did you mean paper?'),
    ({"confirm": {"strategies": ["forwards"]}},
     '.confirm.strategies.0.strategy: "forwards" is not known; did you mean forward?'),
    ({"training": {"steps": 3}},
     ".training: `epochs` and `steps` both stand here; leave one out"),
    ({"teacher": {"dropout": True}, "states": {"source": "cached"}},
     ": states.source: cached, and the teacher's dropout is on"),
    ({"variant": "clean"}, ".variant: stands at the top of the file; leave it out here"),
]  # fmt: skip


@pytest.mark.parametrize("chosen", ["clean", "as_released"])
@pytest.mark.parametrize(("over", "told"), MISTAKES, ids=str)
def test_a_mistake_is_told_whichever_variant_runs(
    tmp_path: Path, chosen: str, over: dict[str, Any], told: str
) -> None:
    sweep = {**BOTH, "variant": chosen, "variants": {"as_released": over}}
    (line,) = complaints(tmp_path, sweep)
    assert line.startswith(HOME + told)


@pytest.mark.parametrize("chosen", ["clean", "as_released"])
def test_a_mistake_of_the_file_itself_is_told_once_and_not_of_the_variant(
    tmp_path: Path, chosen: str
) -> None:
    sweep = {**BOTH, "variant": chosen, "margin": 0}
    assert complaints(tmp_path, sweep) == ["margin: 0 will not do; write a number greater than 0"]
    sweep["variants"] = {"as_released": {"margin": -1}}
    assert [line.split(": ")[0] for line in complaints(tmp_path, sweep)] == [
        "margin", "variants.as_released.margin",
    ]  # fmt: skip


MISSING = f"variant: as_released, and there is no `{HOME}`; write it, or `variant: clean`"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"variant": "as_released", "variants": ...}, MISSING),
        ({"variant": "as_released", "variants": None}, MISSING),
        ({"variant": "released"},
         'variant: "released" is not known; did you mean as_released? Known: clean, as_released'),
        ({"variants": {"as_released": 3}},
         f"{HOME}: 3 will not do; write a mapping of keys that a sweep file has"),
        ({"variants": {"as_released": None}, "variant": "as_released"},
         f"{HOME}: null will not do; write a mapping of keys that a sweep file has"),
        ({"variant": 3}, "variant: 3 will not do; write text, in quotes if it looks like something "
         "else"),
        ({"variants": {"clean": {}}},
         "variants.clean: is the file without `variants`; take another name"),
        ({"variants": {"a/b": {}}},
         'variants.a/b: "a/b" will not do; write letters, digits, dots, dashes, underscores or '
         "spaces, a letter or digit first"),
        ({"variants": {0.1: {}}},
         "variants.0.1: 0.1 will not do; write text, in quotes if it looks like something else"),
    ],
)  # fmt: skip
def test_a_variant_that_is_none(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    sweep = {k: v for k, v in {**BOTH, **changes}.items() if v is not ...}
    assert complaints(tmp_path, sweep) == [told]


def test_the_variants_share_a_teacher_and_no_trial(tmp_path: Path) -> None:
    """Also where the one differs from the other by a quirk alone."""
    over = {"teacher": {"dropout": True}, "student": {"projections": "frozen"}}
    names, ids, teachers = set(), list[set[str]](), set()
    for variant in ("clean", "as_released"):
        sweep = world.write_sweep(tmp_path, variant=variant, variants={"as_released": over})
        study = resolve(load(sweep), tmp_path / "home", str(sweep))
        names.add(study.config.name)
        ids.append({t.id for t in confirm_trials(study)})
        teachers.add(study.teacher)
    assert names == {"tiny", "tiny as_released"}
    assert len(teachers) == 1 and not ids[0] & ids[1] and len(ids[0]) == len(ids[1]) == 6


def test_a_file_has_as_many_variants_as_it_names(tmp_path: Path) -> None:
    """Each is validated whichever runs, and has trials of its own."""
    variants = {f"noise {share}": {"labels": {"noise": share}} for share in (0.1, 0.3)}
    inits = [{"copied": "lower"}, {"copied": "upper"}]
    confirm = {"strategies": ["none", "forward"], "inits": inits, "seeds": 2}
    designs, ids, held_out = [], list[set[str]](), set()
    for variant in ("clean", *variants):
        sweep = world.write_sweep(tmp_path, variant=variant, variants=variants, confirm=confirm)
        study = resolve(load(sweep), tmp_path / "home", str(sweep))
        assert study.config.name == ("tiny" if variant == "clean" else f"tiny {variant}")
        trials = confirm_trials(study)
        designs.append([(t.strategy, t.init, t.seed, t.layer_map) for t in trials])
        ids.append({t.id for t in trials})
        held_out.add((*study.prepared.rows("select")["text"], *study.prepared.test_labels()))
    assert designs[0] == designs[1] == designs[2] and len(designs[0]) == 8
    assert len(set().union(*ids)) == 24 and len(held_out) == 1
    wrong = {**variants, "more": {"labels": {"noise": 3}}}
    (line,) = complaints(tmp_path, {**SMALLEST, "variants": wrong, "variant": "noise 0.1"})
    assert line == "variants.more.labels.noise: 3 will not do; write a number less than 1"
