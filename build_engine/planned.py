"""What a build would do: the command of the library that builds, and why each value is as it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """A flag with its value, and why it has that value."""

    flag: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Expected:
    """A field that the engine must show once it is built, and the values that are right. `rule`
    names what the library is known to change it by, "" for nothing known.
    """

    field: str
    values: tuple[str | int | float | bool | None, ...]
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBuild:
    """The whole of it. `title` says what is built in one line, `notes` what else is known before
    (memory, files), `expected` what is read back afterwards.
    """

    title: str
    program: str | None
    """What is called with the settings; None where the library is called in this process."""
    settings: tuple[Setting, ...]
    execution: tuple[Setting, ...]
    """What the engine is then loaded with."""
    expected: tuple[Expected, ...]
    notes: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        """The words of the command; none without a program."""
        if self.program is None:
            return []
        words = (word for item in self.settings for word in (item.flag, item.value))
        return [self.program, *words]

    def value(self, flag: str) -> str:
        """The value of a flag. Raises KeyError for one that is not stated."""
        return {item.flag: item.value for item in self.settings}[flag]
