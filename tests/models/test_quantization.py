"""Teachers in 8 or 4 bits: refused where they cannot be had, and what transformers is told where
they can. No GPU is needed, and none is there to load one on."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BitsAndBytesConfig

from raykd.cluster.ray_session import machine
from raykd.config.sweep import load
from raykd.errors import UserError
from raykd.models import quantization
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.sweep.sweep import Sweep

from ..support.tiny_lms import tiny_lm
from ..support.world import write_sweep


def study(folder: Path, **teacher: Any) -> Study:
    first = write_sweep(folder)
    stated = load(first).teacher.model_dump(exclude_defaults=True)
    file = write_sweep(folder, teacher={**stated, **teacher})
    return resolve(load(file), folder / "home", str(file))


def test_a_sweep_is_refused_before_anything_starts_where_there_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    file = Path(study(tmp_path, bits=8).file)
    opened = Sweep.open(file, f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(UserError, match=r"teacher.bits: 8 needs a CUDA GPU, .*; leave it out"):
        with machine(opened.state(), None):
            raise AssertionError("started")


def test_without_bitsandbytes_a_gpu_is_not_enough() -> None:
    assert importlib.util.find_spec("bitsandbytes") is None, "an extra that tests do not install"
    quantization.refuse(None, 0, "a.yaml")
    with pytest.raises(UserError, match=r"^a.yaml: teacher.bits: 4 .*`pip install raykd\[quant\]`"):
        quantization.refuse(4, 1, "a.yaml")


def test_the_precision_is_part_of_what_a_teacher_is(tmp_path: Path) -> None:
    plain, eight, four = (study(tmp_path, bits=bits) for bits in (None, 8, 4))
    assert plain.teacher == study(tmp_path).teacher
    assert len({plain.teacher, eight.teacher, four.teacher}) == 3
    assert training_inputs(four, tmp_path).bits == 4


def test_transformers_is_told_the_bits_the_arithmetic_and_the_device() -> None:
    device = torch.device("cuda", 0)
    four = quantization.options(4, device, torch.bfloat16)
    assert four["device_map"] == {"": device} and four["dtype"] == torch.bfloat16
    how = four["quantization_config"]
    assert isinstance(how, BitsAndBytesConfig)
    assert how.load_in_4bit and not how.load_in_8bit
    assert how.bnb_4bit_quant_type == "nf4" and how.bnb_4bit_use_double_quant
    assert how.bnb_4bit_compute_dtype == torch.bfloat16
    eight = quantization.options(8, device, torch.float32)["quantization_config"]
    assert eight.load_in_8bit and not eight.load_in_4bit


def test_only_the_blocks_matrices_become_smaller() -> None:
    model = tiny_lm("llama", blocks=2).bfloat16()
    matrices = sum(
        p.numel() for n, p in model.named_parameters() if "proj" in n and n != "lm_head.weight"
    )
    assert quantization.saved(model, None) == quantization.scratch(model, None) == 0
    assert quantization.saved(model, 8) == matrices
    assert quantization.saved(model, 4) == pytest.approx(matrices * 1.5, rel=0.02)
    assert quantization.scratch(model, 8) == 2 * model.model.layers[0].mlp.up_proj.weight.numel()
