"""How an engine is executed, within what it was really built for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.errors import EngineError
from build_engine.trtllm.engine_config import read_engine_config

if TYPE_CHECKING:
    from runtime.trtllm.spec import TRTLLMSpec

_REMEDY = "build the engine again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How an engine is executed: requests in flight, and tokens per request or iteration."""

    version: str
    """Of the library that built it."""
    vocab_size: int
    max_batch_size: int
    max_prompt: int
    """Tokens of the longest prompt."""
    max_seq_len: int
    """Tokens of the longest prompt and its answer."""
    chunked_context: bool

    @classmethod
    def of(cls, spec: TRTLLMSpec) -> Sizes:
        """Of an engine that is executed as `spec` says. Raises EngineError for a `config.json` that
        is missing or broken, and for an engine that cannot be executed so.
        """
        config = read_engine_config(spec.folder, EngineError, _REMEDY)
        build = config.build_config
        can_chunk = build.plugin_config.use_paged_context_fmha
        chunked = can_chunk if spec.chunked_context is None else spec.chunked_context
        if chunked and not can_chunk:
            raise EngineError(
                f"`{spec.folder.name}` was built without paged context attention, and cannot "
                f"compute prompts in parts; leave `chunked_context` unset."
            )
        for name, most in (
            ("max_batch_size", build.max_batch_size),
            ("max_num_tokens", build.max_num_tokens),
        ):
            asked = getattr(spec, name)
            if asked is not None and asked > most:
                raise EngineError(
                    f"`{name}` is {asked}, and `{spec.folder.name}` was built for {most}; "
                    f"give {most} or less."
                )
        longest = min(build.max_input_len, build.max_seq_len - 1)
        if not chunked:  # a prompt is computed in one iteration
            longest = min(longest, spec.max_num_tokens or build.max_num_tokens)
        return cls(
            version=config.version,
            vocab_size=config.pretrained_config.vocab_size,
            max_batch_size=spec.max_batch_size or build.max_batch_size,
            max_prompt=longest,
            max_seq_len=build.max_seq_len,
            chunked_context=chunked,
        )
