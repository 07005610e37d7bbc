"""What servers that are measured are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.runs.served import Served
from runtime.endpoint.identity import ServerIdentity, Way


@pytest.mark.parametrize(
    ("engines", "declared", "called"),
    [
        (("vllm", "vllm"), {}, "vLLM at 2 servers"),
        (("vllm", "sglang"), {}, "vLLM and SGLang at 2 servers"),
        (("vllm", "sglang"), {"engine": "mine"}, "mine at 2 servers"),
    ],
)
def test_they_are_called_after_all_of_them(
    engines: tuple[str, ...], declared: dict[str, str], called: str
) -> None:
    served = Served(
        model="llama",
        folder=Path("llama"),
        tokenizer="a" * 64,
        vocab_size=128256,
        stop_ids=(2,),
        servers=tuple(
            ServerIdentity(url=f"http://gpu-{number}:8000", model="llama", owned_by=engine)
            for number, engine in enumerate(engines)
        ),
        way=Way(prompts="ids", ids="return_token_ids"),
        declared=declared,
    )
    assert served.name == called
