"""docs/figures/strategies.svg: the map of every strategy for a teacher of 12 blocks and a student
of 4. `python -m tests.docs.strategies_figure` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap
from raykd.maps.published import PUBLISHED, RULES
from raykd.maps.strategies import STRATEGIES, apply_to_stacks

FILE = Path(__file__).parents[2] / "docs/figures/strategies.svg"
TEACHER, STUDENT, SEED = 12, 4, 0
COLUMNS, PANEL, ROW, EDGE = 5, 172, 218, 16  # pixels
PITCH, BOX, HEIGHT = 12, 24, 8  # of a teacher block
LEFT, RIGHT = 34, 108  # left edges of the teacher's and the student's blocks
INK, QUIET, LINE, PAPER = "#1a1a1a", "#595959", "#0072b2", "#ffffff"
HEADINGS = ("Maps: the loss is that of the sweep", "Published methods: each has its own loss")
HEADING = 34


def maps() -> dict[str, LayerMap]:
    """Return the map of every strategy that raykd has by name."""
    depths = Depth(TEACHER), Depth(STUDENT)
    return {name: apply_to_stacks(rule, *depths, SEED) for name, rule in RULES.items()}


def text(x: float, y: float, content: str, size: int = 12, style: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" {style}>{content}</text>'


def height_of(block: int, blocks: int) -> float:
    """Return the middle of a block above the bottom of a panel. The last blocks of teacher and
    student stand side by side, and so do their embedding outputs (block 0)."""
    return PITCH * TEACHER * block / blocks


def box(left: float, middle: float, matched: bool) -> str:
    paint = f'fill="{INK}"' if matched else f'fill="{PAPER}" stroke-dasharray="2 2"'
    return (
        f'<rect x="{left:g}" y="{middle - HEIGHT / 2:g}" width="{BOX}" height="{HEIGHT}" rx="2" '
        f'stroke="{INK}" {paint}/>'
    )


def panel(name: str, layer_map: LayerMap) -> Iterator[str]:
    """Draw one map: the teacher's blocks on the left, the student's on the right, the first at
    the bottom."""
    bottom = 38 + PITCH * TEACHER
    pairs = layer_map.matched_blocks()
    yield text(0, 0, name, 14, 'font-weight="600"')
    yield text(0, 15, ", ".join(layer_map.entries), 11, f'fill="{QUIET}"')
    first = 0 if layer_map.embedding is not None else 1
    for student, teacher in pairs:
        several = sum(s == student for s, _ in pairs) > 1
        start = bottom - height_of(teacher, TEACHER)
        end = bottom - height_of(student, STUDENT)
        yield (
            f'<line x1="{LEFT + BOX}" y1="{start:g}" x2="{RIGHT}" y2="{end:g}" stroke="{LINE}" '
            f'stroke-width="{0.8 if several else 2}"/>'
        )
    for left, blocks, matched in (
        (LEFT, TEACHER, {t for _, t in pairs}), (RIGHT, STUDENT, {s for s, _ in pairs})
    ):  # fmt: skip
        for block in range(first, blocks + 1):
            yield box(left, bottom - height_of(block, blocks), block in matched)
    for block in (*range(first, 1), 1, TEACHER):
        number = "emb" if block == 0 else str(block)
        yield text(LEFT - 5, bottom - height_of(block, TEACHER) + 4, number, 11, AT_END)
    for block in range(first, STUDENT + 1):
        number = "emb" if block == 0 else str(block)
        yield text(RIGHT + BOX + 5, bottom - height_of(block, STUDENT) + 4, number, 11)


AT_END = 'text-anchor="end"'
LEGEND = (
    "Left: teacher blocks",
    "Right: student blocks",
    "The first is at the bottom.",
    "",
    "A line joins a student block",
    "to the block that it imitates.",
    "Thin lines: one of several,",
    "or a mix of them.",
    "Dashed: not matched.",
    "Random maps: seed 0.",
)


def svg() -> str:
    """Return the figure as text."""
    drawn = maps()
    groups = ([n for n in drawn if n in STRATEGIES], [n for n in drawn if n in PUBLISHED])
    parts, top = [], EDGE
    for heading, names in zip(HEADINGS, groups, strict=True):
        parts.append(text(EDGE, top + 16, heading, 15, f'font-weight="600" fill="{LINE}"'))
        top += HEADING
        for number, name in enumerate(names):
            row, column = divmod(number, COLUMNS)
            x, y = EDGE + PANEL * column, top + ROW * row + 16
            parts.append(
                f'<g transform="translate({x} {y})">\n' + "\n".join(panel(name, drawn[name]))
                + "\n</g>"
            )  # fmt: skip
        if heading == HEADINGS[0]:
            x, y = EDGE + PANEL * (len(names) % COLUMNS), top + ROW * (len(names) // COLUMNS) + 16
            parts += [text(x, y + 16 * i, line, 12) for i, line in enumerate(LEGEND) if line]
        top += ROW * -(-len(names) // COLUMNS)
    width, height = 2 * EDGE + PANEL * COLUMNS, top + EDGE
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="system-ui, -apple-system, Segoe UI, '
            f'Roboto, DejaVu Sans, sans-serif" fill="{INK}" role="img">',
            f"<title>The layer map of every strategy, {TEACHER} teacher blocks to {STUDENT} "
            "student blocks</title>",
            f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
            *parts,
            "</svg>\n",
        )
    )


if __name__ == "__main__":
    FILE.write_text(svg(), encoding="utf-8")
    print(FILE)
