"""`search.json`: what a search asks, what each of its probes showed, and what it found; true at
every moment.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, PositiveFloat

from build_engine.errors import UsageError
from build_engine.files import cannot_write, write_json
from build_engine.records import Record, read_record
from build_engine.store.sealed import content_key
from build_engine.validation import Grown, Text
from harness.rules.scenario import Scenario
from harness.search.outcome import ProbeOutcome
from harness.search.tuning import Tuning

SEARCH = "search.json"
_REMEDY = "start the search again with --fresh, or a new --output"


class Start(Grown):
    """The rate that a search begins with, where it is from, and between which rates it stays;
    `burst` is the rate of the burst that it is from, in samples a second.
    """

    LATER: ClassVar[tuple[str, ...]] = ("burst",)

    rate: PositiveFloat
    source: Text
    lowest: PositiveFloat
    highest: PositiveFloat
    burst: PositiveFloat | None = None


class ProbeRecord(Grown):
    """One probe that ended. `key` is the digest of all that decides its outcome, `folder` what it
    left, as a path in the search's folder; `hopeless` is why no run can be VALID at any rate, where
    it showed that.
    """

    LATER: ClassVar[tuple[str, ...]] = ("hopeless",)

    key: Text
    outcome: ProbeOutcome
    folder: Text
    ended_utc: Text
    hopeless: Text | None = None


class SearchRecord(Grown, Record):
    """The content of `search.json`. `asked` is the digest of what is searched; `best` the folder of
    the run at the highest rate that is VALID, None while there is none; `limited` whether that is
    the highest rate that was allowed.
    """

    LATER: ClassVar[tuple[str, ...]] = ("tuning",)

    SCHEMA: ClassVar[int] = 1

    command: Text
    started_utc: Text
    asked: Text
    engine: Text
    scenario: Scenario
    tolerance: PositiveFloat
    """A share."""
    start: Start | None = None
    probes: tuple[ProbeRecord, ...] = ()
    ended: bool = False
    limited: bool = False
    best: str | None = None
    tuning: Tuning | None = None
    """What other limits of the scheduler brought, where that was asked for."""
    seal: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """The sha256 of all the other fields, so that an edited one is noticed."""

    def with_probe(self, probe: ProbeRecord) -> SearchRecord:
        """The same with one more probe, in the place of its earlier one if there is one."""
        others = (each for each in self.probes if each.key != probe.key)
        return self.model_copy(update={"probes": (*others, probe)})

    def probe(self, key: str) -> ProbeRecord | None:
        """The probe of this key."""
        return next((each for each in self.probes if each.key == key), None)

    def write(self, folder: Path) -> SearchRecord:
        """Write it, sealed, into the search's folder; what was written. Raises OutputError."""
        sealed = self.model_copy(update={"seal": self._seal()})
        try:
            write_json(folder / SEARCH, sealed.to_json())
        except OSError as error:
            raise cannot_write(folder, error) from None
        return sealed

    @property
    def is_sealed(self) -> bool:
        """Whether no field was edited since it was written."""
        return self.seal == self._seal()

    def _seal(self) -> str:
        return content_key(self.model_dump(mode="json", exclude={"seal"}))


def read_search(folder: Path) -> SearchRecord:
    """The record of the search in `folder`. Raises UsageError for one that cannot be read or was
    changed, and FileNotFoundError where there is none.
    """
    record = read_record(folder / SEARCH, SearchRecord, UsageError, _REMEDY)
    if not record.is_sealed:
        raise UsageError(f"{folder / SEARCH} was changed after it was written; {_REMEDY}.")
    return record
