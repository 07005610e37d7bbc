"""The doubles are as strict as the facts, and every fact says where it is from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.doubled import journal, write_engine
from tests.contract.engine_double import WORLD, Executor
from tests.contract.strict import FACTS
from tests.contract.using import W, executor, refused, request, responses


def test_every_fact_names_its_source_and_how_certain_it_is() -> None:
    facts = [*FACTS["classes"].values(), *FACTS["enums"].values(), *FACTS["behaviours"]]
    facts += [*FACTS["functions"].values(), *FACTS["messages"], *FACTS["runtime_limits"]]
    for fact in facts:
        assert fact["source"] in FACTS["sources"], fact
        assert fact["mark"] in FACTS["marks"], fact
    for source in FACTS["sources"].values():
        assert source["mark"] in FACTS["marks"]
        assert source["version"]
    assert (len(FACTS["classes"]), len(FACTS["enums"])) == (42, 13)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("Request", {"max_tokens": True}),
        ("Request", {"max_tokens": 3.0}),
        ("Request", {"input_token_ids": [5.0]}),
        ("Request", {"allotted_time_ms": 5}),  # a timedelta
        ("Request", {"stop_words": [5]}),
        ("Request", {"sampling_config": None}),
        ("OutputConfig", {"exclude_input_from_output": 1}),
        ("KvCacheConfig", {"free_gpu_memory_fraction": "0.9"}),
        ("ExecutorConfig", {"batching_type": 1}),
        ("ExecutorConfig", {"normalize_log_probs": False}),
    ],
)
def test_a_value_of_another_type_is_refused(kind: str, fields: dict[str, Any]) -> None:
    given = {"input_token_ids": [5], "max_tokens": 3} if kind == "Request" else {}
    refused(TypeError, lambda: WORLD[kind](**given | fields))


def test_a_misspelt_property_is_refused() -> None:
    refused(AttributeError, lambda: setattr(W.ExecutorConfig(), "max_batchsize", 4))
    refused(AttributeError, lambda: W.ExecutorConfig().max_batchsize)


@pytest.mark.parametrize(
    "make",
    [
        lambda: W.SamplingConfig(top_k=-1),
        lambda: W.SamplingConfig(min_tokens=-1),
        lambda: W.KvCacheConfig(free_gpu_memory_fraction=1.0),
        lambda: request(input_token_ids=[]),
        lambda: request(max_tokens=0),
    ],
)
def test_a_value_out_of_range_fails_as_in_the_library(make: Callable[[], object]) -> None:
    assert "Assertion failed: " in refused(RuntimeError, make)


def test_executor_takes_its_arguments_by_name_and_type(tmp_path: Path) -> None:
    folder = write_engine(tmp_path / "engine")
    config, kind = W.ExecutorConfig(), W.ModelType.DECODER_ONLY
    refused(TypeError, lambda: Executor(str(folder), kind, config))
    refused(TypeError, lambda: Executor(model_path=str(folder), model_type=kind, config=config))
    refused(
        TypeError,
        lambda: Executor(model_path=str(folder), model_type=0, executor_config=config),
    )


def test_chunked_context_is_dropped_without_an_error_where_it_was_not_built(tmp_path: Path) -> None:
    built = {
        "max_batch_size": 8,
        "max_seq_len": 200,
        "max_num_tokens": 20,
        "plugin_config": {"use_paged_context_fmha": False},
    }
    engine = executor(tmp_path, built, W.ExecutorConfig(enable_chunked_context=True))
    [response] = responses(engine, request(input_token_ids=[5] * 21))
    assert response.has_error()


def test_what_was_asked_is_noted(tmp_path: Path) -> None:
    responses(executor(tmp_path), request())
    [noted] = journal(tmp_path / "engine", "request")
    assert (noted["client_id"], noted["max_tokens"]) == (7, 3)
    assert json.dumps(noted)
