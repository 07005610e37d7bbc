"""What an OpenAI-compatible server says of itself, and how its users may ask it."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import PositiveInt

from build_engine.validation import Frozen, Text

PromptsAs = Literal["ids", "text"]
"""How a server takes prompts."""

IdsBy = Literal["return_token_ids", "return_tokens", "detokenize", "text"]
"""By what a server tells the ids of an answer; `text` is by none, so that a tokenizer counts."""

_ENGINES = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "tensorrt_llm": "TensorRT-LLM",
    "llamacpp": "llama.cpp",
}
"""`owned_by` of a model, as these servers write it, and what people call them."""


class Way(Frozen):
    """How a server is asked."""

    prompts: PromptsAs
    ids: IdsBy


class ServerIdentity(Frozen):
    """What a server said of itself before it was measured; None where it said nothing."""

    url: Text
    model: Text
    """The model that it was asked for."""
    models: tuple[Text, ...] = ()
    """Those that it lists."""
    owned_by: str | None = None
    """Of the model, and so are `root` and `max_model_len`."""
    root: str | None = None
    max_model_len: PositiveInt | None = None
    version: str | None = None
    """That of `/version`."""
    server: str | None = None
    """The header of its answers."""
    fingerprint: str | None = None
    """`system_fingerprint` of an answer."""

    @property
    def place(self) -> str:
        """Host and port."""
        return place_of(self.url)

    @property
    def engine(self) -> str:
        """What it seems to be, with its version where it tells one."""
        software = self.owned_by or (self.server or "").partition("/")[0] or "a server"
        name = _ENGINES.get(software, software)
        return f"{name} {self.version}" if self.version else name


def place_of(url: str) -> str:
    """Host and port of a base URL."""
    return urlsplit(url).netloc
