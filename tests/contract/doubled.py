"""The library's stand-in where it is looked for: in this process, and in all that it starts."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from build_engine.recipe import load_recipe
from build_engine.store.contents import seal_files
from build_engine.store.limits import EngineLimits
from build_engine.store.manifest import BackendIdentity, TargetIdentity, write_manifest
from build_engine.trtllm.pin import PIN
from tests.build_engine.manifests import make_manifest, resealed
from tests.contract.engine_double import SCRIPT

ROOT = Path(__file__).parents[2]
VERSIONS = {name: PIN.distributions[name] for name in ("tensorrt-llm", "tensorrt")}
# what the library lists under these names would be the machine's own
_NO_NVML = """
class NVMLError(Exception):
    pass

def nvmlInit():
    raise NVMLError("it is a stand-in")
"""


def install_doubles(folder: Path, monkeypatch: pytest.MonkeyPatch, gpu: str = "NVIDIA A30") -> None:
    """Install the library, and a machine with this GPU, in the new `folder`."""
    site, programs = folder / "site", folder / "bin"
    for name, version in VERSIONS.items():
        described = site / f"{name.replace('-', '_')}-{version}.dist-info"
        described.mkdir(parents=True)
        (described / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    (site / "pynvml.py").write_text(_NO_NVML)
    programs.mkdir()
    (programs / "nvidia-smi").write_text(f"#!/bin/sh\necho '{gpu}'\n")
    (programs / "nvidia-smi").chmod(0o755)
    paths = (str(site), str(ROOT / "tests" / "contract" / "doubles"))
    for path in paths:
        monkeypatch.syspath_prepend(path)
    for module in ("pynvml", "tensorrt_llm", "tensorrt_llm.bindings", *_BINDINGS):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((*paths, str(ROOT))))
    monkeypatch.setenv("PATH", os.pathsep.join((str(programs), os.environ["PATH"])))


_BINDINGS = ("tensorrt_llm.bindings.executor",)


def write_engine(
    folder: Path,
    built: dict[str, Any] | None = None,
    limits: EngineLimits | None = None,
    **script: Any,
) -> Path:
    """An engine for an A30 in the new `folder`, which behaves as the script says."""
    folder.mkdir(parents=True)
    sizes = {"max_batch_size": 8, "max_input_len": 64, "max_seq_len": 200, "max_num_tokens": 128}
    config = {
        "version": VERSIONS["tensorrt-llm"],
        "pretrained_config": {"architecture": "LlamaForCausalLM", "vocab_size": 1000},
        "build_config": {**sizes, "plugin_config": {"use_paged_context_fmha": True}}
        | (built or {}),
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "rank0.engine").write_bytes(b"a plan")
    (folder / SCRIPT).write_text(json.dumps({"journal": str(folder.parent / "journal")} | script))
    manifest = resealed(
        make_manifest(),
        recipe=load_recipe("bf16").rules,
        limits=limits or EngineLimits(max_input_len=64, max_seq_len=200, max_batch_size=8),
        backend=BackendIdentity(name="tensorrt-llm", builder=1, libraries=VERSIONS),
        target=TargetIdentity(name="a30", kind="gpu", sm=80, compute="sm_80"),
    )
    write_manifest(folder, manifest.model_copy(update={"files": seal_files(folder)}))
    return folder


def journal(engine: Path, what: str) -> list[Any]:
    """What the library was asked for (executor, environment, request, shutdown), in order."""
    path = engine.parent / "journal"
    lines = path.read_text().splitlines() if path.exists() else []
    return [entry[what] for entry in map(json.loads, lines) if what in entry]
