"""A page as a program reads it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path


class Cells(HTMLParser):
    """The exact values of a page's tables by the row's name and the figure's, and its JSON."""

    def __init__(self, report: Path) -> None:
        super().__init__()
        self.found: dict[tuple[str, str], float] = {}
        self.json = ""
        self._row = ""
        self._open = ""
        self.feed(report.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._open = "row" if values.get("scope") == "row" else values.get("id") or ""
        name, value = values.get("data-name"), values.get("data-value")
        if name and value:
            self.found[self._row, name] = float(value)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "row":
            self._row = data.strip()
        if self._open == "data":
            self.json += data
