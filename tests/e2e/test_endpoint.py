"""`enginebench endpoint` as a user runs it: our own server measured like its engine, and failures
that end in a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from build_engine.store.engine import Engine
from harness.cli.main import run
from harness.report.result import Result
from runtime.server.settings import KEY_VARIABLE
from tests.e2e.serving import built, own_home, serving
from tests.runtime.endpoint.fake import FakeServer, running, vllm

COUNT = "12"


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with own_home(tmp_path_factory) as home:
        yield home


@pytest.fixture(scope="module")
def engine(own_cache: Path) -> Engine:
    return built(own_cache, "bf16")


def measured(url: str, output: Path, *options: str, scenario: str = "Offline") -> int:
    words = ["endpoint", url, "--model", "newsbrief", "--scenario", scenario, "--count", COUNT]
    return run([*words, "--output", str(output), *options])


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return found


def test_our_own_server_is_measured_like_its_engine(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(engine) as (_, told):
        options = ("--declare", "engine=ours 1", "--declare", "precision=bf16")
        assert measured(told["url"], tmp_path / "door", *options) == 0
    direct = ["run", "--model", "newsbrief", "--recipe", "bf16", "--scenario", "Offline"]
    assert run([*direct, "--count", COUNT, "--output", str(tmp_path / "direct")]) == 0
    door, own = Result.read(tmp_path / "door"), Result.read(tmp_path / "direct")
    place = told["url"].removeprefix("http://").removesuffix("/v1")
    assert (door.recipe, door.model) == (f"ours 1 at {place}", "newsbrief")
    assert {"declared engine", "caching not declared"} == {*door.marks} - {*own.marks}
    assert door.accuracy is not None and own.accuracy is not None
    assert door.accuracy.scores == own.accuracy.scores
    found = record(tmp_path / "door")["served"]
    assert found["declared"] == {"engine": "ours 1", "precision": "bf16"}
    assert found["way"] == {"prompts": "ids", "ids": "return_token_ids"}
    assert (door.size_bytes, door.peak_memory_bytes, door.busy) == (None, None, ())
    capsys.readouterr()
    assert run(["compare", str(tmp_path / "direct"), str(tmp_path / "door")]) == 0
    shown = capsys.readouterr()
    assert f"ours 1 at {place}" in shown.err + shown.out
    page = tmp_path / "page.html"
    assert run(["report", str(tmp_path), "--output", str(page)]) == 0
    assert f"ours 1 at {place}" in page.read_text(encoding="utf-8")


def test_a_server_that_dies_fails_the_run_with_its_cause(
    own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def act(server: FakeServer, request: web.Request, body: dict[str, Any]) -> Any:
        if len(server.asked) > 30:  # after the probe and the warm-up
            assert request.transport is not None
            request.transport.abort()
        return await vllm(server, request, body)

    with running(act) as server:
        assert measured(server.url, tmp_path / "dies") == 4
    found = record(tmp_path / "dies")
    assert found["status"] == "failed"
    assert "was lost with" in found["cause"]
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--served-model", "tin"], 2, "Did you mean `tiny`"),
        (["--api-key-env", "NO_SUCH_KEY"], 2, "NO_SUCH_KEY holds no key"),
        (["--declare", "precison=fp8"], 2, "Did you mean `precision`"),
        (["--declare", "fast"], 2, "declares nothing"),
        (["--set", "recipe.group_size=64"], 2, "is no field of a workload"),
        (["--max-in-flight", "0"], 2, "--max-in-flight is 0"),
        (["--max-in-flight", "1000000000"], 2, "the limit of open files (ulimit -Hn)"),
        (["--tolerate-failures"], 2, "name several"),
    ],
)
def test_what_is_not_begun(
    own_cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    says: str,
) -> None:
    with running(vllm) as server:
        assert measured(server.url, tmp_path / "run", *options) == code
    assert says in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_key_is_in_no_file_of_a_run(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "open-sesame-1003"
    monkeypatch.setenv(KEY_VARIABLE, secret)
    with running(vllm) as server:
        measured(server.url, tmp_path / "run", "--mode", "performance")
    assert {*server.keys} == {f"Bearer {secret}"}
    kept = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert kept and not any(secret.encode() in content for content in kept)
