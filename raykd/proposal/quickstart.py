"""The sweep file of `raykd quickstart`, which the package contains."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from raykd.errors import UserError
from raykd.runtime.scratch import whole_file

FILE = "quickstart.yaml"


def text() -> str:
    return resources.files("raykd.proposal").joinpath(FILE).read_text(encoding="utf-8")


def write(folder: Path) -> tuple[Path, str]:
    """Write the sweep file into a folder, unless one is there, and return its path with a line on
    what was done. Raises UserError if it cannot be written."""
    file = folder / FILE
    try:
        with whole_file(file, new=True) as draft:
            draft.write_text(text(), encoding="utf-8")
    except FileExistsError:
        if not file.is_file():
            raise UserError(f"{file}: is a folder; run this in another folder") from None
        same = file.read_bytes() == text().encode()
        changed = "" if same else ", with changes; it is run as it is"
        return file, f"{file}: exists already{changed}"
    except OSError as error:
        raise UserError(
            f"{file}: cannot be written ({error.strerror}); run this in a folder of yours"
        ) from error
    return file, f"{file}: written, the sweep file of this run"
