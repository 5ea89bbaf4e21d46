from __future__ import annotations

import json
import sys
import warnings
from functools import partial

import torch

from .device import install, outcome


def main() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    device = install()
    from . import cases, world

    world.prepare()
    found: dict[str, dict[str, str]] = {}
    for section in sys.argv[1:]:
        name, _, of = section.partition(":")
        runs = getattr(cases, name)(*[of.split(",")] if of else [])
        found[section] = {name: outcome(partial(run, device)) for name, run in runs.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
