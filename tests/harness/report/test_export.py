"""What GitHub shows of a comparison: text from results is text there, whatever it holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from harness.report.candidate import Candidate
from harness.report.compare import compare
from harness.report.export import to_markdown
from harness.streams import printable
from tests.harness.report.results import make_result, references

HOSTILE = (
    "int8_wo",
    "<img src=x onerror=alert(1)>",
    "</summary></details><script>alert(1)</script>",
    "[click](http://evil.example) ![x](https://evil.example/x.png)",
    "www.evil.example and HTTPS://evil.example/a?b=c and me@evil.example",
    "@everyone see #1 or owner/repo#22 <http://evil.example>",
    "~~gone~~ **bold** _slanted_ `code` a | b &lt; &amp; \\ # no",
    "- a list",
    "+ a list",
    "1. a list",
    "2) a list",
    "\x1b[31mred\x07 \u202eright to left",
)
# What GitHub makes links of in the text of one node of its page.
LINK = re.compile(r"://\S|www\.\S|\S@\S|(?<!\w)@\w|#\d", re.IGNORECASE)
OURS = {"paragraph", "heading", "bullet_list", "list_item", "strong", "inline", "text"}
OURS |= {"table", "thead", "tbody", "tr", "th", "td", "html_block", "html_inline"}


class Shown(HTMLParser):
    """The tags of a page, and the text of each of its nodes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.nodes: list[str] = []
        self._open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._open = False

    def handle_endtag(self, tag: str) -> None:
        self._open = False

    def handle_comment(self, data: str) -> None:
        self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            self.nodes[-1] += data
        else:
            self.nodes.append(data)
        self._open = True


@pytest.mark.parametrize("text", HOSTILE)
def test_no_label_and_no_answer_is_markup(tmp_path: Path, text: str) -> None:
    right = references(10)
    first = make_result(tmp_path / "a", "bf16", answers=right)
    other = make_result(tmp_path / "b", "int8_wo", answers=[text] * 10, broken=text)
    sides = (Candidate("bf16", (first,)), Candidate(text, (other,)))
    page = to_markdown(compare(sides, sides[0]), missing=[text])
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = [
        token
        for block in renderer.parse(page)
        for token in (block, *(block.children or ()))
        if token.type not in ("softbreak",)
    ]
    kinds = {re.sub("_(open|close)$", "", token.type) for token in tokens}
    assert kinds <= OURS, kinds - OURS
    assert {token.content for token in tokens if token.type == "html_inline"} <= {"<!-- -->"}
    lists = [token.level for token in tokens if token.type == "bullet_list_open"]
    assert lists == [0], "a text began a list of its own"
    shown = Shown(renderer.render(page))
    assert shown.tags <= {"h2", "ul", "li", "strong", "p", "table", "thead", "tbody", "tr"} | {
        "th",
        "td",
        "details",
        "summary",
    }
    assert not [node for node in shown.nodes if LINK.search(node)]
    said = printable(" ".join(text.split()))
    whole = "".join(shown.nodes)
    assert f"Answers that lose most: {said}" in whole
    assert whole.count(said) >= 10
