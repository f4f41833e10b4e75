# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/operations.md, "Backup and restore", on a log that an engine writes to."""

import re
import shutil
import subprocess
import time

import giro_wire as wire
import network
from client import Client
from engine import Engine, wait_until

LOAD_S = 6
SETTINGS = {"log_segment_mib": 4, "log_buffer_kib": 128, "shard_ids_per_second": 200_000,
            "shard_window_s": 20}
CORRUPT = 3


def backup_commands(log, backup):
    """The document's own lines, with these folders, and without the audit that they end with."""
    text = (network.ROOT / "docs/operations.md").read_text()
    section = text[text.index("**A directory, while the engine runs.**"):]
    block = re.search(r"(?m)^(?:    .*\n)+", section)[0]
    assert "/var/lib/giro/log" in block and "/backup/log" in block, block
    copying, audit = block.rsplit("\n", 2)[:2]
    assert audit.split() == ["giro-replay", "verify", "/backup/log"], audit
    return copying.replace("/var/lib/giro/log", str(log)).replace("/backup/log", str(backup))


def start_load():
    return network.start_in_client(
        network.BUILD / "client/giro-bench", "--server",
        f"{network.ENGINE_ADDRESS}:{network.UDP_PORT}", "--ledger", 7, "--accounts", 1000,
        "--warm-up", 0, "--seconds", LOAD_S, "--quiet", stdout=subprocess.DEVNULL)


def copy_again_where_corrupt(engine, copy):
    """The segment in which blocks arrived while it was read, until it is full or the load has ended."""
    deadline = time.monotonic() + 60
    copied = set()
    while (done := copy.replay("verify", check=False)).returncode == CORRUPT:
        assert time.monotonic() < deadline, done.stdout + done.stderr
        segment = int(re.search(r"segment (\d+)", done.stdout + done.stderr)[1])
        copied.add(segment)
        assert len(copied) == 1, f"segments {copied} were copied wrong: {done.stdout}{done.stderr}"
        shutil.copy(engine.log / f"{segment:020}.wal", copy.log)


def test_backup_under_load(row):
    with Engine(**SETTINGS) as engine, Client() as client:
        issuer, credit = client.accounts_on(0, 2)
        client.create(issuer, floor=wire.FLOOR_ISSUER)
        client.create(credit)
        for _ in range(10):
            client.pay(issuer, credit, 1)
        backup = engine.folder / "backup"
        backup.mkdir()
        load = start_load()
        wait_until(lambda: len(list(engine.log.glob("*.wal"))) > 12 or load.poll() is not None, 60,
                   "segments of the load")
        with row("copied under load, newest segment first: the copy is sound"):
            assert load.poll() is None, "the load ended before the backup"
            subprocess.run(["bash", "-euc", backup_commands(engine.log, backup)], check=True)
            assert load.poll() is None, "the load ended during the backup"
            copy = Engine(log=backup, **SETTINGS)
            copy_again_where_corrupt(engine, copy)
            copy.verify(torn_tail=True)
        load.wait(60)
        engine.stop()
        with row("an engine on the restored copy goes on from it"):
            with copy, Client() as again:
                assert again.lookup(credit).balance == 10
                again.pay(issuer, credit, 1)
                copy.stop()
                copy.verify()
                assert sum(copy.balances().values()) == 0
