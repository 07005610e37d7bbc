"""The scripts that start a cluster for one command: what they hand on, how they end, and what they
say where they cannot begin. The machines are stand-ins; test_two_machines.py has real ones.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from runtime.replicas.spec import host_and_port
from tests.deploy.machines import Machines

RUN = ("run", "--model", "newsbrief", "--output", "it's here")
SSH = ("ssh.sh", "two", "--", *RUN)
SLURM = {"SLURM_JOB_NODELIST": "one,two", "ENGINEBENCH_DEPLOY": str(Path("deploy").absolute())}
HERE = os.uname().nodename


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    return Machines.make(tmp_path / "machines")


def wait_for_nodes(machines: Machines, count: int) -> None:
    until_s = time.monotonic() + 15.0
    while len(machines.lines("given")) < count:
        assert time.monotonic() < until_s
        time.sleep(0.05)


def test_the_command_is_run_on_the_head_and_its_code_is_the_scripts(machines: Machines) -> None:
    machines.note("head-code", "1")
    assert machines.run(*SSH) == (1, "")
    calls = machines.lines("calls")
    head = f"{HERE}: -m harness.cli.node head 10.0.0.9:6379 2 120 {' '.join(RUN)}"
    assert head in calls
    assert "two: -m harness.cli.node worker 10.0.0.9:6379 120" in calls
    assert "worker ended" in calls
    assert machines.left() == []


def test_slurm_starts_the_same(machines: Machines) -> None:
    machines.note("head-code", "0")
    assert machines.run("slurm.sh", *RUN, **SLURM, RAY_PORT="7000") == (0, "")
    calls = machines.lines("calls")
    assert f"one: -m harness.cli.node head 10.0.0.1:7000 2 120 {' '.join(RUN)}" in calls
    assert "two: -m harness.cli.node worker 10.0.0.1:7000 120" in calls
    assert "worker ended" in calls
    assert machines.left() == []


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({"FROM": "2001:db8::9"}, "[2001:db8::9]:6379"),
        ({"HEAD_ADDRESS": "2001:db8::1", "RAY_PORT": "7000"}, "[2001:db8::1]:7000"),
        ({"HEAD_ADDRESS": "[2001:db8::1]"}, "[2001:db8::1]:6379"),
        ({"HEAD_ADDRESS": "head.example"}, "head.example:6379"),
    ],
)
def test_an_ipv6_address_has_brackets_before_its_port(
    machines: Machines, given: dict[str, str], address: str
) -> None:
    machines.note("head-code", "0")
    assert machines.run(*SSH, **given) == (0, "")
    calls = machines.lines("calls")
    assert f"{HERE}: -m harness.cli.node head {address} 2 120 {' '.join(RUN)}" in calls
    assert f"two: -m harness.cli.node worker {address} 120" in calls
    assert host_and_port(address) is not None  # which `run --ray-address` takes


@pytest.mark.parametrize("script", ["ssh", "slurm"])
def test_tokens_go_by_standard_input_and_nowhere_else(machines: Machines, script: str) -> None:
    machines.note("head-code", "0")
    secrets = {"RAY_AUTH_TOKEN": "ray-s3cret", "HF_TOKEN": "hf-s3cret"}
    words = SSH if script == "ssh" else ("slurm.sh", *RUN)
    code, told = machines.run(*words, **secrets, **(SLURM if script == "slurm" else {}))
    assert code == 0
    given = sorted(line.rstrip() for line in machines.lines("given"))
    assert given == ["head ray-s3cret hf-s3cret", "worker ray-s3cret"]
    texts = [path.read_text() for path in machines.folder.iterdir() if path.name == "calls"]
    assert len(texts) == 1
    assert "s3cret" not in "".join(texts) + told
    assert {path.name for path in machines.folder.iterdir()} == {
        *("programs", "calls", "given", "pids", "head-code"),
    }


def test_each_run_has_a_token_of_its_own(machines: Machines) -> None:
    machines.note("head-code", "0")
    machines.run(*SSH)
    machines.run(*SSH)
    tokens = [line.split()[1] for line in machines.lines("given")]
    assert len(tokens) == 4 and len(set(tokens)) == 2
    assert all(len(token) == 64 for token in tokens)


def test_in_an_image_both_are_containers(machines: Machines) -> None:
    machines.note("head-code", "0")
    image = {"ENGINEBENCH_IMAGE": "enginebench:gpu", "HF_TOKEN": "hf-s3cret"}
    assert machines.run(*SSH, **image) == (0, "")
    started = [line for line in machines.lines("calls") if line.startswith("docker: ")]
    head, worker = (
        next(line for line in started if f" {role} " in line) for role in ("head", "worker")
    )
    for line in (head, worker):
        assert "--rm --interactive --init" in line and "--gpus all" in line
        assert f"--user {os.getuid()}:{os.getgid()}" in line
        assert "--volume enginebench-store:/store" in line
        assert "s3cret" not in line
    assert f"--volume {machines.folder}:/work" in head
    assert ":/work" not in worker


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("ssh.sh",), 2, "Give the other machines, then -- and a command"),
        (("ssh.sh", "two", "--"), 2, "Give the other machines, then -- and a command"),
        (("ssh.sh", "--", *RUN), 2, "Give the other machines, then -- and a command"),
        (("ssh.sh", HERE, "--", *RUN), 2, f"{HERE} is this machine; name the others only."),
        (("ssh.sh", "far", "--", *RUN), 3, "far cannot be reached; see that `ssh far true` works"),
        (("slurm.sh", *RUN), 2, "This is no Slurm job; start it with `sbatch"),
    ],
)
def test_a_mistake_is_one_sentence(
    machines: Machines, words: tuple[str, ...], code: int, sentence: str
) -> None:
    found, told = machines.run(*words)
    assert found == code
    assert f"enginebench: {sentence}" in told.splitlines()[-1]
    assert machines.lines("given") == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"SLURM_JOB_NODELIST": "one"}, "The job has 1 machine; submit it with --nodes=2"),
        ({"ENGINEBENCH_DEPLOY": "/nowhere"}, "There is no /nowhere/cluster.sh; submit from"),
        ({"ENGINEBENCH_IMAGE": "x"}, "name one for its own plugin in ENGINEBENCH_SRUN"),
    ],
)
def test_a_slurm_job_that_cannot_be_is_one_sentence(
    machines: Machines, changes: dict[str, str], sentence: str
) -> None:
    code, told = machines.run("slurm.sh", *RUN, **{**SLURM, **changes})
    assert code == 2
    (line,) = told.splitlines()
    assert line.startswith("enginebench: ") and sentence in line


def test_other_versions_on_another_machine_are_told(machines: Machines) -> None:
    machines.note("versions-two", "enginebench 1, Ray 3\n")
    code, told = machines.run(*SSH)
    assert code == 3
    assert told == (
        f"enginebench: two has enginebench 1, Ray 3, and {HERE} has enginebench 1, Ray 2; "
        "install the same versions on every machine.\n"
    )
    assert machines.lines("given") == []


def test_a_program_that_is_not_there_is_told(machines: Machines) -> None:
    code, told = machines.run(*SSH, ENGINEBENCH_PYTHON="")
    assert code == 3
    assert told.startswith("enginebench: There is no `enginebench` on PATH; activate")
    code, told = machines.run(*SSH, ENGINEBENCH_PYTHON="/nowhere/python")
    assert code == 3
    assert "enginebench could not be asked for its versions on " in told
    assert "by ENGINEBENCH_PYTHON=/nowhere/python; the reason stands above." in told


def installed(folder: Path, first_line: str, *, links: bool) -> dict[str, str]:
    """A PATH with an `enginebench` that begins so, in the folder of its environment or, as pipx and
    uv do it, linked from another.
    """
    environment, others = folder / "environment" / "bin", folder / "bin"
    for path in (environment, others):
        path.mkdir(parents=True)
    program = (environment if links else others) / "enginebench"
    program.write_text(f"{first_line}\n")
    program.chmod(0o755)
    if links:
        (others / "enginebench").symlink_to(program)
    (environment / "python").symlink_to(folder / "programs" / "node")
    return {
        "PATH": f"{folder / 'programs'}:{others}:{os.defpath}",
        "ENGINEBENCH_PYTHON": "",
    }


@pytest.mark.parametrize(
    ("first_line", "links"),
    [
        ("#!{0}/environment/bin/python", True),
        ("#!/bin/sh", True),
        ("#!{0}/environment/bin/python", False),
    ],
    ids=["a link", "a link to what needs a shell", "elsewhere than its python"],
)
def test_the_python_is_that_which_runs_the_program(
    machines: Machines, first_line: str, links: bool
) -> None:
    machines.note("head-code", "0")
    given = installed(machines.folder, first_line.format(machines.folder), links=links)
    assert machines.run(*SSH, **given) == (0, "")
    python = f"ssh two: exec '{machines.folder}/environment/bin/python' -m harness.cli.node"
    started = [line for line in machines.lines("calls") if line.startswith(python)]
    assert len(started) == 2  # for its versions, and as a node


def test_a_program_whose_python_is_gone_is_told(machines: Machines) -> None:
    given = installed(machines.folder, "#!/nowhere/bin/python3", links=True)
    code, told = machines.run(*SSH, **given)
    assert code == 3
    (line,) = told.splitlines()
    assert line.startswith("enginebench: There is no Python for ")
    assert "at /nowhere/bin/python3; set ENGINEBENCH_PYTHON to that of" in line


def test_a_machine_that_does_not_answer_is_given_up(machines: Machines) -> None:
    machines.note("slow", "")
    started_s = time.monotonic()
    code, told = machines.run(*SSH, JOIN_S="1")
    assert (code, time.monotonic() - started_s < 10.0) == (3, True)
    assert "enginebench could not be started on two (exit code 124); install it" in told
    assert machines.lines("given") == []


def test_a_worker_that_ends_is_told_to_the_head(machines: Machines) -> None:
    machines.note("no-worker", "")
    code, told = machines.run(*SSH)
    assert code == 3
    assert "enginebench: The Ray node on two ended.\n" in told
    assert "head heard lost" in machines.lines("calls")
    assert machines.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_node(machines: Machines, number: int) -> None:
    with machines.start(*SSH) as process:
        wait_for_nodes(machines, 2)
        process.send_signal(number)
        _, told = process.communicate(timeout=15.0)
    assert (process.returncode, told) == (130, "")
    assert machines.left() == []
    assert {"head ended", "worker ended"} <= set(machines.lines("calls"))


def test_nothing_is_left_when_the_script_is_killed(machines: Machines) -> None:
    with machines.start(*SSH) as process:
        wait_for_nodes(machines, 2)
        process.kill()
        process.wait(timeout=5.0)
        assert machines.left() == []
