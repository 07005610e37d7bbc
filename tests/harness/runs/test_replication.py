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
from harness.runs.replication import Replication, is_on_gpu
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


def of_engine(asked: Replication, engine: Engine, folder: Path) -> ReplicasSpec:
    """What executes it so often."""
    return asked.settled(on_gpu=is_on_gpu(engine)).of_engine(engine, OpenVINOSpec(folder=folder))


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


def test_one_replica_has_no_other_either(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in (None, LOCAL, "a:1"):
        with pytest.raises(UsageError, match="no other that could take over; give more --replicas"):
            Replication.of("1", address, None, True)
    cluster(monkeypatch, 1)
    for on_gpu in (False, True):  # it is known only when the machines are
        auto = Replication.of(None, "a:1", None, True)
        assert auto is not None
        with pytest.raises(UsageError, match="or leave out --tolerate-failures"):
            auto.settled(on_gpu=on_gpu)


def test_cores_are_those_of_replicas_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="add --replicas"):
        Replication.of(None, None, 1, False)
    with pytest.raises(UsageError, match="--cores-per-replica is 0; give 1 or more"):
        Replication.of("2", None, 0, False)
    asked = Replication.of("1", None, 2, False)
    assert asked is not None
    made = of_engine(asked, engine(tmp_path), tmp_path)
    assert (made.count, made.cores_each) == (1, 2)
    target = make_manifest().identity.target.model_copy(update={"kind": "gpu"})
    with pytest.raises(UsageError, match="leave out --cores-per-replica"):
        of_engine(asked, engine(tmp_path, target=target), tmp_path)


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
    asking = Replication(2, LOCAL, tolerate_failures=True)
    made = of_engine(asking, engine(tmp_path), tmp_path)
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
    found = of_engine(Replication(count, "a:1"), engine(tmp_path, target=target), tmp_path)
    assert (found.count, found.device) == made
    assert asked == ["a:1"]  # a wrong address is seen before the run begins


def test_a_cluster_without_gpus_has_no_room_for_a_gpu_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster(monkeypatch, 0, 0)
    target = make_manifest().identity.target.model_copy(update={"kind": "gpu"})
    with pytest.raises(EnvironmentFault, match="No machine of Ray at a:1 has a GPU"):
        of_engine(Replication(None, "a:1"), engine(tmp_path, target=target), tmp_path)


@pytest.mark.parametrize(
    ("devices", "cores_each", "count"),
    [
        ((0, 1), None, 1),
        ((0, 8), None, 1),
        ((16, 4), None, 2),
        ((16, 4), 8, 1),
        ((2, 0, 3), 2, 2),
    ],
)
def test_auto_counts_machines_with_a_place(
    monkeypatch: pytest.MonkeyPatch, devices: tuple[int, ...], cores_each: int | None, count: int
) -> None:
    there = Nodes((0,) * len(devices), devices, devices)
    monkeypatch.setattr(module, "survey", lambda address, *, cores: there)
    assert Replication(None, "a:1", cores_each).settled(on_gpu=False).count == count


@pytest.mark.parametrize(
    ("devices", "cores_each", "told"),
    [
        ((), None, "No machine of Ray at a:1 has a core; look at `ray status`"),
        ((0, 0), None, "No machine of Ray at a:1 has a core; look at `ray status`"),
        ((4, 4), 5, "No machine of Ray at a:1 has 5 cores; give fewer --cores-per-replica"),
    ],
)
def test_auto_without_any_place_is_told_by_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, devices: tuple[int, ...], cores_each: int | None, told: str
) -> None:
    there = Nodes((0,) * len(devices), devices, devices)
    monkeypatch.setattr(module, "survey", lambda address, *, cores: there)
    with pytest.raises(EnvironmentFault, match=told):
        Replication(None, "a:1", cores_each).settled(on_gpu=False)


def test_auto_on_a_machine_without_any_place(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, 0)
    with pytest.raises(EnvironmentFault, match="This machine does not have a GPU; look at `nvidia"):
        Replication(None, LOCAL).settled(on_gpu=True)
    with pytest.raises(EnvironmentFault, match="This machine does not have 5 cores; give fewer"):
        Replication(None, LOCAL, 5).settled(on_gpu=False)


@pytest.mark.parametrize(("gpus", "count", "fits"), [(2, 2, True), (2, 3, False), (0, 3, True)])
def test_gpus_of_this_machine_are_counted_where_nvml_tells(
    monkeypatch: pytest.MonkeyPatch, gpus: int, count: int, fits: bool
) -> None:
    def visible() -> list[int]:
        if not gpus:
            raise EnvironmentFault("NVML does not start")
        return [0] * gpus

    monkeypatch.setattr(module, "visible_gpus", visible)
    asked = cluster(monkeypatch, 9)
    if fits:
        assert Replication(count, LOCAL).settled(on_gpu=True).count == count
    else:
        with pytest.raises(EnvironmentFault, match="3 replicas take 3 GPUs, and this machine has"):
            Replication(count, LOCAL).settled(on_gpu=True)
    assert asked == []  # a Ray would have to be started for it


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
        of_engine(asked, engine(tmp_path), tmp_path)
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
        of_engine(Replication(4, "a:1"), engine(tmp_path, target=target), tmp_path)


def test_more_than_this_machine_has_cores_is_refused_before_an_engine_is_built(
    choice: Choice, built: list[EngineSpec]
) -> None:
    asked = with_run(choice, replicas="5")
    refused(asked, built, EnvironmentFault, "5 replicas take 5 cores, and this machine has 4")


def test_a_cluster_is_asked_before_an_engine_is_built(
    choice: Choice, built: list[EngineSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(address: str, *, cores: bool) -> Nodes:
        raise EnvironmentFault(f"No connection to Ray at {address}")

    monkeypatch.setattr(module, "survey", nobody)
    far = with_run(choice, ray_address="typo:6379")
    refused(far, built, EnvironmentFault, "No connection to Ray at typo:6379")
    cluster(monkeypatch, 0, 0)
    many = with_run(choice, ray_address="a:1", replicas="9")
    refused(many, built, EnvironmentFault, "9 replicas take 9 cores, and Ray at a:1 has 8")


def test_a_cluster_is_asked_once_for_a_run(
    choice: Choice, built: list[EngineSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = cluster(monkeypatch, 0, 0)
    request = with_run(choice, ray_address="a:1").request()
    assert request.executor.num_replicas == 2
    assert asked == ["a:1"]
    assert len(built) == 1


def test_an_engine_on_several_gpus_has_no_replicas(tmp_path: Path) -> None:
    limits = make_manifest().identity.limits
    shared = type(limits)(
        max_input_len=limits.max_input_len, max_seq_len=limits.max_seq_len, tensor_parallel=2
    )
    with pytest.raises(EngineError, match="leave out --replicas"):
        of_engine(Replication(2, LOCAL), engine(tmp_path, limits=shared), tmp_path)


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
