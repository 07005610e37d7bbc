"""Whole builds through the double `trtllm-build`: what is kept, what is refused before anything is
spent, and what is left when it goes wrong.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from build_engine.build import build
from build_engine.errors import BuildFailed, EnvironmentFault
from build_engine.files import read_json
from build_engine.progress import NullProgress
from build_engine.store.limits import EngineLimits
from build_engine.store.store import EngineStore
from build_engine.trtllm import artefact, tool
from build_engine.trtllm.algorithm import format_of
from build_engine.trtllm.fit import fitted
from build_engine.trtllm.plan import timing_cache
from build_engine.trtllm.tool import child_environment, run_tool
from runtime.backend import engine_spec
from runtime.trtllm.spec import TRTLLMSpec
from tests.build_engine.specs import Notes
from tests.contract.machines import fake_nvml, make_spec, set_up, split
from tests.nvml_double import GIB, Card, install_nvml

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> EngineStore:
    """On a machine with an A30 and TensorRT-LLM."""
    set_up(monkeypatch, tmp_path)
    return EngineStore(tmp_path / "home")


def assert_nothing_built(store: EngineStore) -> None:
    assert store.list() == [] and store.damaged() == {}
    left = store.top.rglob("*") if store.top.exists() else []
    assert [path for path in left if path.is_file() and ".locks" not in path.parts] == []


def test_an_engine_is_what_was_asked_for(store: EngineStore) -> None:
    spec, notes = split(make_spec(), 2), Notes()
    engine = build(spec, store, notes)
    files = set(engine.manifest.files)
    assert {"config.json", "rank0.engine", "rank1.engine", "build.log", "tokenizer.json"} <= files
    config = read_json(engine.folder / "config.json", BuildFailed, "")
    assert config["build_config"]["plugin_config"]["use_paged_context_fmha"] is False
    assert engine.manifest.runtime["chunked_context"] == "off"
    assert engine.manifest.runtime["kv_cache_fraction"] == "0.92"
    executor = engine_spec(engine)
    assert isinstance(executor, TRTLLMSpec) and executor.kv_cache_fraction == 0.92
    assert engine.manifest.precision.activations == "int8, one scale per token"
    assert engine.manifest.identity.profile == "throughput"
    assert not [path for path in engine.folder.iterdir() if path.name.startswith(".")]
    assert notes.phases[:3] == ["machine", "quantisation", "trtllm-build: start"]
    assert "trtllm-build: kernels" in notes.phases and notes.phases[-1] == "checksums"
    assert timing_cache("a30").read_bytes() == b"timings"
    assert any(note.startswith("trtllm-build is logged in ") for note in notes.notes)
    assert build(spec, store, Notes()).folder == engine.folder


def test_sizes_below_a_page_are_asked_for_as_the_builder_would_raise_them(
    store: EngineStore,
) -> None:
    spec = make_spec("bf16", profile="latency")
    asked = EngineLimits(max_input_len=8, max_seq_len=16)
    limits = fitted(
        asked, spec.checkpoint.config, spec.recipe, spec.target, "latency", False
    ).limits
    engine = build(replace(spec, limits=limits), store, Notes())
    assert engine.limits.max_num_tokens == 32


def test_profiles_are_two_engines(store: EngineStore) -> None:
    keys = {make_spec(profile=name).key for name in ("throughput", "latency")}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ("build_config.max_num_tokens=128", "max_num_tokens is 128 and not 2048 (the builder's"),
        ("build_config.plugin_config.smooth_quant_gemm_plugin=null", "`smooth-quant-plugins`"),
        ("pretrained_config.quantization.kv_cache_quant_algo=null", "is null and not INT8"),
        ("pretrained_config.rotary_base=500000.0", "rotary_base is 500000.0 and not 10000.0"),
        ('build_config.kv_cache_type="continuous"', "kv_cache_type is continuous and not paged"),
        ("build_config.plugin_config.tokens_per_block=true", "is true and not 32"),
        ('version="1.3.0"', "version is 1.3.0 and not 1.2.1"),
    ],
)
def test_another_engine_than_asked_for_is_discarded(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch, lie: str, told: str
) -> None:
    monkeypatch.setenv("DOUBLE_LIE", lie)
    with pytest.raises(BuildFailed) as caught:
        build(make_spec(), store, NullProgress())
    assert told in str(caught.value)
    assert_nothing_built(store)


def test_the_stored_word_may_be_in_capitals_or_the_type_itself(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE_LIE", 'build_config.kv_cache_type="PAGED"')
    assert build(make_spec(), store, NullProgress()).key


def test_a_renamed_flag_is_noticed(store: EngineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(command: list[str], *rest: Any) -> None:
        run_tool([word.replace("--max_seq_len", "--max_length") for word in command], *rest)

    monkeypatch.setattr("build_engine.trtllm.compile.run_tool", renamed)
    with pytest.raises(BuildFailed, match=r"exit code 2: .*unrecognized arguments: --max_length"):
        build(make_spec(), store, NullProgress())
    assert_nothing_built(store)


def test_a_builder_that_fails_is_explained_and_its_log_is_kept(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "[TRT] [E] Requested amount of GPU memory (123 bytes) could not be allocated."
    monkeypatch.setenv("DOUBLE_SAY", words)
    with pytest.raises(BuildFailed, match=r"Requested amount .*known: build OOM.*\.log") as caught:
        build(make_spec(), store, NullProgress())
    log = Path(str(caught.value).rpartition(" in ")[2].removesuffix("."))
    assert words in log.read_text()
    assert_nothing_built(store)


def test_a_builder_that_stops_between_its_files_leaves_no_engine(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE_STOP", "before-engine")
    with pytest.raises(BuildFailed, match=r"wrote no rank0\.engine"):
        build(make_spec(), store, NullProgress())
    assert_nothing_built(store)


def test_no_gpu_for_the_builder_is_a_failure(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE_GPUS", "0")
    with pytest.raises(BuildFailed, match="device_count"):
        build(make_spec(), store, NullProgress())


def test_a_checkpoint_of_another_recipe_is_not_compiled(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = format_of(make_spec("int8_sq_static").recipe)
    monkeypatch.setattr("tests.contract.machines.format_of", lambda recipe: other)
    with pytest.raises(BuildFailed, match=r"not of recipe `int8_sq`: quantization\.quant_algo"):
        build(make_spec(), store, NullProgress())
    assert_nothing_built(store)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"nvmlDeviceGetCount": lambda: 0}, r"no.* here .*NVML lists no GPU.*--stage quantise"),
        ({"nvmlDeviceGetName": lambda h: "NVIDIA L4"}, r"has NVIDIA L4; build for `--target l4`"),
        ({"nvmlDeviceGetName": lambda h: b"NVIDIA X"}, r"has NVIDIA X; take the machine of the"),
        ({"nvmlDeviceGetCudaComputeCapability": lambda h: (8, 6)}, r"has sm_86 here"),
        (
            {
                "nvmlDeviceGetMemoryInfo": lambda h: SimpleNamespace(total=24 * GIB, free=2**20),
                "nvmlDeviceGetComputeRunningProcesses": lambda h: [
                    SimpleNamespace(pid=1, usedGpuMemory=20 * GIB)
                ],
            },
            r"1\.0 MB of memory free.*process 1 \(.*\) holds 21\.5 GB",
        ),
    ],
)
def test_a_machine_that_cannot_compile_it_is_refused_before_anything_is_spent(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], told: str
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(**changed))
    notes = Notes()
    with pytest.raises(EnvironmentFault, match=told):
        build(make_spec(), store, notes)
    assert notes.phases == ["machine"]


def test_a_gpu_that_programs_do_not_see_is_none(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(EnvironmentFault, match="CUDA_VISIBLE_DEVICES= shows no GPU"):
        build(make_spec(), store, NullProgress())


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        ({"tensorrt_llm": "1.1.0"}, r"tensorrt-llm 1\.1\.0 is installed, .* 1\.2\.1; use the cont"),
        ({"tensorrt": "10.13.2"}, r"tensorrt 10\.13\.2 is installed"),
    ],
)
def test_another_version_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, versions: dict[str, str], told: str
) -> None:
    set_up(monkeypatch, tmp_path, **versions)
    with pytest.raises(EnvironmentFault, match=told):
        build(make_spec(), EngineStore(tmp_path / "home"), NullProgress())


def test_the_full_version_of_tensorrt_is_the_pinned_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_up(monkeypatch, tmp_path, tensorrt="10.14.1.48.post1")
    assert build(make_spec(), EngineStore(tmp_path / "home"), NullProgress()).key


@pytest.mark.parametrize("what", ["disk", "host"])
def test_too_little_room_is_refused(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "disk":
        monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2**20))
    else:
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2**20))
    with pytest.raises(EnvironmentFault, match=rf"1\.0 MB of {what}"):
        build(make_spec(), store, NullProgress())


def test_without_the_program_the_container_is_named(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EnvironmentFault, match=r"`trtllm-build` is not on PATH.*release:1\.2\.1"):
        build(make_spec(), store, NullProgress())


def test_the_child_has_no_partners_and_no_hidden_settings(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = ("SLURM_JOB_ID", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "BUILDER_FORCE_NUM_PROFILES")
    for name in (*away, "OMPI_MCA_btl"):
        monkeypatch.setenv(name, "1")
    assert not set(away) & set(child_environment())
    assert "OMPI_MCA_btl" in child_environment()
    assert build(make_spec(), store, NullProgress()).key  # the double refuses partners


def test_ctrl_c_ends_the_builder(store: EngineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUBLE_WAIT_S", "60")

    def running() -> set[int]:
        children = psutil.Process().children(recursive=True)
        return {child.pid for child in children if child.status() != "zombie"}

    before = running()

    class Impatient(NullProgress):
        def phase(self, name: str) -> None:
            if name == "trtllm-build: kernels":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(make_spec(), store, Impatient())
    assert running() <= before
    assert_nothing_built(store)


def test_the_builder_dies_with_a_killed_parent(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(
        "from pathlib import Path\n"
        "from build_engine.progress import NullProgress\n"
        "from build_engine.trtllm.tool import run_tool\n"
        "here = Path(__file__).parent\n"
        "words = ['sh', '-c', 'echo $$ > pid; exec sleep 60']\n"
        "run_tool(words, here, here / 'log', NullProgress())\n"
    )
    parent = subprocess.Popen(
        [sys.executable, program], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    pid_file = tmp_path / "pid"
    deadline = time.monotonic() + 30
    while not (pid_file.exists() and pid_file.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = psutil.Process(int(pid_file.read_text()))
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    while child.is_running() and child.status() != "zombie":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_log_says_what_was_run(store: EngineStore) -> None:
    engine = build(make_spec(), store, NullProgress())
    log = (engine.folder / "build.log").read_text()
    assert log.startswith("$ trtllm-build --checkpoint_dir ")
    assert "Set use_paged_context_fmha to False" in log


def test_a_checkpoint_that_we_quantised_is_compiled(
    store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "build_engine.trtllm.compile.quantised_checkpoint", artefact.quantised_checkpoint
    )
    engine = build(split(make_spec("int8_wo"), 2), store, NullProgress())
    assert engine.manifest.precision.weights.startswith("int8")
    (checkpoint,) = (store.root / "quantised" / "newsbrief").glob("int8_wo-*")
    assert (checkpoint / "rank1.safetensors").is_file()
    assert (engine.folder / "rank1.engine").is_file()
    assert "--tensor-parallel 2" in engine.rebuild_command()


def test_memory_that_a_gpu_does_not_report_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvml(monkeypatch, Card(free=22 * GIB))
    assert tool._memory(os.getpid()).endswith(" of host memory, 2.1 GB of GPU memory in use")
    install_nvml(monkeypatch, Card(total=None))
    assert tool._memory(os.getpid()).endswith(" of host memory")
