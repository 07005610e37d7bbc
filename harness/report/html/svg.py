"""An SVG drawing as it may stand in our page: shapes and text, and nothing that acts, loads or
repeats an id.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

_SHAPES = frozenset(
    {"svg", "g", "path", "line", "rect", "circle", "text", "tspan", "defs", "clipPath"}
)
_ATTRIBUTES = frozenset(
    {
        *("d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "width", "height"),
        *("transform", "viewBox", "id", "clip-path", "opacity"),
        *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap"),
        *("stroke-opacity", "font-size", "font-weight", "font-style", "text-anchor"),
    }
)
_PLAIN = {("opacity", "1"), ("stroke-width", "1")}  # as without the attribute
_PAINT = ("fill", "stroke")
_LONG_NUMBER = re.compile(r"\d+\.\d{2,}")
_OWN_REFERENCE = re.compile(r"url\(#([\w-]+)\)")


def cleaned(drawing: str, name: str, title: str, description: str) -> str:
    """The drawing for a page: it fills the width that it is given, and is one image to a screen
    reader, called `title`. `name` is no other drawing's on the page.
    """
    root = ElementTree.fromstring(drawing)
    _clean(root, name)
    for side in ("width", "height"):
        root.attrib.pop(side, None)
    named = {"title": title, "desc": description}
    root.attrib |= {"role": "img", "aria-labelledby": " ".join(f"{name}-{tag}" for tag in named)}
    for place, (tag, text) in enumerate(named.items()):
        element = ElementTree.Element(tag, {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element, name: str) -> None:
    element.tag = _local(element.tag)
    element.attrib = {
        key: _value(key, value, name)
        for key, value in element.attrib.items()
        if key in _ATTRIBUTES and (key, value) not in _PLAIN
    }
    for child in list(element):
        if _local(child.tag) in _SHAPES and child.get("display") != "none":
            _clean(child, name)
            if element.tag == "clipPath" or not _is_empty(child):
                continue
        element.remove(child)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _value(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if "url(" in value:
        reference = _OWN_REFERENCE.fullmatch(value)
        return f"url(#{name}-{reference.group(1)})" if reference else "none"
    return _LONG_NUMBER.sub(lambda found: f"{float(found.group()):.4g}", value)


def _is_empty(element: ElementTree.Element) -> bool:
    """Whether nothing would be seen of it."""
    if element.tag == "g":
        return len(element) == 0
    return element.tag in ("path", "rect") and not any(element.get(paint) for paint in _PAINT)
