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
from typing import Any, Literal

import pytest

from build_engine.errors import OutputError, RunExists, UsageError
from build_engine.files import write_json
from harness.runs.folder import RECORD as NAME
from harness.runs.record import ProcessRecord, RunRecord
from harness.runs.run import Run
from tests.harness.figures import make_figures
from tests.harness.runs.claims import claim


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


def _rewrite(run: Run, **changes: Any) -> None:
    write_json(run.folder.record, run.record.model_copy(update=changes).to_json())


def _full_disk(*arguments: Any, **options: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_new_run_says_what_it_is(folder: Path) -> None:
    run = claim(folder, command="enginebench run --output 'a b'")
    assert Run.read(folder) == run
    record = run.record
    assert _on_disk(folder)["schema_version"] == RunRecord.SCHEMA
    assert record.status == "running"
    assert record.command == "enginebench run --output 'a b'"
    assert record.process.pid == os.getpid()
    assert record.workload.name == "newsbrief"
    assert record.ended_utc is None


def test_an_empty_folder_can_be_claimed_once(folder: Path) -> None:
    folder.mkdir(parents=True)
    claim(folder, num_samples=1)
    with pytest.raises(RunExists, match=r"holds a run that is running; choose another --output"):
        claim(folder, num_samples=2)
    assert _on_disk(folder)["num_samples"] == 1


def test_a_folder_with_anything_in_it_is_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(RunExists):
        claim(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunExists, match=r"is a file"):
        claim(tmp_path / "file")
    with pytest.raises(OutputError, match=r"Not a directory.*another --output"):
        claim(tmp_path / "file" / "below")


def test_a_place_that_cannot_be_written() -> None:
    with pytest.raises(OutputError, match=r"Cannot write to /proc/nowhere .*another --output"):
        claim(Path("/proc/nowhere"))


def test_a_full_disk_leaves_the_last_record_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = claim(folder, num_samples=1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _full_disk)  # the new record is written, and goes nowhere
        with pytest.raises(OutputError, match=r"No space left on device"):
            run.changed(num_samples=2)
    assert _on_disk(folder)["num_samples"] == 1
    assert [path.name for path in folder.iterdir()] == [NAME]
    run.changed(num_samples=3)
    assert _on_disk(folder)["num_samples"] == 3


def test_a_claim_on_a_full_disk_can_be_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _full_disk)
        with pytest.raises(OutputError):
            claim(folder)
    assert claim(folder).record.status == "running"


def test_a_reader_never_sees_half_a_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = claim(folder, num_samples=1)
    seen: list[int] = []
    write = Path.write_bytes

    def slowly(path: Path, data: bytes) -> int:
        write(path, data[: len(data) // 2])
        seen.append(_on_disk(folder)["num_samples"])
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", slowly)
    run.changed(num_samples=2)
    assert seen == [1]
    assert _on_disk(folder)["num_samples"] == 2


def test_a_run_that_goes_on_reads_as_running(folder: Path) -> None:
    claim(folder)
    assert Run.read(folder).record.status == "running"


def test_a_run_whose_process_is_gone_reads_as_interrupted(
    folder: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    run = claim(folder)
    sleeper.kill()
    while _state(sleeper.pid) != "Z":  # ended, and not yet reaped
        pass
    theirs = run.record.process.model_copy(update={"pid": sleeper.pid})
    _rewrite(run, process=theirs)
    assert Run.read(folder).record.status == "interrupted"
    sleeper.wait()
    record = Run.read(folder).record
    assert record.status == "interrupted"
    assert record.cause == "its process was killed, or could not write to a full disk"
    assert _on_disk(folder)["status"] == "running"  # reading changes nothing


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_another_process_of_the_same_id_is_not_the_run(folder: Path) -> None:
    run = claim(folder)
    process = run.record.process
    earlier = process.model_copy(update={"started_s": process.started_s - 1.0})
    _rewrite(run, process=earlier)
    assert Run.read(folder).record.status == "interrupted"


def test_a_process_on_another_host_is_taken_to_run(folder: Path) -> None:
    elsewhere = ProcessRecord(host="elsewhere", pid=2**22 + 1, started_s=1.0)
    _rewrite(claim(folder), process=elsewhere)
    assert Run.read(folder).record.status == "running"
    told = (
        r"holds a run that process \d+ on elsewhere began 20\S+, and whether that goes on is not "
    )
    with pytest.raises(RunExists, match=told + "known here; choose another --output, or move it"):
        claim(folder)


@pytest.mark.parametrize("status", ["complete", "failed", "interrupted"])
def test_a_run_that_has_ended_stays_so(
    folder: Path, status: Literal["complete", "failed", "interrupted"]
) -> None:
    claim(folder, modes=()).ended(status, "a cause")
    record = Run.read(folder).record
    assert (record.status, record.cause) == (status, "a cause")
    assert record.ended_utc is not None
    assert record.ended_utc >= record.started_utc


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, r"is not a run folder: it has no run.json"),
        ("{", r"run.json is not valid JSON"),
        ("[]", r"no `schema_version`"),
        ('{"schema_version": 3}', r"by an older enginebench .*; run again with a new --output"),
        ('{"schema_version": 5}', r"run\.json: `status` is missing.*Run again with a new"),
        ('{"status": "complete"}', r"no `schema_version`"),
        ('{"schema_version": 999}', r"by a newer enginebench .*; update"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / NAME).write_text(text)
    with pytest.raises(UsageError, match=told):
        Run.read(tmp_path)


def test_a_complete_run_has_the_figures_of_its_tests(folder: Path) -> None:
    _rewrite(claim(folder), status="complete")
    with pytest.raises(UsageError, match="it is complete, and its performance test has no figures"):
        Run.read(folder)


@pytest.mark.parametrize("name", ["tests", "files", "audits", "accuracy", "cause", "exit_code"])
def test_a_field_that_is_gone_is_named(folder: Path, name: str) -> None:
    claim(folder)
    content = _on_disk(folder)
    del content[name]
    (folder / NAME).write_text(json.dumps(content))
    with pytest.raises(UsageError, match=rf"run\.json: `{name}` is missing\. Run again"):
        Run.read(folder)


def test_an_edited_log_is_noticed(folder: Path) -> None:
    run = claim(folder, modes=())
    log = folder / "performance" / "mlperf_log_detail.txt"
    log.parent.mkdir()
    log.write_text("result: 10\n")
    (folder / "performance" / "process.log").write_text("not LoadGen's")
    run.ended("complete", None)
    read = Run.read(folder)
    assert read.record.files.keys() == {"performance/mlperf_log_detail.txt"}
    assert read.folder.digests() == read.record.files
    log.write_text("result: 99\n")
    assert read.folder.digests() != read.record.files


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("statsu", "complete", r"run\.json: `statsu` is not a key\. Did you mean `status`\?"),
        ("status", "done", r"run\.json: `status` is not one of running, complete"),
        (
            "tests",
            {"performance": {"status": "complete"}},
            r"`tests\.performance\.cause` is missing",
        ),
        ("num_samples", "7", r"run\.json: `num_samples` must be a valid integer, not `7`"),
        ("executor", {"backend": "mine"}, r"run\.json: `executor`: Unknown backend `mine`"),
    ],
)
def test_a_wrong_field_is_one_sentence_that_names_it(
    folder: Path, field: str, value: object, told: str
) -> None:
    claim(folder)
    write_json(folder / NAME, _on_disk(folder) | {field: value})
    with pytest.raises(UsageError, match=told):
        Run.read(folder)


def test_progress_is_a_line_each_and_survives_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = claim(tmp_path / "run")
    run.log_progress("performance", make_figures(done=1))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", _full_disk)
        run.log_progress("performance", make_figures(done=2))
    run.log_progress("performance", make_figures(done=3))
    lines = run.folder.progress.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"test": "performance", **asdict(make_figures(done=done))} for done in (1, 3)
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("workload.name", "../../../evil"),
        ("workload.name", "a" * 65),
        ("workload.benchmark", "../evil"),
        ("benchmark", "/tmp/evil"),
        ("benchmark", "evil.yaml"),
        ("round", "evil.yaml"),
        ("round", "evil.yml"),
        ("scenario", "../Offline"),
        ("workload.loadgen_model", ".."),
        ("workload.loadgen_model", "a\nb.Offline.target_qps = 9"),
        ("dataset.workload", "../evil"),
    ],
)
def test_what_becomes_a_folder_or_a_key_is_a_name(folder: Path, field: str, value: str) -> None:
    run = claim(folder)
    content = _on_disk(folder)
    *path, last = field.split(".")
    section = content
    for part in path:
        section = section[part]
    section[last] = value
    write_json(run.folder.record, content)
    with pytest.raises(UsageError, match=rf"`{field}`"):
        Run.read(folder)
