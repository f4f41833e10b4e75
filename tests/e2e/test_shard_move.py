# SPDX-License-Identifier: Apache-2.0
"""Shards get other workers while the engine runs: by SIGHUP, under load, and whatever happens then."""

import contextlib
import ctypes
import os
import pathlib
import random
import re
import signal
import threading

import engine
import giro_wire as wire
import network
import telemetry
from client import Client
from engine import Engine, wait_until
from test_faults import EXIT_LOG, frozen, small_device
from test_log import FileSystem, fill
from test_reload import reload
from test_restart import Load, check_outcomes, open_wallets

SHARDS = 4
WORKERS = 2
MOVED = re.compile(r"shard_workers is now ([\d,]+), was ([\d,]+): slot map version (\d+), "
                   r"new work refused for [\d.]+ ms")


def four_shards(log=None, **settings):
    return Engine(log=log, workers=WORKERS, engine_shards=SHARDS, **settings)


def owners(running):
    """What telemetry says of who owns which shard, as it would be configured."""
    return ",".join(str(shard["worker"]) for shard in telemetry.ask_each(running, "/giro/shard"))


def other_owners(chance, now):
    """Another assignment in which both workers have a shard."""
    while True:
        text = ",".join(str(chance.randrange(WORKERS)) for _ in range(SHARDS))
        if text != now and len(set(text.split(","))) == WORKERS:
            return text


def move(running, to):
    """Moves the shards; returns the new map version."""
    said = reload(running, {"engine.shard_workers": to}, ["configuration reloaded"])
    moved = MOVED.search(said)
    assert moved and moved[1] == to, said
    running.settings["engine.shard_workers"] = to
    return int(moved[3])


class Books:
    """An engine's load on all shards, and what it must add up to."""

    def __init__(self, running, seed):
        self.engine = running
        self.client = Client()
        self.balances = open_wallets(self.client, SHARDS)
        self.load = Load([account for account in self.balances if self.balances[account] > 0], seed)
        self.load.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.load.end()
        self.client.close()

    def answered(self, count=50):
        before = self.load.answered
        wait_until(lambda: self.load.answered >= before + count, 60, "answers to the load")

    def check(self):
        self.load.end()
        return check_outcomes(self.engine, self.client, self.load, self.balances)


def test_moves_under_load(row):
    seed = 11
    chance = random.Random(seed)
    with four_shards() as running, Books(running, seed) as books:
        with row("the default is told by telemetry and by the start screen"):
            assert owners(running) == "0,1,0,1"
            assert re.search(r"worker 0 on .*: shards 0 2$", running.screen(), re.MULTILINE)
            assert telemetry.ask(running, "/giro/info")["map_version"] == 1
        with row(f"shards move again and again under load (seed {seed})"):
            for version in range(2, 14):
                books.answered()
                to = other_owners(chance, owners(running))
                assert move(running, to) == version
                assert owners(running) == to
            info = telemetry.ask(running, "/giro/info")
            assert (info["map_version"], info["shard_moves"], info["shard_moves_failed"]) == (
                13, 12, 0), info
            assert info["shard_moves_refused_ns"] > 0, info
            books.answered()
        with row("the same again moves nothing, and is no change"):
            said = reload(running, {}, ["configuration reloaded", "0 keys differ"])
            assert not MOVED.search(said), said
            assert telemetry.ask(running, "/giro/info")["map_version"] == 13
        with row("a worker's work goes where its shards went"):
            before = [shard["event/local_done"] + shard["event/cross_confirmed"]
                      for shard in telemetry.ask_each(running, "/giro/shard")]
            books.answered()
            wait_until(lambda: all(
                shard["event/local_done"] + shard["event/cross_confirmed"] > was for shard, was in
                zip(telemetry.ask_each(running, "/giro/shard"), before)), 30, "work on each shard")
        with row("clients learn of the new map: its version is in every reply"):
            reply = books.client.exchange(wire.INFO, [wire.info_record(0)],
                                          port=network.UDP_PORT)
            assert reply.map_version == 13, reply
        with row("moved again and again: nothing is lost"):
            assert books.check() > 500


def test_bad_moves(row):
    refused = [
        ("0,1,0", "as many numbers as shards"),
        ("0,1,0,1,0", "as many numbers as shards"),
        ("0,0,0,0", "worker 1 of 2 has no shard"),
        ("0,1,0,2", "shard 3 is given to worker 2, but the workers are 0..1"),
        ("0,1,0,x", "must be numbers of workers"),
        ("0,1,0,", "must be numbers of workers"),
        ("0,1,0,64", "must be numbers of workers"),
    ]
    with four_shards() as running, Books(running, 12) as books:
        for text, why in refused:
            with row(f"shard_workers={text} is refused as a whole, and named"):
                said = reload(running, {"engine.shard_workers": text,
                                        "clients.records_per_second": 1}, ["not reloaded"])
                assert why in said and "configuration reloaded" not in said, said
                assert owners(running) == "0,1,0,1"
        with row("another number of shards is refused: accounts stay in theirs"):
            said = reload(running, {"engine.shards": 2}, ["not reloaded"])
            assert "[engine] shards is 2, but the log has 4" in said, said
            assert "its accounts are there" in said, said
        with row("refused files leave the limits as they were, and nothing is lost"):
            books.answered()
            assert telemetry.ask(running, "/giro/info")["map_version"] == 1
            assert books.check() > 50
    with row("a start with an assignment that cannot be is refused"):
        broken = four_shards(engine_shard_workers="0,0,0,0")
        broken.launch()
        try:
            assert broken.wait(30) == 1
            assert "[engine] shard_workers: worker 1 of 2 has no shard" in broken.stderr()
        finally:
            broken.kill()


def test_move_while_full(row):
    with FileSystem(mib=56) as log, four_shards(log, log_segment_mib=8,
                                                shard_ids_per_second=60_000) as running, \
            Client() as client:
        balances = open_wallets(client, SHARDS)
        issuer, wallet = list(balances)[:2]
        done = [client.pay(issuer, account, 1) for account in list(balances)[1:] * 2]
        fill()
        with row("full log: shards move, new work is refused as before"):
            for to in ("1,0,1,0", "0,0,1,1", "0,1,1,1"):
                move(running, to)
                assert owners(running) == to
                status = client.transfer(client.new_id(), issuer, wallet, 1, retry_busy=False)
                assert status == "BUSY", status
        with row("full log: outcomes are still told, the books agree"):
            assert client.statuses(wire.TRANSFER, done) == ["OK"] * len(done)
            running.stop()
            running.verify()
            assert sum(running.balances().values()) == 0


def test_move_while_hung(row):
    with FileSystem(mib=128) as log, four_shards(log) as running, Books(running, 13) as books:
        with row("device hangs: the shards move or stay, which is said, and all goes on after it"):
            books.answered()
            with frozen(log):
                said = reload(running, {"engine.shard_workers": "1,1,0,0"},
                              ["configuration reloaded"])
                moved = MOVED.search(said) is not None
                assert moved != ("shard_workers stays 0,1,0,1" in said), said
                assert owners(running) == ("1,1,0,0" if moved else "0,1,0,1")
            books.answered()
        with row("device hung in a move: nothing is lost"):
            assert books.check() > 50


@contextlib.contextmanager
def worker_stopped(running):
    """One worker's thread does not run inside the block, as if its CPU were taken away."""
    seize, interrupt, detach, wait_all = 0x4206, 0x4207, 17, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)

    def ptrace(request):
        if libc.ptrace(request, thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    tasks = pathlib.Path(f"/proc/{running.process.pid}/task")
    thread = next(int(task.name) for task in tasks.iterdir()
                  if "-worker-" in (task / "comm").read_text())
    ptrace(seize)
    ptrace(interrupt)
    os.waitpid(thread, wait_all)
    try:
        yield
    finally:
        ptrace(detach)


def test_worker_does_not_run(row):
    with four_shards() as running, Books(running, 17) as books:
        with row("a worker does not run: the shards stay, and that is said"):
            books.answered()
            with worker_stopped(running):
                said = reload(running, {"engine.shard_workers": "1,1,0,0"},
                              ["configuration reloaded"])
            assert "shard_workers stays 0,1,0,1: what was under way did not end in time" in said, \
                said
            info = telemetry.ask(running, "/giro/info")
            assert (info["map_version"], info["shard_moves_failed"]) == (1, 1), info
        with row("it runs again: all goes on, and the shards move by the next SIGHUP"):
            books.answered()
            assert owners(running) == "0,1,0,1"
            move(running, "1,1,0,0")
            assert owners(running) == "1,1,0,0"
        with row("a worker did not run in a move: nothing is lost"):
            books.answered()
            assert books.check() > 50


class Mover(threading.Thread):
    """Writes new assignments and sends SIGHUP, as fast as they are logged, whatever lives."""

    def __init__(self, running, seed):
        super().__init__(daemon=True)
        self.engine = running
        self.chance = random.Random(seed)
        self.halt = threading.Event()
        self.sent = 0

    def run(self):
        while not self.halt.is_set():
            process = self.engine.process
            if process is None or process.poll() is not None or not self.engine._ready():
                continue
            self.engine.settings["engine.shard_workers"] = other_owners(self.chance, "")
            (self.engine.folder / "engine.conf").write_text(
                engine.config_text(self.engine.settings))
            process.send_signal(signal.SIGHUP)
            self.sent += 1
            self.halt.wait(self.chance.choice((0.001, 0.01, 0.05)))

    def end(self):
        self.halt.set()
        self.join()


def test_ends_in_a_move(row):
    seed = 14
    chance = random.Random(seed)
    moves = 0
    with four_shards() as running, Books(running, seed) as books:
        for how, times in (("kill", 5), ("stop", 3)):
            with row(f"{how} {times}x in the midst of moves: all comes back (seed {seed})"):
                for _ in range(times):
                    mover = Mover(running, chance.random())
                    mover.start()
                    seen = len(MOVED.findall(running.stderr()))
                    books.answered()
                    wanted = seen + chance.randrange(1, 6)
                    wait_until(lambda: len(MOVED.findall(running.stderr())) >= wanted, 60, "moves")
                    if how == "kill":
                        running.process.kill()
                    else:
                        running.process.send_signal(signal.SIGTERM)
                    status = running.process.wait(60)
                    mover.end()
                    assert status == (-9 if how == "kill" else 0), running.stderr()
                    moves += len(MOVED.findall(running.stderr()))
                    running._gone()
                    running.start()
                    assert owners(running) == running.settings["engine.shard_workers"]
                    books.answered()
        with row("ended in the midst of moves: nothing is lost"):
            assert moves >= 8
            assert books.check() > 500


def test_log_fails_in_a_move(row):
    file_system = FileSystem(mib=128)
    with file_system as log, four_shards(log) as running, Books(running, 15) as books:
        mover = Mover(running, 15)
        with row("the log fails while shards move: the engine ends with its own status"):
            mover.start()
            books.answered()
            with small_device(file_system.loop, 1):
                assert running.process.wait(60) == EXIT_LOG, running.stderr()
            mover.end()
            running._gone()
        with row("started again, nothing is lost"):
            running.start()
            books.answered()
            assert books.check() > 50


def libgiro(seconds):
    """libgiro under full load; returns the process."""
    return network.start_in_client(
        network.BUILD / "client/giro-bench", "--server",
        f"{network.ENGINE_ADDRESS}:{network.UDP_PORT}", "--ledger", 7, "--accounts", 1000,
        "--warm-up", 0, "--seconds", seconds, "--quiet")


def test_libgiro_follows(row):
    # With so few rows requests wait for those under way: there are always some when a shard moves.
    with four_shards(engine_requests=512, shard_window_s=12, shard_rows=16,
                     shard_ids_per_second=200_000) as running:
        with row("libgiro under load: moves cost it nothing but a wait, and it takes the new map"):
            load = libgiro(2)
            chance = random.Random(16)
            version = 1
            while load.poll() is None:
                version = move(running, other_owners(chance, owners(running)))
            assert load.returncode == 0 and version > 5, (load.returncode, version)
            workers = telemetry.ask_each(running, "/giro/worker")
            assert sum(worker["infos"] for worker in workers) > 4 * 2, "the map was read once only"
        with row("libgiro under load: requests that wait when their shard moves are handed on"):
            assert sum(worker["handed_on"] for worker in workers) > 0, workers
        with row("libgiro under load: the books agree"):
            running.stop()
            running.verify()
            assert sum(running.balances().values()) == 0
