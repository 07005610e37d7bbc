"""`enginebench serve` as a user runs it: one engine, its own answers over HTTP, and a clean end."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openai
import psutil
import pytest

from build_engine.store.engine import Engine
from harness.cli.main import run
from runtime.backend import engine_spec, load
from runtime.executor import Request
from runtime.server.settings import KEY_VARIABLE
from tests.e2e.serving import built, own_home, serving

PROMPTS = [list(range(5 + i, 40 + 2 * i)) for i in range(20)]
KEY = "open-sesame-1001"


_IMPATIENT = """
import sys
from harness.cli.main import run
from runtime import signs
signs.LEAST_S = signs.MOST_S = 2.0
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with own_home(tmp_path_factory) as home:
        yield home


@pytest.fixture(scope="module")
def engine(own_cache: Path) -> Engine:
    return built(own_cache, "int8_wo")


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
    with serving(engine, **{KEY_VARIABLE: KEY}) as (process, told):
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


def test_waves_of_200_are_answered_in_the_same_memory(engine: Engine) -> None:
    def outcome(number: int) -> str:
        *_, last = client.completions.create(
            model="newsbrief",
            prompt=[5 + number % 90, 5 + number // 90, 7],
            max_tokens=4,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        return str(last.choices[0].finish_reason)

    with (
        serving(engine, "--max-requests", "200") as (process, told),
        ThreadPoolExecutor(200) as pool,
        openai.OpenAI(base_url=told["url"], api_key="none", max_retries=0) as client,
    ):
        server = psutil.Process(process.pid)
        resident = []
        for _ in range(5):
            assert Counter(pool.map(outcome, range(200))) == {"length": 200}
            resident.append(server.memory_info().rss)
        assert resident[-1] - resident[1] < 2**23


def engine_of(process: subprocess.Popen[str]) -> psutil.Process:
    children = psutil.Process(process.pid).children()
    [child] = [each for each in children if "runtime.openvino.worker" in each.cmdline()]
    return child


def test_an_engine_that_is_killed_ends_the_server_with_the_cause(engine: Engine) -> None:
    with serving(engine) as (process, _):
        engine_of(process).kill()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 4
        assert errors.splitlines()[-1].startswith("enginebench: the engine died: ")
        assert "SIGKILL" in errors


def test_an_engine_that_hangs_ends_the_server_with_the_cause(engine: Engine) -> None:
    with serving(engine, program=("-c", _IMPATIENT)) as (process, told):
        child = engine_of(process)
        child.suspend()
        with (
            openai.OpenAI(base_url=told["url"], api_key="none", max_retries=0) as client,
            pytest.raises(openai.InternalServerError) as caught,
        ):
            client.completions.create(model="newsbrief", prompt=PROMPTS[0], max_tokens=2)
        cause = "the engine died: it gave no sign for 2 s, with 1 request open"
        assert (caught.value.status_code, caught.value.code) == (503, "engine_died")
        assert cause in caught.value.message
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 4
        assert errors.splitlines()[-1] == f"enginebench: {cause}"
        assert not child.is_running()


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
