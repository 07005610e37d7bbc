"""The hub, played by a server on loopback: down, gated, slow or cut off, and never half a file."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from build_engine.errors import DatasetError, EnvironmentFault
from harness.dataset.hub import SplitFiles, fetch_split
from harness.progress import NullProgress
from tests.build_engine.hub_server import (
    HUB_ID,
    REVISION,
    TOKEN,
    Hub,
    point_at,
    serve,
    write_split,
)

pytest.importorskip("pyarrow")

from huggingface_hub import constants


class Told(NullProgress):
    """Remembers the steps and the notes."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.notes: list[str] = []

    def transferred(self, done_bytes: int, total_bytes: int) -> None:
        self.done.append(done_bytes)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    found = write_split(tmp_path / "copy", "validation", 400, num_files=2)
    return found | write_split(tmp_path / "copy", "test", 10)


@pytest.fixture
def hub(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the library talks to, with an empty cache, no token and little patience."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))  # its retries
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    monkeypatch.setattr("build_engine.download._CHUNK_BYTES", 1000)
    hub = Hub(files)
    with serve(hub) as address:
        point_at(address, tmp_path / "library", monkeypatch)
        yield hub


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def _fetch(root: Path) -> SplitFiles:
    return fetch_split(HUB_ID, "3.0.0", "validation", root, NullProgress())


def _validation(files: dict[str, bytes]) -> list[bytes]:
    return [content for name, content in files.items() if "/validation-" in name]


def test_a_listing_without_sizes_gives_no_file_at_all(hub: Hub, root: Path) -> None:
    hub.sized = False
    with pytest.raises(DatasetError, match=r"lists 3\.0\.0/validation-.* without its size; check"):
        _fetch(root)
    assert hub.ranges == []
    assert list(root.rglob("*.parquet")) == []


def test_only_the_files_of_the_split_come_whole(
    hub: Hub, files: dict[str, bytes], root: Path
) -> None:
    told = Told()
    split = fetch_split(HUB_ID, "3.0.0", "validation", root, told)
    assert [file.read_bytes() for file in split.files] == _validation(files)
    assert split.revision == REVISION
    assert hub.ranges == [None, None]
    assert told.done == sorted(told.done)
    assert told.done[-1] == sum(map(len, _validation(files)))
    assert list(root.rglob("*.part")) == []


def test_a_second_start_downloads_nothing(hub: Hub, root: Path) -> None:
    first = _fetch(root)
    assert _fetch(root) == first
    assert len(hub.ranges) == 2


def test_two_at_once_download_each_file_once(hub: Hub, files: dict[str, bytes], root: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(_fetch, [root, root]))
    assert both[0] == both[1]
    assert [file.read_bytes() for file in both[0].files] == _validation(files)
    assert len(hub.ranges) == 2


def test_what_was_cut_off_is_kept_continued_and_never_taken_as_whole(
    hub: Hub, files: dict[str, bytes], root: Path
) -> None:
    hub.cut_at = 3000
    with pytest.raises(EnvironmentFault, match=r"cannot be fetched .* what has arrived is kept"):
        _fetch(root)
    (part,) = root.rglob("*.part")
    assert part.stat().st_size == 3000
    assert list(root.rglob("*.parquet")) == []
    hub.cut_at = None
    hub.ranges.clear()
    split = _fetch(root)
    assert hub.ranges == ["bytes=3000-", None]
    assert [file.read_bytes() for file in split.files] == _validation(files)
    assert list(root.rglob("*.part")) == []


def test_what_was_left_by_another_version_of_the_file_is_not_mixed_in(
    hub: Hub, files: dict[str, bytes], root: Path
) -> None:
    hub.cut_at = 3000
    with pytest.raises(EnvironmentFault):
        _fetch(root)
    (part,) = root.rglob("*.part")
    part.write_bytes(b"x" * 3000)
    hub.cut_at = None
    with pytest.raises(EnvironmentFault, match=r"arrived damaged .*; it was removed, so start ag"):
        _fetch(root)
    assert [file.read_bytes() for file in _fetch(root).files] == _validation(files)


def test_a_part_that_is_longer_than_the_file_is_thrown_away(
    hub: Hub, files: dict[str, bytes], root: Path
) -> None:
    _fetch(root)
    (first, *_) = sorted(root.rglob("*.parquet"))
    first.rename(first.with_name(first.name + ".part"))
    with first.with_name(first.name + ".part").open("ab") as stream:
        stream.write(b"more")
    assert [file.read_bytes() for file in _fetch(root).files] == _validation(files)


def test_a_slow_hub_is_waited_for_and_a_silent_one_is_not(
    hub: Hub, files: dict[str, bytes], root: Path
) -> None:
    hub.stall_s = 0.05
    assert [file.read_bytes() for file in _fetch(root).files] == _validation(files)
    hub.stall_s = 2.0
    hub.cut_at = 0
    with pytest.raises(EnvironmentFault, match=r"check the network and start again"):
        _fetch(root / "other")


def test_damaged_bytes_are_refused(hub: Hub, root: Path) -> None:
    hub.damaged = True
    with pytest.raises(EnvironmentFault, match=r"arrived damaged \(its SHA-256 is another\)"):
        _fetch(root)
    assert list(root.rglob("*.par*t")) == []


def test_a_gated_dataset_asks_for_a_login_and_the_token_opens_it(
    hub: Hub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated = True
    with pytest.raises(DatasetError, match=r"gated on http://127.*.hf auth login..*HF_TOKEN"):
        _fetch(root)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert len(_fetch(root).files) == 2


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"missing": True}, DatasetError, r"has no dataset abisee/cnn_dailymail that you can read"),
        ({"status": 401}, DatasetError, r"HF_TOKEN"),
        ({"status": 403}, DatasetError, r"refuses access .*HTTP 403.* HF_TOKEN"),
        ({"status": 503}, EnvironmentFault, r"answers HTTP 503 .* start again later"),
        ({"files": {}}, DatasetError, r"has no file 3.0.0/validation-\*.parquet"),
    ],
)
def test_each_refusal_says_what_to_do(
    hub: Hub, root: Path, change: dict[str, object], error: type[Exception], told: str
) -> None:
    for name, value in change.items():
        setattr(hub, name, value)
    with pytest.raises(error, match=told) as caught:
        _fetch(root)
    assert "--dataset" in str(caught.value)


def test_a_split_with_a_file_missing_is_refused(hub: Hub, root: Path) -> None:
    hub.files.pop("3.0.0/validation-00001-of-00002.parquet")
    with pytest.raises(DatasetError, match=r"has 1 of 2 files of the split"):
        _fetch(root)


def test_a_hub_that_is_down(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(Hub({})) as address:
        pass  # nobody listens there any more
    point_at(address, tmp_path / "library", monkeypatch)
    with pytest.raises(EnvironmentFault, match=r"cannot be fetched from http://127.*network"):
        _fetch(root)


def test_the_library_s_own_cache_is_used_offline(
    hub: Hub, files: dict[str, bytes], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Path(constants.HF_HUB_CACHE) / "datasets--abisee--cnn_dailymail"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(REVISION)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        EnvironmentFault, match=r"HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set .* not in"
    ):
        _fetch(root)
    snapshot = cache / "snapshots" / REVISION
    for name, content in files.items():
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_bytes(content)
    split = _fetch(root)
    assert [file.read_bytes() for file in split.files] == _validation(files)
    assert split.revision == REVISION
    assert hub.num_requests == 0
    (snapshot / "3.0.0" / "validation-00000-of-00002.parquet").unlink()
    with pytest.raises(DatasetError, match=r"has 1 of 2 files"):
        _fetch(root)


def test_what_was_downloaded_serves_when_the_hub_is_down(hub: Hub, root: Path) -> None:
    first = _fetch(root)
    hub.status = 503
    assert _fetch(root) == first
    first.files[0].unlink()
    with pytest.raises(EnvironmentFault, match="HTTP 503"):
        _fetch(root)


def test_a_download_that_was_damaged_since_is_fetched_again(
    hub: Hub, files: dict[str, bytes], root: Path
) -> None:
    first = _fetch(root)
    first.files[1].write_bytes(first.files[1].read_bytes()[:100])
    assert [file.read_bytes() for file in _fetch(root).files] == _validation(files)


@pytest.mark.parametrize(
    ("endpoint", "told"), [("http://[bad", "cannot be fetched from http://"), (None, "Expecting")]
)
def test_what_is_no_hub_is_an_environment_fault(
    hub: Hub, root: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str | None, told: str
) -> None:
    """A malformed address, and a portal that answers everything with a page of its own."""
    hub.page = "<html>Log in</html>"
    if endpoint is not None:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    with pytest.raises(EnvironmentFault, match=re.escape(told)):
        _fetch(root)


def test_what_the_library_has_is_not_downloaded_again(
    hub: Hub, files: dict[str, bytes], root: Path
) -> None:
    snapshot = (
        Path(constants.HF_HUB_CACHE) / "datasets--abisee--cnn_dailymail" / "snapshots" / REVISION
    )
    name = "3.0.0/validation-00000-of-00002.parquet"
    (snapshot / name).parent.mkdir(parents=True)
    (snapshot / name).write_bytes(files[name])
    split = _fetch(root)
    assert split.files[0] == snapshot / name
    assert len(hub.ranges) == 1
