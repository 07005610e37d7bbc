"""How files are read and written in the whole house: JSON and YAML by one reader each, and nothing
left half written.

A reader takes regular files only, of bounded size and depth, in which no key is said twice; YAML
has no aliases besides. Sizes are looked at before anything is made of a content. What cannot be
read is one sentence with the file's name and the remedy.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.errors import EnginebenchError, OutputError
from build_engine.temporary import mark, sweep

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 64 * 2**20  # of a JSON or YAML file; the longest that we write ourselves has 20 MB
_MAX_YAML_BYTES = 2**18  # people write these, and the reader is a slow one
_MAX_CONTAINERS = 2**21  # lists and objects of a JSON text: each takes up to 232 bytes of memory
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_LONG_NUMBER = "a number of thousands of digits"
_MAX_DIGITS = 64  # of a number in YAML
MAX_DEPTH = 64  # of lists and mappings inside each other


class Unreadable(ValueError):
    """Why a text or a file is not what it must be, in words that can follow its name."""


def read_json(
    path: Path, fault: type[EnginebenchError], remedy: str, max_bytes: int = MAX_BYTES
) -> Any:
    """The value in a JSON file. Raises `fault` with `remedy` for anything but a regular file with
    one sound value in it, FileNotFoundError for none.
    """
    try:
        return parse_json(read_bytes(path, max_bytes))
    except Unreadable as problem:
        raise fault(f"{path} {problem}; {remedy}.") from None


def parse_json(text: bytes | str) -> Any:
    """The value of a JSON text; bytes are UTF-8. Raises Unreadable."""
    # `json.loads` would guess the encoding of bytes, and take halves of surrogate pairs in them
    content = text if isinstance(text, str) else _decoded(text)
    # opening brackets, those within texts included: what it may hold at most
    if content.count("[") + content.count("{") > _MAX_CONTAINERS:
        raise Unreadable(f"holds more than {_MAX_CONTAINERS:,} lists and objects")
    try:
        value = json.loads(content, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable(f"is not valid JSON ({_TOO_DEEP})") from None
    except ValueError as error:
        reason = _LONG_NUMBER if "int_max_str_digits" in str(error) else error
        raise Unreadable(f"is not valid JSON ({reason})") from None
    _check_depth(value)
    if _HALF.search(content) or (content is text and _HALF_CHARACTER.search(content)):
        _check_characters(value)
    return value


def read_yaml(path: Path, fault: type[EnginebenchError], remedy: str) -> Any:
    """The value in a YAML file; raises as `read_json`, FileNotFoundError included."""
    try:
        return parse_yaml(_decoded(read_bytes(path, _MAX_YAML_BYTES)))
    except Unreadable as problem:
        raise fault(f"{path} {problem}; {remedy}.") from None


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, as the safe loader makes it. Raises Unreadable."""
    return copy.deepcopy(_parsed_yaml(text))


@functools.lru_cache(maxsize=64)  # a command reads the same files again and again
def _parsed_yaml(text: str) -> Any:
    import yaml

    try:
        value = yaml.load(text, Loader=_strict_loader())  # a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise Unreadable(f"is not valid YAML{line} ({error.problem or 'broken'})") from None
    except RecursionError:
        raise Unreadable(f"is not valid YAML ({_TOO_DEEP})") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: for example the date 2026-13-01
        said = str(error).splitlines()[0]
        reason = _LONG_NUMBER if "int_max_str_digits" in said else said
        raise Unreadable(f"has a value that is not valid YAML ({reason}); quote it") from None
    _check_characters(value)
    return value


def read_lossy(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """`read_bytes` as text, in which bytes that are no UTF-8 are replaced."""
    return read_bytes(path, max_bytes).decode("utf-8", errors="replace")


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file. Raises Unreadable, and FileNotFoundError for none."""
    try:
        # a pipe without a writer would keep us waiting for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise Unreadable("is not a regular file")
            if os.fstat(stream.fileno()).st_size > max_bytes:
                raise Unreadable(_too_long(max_bytes))
            content = stream.read(max_bytes + 1)
    except NotADirectoryError as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
    except (FileNotFoundError, Unreadable):
        raise
    except IsADirectoryError:
        raise Unreadable("is not a regular file") from None
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None
    except ValueError:  # a NUL in it
        raise Unreadable("has a name that no file has") from None
    if len(content) > max_bytes:
        raise Unreadable(_too_long(max_bytes))
    return content


def read_text(path: Path, max_bytes: int = _MAX_YAML_BYTES) -> str:
    """The UTF-8 text of a regular file that people write. Raises as `read_bytes`."""
    return _decoded(read_bytes(path, max_bytes))


def write_beside(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Write a file whole or not at all: beside its place, then renamed over it.

    `durable` waits until it is on the disk. Raises OSError; what was there before then stays.
    """
    with replaced(path) as temporary:
        data = content.encode("utf-8") if isinstance(content, str) else content
        temporary.write_bytes(data)
        if durable:
            sync(temporary)
    if durable:
        sync(path.parent)


def write_json(path: Path, value: Any, *, durable: bool = False) -> None:
    """`write_beside` of a value as indented JSON."""
    text = json.dumps(value, indent=2, allow_nan=False, default=str)
    write_beside(path, text + "\n", durable=durable)


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; it takes the place of `path` when the block ends well, and
    is removed otherwise: now, or by the next that writes the same where we were killed.
    """
    beginning = f".{path.name}."
    sweep(path.parent, beginning)
    temporary = path.with_name(f"{beginning}{mark()}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk; late write errors (full disk, quota) surface
    here.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


OUTPUT_REMEDY = "choose another --output"
CACHE_REMEDY = "point ENGINEBENCH_HOME at another folder"


def cannot_write(path: Path, error: OSError, remedy: str = OUTPUT_REMEDY) -> OutputError:
    """The error for a place that does not take our files."""
    reason = error.strerror or str(error)
    return OutputError(f"Cannot write to {path} ({reason}); free space, or {remedy}.")


def check_writable(folder: Path, remedy: str = OUTPUT_REMEDY) -> None:
    """Raise OutputError unless a folder is there, or can be made, and takes files."""
    parent = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not os.access(parent, os.W_OK | os.X_OK) or not parent.is_dir():
        problem = "is not writable" if parent.is_dir() else "is a file"
        raise cannot_write(folder, OSError(f"{parent} {problem}"), remedy)


def below(folder: Path) -> Iterator[Path]:
    """Everything below `folder` but folders; a link is one of them, and never followed. Raises
    Unreadable for folders that lie deeper in each other than any of ours.
    """
    level = [folder]
    for _ in range(MAX_DEPTH):
        inside = [Path(entry.path) for parent in level for entry in _entries(parent)]
        yield from (path for path in inside if path.is_symlink() or not path.is_dir())
        level = [path for path in inside if not path.is_symlink() and path.is_dir()]
        if not level:
            return
    raise Unreadable(f"holds more than {MAX_DEPTH} folders inside each other")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:  # it has gone
        return []
    except OSError as error:
        raise Unreadable(f"cannot be read ({error.strerror})") from None


def _too_long(max_bytes: int) -> str:
    return f"has more than the {max_bytes / 2**20:g} MiB that such a file may have"


_TOO_DEEP = f"more than {MAX_DEPTH} lists or objects inside each other"


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8 text") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        shown = twice[:100].encode(errors="replace").decode()  # halves of surrogate pairs, too
        raise Unreadable(f"says `{shown}` twice")
    return found


def _refuse_constant(name: str) -> None:
    """NaN and the infinities: Python would read them, and JSON does not have them."""
    raise Unreadable(f"holds {name}, which is not JSON")


def _check_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
    except UnicodeEncodeError:
        where = next(path for path, text in _texts(value) if _HALF_CHARACTER.search(text))
        raise Unreadable(f"holds half of a surrogate pair in `{where}`: no character") from None


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a value, keys included, with the dotted path to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, f"{path}.{number}".lstrip("."))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield path, str(key)
            yield from _texts(item, f"{path}.{key}".lstrip("."))


def _check_depth(value: Any) -> None:
    level, depth = _containers([value]), 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise Unreadable(f"is not valid JSON ({_TOO_DEEP})")
        inside = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = _containers(itertools.chain.from_iterable(inside))


def _containers(values: Iterable[Any]) -> list[dict[str, Any] | list[Any]]:
    return [value for value in values if isinstance(value, dict | list)]


def _strict_loader() -> type[yaml.SafeLoader]:
    import yaml

    class StrictLoader(yaml.SafeLoader):
        """YAML 1.1 without Python objects and aliases, in which a key may appear only once."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                mark = self.get_mark()
                raise yaml.composer.ComposerError(None, None, "an alias; write it out", mark)
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            if tag := getattr(event, "tag", None):
                problem = f"the tag {tag}; write the plain value"
                raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise RecursionError
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(
            self, node: yaml.MappingNode, deep: bool = False
        ) -> dict[Hashable, Any]:
            seen: set[Hashable] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                    continue
                name = self.construct_object(key)  # true and yes, or 1 and 1.0, are one key
                if name in seen:
                    problem = f"the key `{key.value}` appears twice; keep one"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(name)
            return super().construct_mapping(node, deep)

        def construct_plain_number(self, node: yaml.ScalarNode) -> Any:
            """Decimal numbers: YAML 1.1 would take 12:30 for 750, and hours for a long one."""
            if ":" in node.value or len(node.value) > _MAX_DIGITS:
                problem = "a number of YAML's base 60; quote it, or write it plainly"
                if ":" not in node.value:
                    problem = _LONG_NUMBER
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
            whole = node.tag.endswith(":int")
            make = self.construct_yaml_int if whole else self.construct_yaml_float
            return make(node)

    for kind in ("int", "float"):
        StrictLoader.add_constructor(
            f"tag:yaml.org,2002:{kind}", StrictLoader.construct_plain_number
        )
    return StrictLoader
