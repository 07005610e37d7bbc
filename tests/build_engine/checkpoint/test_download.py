"""The hub, played by a server on loopback: a checkpoint comes whole and verified, goes on where it
was cut off, and is taken from a cache as it is.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest
from huggingface_hub import constants

from build_engine import digest
from build_engine.checkpoint.checkpoint import Checkpoint
from build_engine.checkpoint.resolve import resolve_checkpoint, resolve_tokenizer
from build_engine.errors import CheckpointError, EnginebenchError, EnvironmentFault, OutputError
from build_engine.progress import NullProgress
from tests.build_engine.checkpoints import write_checkpoint
from tests.build_engine.hub_server import REVISION, TOKEN, Hub, point_at, serve

NAME = "someone/Tiny-1B"
SHARDS = [f"model-{number:05d}-of-00003.safetensors" for number in (1, 2, 3)]
CUT = 20_000  # bytes: behind every small file, in the middle of a shard


class Told(NullProgress):
    """Remembers the steps, the notes and the bytes."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.notes: list[str] = []
        self.bytes: list[tuple[int, int]] = []

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def transferred(self, done_bytes: int, total_bytes: int) -> None:
        self.bytes.append((done_bytes, total_bytes))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The checkpoint as its author has it, with files that nobody needs."""
    folder = write_checkpoint(tmp_path / "source", num_shards=3)
    (folder / "original").mkdir()
    (folder / "original" / "model.safetensors").write_bytes(bytes(100))
    (folder / "consolidated.safetensors").write_bytes(bytes(100))
    (folder / "pytorch_model.bin").write_bytes(bytes(100))
    return folder


@pytest.fixture
def hub(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the library talks to, with an empty cache, no token and little patience."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))  # its retries
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    monkeypatch.setattr("build_engine.download._CHUNK_BYTES", 1000)
    paths = [path for path in source.rglob("*") if path.is_file()]
    files = {path.relative_to(source).as_posix(): path.read_bytes() for path in paths}
    assert all(len(files[shard]) > CUT for shard in SHARDS)
    hub = Hub(files, hub_id=NAME, kind="model", large_from=CUT)
    with serve(hub) as address:
        point_at(address, tmp_path / "library", monkeypatch)
        yield hub


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """Where this project's own downloads of the checkpoint lie."""
    return tmp_path / "home" / "checkpoints" / "someone--Tiny-1B" / REVISION


def _in_library(source: Path, *names: str) -> Path:
    """Put files into the cache of the library."""
    cache = Path(constants.HF_HUB_CACHE) / "models--someone--Tiny-1B"
    snapshot = cache / "snapshots" / REVISION
    (cache / "refs").mkdir(parents=True, exist_ok=True)
    (cache / "refs" / "main").write_text(REVISION)
    snapshot.mkdir(parents=True, exist_ok=True)
    for name in names or [path.name for path in source.iterdir() if path.is_file()]:
        shutil.copy(source / name, snapshot / name)
    return snapshot


def _contents(checkpoint: Checkpoint) -> dict[str, bytes]:
    files = [*checkpoint.weight_files, *checkpoint.companions]
    return {path.name: path.read_bytes() for path in files}


def _is_that(checkpoint: Checkpoint, source: Path) -> bool:
    found = _contents(checkpoint)
    return set(SHARDS) < set(found) and found == {n: (source / n).read_bytes() for n in found}


def test_what_is_needed_comes_whole_and_nothing_else(hub: Hub, source: Path, ours: Path) -> None:
    told = Told()
    checkpoint = resolve_checkpoint(NAME, progress=told)
    assert (checkpoint.name, checkpoint.folder) == ("Tiny-1B", ours)
    assert _is_that(checkpoint, source)
    assert not {"original/model.safetensors", "consolidated.safetensors"} & set(hub.asked)
    assert "pytorch_model.bin" not in hub.asked
    assert hub.asked[-3:] == SHARDS
    assert [phase.partition(f" of {NAME}, ")[0] for phase in told.phases] == [
        "Downloading the configuration and tokenizer",
        "Downloading the weights",
    ]
    size = sum((source / shard).stat().st_size for shard in SHARDS)
    assert told.bytes[-1] == (size, size)
    weights = [done for done, total in told.bytes if total == size]
    assert weights == sorted(weights)
    assert len(weights) >= len(SHARDS)


def test_a_single_file_comes_without_an_index(hub: Hub, tmp_path: Path, source: Path) -> None:
    single = write_checkpoint(tmp_path / "single")
    hub.files["model.safetensors"] = (single / "model.safetensors").read_bytes()
    checkpoint = resolve_checkpoint(NAME)
    assert [path.name for path in checkpoint.weight_files] == ["model.safetensors"]
    assert not set(SHARDS) & set(hub.asked)


def test_a_second_start_downloads_and_hashes_nothing(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resolve_checkpoint(NAME)
    hub.asked.clear()

    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} was hashed again")

    monkeypatch.setattr(digest, "hash_file", refuse)
    told = Told()
    assert resolve_checkpoint(NAME, progress=told) == first
    assert first.weights.keys() == set(SHARDS)
    assert (hub.asked, told.phases, told.bytes) == ([], [], [])


def test_the_tokenizer_comes_without_the_weights(hub: Hub, ours: Path) -> None:
    assert resolve_tokenizer(NAME) == ours
    assert (ours / "tokenizer.json").is_file()
    assert not set(SHARDS) & set(hub.asked)
    hub.status = 503
    assert resolve_tokenizer(NAME) == ours
    with pytest.raises(EnvironmentFault, match="HTTP 503"):
        resolve_checkpoint(NAME)


def test_a_repository_of_a_tokenizer_alone(hub: Hub, ours: Path) -> None:
    del hub.files["config.json"]
    assert resolve_tokenizer(NAME) == ours
    with pytest.raises(CheckpointError, match=r"has no file config\.json on the hub"):
        resolve_checkpoint(NAME)


def test_what_was_cut_off_in_a_shard_goes_on_from_there(hub: Hub, source: Path, ours: Path) -> None:
    hub.cut_at = CUT
    with pytest.raises(EnvironmentFault, match=r"cannot be fetched .* what has arrived is kept"):
        resolve_checkpoint(NAME)
    (part,) = ours.glob("*.part")
    assert (part.name, part.stat().st_size) == (f"{SHARDS[0]}.part", CUT)
    assert not list(ours.glob("*.safetensors"))
    hub.cut_at = None
    hub.asked.clear()
    hub.ranges.clear()
    told = Told()
    assert _is_that(resolve_checkpoint(NAME, progress=told), source)
    assert hub.asked == SHARDS
    assert hub.ranges == [f"bytes={CUT}-", None, None]
    assert min(done for done, _ in told.bytes) > CUT
    assert not list(ours.glob("*.part"))


def test_a_damaged_shard_is_refused_and_fetched_again(hub: Hub, source: Path, ours: Path) -> None:
    hub.damaged = True
    told = rf"{SHARDS[0]} of {NAME} arrived damaged \(its SHA-256 is another\); it was removed"
    with pytest.raises(EnvironmentFault, match=told):
        resolve_checkpoint(NAME)
    assert not list(ours.glob("model-*.safetensors*[!k]"))
    hub.damaged = False
    hub.asked.clear()
    checkpoint = resolve_checkpoint(NAME)
    assert _is_that(checkpoint, source)
    assert hub.asked == SHARDS
    damaged = checkpoint.weight_files[1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    (ours / "config.json").write_text("{")
    hub.asked.clear()
    assert _is_that(resolve_checkpoint(NAME), source)
    assert hub.asked == ["config.json", SHARDS[1]]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_download_for_which_there_is_no_room_does_not_begin(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_tokenizer(NAME)
    size = sum(len(hub.files[shard]) for shard in SHARDS)
    hub.asked.clear()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, size - 1))
    told = (
        rf"Downloading the weights of {NAME} needs \d+\.\d kB, and /.* has \d+\.\d kB free; free "
        "space, or point ENGINEBENCH_HOME at another folder"
    )
    with pytest.raises(OutputError, match=told):
        resolve_checkpoint(NAME)
    assert hub.asked == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, size))
    resolve_checkpoint(NAME)


def test_room_is_needed_only_for_what_is_still_to_come(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.cut_at = CUT
    with pytest.raises(EnvironmentFault):
        resolve_checkpoint(NAME)
    hub.cut_at = None
    size = sum(len(hub.files[shard]) for shard in SHARDS)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, size - CUT))
    resolve_checkpoint(NAME)


def test_a_disk_that_fills_up_meanwhile(
    hub: Hub, source: Path, ours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > CUT:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    def opened(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> IO[Any]:
        if path.name.endswith(".part"):
            return Full(path, mode)
        return real(path, mode, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        told = r"Cannot write to .*someone--Tiny-1B.* \(No space left on device\); free space, or"
        with pytest.raises(OutputError, match=told):
            resolve_checkpoint(NAME)
    assert (ours / f"{SHARDS[0]}.part").stat().st_size == CUT
    hub.ranges.clear()
    assert _is_that(resolve_checkpoint(NAME), source)
    assert hub.ranges[0] == f"bytes={CUT}-"


@pytest.mark.parametrize("revision", [None, REVISION])
def test_what_the_library_has_is_used_as_it_is(
    hub: Hub, source: Path, revision: str | None
) -> None:
    snapshot = _in_library(source)
    told = Told()
    checkpoint = resolve_checkpoint(NAME, revision, told)
    assert (checkpoint.name, checkpoint.folder) == ("Tiny-1B", snapshot)
    assert (hub.asked, told.phases) == ([], [])
    assert resolve_tokenizer(NAME, revision) == snapshot


def test_what_the_library_lacks_is_fetched_beside_it(hub: Hub, source: Path, ours: Path) -> None:
    snapshot = _in_library(source, "config.json", SHARDS[0], SHARDS[2])
    for _ in range(2):
        checkpoint = resolve_checkpoint(NAME)
        assert checkpoint.folder == ours
        assert _is_that(checkpoint, source)
        assert [shard for shard in hub.asked if shard in SHARDS] == [SHARDS[1]]
    assert (ours / SHARDS[0]).resolve() == (snapshot / SHARDS[0]).resolve()
    assert sorted(path.name for path in snapshot.iterdir()) == ["config.json", SHARDS[0], SHARDS[2]]
    shutil.rmtree(snapshot)  # and the links lead nowhere
    assert _is_that(resolve_checkpoint(NAME), source)


@pytest.mark.parametrize("revision", [None, REVISION])
def test_offline_a_whole_one_of_either_cache_serves(
    hub: Hub, source: Path, ours: Path, monkeypatch: pytest.MonkeyPatch, revision: str | None
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    told = "There is no folder .* HF_HUB_OFFLINE or .* is set and someone/Tiny-1B is not in the ca"
    with pytest.raises(EnvironmentFault, match=told):
        resolve_checkpoint(NAME, revision)
    snapshot = _in_library(source, "config.json", "tokenizer.json", SHARDS[0])
    with pytest.raises(EnvironmentFault, match=told):
        resolve_checkpoint(NAME, revision)
    shutil.copytree(source, ours)
    told_of = Told()
    assert resolve_checkpoint(NAME, revision, told_of).folder == ours
    assert told_of.notes == [f"{NAME} is taken from the cache: {REVISION[:12]}"]
    _in_library(source)
    assert resolve_checkpoint(NAME, revision).folder == snapshot
    assert hub.num_requests == 0


def test_another_commit_does_not_serve_for_the_one_that_was_asked_for(
    hub: Hub, source: Path, ours: Path
) -> None:
    resolve_checkpoint(NAME)
    _in_library(source)
    with pytest.raises(CheckpointError, match=rf"{NAME} has no commit {'f' * 40} on http://127"):
        resolve_checkpoint(NAME, "f" * 40)


def test_a_hub_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(Hub({})) as address:
        pass  # nobody listens there any more
    point_at(address, tmp_path / "library", monkeypatch)
    told = rf"There is no folder {NAME}, and .* cannot be fetched from http://127.*network and st"
    with pytest.raises(EnvironmentFault, match=told):
        resolve_checkpoint(NAME)


@pytest.mark.parametrize("gated", [True, "files"])
def test_a_gated_checkpoint_asks_for_a_login_and_the_token_opens_it(
    hub: Hub, source: Path, monkeypatch: pytest.MonkeyPatch, gated: Any
) -> None:
    hub.gated = gated
    page = rf"http://127\S+/{NAME}"
    asked = rf"gated on http://127.*no token is set; .*terms on {page}, .*/settings/tokens"
    with pytest.raises(CheckpointError, match=rf"{asked}.*hf auth login.*HF_TOKEN"):
        resolve_checkpoint(NAME)
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_without_access")
    with pytest.raises(CheckpointError, match=rf"your token has no access .*ask for.* {page} "):
        resolve_checkpoint(NAME)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert _is_that(resolve_checkpoint(NAME), source)


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (
            {"missing": True},
            CheckpointError,
            f"There is no folder {NAME}, .* has no model",
        ),
        ({"status": 401}, CheckpointError, r"HF_TOKEN"),
        ({"status": 403}, CheckpointError, r"refuses access .*HTTP 403.* HF_TOKEN"),
        ({"status": 500}, EnvironmentFault, r"answers HTTP 500 .* start again later"),
        ({"page": "<html>Log in</html>"}, EnvironmentFault, "Expecting"),
        ({"sized": False}, CheckpointError, r"lists .*json without its size; check HF_END"),
    ],
)
def test_each_refusal_says_what_to_do(
    hub: Hub, change: dict[str, Any], error: type[EnginebenchError], told: str
) -> None:
    for name, value in change.items():
        setattr(hub, name, value)
    with pytest.raises(error, match=told) as caught:
        resolve_checkpoint(NAME)
    assert "or give the folder of a checkpoint" in str(caught.value)


@pytest.mark.parametrize(
    ("absent", "told"),
    [
        (
            r"model.*safetensors.*",
            r"has no file model\.safetensors on the hub; take a checkpoint in",
        ),
        (SHARDS[1], rf"has no file {SHARDS[1]} on the hub"),
        (r"tokenizer\.json", r"has no file tokenizer\.json on the hub; .* with its tokenizer.json"),
    ],
)
def test_a_repository_without_a_file_that_is_needed(hub: Hub, absent: str, told: str) -> None:
    for name in [name for name in hub.files if re.fullmatch(absent, name)]:
        del hub.files[name]
    with pytest.raises(CheckpointError, match=told):
        resolve_checkpoint(NAME)
    assert not set(SHARDS) & set(hub.asked)


def test_another_architecture_is_refused_before_its_weights_come(hub: Hub) -> None:
    config = json.loads(hub.files["config.json"]) | {"architectures": ["MistralForCausalLM"]}
    hub.files["config.json"] = json.dumps(config).encode()
    with pytest.raises(CheckpointError, match="only LlamaForCausalLM can be built"):
        resolve_checkpoint(NAME)
    assert not set(SHARDS) & set(hub.asked)
