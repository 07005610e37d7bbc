"""docs/command-line.md says what the commands say."""

from __future__ import annotations

import re
from pathlib import Path

from harness.cli.reference import reference
from tests.harness.cli.test_flags import FROZEN

DOCUMENT = Path(__file__).parents[3] / "docs" / "command-line.md"


def test_the_document_is_current() -> None:
    """Fix it with: python -m harness.cli.reference > docs/command-line.md"""
    assert DOCUMENT.read_text(encoding="utf-8") == reference()


def test_every_command_and_option_has_its_place_and_a_meaning() -> None:
    sections = re.split(r"^## enginebench (.+)$", reference(), flags=re.MULTILINE)[1:]
    found = dict(zip(sections[::2], sections[1::2], strict=True))
    assert set(found) == set(FROZEN)
    for command, section in found.items():
        rows = re.findall(r"^\| (`.+`) \| (.*) \| (.*) \|$", section, flags=re.MULTILINE)
        options = {name for names, *_ in rows for name in re.findall(r"`(-[-a-z]*)", names)}
        assert options == set(FROZEN[command]), command
        assert all(meaning.endswith(".") for _, meaning, _ in rows), command
        usage = section.split("```")[1]
        for names, _, default in rows:
            first = re.split(r"[` ]", names)[1]
            assert (default == "required") <= (first in usage), (command, first)
