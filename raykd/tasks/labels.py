"""Class labels in the order of a model."""

from __future__ import annotations

from pathlib import Path

from raykd.errors import UserError


def label_order(folder: Path, labels: tuple[str, ...], file: str = "sweep file") -> tuple[str, ...]:
    """`in_order` for the model in a folder."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    names = tuple(str(config.id2label[i]) for i in range(len(config.id2label)))
    return in_order(names, labels, file)


def in_order(names: tuple[str, ...], labels: tuple[str, ...], file: str) -> tuple[str, ...]:
    """Label names in the order of the model; in the order of the data if the model has no label
    names.

    Raises UserError naming labels of the data that the model lacks.
    """
    unnamed = names == tuple(f"LABEL_{i}" for i in range(len(names)))
    if unnamed and len(names) == len(labels):
        return labels
    if lacking := [label for label in labels if label not in names]:
        raise UserError(
            f"{file}: task.label: {', '.join(lacking[:5])} in the data, but the teacher knows only "
            f"{', '.join(names[:10])}; relabel the rows, or fine-tune the teacher on this data"
        )
    return names
