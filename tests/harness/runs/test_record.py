"""A run folder is claimed once, and its record is true at every moment."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import OutputError, RunExists, UsageError
from harness.runs.record import NAME, SCHEMA_VERSION, ProgressLog, RunRecord
from tests.harness.figures import make_figures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results" / "first"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Another process, alive until the test ends it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def _on_disk(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
    return content


def _rewrite(folder: Path, **changes: Any) -> None:
    (folder / NAME).write_text(json.dumps(_on_disk(folder) | changes), encoding="utf-8")


def _full_disk(*arguments: Any, **options: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_new_run_says_what_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/enginebench", "run", "--output", "a b"])
    record = RunRecord.create(folder, {"workload": "newsbrief"})
    content = _on_disk(folder)
    assert content == record.content
    assert content["schema_version"] == SCHEMA_VERSION
    assert content["status"] == "running"
    assert content["command"] == "enginebench run --output 'a b'"
    assert content["process"]["pid"] == os.getpid()
    assert content["workload"] == "newsbrief"
    assert content["ended_utc"] is None


def test_an_empty_folder_can_be_claimed_once(folder: Path) -> None:
    folder.mkdir(parents=True)
    RunRecord.create(folder, {"number": 1})
    with pytest.raises(RunExists, match=r"holds a run that is running; choose another --output"):
        RunRecord.create(folder, {"number": 2})
    assert _on_disk(folder)["number"] == 1


def test_a_folder_with_anything_in_it_is_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(RunExists):
        RunRecord.create(folder, {})
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunExists, match=r"is a file"):
        RunRecord.create(tmp_path / "file", {})
    with pytest.raises(OutputError, match=r"Not a directory.*another --output"):
        RunRecord.create(tmp_path / "file" / "below", {})


def test_a_place_that_cannot_be_written() -> None:
    with pytest.raises(OutputError, match=r"Cannot write to /proc/nowhere .*another --output"):
        RunRecord.create(Path("/proc/nowhere"), {})


def test_a_full_disk_leaves_the_last_record_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RunRecord.create(folder, {"number": 1})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _full_disk)  # the new record is written, and goes nowhere
        with pytest.raises(OutputError, match=r"No space left on device"):
            record.save(number=2)
    assert _on_disk(folder)["number"] == 1
    assert [path.name for path in folder.iterdir()] == [NAME]
    record.save(number=3)
    assert _on_disk(folder)["number"] == 3


def test_a_claim_on_a_full_disk_can_be_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _full_disk)
        with pytest.raises(OutputError):
            RunRecord.create(folder, {})
    assert RunRecord.create(folder, {}).content["status"] == "running"


def test_a_reader_never_sees_half_a_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = RunRecord.create(folder, {"number": 1})
    seen: list[int] = []
    write = Path.write_text

    def slowly(path: Path, text: str, *arguments: Any, **options: Any) -> int:
        write(path, text[: len(text) // 2])
        seen.append(_on_disk(folder)["number"])
        return write(path, text, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", slowly)
    record.save(number=2)
    assert seen == [1]
    assert _on_disk(folder)["number"] == 2


def test_a_run_that_goes_on_reads_as_running(folder: Path) -> None:
    RunRecord.create(folder, {})
    assert RunRecord.read(folder).content["status"] == "running"


def test_a_run_whose_process_is_gone_reads_as_interrupted(
    folder: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    process = RunRecord.create(folder, {}).content["process"]
    sleeper.kill()
    while _state(sleeper.pid) != "Z":  # ended, and not yet reaped
        pass
    theirs = {"host": process["host"], "pid": sleeper.pid, "start_ticks": 1}
    _rewrite(folder, process=theirs)
    assert RunRecord.read(folder).content["status"] == "interrupted"
    sleeper.wait()
    content = RunRecord.read(folder).content
    assert content["status"] == "interrupted"
    assert content["cause"] == "its process was killed, or could not write to a full disk"
    assert _on_disk(folder)["status"] == "running"  # reading changes nothing


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_another_process_of_the_same_id_is_not_the_run(folder: Path) -> None:
    process = RunRecord.create(folder, {}).content["process"]
    _rewrite(folder, process=process | {"start_ticks": process["start_ticks"] - 1})
    assert RunRecord.read(folder).content["status"] == "interrupted"


def test_a_process_on_another_host_is_taken_to_run(folder: Path) -> None:
    RunRecord.create(folder, {})
    _rewrite(folder, process={"host": "elsewhere", "pid": 2**22 + 1})
    assert RunRecord.read(folder).content["status"] == "running"


@pytest.mark.parametrize("status", ["complete", "failed", "interrupted"])
def test_a_run_that_has_ended_stays_so(folder: Path, status: str) -> None:
    RunRecord.create(folder, {}).end(status, "a cause")
    content = RunRecord.read(folder).content
    assert (content["status"], content["cause"]) == (status, "a cause")
    assert content["ended_utc"] >= content["started_utc"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, r"is not a run folder: it has no run.json"),
        ("{", r"run.json is broken"),
        ("[]", r"no schema_version"),
        ('{"schema_version": 1}', r"written by an older enginebench; run again"),
        ('{"schema_version": 2}', r"it has no status, process, tests, host, pid\."),
        (
            '{"schema_version": 2, "status": "running", "tests": {}, "process": {"pid": "1"}}',
            r"it has no host, pid\.",
        ),
        ('{"status": "complete"}', r"no schema_version"),
        ('{"schema_version": 999}', r"newer enginebench; update"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / NAME).write_text(text)
    with pytest.raises(UsageError, match=told):
        RunRecord.read(tmp_path)


def test_an_edited_log_is_noticed(folder: Path) -> None:
    record = RunRecord.create(folder, {})
    log = folder / "performance" / "mlperf_log_detail.txt"
    log.parent.mkdir()
    log.write_text("result: 10\n")
    (folder / "performance" / "process.log").write_text("not LoadGen's")
    record.end("complete", None)
    read = RunRecord.read(folder)
    assert read.content["files"].keys() == {"performance/mlperf_log_detail.txt"}
    assert read.digests() == read.content["files"]
    log.write_text("result: 99\n")
    assert read.digests() != read.content["files"]


def test_progress_is_a_line_each_and_survives_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ProgressLog(tmp_path, "performance")
    log.append(make_figures(done=1))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", _full_disk)
        log.append(make_figures(done=2))
    log.append(make_figures(done=3))
    lines = (tmp_path / "progress.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"test": "performance", **asdict(make_figures(done=done))} for done in (1, 3)
    ]
