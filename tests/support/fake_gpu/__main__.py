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
    outcomes: dict[str, dict[str, str]] = {}
    for section in sys.argv[1:]:
        title, _, of = section.partition(":")
        runs = getattr(cases, title)(*[of.split(",")] if of else [])
        outcomes[title] = {name: outcome(partial(run, device)) for name, run in runs.items()}
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
