# SPDX-License-Identifier: Apache-2.0
"""core: the shard alone on one thread (bench_core.c), and what its hot path is made of."""

import collections
import pathlib
import re
import subprocess
import time

import ground
import network

TITLE = "one thread, no network, no disk; beside it two random 64-byte updates with prefetch"

ACCOUNTS = (100000, 1000000, 10000000)
ZIPF = 0.99
SHARE_TARGETS = {"local": 0.60, "cross": 0.30}
LOG_TARGETS = {"local": 80, "cross": 160}

# The objects whose code a worker runs for every datagram.
HOT_OBJECTS = ("engine/*dpdk.a.p/lcore.c.o", "engine/*core.a.p/worker.c.o",
               "engine/*core.a.p/epoch.c.o", "net/*port.a.p/port.c.o",
               "net/*frame.a.p/frame.c.o", "net/*wire.a.p/wire.c.o", "shard/*.a.p/*.o")
# Functions in them that run at start or end only.
COLD = re.compile(r"_(init|new|open|close|describe|stats|start|steer)$")
# DPDK counts the owners of an mbuf in 16 bits, and giro has nothing of that width.
MBUF_OWNERS = "lock subw"
# What a worker may ask of the kernel: the driver's receive and transmit, and the idle policy's rests after
# a turn without work (one that strace interrupted is restarted).
ALLOWED_CALLS = {"sched_yield", "clock_nanosleep", "poll", "sendto", "restart_syscall"}


def transfers_for(seconds):
    return int(max(1, seconds) * 1000000)


def rates(report, seconds):
    for accounts in ACCOUNTS:
        for path in ("local", "cross"):
            for skew in (0, ZIPF):
                words = ["--cross"] if path == "cross" else []
                result = ground.run_json(
                    ground.PROGRAMS / "giro-bench-core", "--accounts", accounts, "--transfers",
                    transfers_for(seconds), "--skew", skew, "--json", "{json}", *words)
                entry = report.row(
                    f"{path}, {'zipf ' + str(skew) if skew else 'uniform'}, "
                    f"{accounts // 1000} k accounts", result["per_second"], "transfers/s",
                    result["reference_per_second"], "reference loop",
                    f"{result['cycles']:.0f} cycles (reference {result['reference_cycles']:.0f}), "
                    f"{result['log_bytes']:.0f} log bytes", series=path, accounts=accounts,
                    skew=skew, cycles=result["cycles"], log_bytes=result["log_bytes"])
                if accounts == max(ACCOUNTS) and not skew:
                    report.row("  share of the reference loop", 100 * entry["ratio"], "%",
                               target=100 * SHARE_TARGETS[path])
                    report.row("  log bytes a transfer", result["log_bytes"], "B",
                               target=LOG_TARGETS[path], lower_is_better=True)


def counters(report):
    """Instructions and cache misses, where the machine lets its counters be read."""
    events = "cycles,instructions,cache-misses"
    done = subprocess.run(
        ["perf", "stat", "-x", ",", "-e", events, ground.PROGRAMS / "giro-bench-core",
         "--accounts", "1000000", "--transfers", "4000000"], text=True, capture_output=True,
        check=False)
    counts = {name: int(count) for count, name in
              re.findall(r"^(\d+),,([a-z-]+)", done.stderr, re.MULTILINE)}
    if not counts:
        report.note("perf: this machine's hardware counters cannot be read; cycles above are "
                    "rdtsc's")
        return
    report.note("perf, whole process with its set-up: " +
                ", ".join(f"{name} {count}" for name, count in counts.items()))


def locked_instructions():
    """{function: [instructions]} that lock, in the objects of the hot path; an xchg with memory
    locks too."""
    found = collections.defaultdict(list)
    functions = 0
    for pattern in HOT_OBJECTS:
        objects = list(network.BUILD.glob(pattern))
        if not objects:
            raise RuntimeError(f"no {pattern} in {network.BUILD}")
        for file in objects:
            name = None
            text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", file], text=True,
                                  capture_output=True, check=True).stdout
            for line in text.splitlines():
                head = re.match(r"[0-9a-f]+ <(.*)>:", line)
                locked = re.search(r"\b(lock\s+\w+|xchg\b.*\()", line)
                if head:
                    name = head[1]
                    functions += 1
                elif locked:
                    found[name].append(" ".join(locked[1].split()))
    return found, functions


def hot_code(report):
    found, functions = locked_instructions()
    ours = {name: locked for name, locked in found.items()
            if not COLD.search(name) and set(locked) != {MBUF_OWNERS}}
    report.row("locked instructions in the worker's functions", sum(map(len, ours.values())), "",
               target=0, lower_is_better=True, found=found,
               shown=f"{functions} functions looked at" + (f"; in {', '.join(ours)}" if ours
                                                           else ""))
    owners = [name for name in found if set(found[name]) == {MBUF_OWNERS}]
    if owners:
        report.note(f"DPDK's free of an mbuf with several owners, inlined in {', '.join(owners)}: "
                    "giro's mbufs have one, for which that path is not taken")


def worker_thread(pid):
    """The task of the engine's one worker."""
    return next(task.name for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                if (task / "comm").read_text().startswith(("rte-worker", "lcore-worker")))


def hot_calls(report, seconds):
    """What a worker under load asks of the kernel, counted by strace."""
    with ground.running_engine(1, 1500, 20000) as process:
        task = worker_thread(process.process.pid)
        file = network.SCRATCH / "strace.txt"
        load = network.start_in_client(
            network.BUILD / "client/giro-bench", "--server", ground.SERVER, "--seconds",
            seconds + 2, "--quiet")
        time.sleep(1)
        traced = subprocess.run(
            ["timeout", "--signal=INT", str(max(1, seconds)), "strace", "-c", "-o", file, "-p",
             task], text=True, capture_output=True, check=False)
        load.wait()
        calls = {row[1]: int(row[0]) for row in
                 re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(\w+)$",
                            file.read_text() if file.exists() else "", re.MULTILINE)
                 if row[1] != "total"}
    if not calls:
        report.note(f"strace could not trace a worker: {traced.stderr.strip()[-200:]}")
        return
    strange = {name: count for name, count in calls.items() if name not in ALLOWED_CALLS}
    report.row("system calls of a loaded worker beyond port and rest", sum(strange.values()), "",
               target=0, lower_is_better=True, calls=calls,
               shown=", ".join(f"{name} {count}" for name, count in calls.items()))


def run(report, seconds):
    rates(report, seconds)
    counters(report)
    hot_code(report)
    hot_calls(report, seconds)
