# SPDX-License-Identifier: Apache-2.0
"""The log's limits: a full disk, a second engine, a damaged block, an audit while it runs."""

import pathlib
import subprocess

import giro_wire as wire
import network
from client import Client
from engine import Engine, LoopDevice, wait_until

FILL_S = 6


class FileSystem:
    """An ext4 of `mib` MiB on a loop device, mounted."""

    def __init__(self, mib):
        self.loop = LoopDevice(mib)

    def __enter__(self):
        device = self.loop.__enter__()
        subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", device], check=True)
        self.path = pathlib.Path(f"{self.loop.file}-mount")
        self.path.mkdir()
        subprocess.run(["mount", device, self.path], check=True)
        (self.path / "log").mkdir()
        return self.path / "log"

    def __exit__(self, *details):
        subprocess.run(["umount", "-l", self.path], check=True)
        self.path.rmdir()
        self.loop.__exit__(*details)


def fill():
    """Loads the engine until its log is full: what it then refuses, the load keeps repeating."""
    network.in_client(network.BUILD / "client/giro-bench", "--server",
                      f"{network.ENGINE_ADDRESS}:{network.UDP_PORT}", "--ledger", 7, "--accounts",
                      1000, "--warm-up", 0, "--seconds", FILL_S, "--quiet", check=False)


def check_full(row, name, log):
    with Engine(log=log, log_segment_mib=8, shard_ids_per_second=60_000) as engine, \
            Client() as client:
        issuer, local = client.accounts_on(0, 2)
        cross = client.accounts_on(1, 1)[0]
        client.create(issuer, floor=wire.FLOOR_ISSUER)
        client.create(local)
        client.create(cross)
        done = [client.pay(issuer, credit, 1) for credit in (local, cross) * 11]
        fill()
        refused = wire.transfer_record(client.new_id(), issuer, local, 1, ledger=1)

        def check_books():
            assert client.lookup(local).balance == 11 and client.lookup(cross).balance == 11
            assert client.statuses(wire.TRANSFER, done) == ["OK"] * 22

        with row(f"{name}: new work is refused with BUSY"):
            assert client.statuses(wire.TRANSFER, [refused]) == ["BUSY"]
            assert client.statuses(wire.TRANSFER, [refused]) == ["BUSY"]
            status = client.transfer(client.new_id(), issuer, cross, 1, retry_busy=False)
            assert status == "BUSY", status
            wait_until(lambda: "the log has no room for new work" in engine.stderr(), 30,
                       "the operator to be told")
        with row(f"{name}: lookups and repeats go on"):
            check_books()
            assert client.lookup_transfer(wire.transfer_id(done[0]), issuer) == "OK"
        with row(f"{name}: the engine stops, verifies and starts again with all of it"):
            engine.stop()
            engine.verify()
            balances = engine.balances()
            assert (balances[issuer], balances[local], balances[cross]) == (-22, 11, 11)
            assert sum(balances.values()) == 0
            engine.start()
            check_books()
        with row(f"{name}: and is still full"):
            assert client.statuses(wire.TRANSFER, [refused]) == ["BUSY"]
            engine.kill()
            engine.verify(torn_tail=True)


def test_full_device(row):
    with LoopDevice(mib=48) as device:
        with row("a log on a device is not trimmed, and that is said"):
            done = subprocess.run([network.BUILD / "replay/giro-replay", "trim", device], text=True,
                                  capture_output=True)
            assert done.returncode == 1 and "cannot be trimmed" in done.stderr, done
        check_full(row, "full device", device)


def test_full_file_system(row):
    with FileSystem(mib=56) as log:
        check_full(row, "full file system", log)


def test_second_engine(row):
    with Engine() as first, Client() as client:
        client.create(1, floor=wire.FLOOR_ISSUER)
        with row("a second engine on the same log is refused by name"):
            second = Engine(log=first.log, port_address="10.77.0.3/24")
            second.launch()
            assert second.wait() not in (0, -9)
            assert str(first.log) in second.stderr(), second.stderr()
            assert "in use" in second.stderr() or "another" in second.stderr(), second.stderr()
        with row("the first one goes on"):
            assert client.lookup(1).status == "OK"
            first.stop()
            first.verify()


def test_torn_tail_and_corruption(row):
    with Engine(engine_shards=1) as engine, Client() as client:
        client.create(1, floor=wire.FLOOR_ISSUER)
        client.create(2)
        for _ in range(50):
            assert client.transfer(client.new_id(), 1, 2, 1) == "OK"
        engine.stop()
        with row("damage in a committed block: both refuse, naming the place"):
            segment, data = next(
                (file, data) for file in sorted(engine.log.iterdir())
                if file.stat().st_size > 1 << 20 and any(data := file.read_bytes()))
            # The middle of what was written, wherever that is: not the tail, not the header.
            used = max(index for index in range(0, len(data), 4096)
                       if any(data[index:index + 4096]))
            middle = used // 2 // 4096 * 4096
            with open(segment, "r+b") as file:
                file.seek(middle + 40)
                byte = file.read(1)
                file.seek(middle + 40)
                file.write(bytes([byte[0] ^ 0xFF]))
            done = engine.replay("verify", check=False)
            assert done.returncode != 0, done.stdout
            assert "offset" in done.stdout + done.stderr, done.stdout + done.stderr
            engine.launch()
            assert engine.wait() not in (0, -9)
            assert "offset" in engine.stderr() and "block" in engine.stderr(), engine.stderr()
        with row("mended, it is sound again"):
            with open(segment, "r+b") as file:
                file.write(data)
            engine.verify()
            assert engine.balances() == {1: -50, 2: 50}


def test_audit_of_a_running_engine(row):
    with Engine() as engine, Client() as client:
        client.create(1, floor=wire.FLOOR_ISSUER)
        client.create(2)
        with row("verify and balances read the log of a running engine"):
            for amount in (1, 2, 3):
                assert client.transfer(client.new_id(), 1, 2, amount) == "OK"
            engine.verify()
            assert sum(engine.balances().values()) == 0
        with row("dump shows records"):
            dumped = engine.replay("dump").stdout
            assert dumped.count("\n") > 5, dumped
        with row("balances of an earlier epoch"):
            record = wire.transfer_record(client.new_id(), 1, 2, 100, ledger=1)
            epoch = wire.decode_result(client.exchange(wire.TRANSFER, [record]).results[0]).epoch
            assert client.transfer(client.new_id(), 1, 2, 1000) == "OK"
            engine.stop()
            lines = engine.replay("balances", "--csv", "--at-epoch", epoch).stdout.splitlines()
            assert "2,106" in lines, lines
            assert engine.balances()[2] == 1106
