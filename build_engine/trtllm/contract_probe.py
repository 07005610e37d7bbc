"""Writes what the installed TensorRT-LLM says of its build configurations to a file, as JSON.

Run as `python -c SOURCE FILE` in an empty folder: importing the library takes MPI and minutes, and
a script's own folder would hide modules of Python behind ours. It imports nothing of ours.
"""

import dataclasses
import json
import sys
from pathlib import Path

CLASSES = {
    "build_config": ("tensorrt_llm.builder", "BuildConfig"),
    "plugin_config": ("tensorrt_llm.plugin", "PluginConfig"),
    "quant_config": ("tensorrt_llm.models.modeling_utils", "QuantConfig"),
}


def main() -> None:
    """Ask the library."""
    import importlib

    said: dict[str, object] = {}
    for name, (module, kind) in CLASSES.items():
        said[name] = _fields(getattr(importlib.import_module(module), kind))
    mode = importlib.import_module("tensorrt_llm.quantization.mode")
    said["quant_algos"] = [str(member.value) for member in mode.QuantAlgo]
    Path(sys.argv[1]).write_text(json.dumps(said), encoding="utf-8")


def _fields(kind: type) -> "dict[str, object]":
    """Names and defaults of a dataclass or a pydantic model, private attributes included."""
    if dataclasses.is_dataclass(kind):
        return {field.name: _plain(field.default) for field in dataclasses.fields(kind)}
    public = getattr(kind, "model_fields")  # noqa: B009
    private = getattr(kind, "__private_attributes__", {})
    return {name: _plain(field.default) for name, field in {**public, **private}.items()}


def _plain(value: object) -> object:
    """Itself where JSON has it; the class of anything else, as text."""
    value = getattr(value, "value", value)  # of an enumeration
    if value is None or isinstance(value, (str, int, float)):
        return value
    return f"<{type(value).__name__}>"


if __name__ == "__main__":
    main()
