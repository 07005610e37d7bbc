"""What a killed process was writing is removed by the next, and nobody else's is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from build_engine import temporary
from build_engine.files import replaced, write_beside
from build_engine.temporary import mark, sweep


def mark_of_the_dead() -> str:
    program = "from build_engine.temporary import mark; print(mark())"
    root = Path(temporary.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_what_the_dead_left_is_removed(tmp_path: Path) -> None:
    dead = mark_of_the_dead()
    (tmp_path / f".a{dead}x").mkdir()
    (tmp_path / f".a{dead}x" / "file").touch()
    (tmp_path / f".a{dead}y").symlink_to(tmp_path)
    other = f".a-ffffff-{dead.split('-')[2]}-x"
    first = f".a-{mark().split('-')[1]}-1-x"
    stays = {f".a{mark()}x", f".b{dead}x", f"x.a{dead}", ".a--x", other, first, ".a-000000-1-"}
    for name in stays:
        (tmp_path / name).touch()
    sweep(tmp_path, ".a")
    assert {path.name for path in tmp_path.iterdir()} == stays


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    sweep(tmp_path / "absent", ".a")


def test_a_file_that_was_being_written_is_removed_by_who_writes_it_next(tmp_path: Path) -> None:
    left = tmp_path / f".x.json.{mark_of_the_dead()}.part"
    left.touch()
    write_beside(tmp_path / "y.json", "")
    assert left.exists()
    with replaced(tmp_path / "x.json") as mine:
        assert not left.exists()
        mine.touch()


def test_a_number_that_no_process_has(tmp_path: Path) -> None:
    (tmp_path / f".a-{mark().split('-')[1]}-{10**30}-x").touch()
    sweep(tmp_path, ".a")
    assert len(list(tmp_path.iterdir())) == 1
