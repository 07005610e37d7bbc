"""The sizes that a backend chooses for an engine, and why each is as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from build_engine.store.limits import EngineLimits

GIVEN = "as given"
_USUAL = "the usual number"


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeReasons:
    """Why a size has its value, each the end of a sentence."""

    max_batch_size: str = GIVEN
    max_input_len: str = GIVEN
    max_seq_len: str = GIVEN
    max_num_tokens: str = GIVEN


@dataclass(frozen=True, slots=True)
class Sized:
    """Sizes with their reasons."""

    limits: EngineLimits
    why: SizeReasons


AS_GIVEN = SizeReasons()
USUAL = SizeReasons(max_batch_size=_USUAL, max_num_tokens=_USUAL)
"""Those of a backend that takes the defaults."""
