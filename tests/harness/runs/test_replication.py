"""What `--replicas` and `--ray-address` mean, and what is refused."""

from __future__ import annotations

from importlib import util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import EngineError, EnvironmentFault, MissingLibrary, UsageError
from build_engine.store.engine import Engine
from build_engine.store.spec import EngineSpec
from harness.runs import replication as module
from harness.runs.replication import Replication
from runtime.openvino.spec import OpenVINOSpec
from runtime.replicas.messages import Core, Nodes
from runtime.replicas.spec import LOCAL, ReplicasSpec
from tests.build_engine.manifests import make_manifest, resealed
from tests.harness.runs.choices import Choice, refused, with_run


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: ModuleSpec(name, None))
    cores(monkeypatch, 4)


def cores(monkeypatch: pytest.MonkeyPatch, num: int) -> None:
    """This machine has so many, with two threads each."""
    monkeypatch.setattr(module, "own_cores", lambda: [Core(n, 0, n // 2) for n in range(2 * num)])


def engine(tmp_path: Path, **identity: Any) -> Engine:
    manifest = make_manifest()
    changed = manifest.identity.model_copy(update=identity)
    return Engine(tmp_path, resealed(manifest.model_copy(update={"identity": changed})))


def cluster(monkeypatch: pytest.MonkeyPatch, *gpus: int, cpus: int = 4) -> list[str]:
    """A cluster with so many GPUs and cores, of two CPUs each, on each machine; the addresses that
    were asked.
    """
    asked: list[str] = []

    def survey(address: str, *, cores: bool) -> Nodes:
        asked.append(address)
        on_each = (cpus,) * len(gpus)
        return Nodes(gpus, tuple(2 * num for num in on_each), on_each if cores else ())

    monkeypatch.setattr(module, "survey", survey)
    return asked


@pytest.mark.parametrize(("replicas", "address"), [(None, None), ("1", None)])
def test_one_engine_needs_no_ray(
    replicas: str | None, address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert Replication.of(replicas, address, None, False) is None


@pytest.mark.parametrize(
    ("replicas", "address", "meant"),
    [
        ("2", None, Replication(2, LOCAL)),
        ("auto", None, Replication(None, LOCAL)),
        (None, "10.0.0.1:6379", Replication(None, "10.0.0.1:6379")),
        ("1", "local", Replication(1, LOCAL)),
        ("3", "auto", Replication(3, "auto")),
        ("3", "[fd00::1]:6379", Replication(3, "[fd00::1]:6379")),
    ],
)
def test_words_and_what_they_mean(
    replicas: str | None, address: str | None, meant: Replication
) -> None:
    assert Replication.of(replicas, address, None, False) == meant


@pytest.mark.parametrize(
    ("replicas", "address", "told"),
    [
        ("0", None, "--replicas is `0`; give a number from 1 to 1,024, or `auto`"),
        ("-1", None, "--replicas is `-1`"),
        ("many", None, "--replicas is `many`"),
        ("99999", None, "--replicas is `99999`"),
        ("2", "ray://a:10001", "--ray-address is `ray://a:10001`; give HOST:PORT of the head"),
        ("2", "somewhere", "--ray-address is `somewhere`"),
        ("2", "a:65536", "--ray-address is `a:65536`"),
        ("2", "a:0", "--ray-address is `a:0`"),
        ("2", "a..b:80", "--ray-address is `a..b:80`"),
        ("2", "[fd00::1]:99999", "--ray-address is `[fd00::1]:99999`"),
    ],
)
def test_words_that_mean_nothing(replicas: str, address: str | None, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        Replication.of(replicas, address, None, False)
    assert str(caught.value).startswith(told)


def test_a_single_engine_tolerates_nothing() -> None:
    with pytest.raises(UsageError, match="no other that could take over; add --replicas"):
        Replication.of(None, None, None, True)


def test_cores_are_those_of_replicas_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="add --replicas"):
        Replication.of(None, None, 1, False)
    with pytest.raises(UsageError, match="--cores-per-replica is 0; give 1 or more"):
        Replication.of("2", None, 0, False)
    asked = Replication.of("1", None, 2, False)
    assert asked is not None
    made = asked.of_engine(engine(tmp_path), OpenVINOSpec(folder=tmp_path))
    assert isinstance(made, ReplicasSpec)
    assert (made.count, made.cores_each) == (1, 2)
    target = make_manifest().identity.target.model_copy(update={"kind": "gpu"})
    with pytest.raises(UsageError, match="leave out --cores-per-replica"):
        asked.of_engine(engine(tmp_path, target=target), OpenVINOSpec(folder=tmp_path))


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", util.find_spec)
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingLibrary, match=r"`ray` is not installed; .*'enginebench\[ray\]'"):
        Replication.of("2", None, None, False)


def test_a_known_number_on_this_machine_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = cluster(monkeypatch)
    spec = OpenVINOSpec(folder=tmp_path)
    made = Replication(2, LOCAL, tolerate_failures=True).of_engine(engine(tmp_path), spec)
    assert made == ReplicasSpec(each=(spec,), count=2, device="cores", tolerate_failures=True)
    assert asked == []


@pytest.mark.parametrize(
    ("kind", "count", "made"),
    [("cpu", None, (3, "cores")), ("gpu", None, (5, "gpu")), ("gpu", 2, (2, "gpu"))],
)
def test_auto_is_each_machine_or_each_gpu(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    count: int | None,
    made: tuple[int, str],
) -> None:
    asked = cluster(monkeypatch, 4, 0, 1)
    target = make_manifest().identity.target.model_copy(update={"kind": kind})
    spec = OpenVINOSpec(folder=tmp_path)
    found = Replication(count, "a:1").of_engine(engine(tmp_path, target=target), spec)
    assert isinstance(found, ReplicasSpec)
    assert (found.count, found.device) == made
    assert asked == ["a:1"]  # a wrong address is seen before the run begins


def test_a_cluster_without_gpus_has_no_room_for_a_gpu_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(monkeypatch, 0, 0)
    target = make_manifest().identity.target.model_copy(update={"kind": "gpu"})
    spec = OpenVINOSpec(folder=tmp_path)
    with pytest.raises(EnvironmentFault, match="No machine of Ray at a:1 has a GPU"):
        Replication(None, "a:1").of_engine(engine(tmp_path, target=target), spec)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Replication(5, LOCAL), "5 replicas take 5 cores, and this machine has 4; give fewer"),
        (Replication(3, LOCAL, 2), "3 replicas of 2 cores take 6 cores, and this machine has 4"),
        (Replication(1, LOCAL, 5), "1 replica of 5 cores take 5 cores, and this machine has 4"),
        (Replication(13, "a:1"), "13 replicas take 13 cores, and Ray at a:1 has 12 on 3 machines"),
        (Replication(4, "a:1", 3), "4 replicas of 3 cores take 12 cores, and Ray at a:1 has 12 on"),
    ],
)
def test_more_than_there_are_cores_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Replication, told: str
) -> None:
    cluster(monkeypatch, 0, 0, 0)
    with pytest.raises(EnvironmentFault) as caught:
        asked.of_engine(engine(tmp_path), OpenVINOSpec(folder=tmp_path))
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("cpus", "cores", "devices"),
    [((8, 8), (4, 4), (4, 4)), ((2, 8), (4, 4), (2, 4)), ((0, 8), (4, 4), (0, 4))],
    ids=["two threads a core", "Ray may use two", "a head without work"],
)
def test_cores_of_a_cluster_are_physical_ones_that_ray_may_use(
    monkeypatch: pytest.MonkeyPatch,
    cpus: tuple[int, ...],
    cores: tuple[int, ...],
    devices: tuple[int, ...],
) -> None:
    there = Nodes((0, 0), cpus, cores)
    monkeypatch.setattr(module, "survey", lambda address, *, cores: there)
    assert Replication(2, "a:1").devices(on_gpu=False) == devices


@pytest.mark.parametrize(
    ("count", "devices", "each"),
    [
        (4, (8,), 2),
        (3, (8,), 2),
        (2, (4, 4), 4),
        (4, (4, 4), 2),
        (3, (4, 4), 2),
        (2, (0, 4), 2),
        (2, (2, 16), 2),
        (8, (2, 16), 1),
    ],
)
def test_equal_cores_are_those_of_the_fullest_machine(
    count: int, devices: tuple[int, ...], each: int
) -> None:
    assert Replication.equal_cores(count, devices) == each


def test_more_gpus_than_a_cluster_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(monkeypatch, 2, 1)
    target = make_manifest().identity.target.model_copy(update={"kind": "gpu"})
    with pytest.raises(EnvironmentFault, match="4 replicas take 4 GPUs, and Ray at a:1 has 3 on 2"):
        Replication(4, "a:1").of_engine(
            engine(tmp_path, target=target), OpenVINOSpec(folder=tmp_path)
        )


def test_more_than_this_machine_has_cores_is_refused_before_an_engine_is_built(
    choice: Choice, built: list[EngineSpec]
) -> None:
    asked = with_run(choice, replicas="5")
    refused(asked, built, EnvironmentFault, "5 replicas take 5 cores, and this machine has 4")


def test_an_engine_on_several_gpus_has_no_replicas(tmp_path: Path) -> None:
    limits = make_manifest().identity.limits
    shared = type(limits)(
        max_input_len=limits.max_input_len, max_seq_len=limits.max_seq_len, tensor_parallel=2
    )
    with pytest.raises(EngineError, match="leave out --replicas"):
        Replication(2, LOCAL).of_engine(
            engine(tmp_path, limits=shared), OpenVINOSpec(folder=tmp_path)
        )


def test_a_run_with_replicas_is_asked_for_marked_and_told_again(
    choice: Choice, built: list[EngineSpec]
) -> None:
    request = with_run(choice, replicas="2", tolerate_failures=True).request()
    assert isinstance(request.executor, ReplicasSpec)
    assert request.executor.count == 2
    assert request.marks == ("demo workload", "failures tolerated")
    assert request.command.endswith(" --tolerate-failures")
    assert " --replicas 2 " in request.command
    assert request.engine is not None
    assert request.executor.engine_folder == request.engine.folder
    assert request.job.warmup_samples == 2  # as many as there are


def test_a_bad_number_is_refused_before_an_engine_is_built(
    choice: Choice, built: list[EngineSpec]
) -> None:
    refused(with_run(choice, replicas="x"), built, UsageError, "--replicas is `x`")
