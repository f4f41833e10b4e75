# SPDX-License-Identifier: Apache-2.0
"""Where a benchmark stands: the network that scripts/bench made, engines on it, and what they used.

Engines, namespaces and their removal are those of the end-to-end tests.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.dont_write_bytecode = True

import engine  # noqa: E402 the path above finds it
import network  # noqa: E402

PROGRAMS = network.BUILD / "tests/bench"
SERVER = f"{network.ENGINE_ADDRESS}:{network.UDP_PORT}"
LOGS = network.SCRATCH / "logs"

# Every id of a run fits the exactly-once window at this rate, of all shards together.
IDS_PER_SECOND = 3200000
WINDOW_S = 10
AHEAD_S = 1


def mtu_max():
    """The largest that the driver takes: net_af_xdp's frames end with a page."""
    return 3302 if os.environ.get("GIRO_PMD") == "net_af_xdp" else 9000


def payload_bytes(mtu):
    return mtu - 28


def records(mtu):
    """Transfers in a full datagram."""
    return (payload_bytes(mtu) - 32) // 64


def settings(shards, mtu, accounts, ids_per_second=IDS_PER_SECOND):
    """The configuration of every engine measured here; `accounts` is what all loads will open."""
    return {
        "engine_shards": shards,
        "port_mtu": mtu,
        "shard_accounts": int(accounts * 1.1) // shards + 2000,
        "shard_window_s": WINDOW_S,
        "shard_ahead_s": AHEAD_S,
        "shard_ids_per_second": int(ids_per_second / shards * (1.1 if shards > 1 else 1)),
        "log_segment_mib": 256,
        "log_buffer_kib": 2048 if mtu > 1500 else 1024,
    }


def memory_mib(chosen):
    """An upper bound: 64 bytes an id in tables of at most a quarter of the window, three more of
    them than it needs; at most 256 bytes an account; buffers, rings, packets and EAL's own."""
    ids = (chosen["shard_ids_per_second"] * 64
           * (4 * (chosen["shard_window_s"] + chosen["shard_ahead_s"])
              + 3 * chosen["shard_window_s"]) // 4)
    shard = ids + chosen["shard_accounts"] * 256
    return chosen["engine_shards"] * ((shard >> 20) + 64) + 384


@contextlib.contextmanager
def huge_pages(mib):
    network.script_function("hugepages_reserve", network.NAME, mib)
    try:
        yield
    finally:
        network.script_function("hugepages_give_back", network.NAME)


@contextlib.contextmanager
def log_folder():
    folder = LOGS / f"log-{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running_engine(shards, mtu, accounts, log=None, **more):
    """An engine with huge pages of its own; its log is removed unless it is the caller's."""
    chosen = {**settings(shards, mtu, accounts), **more}
    network.set_mtu(mtu)
    with contextlib.ExitStack() as stack:
        folder = log or stack.enter_context(log_folder())
        stack.enter_context(huge_pages(memory_mib(chosen)))
        started = stack.enter_context(engine.Engine(log=folder, **chosen))
        yield started
        if started.running():
            started.stop()


def run_json(*command, in_client=False, timeout=300, watch=None):
    """A program that prints one JSON object, or writes it where {json} stands. `watch` is given its
    process id while it runs."""
    file = network.SCRATCH / f"result-{time.monotonic_ns()}.json"
    words = [str(word).replace("{json}", str(file)) for word in command]
    if in_client:
        words = ["ip", "netns", "exec", f"{network.NAME}-client", *words]
    process = subprocess.Popen(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=network.die_with_parent)
    if watch:
        watch(process.pid)
    try:
        output, errors = process.communicate(timeout=timeout)
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}:\n"
                           f"{output[-1500:]}{errors[-1500:]}")
    if not file.exists():
        return json.loads(output)
    result = json.loads(file.read_text())
    file.unlink()
    return result


def load(process, accounts, mtu, seconds, batch=None, in_flight=256, cross=None, rate=None,
         warm_up=0.5, timeout=300):
    """One run of giro-bench against an engine; its JSON, with what the threads used meanwhile."""
    command = [network.BUILD / "client/giro-bench", "--server", SERVER, "--accounts", accounts,
               "--datagram", payload_bytes(mtu), "--in-flight", in_flight, "--seconds", seconds,
               "--warm-up", warm_up, "--quiet", "--json", "{json}"]
    for option, value in (("--batch", batch), ("--cross", cross), ("--rate", rate)):
        if value is not None:
            command += [option, value]
    with CpuUse(process.process.pid) as use:
        result = run_json(*command, in_client=True, watch=use.watch_client, timeout=timeout)
    ledger = result["ledger"]
    if not ledger["checked"] or not ledger["sum_zero"] or ledger["mismatches"] != 0:
        raise RuntimeError(f"the ledger is wrong after a load: {ledger}")
    result["cpu"] = use.busiest(seconds / 2)
    return result


def disk(write_bytes, seconds):
    LOGS.mkdir(parents=True, exist_ok=True)
    return run_json(PROGRAMS / "giro-bench-disk", LOGS, write_bytes, seconds)


def echo(shards, payload, in_flight, seconds):
    """Datagrams a second that the same way carries when the engine does nothing with them."""
    return run_json(PROGRAMS / "giro-bench-udp", network.ENGINE_ADDRESS, network.UDP_PORT, shards,
                    payload, max(in_flight, shards), seconds, in_client=True)


def thread_times(pid):
    """{thread: CPU seconds} of an engine: its first thread writes the log."""
    times = {"workers": 0, "log": 0, "segments": 0}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text()
            ran = int((task / "schedstat").read_text().split()[0]) / 1e9
        except OSError:
            continue
        if int(task.name) == pid:
            times["log"] += ran
        elif name.startswith(("rte-worker", "lcore-worker")):
            times["workers"] += ran
        else:
            times["segments"] += ran
    return times


def process_time(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return 0


def machine_time():
    """Seconds of all CPUs together that were not idle."""
    line = pathlib.Path("/proc/stat").read_text().split("\n")[0]
    fields = [int(field) for field in line.split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


class CpuUse:
    """Samples who uses the CPUs while a load runs. The kernel's work for the network counts for
    whoever it interrupts."""

    STEP_S = 0.2
    WHO = ("workers", "log", "segments", "client")

    def __init__(self, engine_pid):
        self.engine_pid = engine_pid
        self.client_pid = None
        self.samples = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)

    def watch_client(self, pid):
        self.client_pid = pid

    def _sample(self):
        while not self.over.is_set():
            with contextlib.suppress(OSError):
                self.samples.append((time.monotonic(), {
                    **thread_times(self.engine_pid),
                    "client": process_time(self.client_pid) if self.client_pid else 0,
                    "all": machine_time()}))
            self.over.wait(self.STEP_S)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def busiest(self, seconds):
        """CPUs used by each, in the `seconds` in which engine and client did most; "others" is
        whatever else ran on the machine."""
        best, most = {}, 0
        for begin, (since, first) in enumerate(self.samples):
            for until, last in self.samples[begin + 1:]:
                took = until - since
                if took < seconds:
                    continue
                use = {name: (last[name] - first[name]) / took for name in last}
                if sum(use[name] for name in self.WHO) > most:
                    best, most = use, sum(use[name] for name in self.WHO)
                break
        if best:
            best["others"] = max(0, best.pop("all") - most)
        return {name: round(value, 3) for name, value in best.items()}
