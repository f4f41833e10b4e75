# SPDX-License-Identifier: Apache-2.0
"""Faults while the engine runs: what the client sees, what the operator reads, and nothing is lost.

Each test puts a load on an engine, lets something happen to it, and then asks for every outcome that
was ever acknowledged: all are told again, the rest get one, the balances follow from them, and replay
agrees. docs/operations.md has the table of what is seen here.
"""

import contextlib
import fcntl
import os
import re
import signal
import struct
import subprocess
import time

import giro_wire as wire
import network
from client import Client
from engine import Engine, wait_until
from test_log import FileSystem
from test_restart import Load, check_outcomes, open_wallets

EXIT_LOG = 3


class Trouble:
    """An engine under load, and the books to compare in the end."""

    def __init__(self, running, seed):
        self.engine = running
        self.client = Client()
        self.balances = open_wallets(self.client, running.settings["engine.shards"])
        self.load = Load([account for account in self.balances if self.balances[account] > 0], seed)
        self.load.start()
        self.answered("the first load")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.load.end()
        self.client.close()

    def answered(self, what, count=50):
        """Waits for the load to get on."""
        before = self.load.answered
        wait_until(lambda: self.load.answered >= before + count, 30, f"answers: {what}")

    def silent(self, seconds):
        """Nothing is answered for so long; what was under way may still come first."""
        time.sleep(0.3)
        before = self.load.answered
        time.sleep(seconds)
        assert self.load.answered == before, f"{self.load.answered - before} answers"

    def says(self, words, seconds=30):
        wait_until(lambda: words in self.engine.stderr(), seconds,
                   f"{words!r} in the engine's log")

    def check(self):
        """The books; ends the load and the engine."""
        self.load.end()
        assert check_outcomes(self.engine, self.client, self.load, self.balances) > 100


@contextlib.contextmanager
def frozen(log):
    """All writes to the file system hang until the end of the block."""
    subprocess.run(["fsfreeze", "--freeze", log.parent], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", log.parent], check=True)


@contextlib.contextmanager
def small_device(loop, mib):
    """The device has only `mib` MiB inside the block: what lies behind them fails."""
    get_status, set_status, limit_at = 0x4C05, 0x4C04, 32
    device = os.open(loop.path, os.O_RDONLY)

    def limit(size):
        status = bytearray(232)
        fcntl.ioctl(device, get_status, status)
        struct.pack_into("<Q", status, limit_at, size)
        fcntl.ioctl(device, set_status, status)

    limit(mib << 20)
    try:
        yield
    finally:
        limit(0)
        os.close(device)


def test_device_hangs(row):
    with FileSystem(mib=128) as log, Engine(log=log) as running, Trouble(running, 1) as trouble:
        with row("device hangs: nothing is acknowledged, the operator is told, then all goes on"):
            with frozen(log):
                trouble.silent(2)
                trouble.says("no log write has ended for")
            trouble.says("epochs are committed again")
            trouble.answered("after the device woke up")
        with row("device slow, in fits: late answers, no alarm"):
            alarms = running.stderr().count("no log write has ended")
            for _ in range(6):
                with frozen(log):
                    time.sleep(0.2)
                trouble.answered("between two fits", 1)
            assert running.stderr().count("no log write has ended") == alarms, running.stderr()
        with row("device hung or slow: nothing is lost"):
            trouble.check()


def test_device_fails(row):
    file_system = FileSystem(mib=128)
    with file_system as log, Engine(log=log) as running, Trouble(running, 2) as trouble:
        with row("device fails: the engine acknowledges nothing more and ends with its own status"):
            with small_device(file_system.loop, 1):
                assert running.wait() == EXIT_LOG, running.stderr()
            assert "the log failed: Input/output error" in running.stderr(), running.stderr()
            trouble.silent(0.5)
        with row("device failed: after the repair nothing is lost"):
            running.start()
            trouble.answered("after the repair")
            trouble.check()


def test_link(row):
    with Engine() as running, Trouble(running, 3) as trouble:
        for end in ("client", "engine"):
            with row(f"link down at the {end}'s end and up: silence, then all goes on"):
                seen = running.stderr().count("the link is up")
                downs = running.stderr().count("the link is down")
                interface = ["ip", "-n", f"{network.NAME}-{end}", "link", "set", end]
                subprocess.run([*interface, "down"], check=True)
                wait_until(lambda: running.stderr().count("the link is down") > downs, 30,
                           "the operator to be told")
                trouble.silent(0.5)
                subprocess.run([*interface, "up"], check=True)
                wait_until(lambda: running.stderr().count("the link is up") > seen, 30,
                           "the link to come up")
                trouble.answered("after the link came up")
        with row("link down and up: nothing is lost"):
            trouble.check()


class ShiftedClock:
    """The engine's wall clock, off by what set() was told."""

    def __init__(self, running):
        self.file = running.folder / "clock-shift"
        self.set(0)
        running.environment = {"LD_PRELOAD": str(network.BUILD / "tests/e2e/clock-shift.so"),
                               "CLOCK_SHIFT": str(self.file)}

    def set(self, seconds):
        # In place: the engine has it mapped.
        with open(self.file, "r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("<q", int(seconds * 1000)))


def one_transfer(trouble):
    """The answer to a new transfer whose id carries the right time."""
    issuer, wallet = list(trouble.balances)[:2]
    identity = trouble.client.new_id()
    status = trouble.client.transfer(identity, issuer, wallet, 1)
    if status == "OK":
        trouble.balances[issuer] -= 1
        trouble.balances[wallet] += 1
    return status


def test_clock(row):
    running = Engine()
    clock = ShiftedClock(running)
    with running, Trouble(running, 4) as trouble:
        with row("clock 5 s forward, within the window: nobody notices, the operator is told"):
            clock.set(5)
            trouble.says("the clock was set forward by")
            assert one_transfer(trouble) == "OK"
        with row("clock back to where it was: the log's time waits, nothing else does"):
            clock.set(0)
            trouble.says("the clock was set back by")
            trouble.says("before the log's time")
            assert one_transfer(trouble) == "OK"
            trouble.says("the clock has caught up")
        with row("clock an hour back: the log's time stands, ids of before are still known"):
            known = trouble.client.pay(*list(trouble.balances)[:2], 1)
            issuer, wallet = list(trouble.balances)[:2]
            trouble.balances[issuer] -= 1
            trouble.balances[wallet] += 1
            clock.set(-3600)
            wait_until(lambda: running.stderr().count("before the log's time") == 2, 30,
                       "the operator to be told")
            assert trouble.client.statuses(wire.TRANSFER, [known]) == ["OK"]
            clock.set(0)
        with row("clock set forward and back: nothing is lost"):
            trouble.check()


def test_clock_far_ahead(row):
    running = Engine()
    clock = ShiftedClock(running)
    with running, Client() as client:
        client.create(1, floor=wire.FLOOR_ISSUER)
        client.create(2)
        assert client.transfer(client.new_id(), 1, 2, 7) == "OK"
        with row("clock an hour forward: not followed, clients with the right time go on"):
            clock.set(3600)
            # An hour, give or take what passes between the looks at two clocks.
            wait_until(lambda: re.search(r"the clock was set forward by 3(599|600)\d{3} ms, further",
                                         running.stderr()), 30, "the operator to be told")
            assert client.transfer(client.new_id(), 1, 2, 1) == "OK"
            assert client.transfer(client.new_id(ahead_ms=3600_000), 1, 2, 1) == "ID_AHEAD"
        with row("set right: followed again"):
            clock.set(0)
            wait_until(lambda: "the log's time follows the clock again" in running.stderr(), 30,
                       "the operator to be told")
            assert client.transfer(client.new_id(), 1, 2, 1) == "OK"
        with row("started an hour ahead: that cannot be undone, ids of now are too old"):
            running.stop()
            clock.set(3600)
            running.start()
            wait_until(lambda: client.transfer(client.new_id(), 1, 2, 1) == "ID_EXPIRED", 10,
                       "the engine's time")
            running.stop()
            clock.set(0)
            running.start()
            assert client.transfer(client.new_id(), 1, 2, 1) == "ID_EXPIRED"
            wait_until(lambda: "before the log's time" in running.stderr(), 30,
                       "the new one's operator to be told")
        with row("ids of the log's own time are taken, reads go on, nothing is lost"):
            assert client.transfer(client.new_id(ahead_ms=3600_000), 1, 2, 1) == "OK"
            assert client.lookup(2).balance == 10
            running.stop()
            running.verify()
            assert running.balances() == {1: -10, 2: 10}


def test_clock_far_behind(row):
    running = Engine(shard_ahead_s=1)
    clock = ShiftedClock(running)
    with running, Client() as client:
        client.create(1, floor=wire.FLOOR_ISSUER)
        client.create(2)
        known = client.pay(1, 2, 7)
        with row("clock an hour back: the log's time stands, and new ids run ahead of it"):
            clock.set(-3600)
            wait_until(lambda: client.transfer(client.new_id(), 1, 2, 1) == "ID_AHEAD", 20,
                       "ids to be ahead")
            assert client.statuses(wire.TRANSFER, [known]) == ["OK"]
        with row("set right: new ids are taken at once, nothing is lost"):
            clock.set(0)
            wait_until(lambda: client.transfer(client.new_id(), 1, 2, 1) == "OK", 10,
                       "new work to be taken")
            running.stop()
            balances = running.balances()
            assert balances[2] >= 8 and balances[1] == -balances[2], balances
            running.verify()


def test_stopped_process(row):
    with Engine() as running, Trouble(running, 5) as trouble:
        with row("SIGSTOP and SIGCONT: silence, then all goes on, and the operator knows why"):
            running.process.send_signal(signal.SIGSTOP)
            trouble.silent(2)
            running.process.send_signal(signal.SIGCONT)
            trouble.says("the engine did not run for")
            trouble.answered("after SIGCONT")
            assert "no log write has ended" not in running.stderr(), running.stderr()
            trouble.check()


def refused_to_start(broken, *words):
    broken.launch()
    try:
        assert broken.wait(30) not in (0, -9, -6, -11), broken.stderr()
        for word in words:
            assert word in broken.stderr(), f"{word!r} is not in:\n{broken.stderr()}"
    finally:
        broken.kill()


def test_unwritable_log(row):
    broken = Engine()
    with row("log directory mounted read-only: refused at start, named"):
        subprocess.run(["mount", "--bind", broken.log, broken.log], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", broken.log], check=True)
            refused_to_start(broken, str(broken.log), "Read-only file system")
        finally:
            subprocess.run(["umount", broken.log], check=True)
    with row("log directory immutable: refused at start, named"):
        subprocess.run(["chattr", "+i", broken.log], check=True)
        try:
            refused_to_start(broken, str(broken.log), "Operation not permitted")
        finally:
            subprocess.run(["chattr", "-i", broken.log], check=True)
    with row("log directory writable again: it starts"), broken:
        broken.stop()


def test_port_gone(row):
    with row("the interface is not there: refused at start, named"):
        broken = Engine()
        interface = ["ip", "-n", f"{network.NAME}-engine", "link", "set"]
        subprocess.run([*interface, "engine", "name", "away"], check=True)
        try:
            refused_to_start(broken, "engine", "no Ethernet device")
        finally:
            subprocess.run([*interface, "away", "name", "engine"], check=True)


def test_port_taken(row):
    with Engine() as first, Client() as client:
        client.create(1, floor=wire.FLOOR_ISSUER)
        with row("a second engine on the interface, with the address: refused, named"):
            refused_to_start(Engine(), "another engine has address 10.77.0.1 on interface engine")
        with row("the first goes on"):
            assert client.lookup(1).status == "OK"
            first.stop()
            first.verify()


def test_corrupt_log_header(row):
    with Engine() as running, Client() as client:
        client.create(1, floor=wire.FLOOR_ISSUER)
        running.stop()
        segment = min(running.log.glob("*.wal"))
        with row("a segment's header overwritten: refused at start, named"):
            with open(segment, "r+b") as file:
                header = file.read(4096)
                file.seek(0)
                file.write(b"\xff" * 4096)
            refused_to_start(running, str(running.log), "segment")
        with row("restored, it starts"):
            with open(segment, "r+b") as file:
                file.write(header)
            running.start()
            assert client.lookup(1).status == "OK"
            running.stop()
