"""Ids of a sweep file's teacher and trials, with placeholder rows and base model, so that they
depend on the file alone. `python -m tests.support.sweep_ids` writes the ids of all files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raykd.config import variants, yaml_file
from raykd.config.sweep import SweepConfig
from raykd.data.prepared import Prepared
from raykd.maps.layer_map import everywhere
from raykd.planning import inits
from raykd.planning.study import Study
from raykd.planning.teacher_trial import teacher_trial
from raykd.planning.trials import confirm_trials, explore_trial
from raykd.runtime.memo import digest
from raykd.teachers import model_facts, teacher

ROOT = Path(__file__).parents[2]
IDS = ROOT / "tests" / "files" / "sweep_ids.json"
DEPTHS = {
    "minilm": 6, "mpnet": 12, "smollm2": 30, "t5-en-ro": (4, 4), "Qwen/Qwen3-8B": 36,
    "facebook/bart-large": (12, 12), "google-t5/t5-base": (12, 12),
    "google-bert/bert-base-uncased": 12,
}  # fmt: skip


def files() -> list[str]:
    return sorted(str(f.relative_to(ROOT)) for f in (ROOT / "sweeps").rglob("*.yaml"))


def ids(file: str, variant: str = "clean") -> dict[str, str]:
    data = {**yaml_file.read(ROOT / file), "variant": variant}
    config = variants.chosen(ROOT / file, data, SweepConfig)
    depth = DEPTHS[config.teacher.model]
    encoder, decoder = (depth, None) if isinstance(depth, int) else depth
    base = model_facts.Base(Path("base"), "b" * 12, encoder, 768, ("0", "1"), decoder)
    counts = {"train": 1000, "select": 100, "test": 200}
    facts = {"majority": 50.0, "duplicates": 0, "mean_words": 20.0}
    fields = Prepared.__dataclass_fields__
    accepted = {k: v for k, v in facts.items() if k in fields}
    prepared = Prepared(Path("rows"), "p" * 12, ("0", "1"), counts, **accepted)  # type: ignore[arg-type]
    task = config.task
    name = teacher.fingerprint(config.teacher, base, prepared, task)
    study = Study(config, file, Path("home"), prepared, base, name, "d" * 12)
    # There is no model to cut a student from, so the check of its blocks is switched off.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inits, "_unfit", lambda *_: None)
        explored = explore_trial(study, everywhere(study.depth, 1)).id if config.explore else ""
        return {
            "teacher": name,
            "fine-tuning": teacher_trial(study).id,
            "confirm": digest([t.id for t in confirm_trials(study)]),
            "explore": explored,
        }


def all_ids() -> dict[str, dict[str, str]]:
    kinds = [(file, v) for file in files() for v in ("clean", "as_released")
             if v == "clean" or "paper" in file]  # fmt: skip
    return {f"{file} {variant}": ids(file, variant) for file, variant in kinds}


if __name__ == "__main__":
    IDS.write_text(json.dumps(all_ids(), indent=1) + "\n", encoding="utf-8")
