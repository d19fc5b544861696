"""Training on several processes and devices: the losses and weights of one; a worker that dies ends the run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import processes
import pytest
from reviews import write_encoder

import bertx
import bertx_numpy
from bertx.training.trainer import Trainer
from bertx.training.world import World
from bertx_weights.containers.safetensors import map_file

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """Without dropout."""
    rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return write_encoder(tmp_path_factory.mktemp("still"), **rates)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def torchrun(*arguments):
    """torchrun on this machine, of two processes."""
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *map(str, arguments)]


def start(command, **variables):
    path = os.pathsep.join([str(HERE), *sys.path])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*started, timeout=400):
    """What each process says until it ends; whatever happens, none is left."""
    try:
        return [process.communicate(timeout=timeout)[0] for process in started]
    finally:
        for process in started:
            process.kill()
            process.communicate()


def losses(out):
    path = out / "metrics.jsonl"
    content = path.read_text() if path.exists() else ""  # before the first update it is not there
    lines = [json.loads(line) for line in content.splitlines(keepends=True) if "\n" in line]
    return np.array([line["loss"] for line in lines if "loss" in line]), lines


def same(one, several, tolerance=2e-5):
    """Losses, norms of gradients, evaluations, final weights and moments are those of one process."""
    (first, one_lines), (second, several_lines) = losses(one), losses(several)
    assert first.shape == second.shape and len(one_lines) == len(several_lines)
    assert np.ptp(first) > 0.01  # something is learnt
    apart = [np.abs(first - second).max()]
    for a, b in zip(one_lines, several_lines, strict=True):
        assert a.keys() == b.keys()
        apart += [abs(a[name] - b[name]) / max(1, abs(a[name])) for name in a]
    state = Path("checkpoints") / max(os.listdir(one / "checkpoints"), key=int)
    for file in ("model.safetensors", state / "model.safetensors", state / "optimizer.safetensors"):
        a, b = dict(map_file(one / file)), dict(map_file(several / file))
        assert a.keys() == b.keys()
        apart += [np.abs(a[name] - b[name]).max() for name in a if "key.bias" not in name]
    print(f"{several.name}: {max(apart):.1e}")
    assert max(apart) < tolerance, (several.name, max(apart))
    states = [json.loads((out / state / "train_state.json").read_text()) for out in (one, several)]
    best = [found.pop("best") or {"step": 0, "value": 0.0} for found in states]
    assert states[0] == states[1] and best[0]["step"] == best[1]["step"]
    assert best[0]["value"] == pytest.approx(best[1]["value"], abs=tolerance)
    assert (one / "config.json").read_text() == (several / "config.json").read_text()


# --- torch ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(still, tmp_path_factory):
    """Backend → the folder with its runs in one process, on one device."""
    made = {}

    def get(backend):
        if backend not in made:
            made[backend] = tmp_path_factory.mktemp(backend)
            for name in processes.RUNS:
                processes.run(name, backend, still, made[backend])
        return made[backend]

    return get


@pytest.mark.parametrize("options", [{}, pytest.param({"shard": True}, marks=pytest.mark.slow)], ids=["ddp", "fsdp"])
def test_two_processes_of_torchrun_are_one(still, alone, options, tmp_path):
    names = [*processes.RUNS, *([] if options else ["masks"])]
    command = torchrun(HERE / "processes.py", "torch", still, tmp_path, json.dumps(options), *names)
    process = start(command)
    (output,) = finish(process)
    assert process.returncode == 0, output[-4000:]
    for name in processes.RUNS:
        same(alone("torch") / name, tmp_path / name)
    reports = [json.loads((tmp_path / f"report-{rank}.json").read_text()) for rank in (0, 1)]
    assert reports[0]["pid"] != reports[1]["pid"]
    assert [report["steps"] for report in reports] == [sum(processes.RUNS[n][1]["steps"] for n in processes.RUNS), 0]
    if "masks" in names:  # rows that are alike: each process, and each row, drops other numbers
        masks = np.concatenate([np.load(tmp_path / f"masks-{rank}.npy") for rank in (0, 1)])
        assert 0.03 < masks.mean() < 0.3
        assert len(np.unique(masks.reshape(8, -1), axis=0)) == 8


# --- JAX --------------------------------------------------------------------------------------------


def four_devices(port, rank):
    variables = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": str(rank)}
    return variables | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}


def worker(backend, encoder, out, options, names):
    return [sys.executable, str(HERE / "processes.py"), backend, str(encoder), str(out), json.dumps(options), *names]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"shard": True}], ids=["data", "fsdp"])
def test_two_processes_of_four_jax_devices_are_one(still, alone, options, tmp_path):
    port, command = free_port(), worker("jax", still, tmp_path, options, processes.RUNS)
    both = [start(command, **four_devices(port, rank)) for rank in (0, 1)]
    outputs = finish(*both)
    assert [process.returncode for process in both] == [0, 0], "\n".join(output[-4000:] for output in outputs)
    for name in processes.RUNS:
        same(alone("jax") / name, tmp_path / name)


@pytest.mark.slow
def test_eight_jax_devices_of_one_process_are_one(still, alone, tmp_path):
    flags = "--xla_force_host_platform_device_count=8"
    process = start(worker("jax", still, tmp_path, {}, processes.RUNS), XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
    (output,) = finish(process)
    assert process.returncode == 0, output[-4000:]
    for name in processes.RUNS:
        same(alone("jax") / name, tmp_path / name)


def test_jax_devices_drop_other_numbers_each_and_together_those_of_one(tmp_path):
    flags = "--xla_force_host_platform_device_count=2"
    process = start(worker("jax", "-", tmp_path, {}, ["masks"]), XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
    (output,) = finish(process)
    assert process.returncode == 0, output[-4000:]
    several, one = (np.load(tmp_path / f"masks-{count}.npy") for count in (2, 1))
    assert 0.03 < several.mean() < 0.3
    assert len(np.unique(several.reshape(8, -1), axis=0)) == 8  # the rows are alike, and four are on each device
    assert np.array_equal(several, one)


# --- TensorFlow -------------------------------------------------------------------------------------


def tf_config(ports, rank):
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": rank}})}


@pytest.mark.slow
def test_two_workers_of_tensorflow_are_one(still, alone, tmp_path):
    ports, command = (free_port(), free_port()), worker("tensorflow", still, tmp_path, {}, processes.RUNS)
    both = [start(command, **tf_config(ports, rank)) for rank in (0, 1)]
    outputs = finish(*both)
    assert [process.returncode for process in both] == [0, 0], "\n".join(output[-4000:] for output in outputs)
    for name in processes.RUNS:
        same(alone("tensorflow") / name, tmp_path / name)


@pytest.mark.slow
def test_two_devices_of_one_tensorflow_process_are_one(still, alone, tmp_path):
    """By a MirroredStrategy, of which one device has no row of the last batch."""
    process = start(worker("tensorflow", still, tmp_path, {}, ["tagger"]), LOGICAL_DEVICES="2")
    (output,) = finish(process)
    assert process.returncode == 0, output[-4000:]
    assert json.loads((tmp_path / "report-0.json").read_text())["replicas"] == 2
    same(alone("tensorflow") / "tagger", tmp_path / "tagger")


# --- a worker that dies -----------------------------------------------------------------------------


def of_torchrun(port, rank):
    """What torchrun gives a process, which would itself end the others of one that dies."""
    variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    return variables | {"RANK": str(rank), "LOCAL_RANK": str(rank)}


def kill(both, rank, out, count):
    """Kills one of two processes after so many updates of the run; gives what the other says until it ends."""
    try:
        until = time.monotonic() + 300
        while len(losses(out)[0]) < count and time.monotonic() < until and not any(each.poll() for each in both):
            time.sleep(0.01)
        assert [each.poll() for each in both] == [None, None], "ended before it was killed"
        os.kill(both[rank].pid, signal.SIGKILL)
    finally:
        said = finish(*both)
    return said[1 - rank]


class Crash(Exception):  # noqa: N818
    pass


@pytest.mark.slow
def test_a_run_on_one_two_and_one_process_of_which_one_is_killed(still, tmp_path):
    """Begun by one process, gone on with by two, of which one is killed, and ended by one: the curve of one."""
    options = {"steps": 120, "save_steps": 5, "learning_rate": 5e-4}
    processes.run("clipped", "torch", still, tmp_path / "whole", **options)

    def crash(done):
        if done.step == 12:
            raise Crash

    with pytest.raises(Crash):
        processes.run("clipped", "torch", still, tmp_path / "parts", on_step=crash, **options)
    out = tmp_path / "parts" / "clipped"
    port, command = free_port(), worker("torch", still, tmp_path / "parts", options | {"resume": True}, ["clipped"])
    both = [start(command, **of_torchrun(port, rank)) for rank in (0, 1)]
    said = kill(both, 1, out, 20)
    assert both[0].returncode > 0, said[-4000:]
    steps = sorted(map(int, os.listdir(out / "checkpoints")))
    assert len(steps) == 2 and 20 <= steps[-1] < 120
    assert "failed on process 0 of 2" in said and f"{out / 'checkpoints' / str(steps[-1])}, is whole" in said, said
    bertx.load(out / "checkpoints" / str(steps[-1]))
    processes.run("clipped", "torch", still, tmp_path / "parts", **options | {"resume": True})
    same(tmp_path / "whole" / "clipped", out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "message"),
    [("jax", "most likely indicates that another task died"), ("tensorflow", "failed on process 1 of 2")],
)
def test_after_process_0_was_killed_the_other_ends_and_the_run_resumes(still, backend, message, tmp_path):
    """Process 0 is the one that JAX notices at once; of another it hears within some 100 s."""
    options = {"steps": 60, "save_steps": 5, "learning_rate": 5e-4}
    ports, command = (free_port(), free_port()), worker(backend, still, tmp_path / "parts", options, ["clipped"])
    launched = {"jax": lambda rank: four_devices(ports[0], rank), "tensorflow": lambda rank: tf_config(ports, rank)}
    both = [start(command, **launched[backend](rank)) for rank in (0, 1)]
    out = tmp_path / "parts" / "clipped"
    said = kill(both, 0, out, 12)
    assert both[1].returncode != 0 and message in said, said[-4000:]
    steps = sorted(map(int, os.listdir(out / "checkpoints")))
    assert 10 <= steps[-1] < 60
    processes.run("clipped", backend, still, tmp_path / "parts", **options | {"resume": True})
    processes.run("clipped", backend, still, tmp_path / "whole", **options)
    same(tmp_path / "whole" / "clipped", out)


# --- any framework ----------------------------------------------------------------------------------


def test_a_batch_that_devices_cannot_share_is_refused(still):
    class Two(Trainer):
        dtypes = {"float32": "float32"}
        trained = _step = _dump = _restore = None

    module = bertx_numpy.BertForMaskedLM(bertx.BertConfig.from_pretrained(still))
    with pytest.raises(ValueError, match=r"batch_size is 9, .* and 4 devices .*multiple of 4, such as 8 or 12"):
        Two(module, bertx.Recipe(batch_size=9), 1, World(devices=4))
