"""A drawing on the page can do nothing, load nothing and clash with nothing."""

from __future__ import annotations

from harness.report.html.svg import cleaned

_DRAWING = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 width="10" height="20" viewBox="0 0 10 20" onload="alert(1)"><script>alert(1)</script>
<style>* { fill: red }</style><image xlink:href="http://example.org/x.png"/>
<a xlink:href="javascript:alert(1)"><text fill="red">in a link</text></a>
<foreignObject><div>HTML</div></foreignObject>
<defs><clipPath id="clip1"><rect width="5" height="5"/></clipPath></defs>
<g clip-path="url(#clip1)" style="fill:red" class="mark"><path d="M0.123456,1L2,3" fill="red"/>
<path d="M0,0" class="background"/></g>
<rect width="1" height="1" fill="url(http://example.org/y)"/>
<path d="M1,1" fill="red" display="none"/><text fill="red">&lt;b&gt;</text></svg>"""


def test_only_shapes_and_text_are_left() -> None:
    svg = cleaned(_DRAWING, "one", "<Title>", "What it shows")
    for gone in ("script", "style", "image", "href", "foreignObject", "onload", "http", "class"):
        assert gone not in svg
    assert "in a link" not in svg and "M1,1" not in svg and "M0,0" not in svg
    assert 'd="M0.1235,1L2,3"' in svg and "&lt;b&gt;" in svg


def test_it_is_one_named_image_that_fills_its_place() -> None:
    svg = cleaned(_DRAWING, "one", "<Title>", "What it shows")
    assert svg.startswith(
        '<svg viewBox="0 0 10 20" role="img" aria-labelledby="one-title one-desc">'
    )
    assert '<title id="one-title">&lt;Title&gt;</title>' in svg
    assert '<desc id="one-desc">What it shows</desc>' in svg


def test_ids_are_its_own_and_lead_to_themselves() -> None:
    svg = cleaned(_DRAWING, "one", "", "")
    assert '<clipPath id="one-clip1"><rect width="5" height="5" /></clipPath>' in svg
    assert 'clip-path="url(#one-clip1)"' in svg
