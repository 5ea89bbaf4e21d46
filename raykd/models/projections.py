"""Linear maps from the width of a student to that of its teacher, one for each matched state."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from raykd.maps.activations import Activation
from raykd.runtime.seeds import seeded


def build_projections(
    states: Iterable[Activation], student_width: int, teacher_width: int, seed: int
) -> nn.ModuleDict:
    """Linear maps without bias from student to teacher width, one for each of these student
    states; empty if the widths are equal. They are trained with the student and never exported."""
    if student_width == teacher_width:
        return nn.ModuleDict()
    with seeded(seed):
        return nn.ModuleDict(
            {
                state.number: nn.Linear(student_width, teacher_width, bias=False)
                for state in dict.fromkeys(states)
            }
        )


def project(projections: nn.ModuleDict, state: Activation, x_ND: Tensor) -> Tensor:
    """Projects a student state to the width of the teacher, always in fp32.

    Under autocast some models (ELECTRA) leave their states in bf16, others in fp32.
    """
    if not len(projections):
        return x_ND
    projected: Tensor = projections[state.number](x_ND.float())
    return projected
