"""Tiny engine specs, and a builder that takes no time."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.checkpoint.architecture import LlamaConfig
from build_engine.checkpoint.checkpoint import Checkpoint
from build_engine.progress import BuildProgress, NullProgress
from build_engine.recipe import load_recipe
from build_engine.store.limits import EngineLimits
from build_engine.store.manifest import Precision
from build_engine.store.spec import BuildFacts, EngineSpec
from build_engine.store.store import EngineStore
from build_engine.target import load_target

CONFIG = LlamaConfig(
    hidden_size=8,
    intermediate_size=16,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=4,
    vocab_size=32,
    rms_norm_eps=1e-5,
    rope_theta=10_000.0,
    rope_scaling=None,
    max_position_embeddings=1024,
    tie_word_embeddings=True,
    eos_token_ids=(2, 3),
    attention_bias=False,
    mlp_bias=False,
)


PRECISION = Precision(weights="int8", activations="bf16", kv_cache="bf16")


class Notes(NullProgress):
    """Keeps what a person would have been told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.phases: list[str] = []

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)


def make_checkpoint(folder: Path, weights: str = "weights", name: str = "tiny") -> Checkpoint:
    """A checkpoint whose weights nobody reads but the digest; files that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in (("model.safetensors", weights), ("tokenizer.json", "{}")):
        if not (folder / file).exists():
            (folder / file).write_text(content)
    return Checkpoint(name, folder, CONFIG, (folder / "model.safetensors",))


def tiny_spec(folder: Path, name: str = "tiny", **limits: int) -> EngineSpec:
    """INT8 weight-only for the CPU in bf16, whatever this machine computes in."""
    checkpoint = make_checkpoint(folder, name=name)
    sizes = EngineLimits(**({"max_input_len": 64, "max_seq_len": 96} | limits))
    return EngineSpec(checkpoint, load_target("cpu"), load_recipe("int8_wo"), sizes, None, "bf16")


def write_engine(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
    """A builder: 6 bytes of network and 2 of tokenizer in a subfolder."""
    progress.phase("network")
    (folder / "openvino_model.xml").write_text("<net/>")
    progress.phase("files")
    (folder / "tokens").mkdir()
    (folder / "tokens" / "tokenizer.json").write_text("{}")
    facts = {name: spec.compute for name in spec.backend.properties if "INFERENCE" in name}
    return BuildFacts(facts, PRECISION, ("int8",))


BUILT: list[EngineSpec] = []
"""What `note_and_write` was given."""


def note_and_write(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
    """`write_engine` that leaves a note of each spec."""
    BUILT.append(spec)
    return write_engine(spec, folder, progress)


def must_not_build(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
    """A builder for engines that are in the store."""
    raise AssertionError("the engine is in the store")


def entries(store: EngineStore) -> list[str]:
    """Every path in the store but its locks."""
    paths = (path.relative_to(store.top) for path in store.top.rglob("*"))
    return sorted(str(path) for path in paths if path.parts[0] != ".locks")


def versions(monkeypatch: pytest.MonkeyPatch, **installed: str) -> None:
    """Let `installed` be the installed versions; `openvino_genai` stands for openvino-genai."""
    from importlib import metadata

    def version(name: str) -> str:
        try:
            return installed[name.replace("-", "_")]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    monkeypatch.setattr(metadata, "version", version)
