"""Which classes of transformers can be cut: every text class, tiny and with random weights.

    python -m benchmarks.model_classes             writes model_classes.json and docs/models.md
    python -m benchmarks.model_classes bert opt    tries these again, and keeps the other rows

For each class and kind of task, what `plan` asks is asked, teacher and student are built, and the
student is compared with the teacher whose other blocks are skipped (raykd.models.verify_student).
"""

from __future__ import annotations

import copy
import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedModel

from benchmarks.tiny_configs import KINDS, text_classes, tiny_config
from raykd.config.trial import Init, Shape
from raykd.errors import UserError, first_line
from raykd.models.router import router_loss
from raykd.models.stacks import undescribed
from raykd.models.student import build_student
from raykd.tasks.registry import task as task_of
from raykd.teachers.sample_run import uncuttable

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "model_classes.json"
Blocks = tuple[int, int]
INITS: dict[Blocks, Blocks] = {(3, 6): (2, 5), (1, 4): (1, 5), (1, 2): (1, 2)}
"""Blocks that a student of two starts from, and those of its decoder if it has one: any two, block
1 first, the lowest two."""
MOST_PARAMETERS = 20_000_000  # classes whose other parts stay large are not tried

NOT_TRIED = "not tried"


@dataclass(frozen=True)
class Row:
    """A class in a kind of task."""

    name: str
    kind: str
    blocks: Blocks | None
    """The first of `INITS` whose student is the teacher with its other blocks skipped; None if
    the class is refused."""
    reason: str
    """Why no student, or none of earlier `INITS`, can be made; empty if any can."""
    router: bool = False
    """Whether it trains with an auxiliary loss of its routers."""

    @property
    def works(self) -> bool:
        return self.blocks is not None


def rows(names: list[str] | None = None) -> Iterator[Row]:
    """Try the classes, by default all."""
    for name in names or text_classes():
        try:
            config = tiny_config(name)
        except Exception as error:  # the classes of transformers raise many kinds
            yield Row(name, "", None, f"{NOT_TRIED}: {first_line(error)}")
            continue
        yield from _of_class(name, config)


def _of_class(name: str, config: PretrainedConfig) -> Iterator[Row]:
    if problem := undescribed(config):
        yield Row(name, "", None, problem)
        return
    for kind, mapping in KINDS.items():
        fits = (kind == "seq2seq") == bool(config.is_encoder_decoder)
        if type(config) in mapping and fits:
            yield tried(name, kind)


def tried(name: str, kind: str) -> Row:
    """Try a class in a kind of task."""
    family, config, teacher = task_of(kind), tiny_config(name), None
    config.num_labels = 3
    shape = Shape(2, decoder_blocks=2 if config.is_encoder_decoder else None)
    try:
        teacher = drawn(config, kind)
        if teacher is None:
            return Row(name, kind, None, f"{NOT_TRIED}: parts of it stay large")
        run(copy.deepcopy(teacher))  # a pass changes BigBird
    except (
        AssertionError,
        AttributeError,
        ImportError,
        KeyError,
        RuntimeError,
        TypeError,
    ) as error:
        return Row(name, kind, None, f"{NOT_TRIED}: its tiny teacher fails, {first_line(error)}")
    except ValueError:  # a reason of the class itself, which `plan` gives
        pass
    if problem := uncuttable(config, shape, family):
        return Row(name, kind, None, problem)
    assert teacher is not None
    try:
        family.refuse_other_head(teacher)
    except UserError as error:
        return Row(name, kind, None, error.lines[0].removeprefix("teacher.model: "))
    reasons = []
    for blocks in INITS:
        try:
            build_student(teacher, shape, init(blocks, config), 0)
        except ValueError as error:
            reasons.append(str(error))
        else:
            reason = reasons[0] if reasons else ""
            return Row(name, kind, blocks, reason, router_loss(teacher) is not None)
    return Row(name, kind, None, reasons[0])


def init(blocks: Blocks, config: PretrainedConfig) -> Init:
    """A student that starts from these blocks."""
    return Init("copied", blocks, True, INITS[blocks] if config.is_encoder_decoder else None)


def drawn(config: PretrainedConfig, kind: str) -> PreTrainedModel | None:
    """A random teacher whose norms and biases are random too, so that no default value hides an
    error; None if it is too large."""
    auto = task_of(kind).auto
    with torch.device("meta"):
        if sum(p.numel() for p in auto.from_config(config).parameters()) > MOST_PARAMETERS:
            return None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = auto.from_config(config)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data *= 5
            else:
                parameter.data += 0.3 * torch.randn_like(parameter)
    return model.eval()


@torch.no_grad()
def run(teacher: PreTrainedModel) -> None:
    """One pass of a teacher."""
    ids_BT = torch.tensor([[5, 6, 7, 2]])
    two = teacher.config.is_encoder_decoder
    teacher(input_ids=ids_BT, **({"decoder_input_ids": ids_BT} if two else {}))


def quiet() -> None:
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()


def read() -> list[Row]:
    """The rows of the last time."""
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]
    return [Row(**{**row, "blocks": row["blocks"] and tuple(row["blocks"])}) for row in stored]


def main() -> None:
    from benchmarks.model_classes_page import write

    quiet()
    names = sys.argv[1:]
    kept = [row for row in read() if row.name not in names] if names else []
    found = sorted([*kept, *rows(names)], key=lambda row: (row.name, row.kind))
    record = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
    content = {**record, "rows": [asdict(row) for row in found]}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    write(found, record)


if __name__ == "__main__":
    main()
