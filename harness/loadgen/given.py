"""What the engine gave in one LoadGen test: of every answer its sample, its ids and its times, in
order of completion.

LoadGen logs no ids in a performance test; by these one test's answers are judged, and held against
another's.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import RunFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from runtime.executor import TokenIds

MOMENT_S = 1e-3
"""Tokens of one answer within this time came at one moment: no engine makes two in it."""


@dataclass(frozen=True, slots=True)
class GivenAnswers:
    """Arrays over the answers of a test.

    `samples` are indices of the dataset. `ids` holds the int32 ids of all answers, end to end, and
    `lengths` how many each has. `ttft_s` is the wait for the first token, `second_s` the time from
    then to the next one (NaN where none came later), `latency_s` the time to the last. `burst` is
    the most tokens of the answer that came at one moment.
    """

    samples: NDArray[np.int32]
    lengths: NDArray[np.int32]
    ids: TokenIds
    ttft_s: NDArray[np.float64]
    second_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    burst: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        records: Sequence[tuple[int, float, float, int]],
        answers: Sequence[TokenIds],
        paces: Sequence[tuple[float, int]],
    ) -> GivenAnswers:
        """From (sample, TTFT, latency, tokens), ids, and (`second_s`, `burst`) of each answer."""
        import numpy as np

        samples, ttft_s, latency_s, lengths = zip(*records, strict=True) if records else ((),) * 4
        second_s, burst = zip(*paces, strict=True) if paces else ((),) * 2
        return cls(
            samples=np.array(samples, np.int32),
            lengths=np.array(lengths, np.int32),
            ids=np.concatenate(answers) if answers else np.empty(0, np.int32),
            ttft_s=np.array(ttft_s, np.float64),
            second_s=np.array(second_s, np.float64),
            latency_s=np.array(latency_s, np.float64),
            burst=np.array(burst, np.int32),
        )

    @classmethod
    def load(cls, path: Path) -> GivenAnswers:
        """What a test wrote. Raises RunFailed when it is missing or broken."""
        import numpy as np

        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                given = cls(**{name: arrays[name] for name in cls.__dataclass_fields__})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise RunFailed(f"{path} cannot be read ({error}); run again.") from None
        if not given._is_consistent():
            raise RunFailed(f"{path} contradicts itself; run again.")
        return given

    def save(self, path: Path) -> None:
        """Write them to `path`, an .npz file."""
        import numpy as np

        np.savez(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @property
    def answers(self) -> list[TokenIds]:
        """The ids of each answer, as views of `ids`."""
        import numpy as np

        ends = np.cumsum(self.lengths, dtype=np.int64).tolist()
        return [self.ids[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    @property
    def by_sample(self) -> dict[int, TokenIds]:
        """The first answer to each sample."""
        found: dict[int, TokenIds] = {}
        for sample, ids in zip(self.samples.tolist(), self.answers, strict=True):
            found.setdefault(sample, ids)
        return found

    def _is_consistent(self) -> bool:
        import numpy as np

        names = self.__dataclass_fields__
        whole = all(
            getattr(self, name).ndim == 1
            and getattr(self, name).dtype == (np.float64 if name.endswith("_s") else np.int32)
            for name in names
        )
        each = {len(getattr(self, name)) for name in names if name != "ids"}
        return bool(
            whole
            and len(each) == 1
            and (self.lengths >= 0).all()
            and self.lengths.sum(dtype=np.int64) == len(self.ids)
        )
