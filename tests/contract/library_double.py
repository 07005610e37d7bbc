"""A `tensorrt_llm` package made from the facts, of which only the build configurations exist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from build_engine.trtllm.facts import ConfigField, build_tool_facts

_HEAD = "from dataclasses import dataclass, field\nfrom typing import Any\n\n"


def write_library(folder: Path, **changed: str) -> None:
    """Write the package below `folder`; `changed` replaces names (old=new) in its source."""
    facts = build_tool_facts()
    algos = "".join(f"    {name} = {name!r}\n" for name in facts.quant_algos)
    sources = {
        "builder.py": _class("BuildConfig", facts.build_config),
        "plugin/__init__.py": _class("PluginConfig", facts.plugin_config),
        "models/modeling_utils.py": _class("QuantConfig", facts.quant_config),
        "quantization/mode.py": f"from enum import Enum\n\nclass QuantAlgo(str, Enum):\n{algos}",
    }
    for name, source in sources.items():
        file = folder / "tensorrt_llm" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        for old, new in changed.items():
            for before, after in (("    ", ":"), ("    ", " ="), ("= '", "'")):
                source = source.replace(f"{before}{old}{after}", f"{before}{new}{after}")
        file.write_text(source)


def _class(name: str, fields: Sequence[ConfigField]) -> str:
    lines = [f"    {field.name}: Any = {field.default!r}\n" for field in fields]
    return f"{_HEAD}@dataclass\nclass {name}:\n{''.join(lines)}"
