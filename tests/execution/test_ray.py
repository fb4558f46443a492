"""Arms on a Ray cluster of two nodes on this machine: the outcomes of one process, whatever is lost."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pandas as pd
import pytest

from probate import run
from probate.core.errors import InputError
from probate.execution.executors import ray as own
from probate.execution.executors.base import Place
from probate.execution.executors.conformance import check_executor
from probate.study.schema import ModelSpec

ray = pytest.importorskip("ray")

ARMS = ["control-0-s0", "given-0.5-s0", "neutral-0.5-s0"]


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with a core each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_DISABLE_IMPORT_WARNING", "1")
        one = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80_000_000})
        one.add_node(num_cpus=1, object_store_memory=80_000_000)
        yield one
        one.shutdown()


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p))  # workers read this module
    yield
    assert not ray.is_initialized()


def outcomes(folder):
    return pd.read_parquet(folder / "outcomes.parquet")


def test_outcomes_are_those_of_one_process(cluster, tiny_study, finished_run, tmp_path):
    whole = finished_run(tmp_path / "one")
    result = run(tiny_study(), tmp_path / "two", executor="ray", address=cluster.address, quiet=True)
    assert result.exit_code == 0 and not result.failures
    pd.testing.assert_frame_equal(outcomes(whole.folder), outcomes(tmp_path / "two"))
    assert not list((tmp_path / "two").glob(".probate-*"))
    assert "executor" not in (tmp_path / "two/study.lock.yaml").read_text()


def test_a_node_that_is_lost_loses_no_arm(cluster, tiny_study, finished_run, tmp_path, monkeypatch):
    whole = finished_run(tmp_path / "one")
    lost, start = [], own._Pool._start

    def losing(self, wanted):
        if len(self.busy) == 2 and not lost:  # both nodes have work
            lost.append(True)
            cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
            cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
        start(self, wanted)

    monkeypatch.setattr(own._Pool, "_start", losing)
    result = run(tiny_study(), tmp_path / "two", executor="ray", address=cluster.address, quiet=True)
    assert lost and not result.failures
    pd.testing.assert_frame_equal(outcomes(whole.folder), outcomes(tmp_path / "two"))


def test_an_arm_that_ends_its_worker_each_time_is_a_failure(cluster, tiny_study, tmp_path, monkeypatch):
    monkeypatch.setattr(own, "_Arms", Deadly)
    result = run(
        tiny_study(tasks=["salary"]), tmp_path / "r", executor="ray", address=cluster.address, quiet=True
    )
    (failure,) = result.failures
    assert failure["stage"] == "train given-0.5-s0"
    assert failure["error"].startswith("its worker ended without a result, 3 times (")
    assert set(outcomes(tmp_path / "r")["arm"]) == {"control-0-s0", "neutral-0.5-s0"}


class Deadly(own._Arms):
    """A worker that one arm kills."""

    def do(self, task):
        if task.job.arm == "given-0.5-s0":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().do(task)


class Elsewhere(own._Arms):
    """A worker on a node without the run folder."""

    def __init__(self, site, mark):
        super().__init__(site, "nothing")


class Unable(own._Arms):
    """A worker that cannot start."""

    def __init__(self, site, mark):
        raise RuntimeError("no such library")


def test_a_node_without_the_run_folder_is_said(cluster, tiny_study, tmp_path, monkeypatch):
    monkeypatch.setattr(own, "_Arms", Elsewhere)
    with pytest.raises(
        InputError, match=r"the node \S+ does not have the run folder .*/r; name a folder with"
    ):
        run(tiny_study(), tmp_path / "r", executor="ray", address=cluster.address, quiet=True)


def test_workers_that_cannot_start_are_failures(cluster, tiny_study, tmp_path, monkeypatch):
    monkeypatch.setattr(own, "_Arms", Unable)
    with pytest.raises(Exception, match="no arm of the study finished.*RuntimeError: no such library"):
        run(tiny_study(), tmp_path / "r", executor="ray", address=cluster.address, quiet=True)


def test_a_cluster_that_the_caller_joined_is_left_alone(cluster, tiny_study, tmp_path):
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        assert not run(tiny_study(tasks=["salary"]), tmp_path / "r", executor="ray", quiet=True).failures
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_it_says_what_it_waits_for(cluster, tiny_study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(own, "PATIENCE", 2.0)
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")

    @ray.remote(num_cpus=1)
    class Other:
        def there(self):
            return True

    try:
        others = [Other.remote() for _ in range(2)]
        ray.get([o.there.remote() for o in others])
        threading.Timer(8, lambda: [ray.kill(o) for o in others]).start()
        result = run(tiny_study(tasks=["salary"]), tmp_path / "r", executor="ray", jobs=2, quiet=True)
    finally:
        ray.shutdown()
    assert not result.failures
    said = capsys.readouterr().err
    assert said.count("ray: waiting for a worker with 1 CPU and 0 GPU; free: 0 CPU and 0 GPU") == 1


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "ray://localhost:1", "nonsense"])
def test_no_cluster_is_one_sentence(address, tiny_study, tmp_path):
    with pytest.raises(InputError, match=rf"`address` {address}: no Ray cluster could be joined .*ray start"):
        run(tiny_study(), tmp_path / "r", executor="ray", address=address, quiet=True)


def test_without_the_library_the_extra_is_named(tiny_study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'probate\[ray\]'"):
        run(tiny_study(), tmp_path / "r", executor="ray", quiet=True)


@pytest.mark.parametrize(
    ("nodes", "jobs", "needs", "count"),
    [
        ([{"CPU": 8}], None, {"num_cpus": 1}, 8),
        ([{"CPU": 8}], 2, {"num_cpus": 4}, 2),
        ([{"CPU": 8}, {"CPU": 4}], 3, {"num_cpus": 4}, 3),
        ([{"CPU": 2}, {"CPU": 2}], 9, {"num_cpus": 1}, 9),
        ([{"CPU": 8, "GPU": 4}, {"CPU": 8}], None, {"num_gpus": 1, "num_cpus": 1}, 4),
        ([{"CPU": 8, "GPU": 4}], 2, {"num_gpus": 1, "num_cpus": 1}, 2),
        ([{"memory": 1.0}, {"CPU": 1}], None, {"num_cpus": 1}, 1),
    ],
)
def test_workers_share_the_nodes(nodes, jobs, needs, count):
    class Nodes:
        @staticmethod
        def nodes():
            return [{"Alive": True, "Resources": n} for n in nodes]

    assert own._needs(Nodes, jobs) == (needs, count)


def test_a_cluster_without_cpus_is_one_sentence():
    class Nodes:
        @staticmethod
        def nodes():
            return [{"Alive": True, "Resources": {"memory": 1.0}}, {"Alive": False, "Resources": {"CPU": 8}}]

    with pytest.raises(InputError, match="no node of the cluster has a CPU"):
        own._needs(Nodes, None)


def test_it_passes_the_suite_of_executors(cluster, model_dir, tmp_path):
    executor = Place("ray", address=cluster.address).load()
    check_executor(executor, ModelSpec(name=str(model_dir)), tmp_path)
