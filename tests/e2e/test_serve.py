"""`enginebench serve` as a user runs it: one engine, its own answers over HTTP, and a clean end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openai
import psutil
import pytest

from build_engine.store.engine import Engine
from harness.cli.main import run
from runtime.backend import engine_spec, load
from runtime.executor import Request
from runtime.server.settings import KEY_VARIABLE

PROMPTS = [list(range(5 + i, 40 + 2 * i)) for i in range(20)]
KEY = "open-sesame-1001"


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of all these tests and of no others: an engine is named by its model, target and recipe."""
    home = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENGINEBENCH_HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def engine(own_cache: Path) -> Engine:
    assert run(["build", "--model", "newsbrief", "--recipe", "int8_wo"]) == 0
    [folder] = (own_cache / "engines/newsbrief/cpu").glob("int8_wo-*")
    return Engine.load(folder)


@contextlib.contextmanager
def serving(*options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """The process, and what it says when it takes requests."""
    words = [sys.executable, "-m", "enginebench", "serve", "newsbrief/cpu/int8_wo", "--port", "0"]
    with subprocess.Popen(
        [*words, "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        assert process.stdout is not None
        lines = list[str]()
        while not lines or lines[-1] != "}\n":
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            lines.append(line)
        try:
            yield process, json.loads("".join(lines))
        finally:
            process.kill()


def own_answers(engine: Engine, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """One by one, as they are asked for over HTTP: a batch rounds otherwise."""
    executor = load(engine_spec(engine))
    answers: list[list[int]] = [[] for _ in prompts]
    for number, ids in enumerate(prompts):
        executor.submit([Request(number, np.array(ids, np.int32), 24, 0, engine.stop_ids)])
        finished = False
        while not finished:
            for chunk in executor.poll(10.0):
                answers[chunk.id] += chunk.token_ids.tolist()
                finished = chunk.finished
    executor.close()
    return answers


@pytest.mark.parametrize("ends_by", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_as_the_engine_does_and_ends_clean(
    engine: Engine, ends_by: signal.Signals
) -> None:
    with serving(**{KEY_VARIABLE: KEY}) as (process, told):
        assert told == {"url": told["url"], "model": "newsbrief", "engine": engine.key}
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        assert all(KEY not in " ".join(child.cmdline()) for child in children)
        with openai.OpenAI(base_url=told["url"], api_key=KEY, max_retries=0) as client:
            given = []
            for ids in PROMPTS:
                whole = client.completions.create(
                    model="newsbrief",
                    prompt=ids,
                    max_tokens=24,
                    extra_body={"return_token_ids": True},
                )
                assert whole.choices[0].model_extra is not None
                given.append(whole.choices[0].model_extra["token_ids"])
                assert whole.system_fingerprint == f"enginebench-{engine.key[:12]}"
            texts = [
                "".join(
                    event.choices[0].text
                    for event in client.completions.create(
                        model="newsbrief", prompt=ids, max_tokens=24, stream=True
                    )
                )
                for ids in PROMPTS[:3]
            ]
            [model] = client.models.list().data
        assert model.model_extra is not None
        assert model.model_extra["engine"]["recipe"] == "int8_wo"
        assert given == own_answers(engine, PROMPTS)
        assert all(texts)
        process.send_signal(ends_by)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in errors
        assert KEY not in errors
        assert not any(child.is_running() for child in children)


def test_an_engine_that_is_killed_ends_the_server_with_the_cause(engine: Engine) -> None:
    with serving() as (process, _):
        children = psutil.Process(process.pid).children()
        [child] = [each for each in children if "runtime.openvino.worker" in each.cmdline()]
        child.kill()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 4
        assert errors.splitlines()[-1].startswith("enginebench: the engine died: ")
        assert "SIGKILL" in errors


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["no-such-engine"], 2, "Unknown engine `no-such-engine`"),
        (["newsbrief/cpu/int8_wo", "--host", "0.0.0.0"], 2, "there is no key"),
        (["newsbrief/cpu/int8_wo", "--port", "99999"], 2, "--port is 99999"),
        (["newsbrief/cpu/int8_wo", "--max-requests", "0"], 2, "--max-requests is 0"),
        (["newsbrief/cpu/int8_wo", "--api-key-file", "none"], 2, "--api-key-file none is not"),
    ],
)
def test_what_is_not_started(
    engine: Engine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert run(["serve", *options]) == code
    assert says in capsys.readouterr().err
