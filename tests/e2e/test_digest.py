# SPDX-License-Identifier: Apache-2.0
"""A running engine against its log: digests asked for while it works, a bit of its memory turned over,
and logs that are not the engine's.
"""

import concurrent.futures
import contextlib
import ctypes
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import threading

import giro_wire as wire
import network
import telemetry
from client import Client
from engine import Engine, wait_until

SHARDS = 4
ASKED = 5
HEX = re.compile(r"[0-9a-f]{32}\Z")

SOUND, TORN, CORRUPT, DIVERGED, UNREADABLE = 0, 2, 3, 4, 5


def diff(engine, *options, log=None, target=None, wanted=SOUND):
    """giro-replay diff LOG --engine: its report."""
    done = subprocess.run(
        [network.BUILD / "replay/giro-replay", "diff", log or engine.log, "--engine",
         target or engine.prefix, "--json", *map(str, options)],
        text=True, capture_output=True, timeout=120)
    assert done.returncode == wanted, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return json.loads(done.stdout) if done.stdout else done.stderr


def different(report):
    return [shard["shard"] for shard in report["shards"] if not shard["equal"]]


@contextlib.contextmanager
def load(rate):
    process = network.start_in_client(
        network.BUILD / "client/giro-bench", "--server",
        f"{network.ENGINE_ADDRESS}:{network.UDP_PORT}", "--accounts", "500", "--rate", str(rate),
        "--cross", "0.5", "--warm-up", "0.1", "--seconds", "200", "--quiet",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def done(engine):
    return telemetry.ask(engine, "/giro/results")["OK"]


def test_digest(row):
    with Engine(engine_shards=SHARDS, shard_ids_per_second=100_000, shard_window_s=4,
                shard_ahead_s=2) as engine:
        with row("an engine that has done nothing is what its log says"):
            report = diff(engine)
            assert len(report["shards"]) == SHARDS and report["shards_different"] == 0, report
            assert report["pid"] == engine.process.pid and report["blocks"] >= 1
        with load(3000):
            wait_until(lambda: done(engine) > 3000, 60, "load")
            with row("under load, again and again: sound, at later and later epochs"):
                asked_again_and_again(engine)
            with row("from a checkpoint, and from the first byte"):
                engine.replay("checkpoint")
                assert diff(engine)["from_checkpoint"]
                assert not diff(engine, "--checkpoints", "none")["from_checkpoint"]
            with row("for people, and at a socket that is named"):
                for_people(engine)
        with row("at rest, and when ids have been forgotten without a record"):
            at = telemetry.ask(engine, "/giro/epoch")["time_ms"]
            assert diff(engine)["shards_different"] == 0
            wait_until(lambda: telemetry.ask(engine, "/giro/epoch")["time_ms"] > at + 6000, 60,
                       "the window to pass")
            assert diff(engine)["shards_different"] == 0
        with row("each request is a line of the engine's own messages"):
            said = re.findall(r"digests were asked for: epoch (\d+), .*? 3:([0-9a-f]{32})",
                              engine.stderr())
            answer = telemetry.ask(engine, "/giro/digest")
            assert len(said) > ASKED and int(said[-1][0]) < answer["epoch"], said
            wait_until(lambda: f"epoch {answer['epoch']}, " in engine.stderr()
                       and f" 3:{answer['digests'][3]}" in engine.stderr(), 10, "the line")
        with row("a parameter is refused"):
            assert telemetry.ask(engine, "/giro/digest,1") is None
        with row("it stops and starts as ever"):
            engine.stop()
            assert "sound" in engine.verify()
            engine.start()
            assert diff(engine)["shards_different"] == 0


def asked_again_and_again(engine):
    before = 0
    for _ in range(ASKED):
        count = done(engine)
        report = diff(engine)
        assert report["verdict"] == "sound" and report["epoch"] > before, report
        assert different(report) == [] and "first_divergence" not in report
        assert all(HEX.match(shard[key]) for shard in report["shards"]
                   for key in ("expected", "found"))
        before = report["epoch"]
        wait_until(lambda: done(engine) > count + 300, 60, "more load")


def for_people(engine):
    text = subprocess.run(
        [network.BUILD / "replay/giro-replay", "diff", engine.log, "--engine",
         telemetry.socket_path(engine)], text=True, capture_output=True, timeout=120)
    assert text.returncode == 0 and text.stdout.endswith("verdict           sound\n"), text
    assert len(re.findall(r"^shard \d+ +[0-9a-f]{32}, equal$", text.stdout, re.M)) == SHARDS, text


# A worker that does not run.

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long] * 4
_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000


def _ptrace(request, thread):
    if _libc.ptrace(request, thread, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


@contextlib.contextmanager
def stopped_worker(engine):
    """One thread of the engine stands still inside the block; all others go on."""
    tasks = pathlib.Path(f"/proc/{engine.process.pid}/task")
    thread = next(int(task.name) for task in sorted(tasks.iterdir())
                  if "worker" in (task / "comm").read_text())
    _ptrace(_SEIZE, thread)
    try:
        _ptrace(_INTERRUPT, thread)
        os.waitpid(thread, _WALL)
        yield
    finally:
        _ptrace(_DETACH, thread)


def ask_long(engine):
    return telemetry.ask(engine, "/giro/digest", seconds=60)


def test_stalled(row):
    with Engine(engine_shards=SHARDS) as engine, Client() as client, \
            concurrent.futures.ThreadPoolExecutor(2) as pool:
        wallets = fill(client)
        with row("a worker stands still: the request waits, others are refused, all else is answered"):
            with stopped_worker(engine):
                both = [pool.submit(ask_long, engine) for _ in range(2)]
                refused, waiting = concurrent.futures.wait(
                    both, timeout=20, return_when=concurrent.futures.FIRST_COMPLETED)
                assert len(refused) == 1, "one of them"
                assert "under way" in refused.pop().result()["error"]
                assert telemetry.ask(engine, "/giro/epoch")["open"] > 0
                assert "under way" in diff(engine, wanted=UNREADABLE)
                first = waiting.pop()
                assert not first.done()
            assert len(first.result()["digests"]) == SHARDS
            assert diff(engine)["shards_different"] == 0
        with row("it stands still for too long: who asked is told, and can ask again afterwards"):
            with stopped_worker(engine):
                late = ask_long(engine)
                assert "within the time limit" in late["error"], late
                assert "under way" in ask_long(engine)["error"], "the first is not done yet"
            wait_until(lambda: "digests" in ask_long(engine), 20, "digests")
            assert "not given: no digests within the time limit" in engine.stderr()
            client.pay(wallets[0], wallets[1], 1)
            assert diff(engine)["shards_different"] == 0


# A bit of the engine's memory turns over.

def account_line(account, balance, floor=0, ledger=1):
    """An account as shard/account.h lays it out, nothing under way."""
    return struct.pack("<QQqQQqIIQ", account & (1 << 64) - 1, account >> 64, balance, 0, 0, floor,
                       ledger, 0, 0)


def plant(engine, account, balance, planted):
    """Changes the balance of an account in the memory of the engine, and nothing else."""
    line = account_line(account, balance)
    with open(f"/proc/{engine.process.pid}/maps") as maps, \
            open(f"/proc/{engine.process.pid}/mem", "r+b", buffering=0) as memory:
        for entry in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", entry)
            if not found:
                continue
            start, end = (int(number, 16) for number in found.groups())
            for address in range(start, end, 1 << 22):
                with contextlib.suppress(OSError):
                    memory.seek(address)
                    at = memory.read(min(1 << 22, end - address)).find(line)
                    if at >= 0:
                        memory.seek(address + at + 16)
                        memory.write(struct.pack("<q", planted))
                        return
    raise AssertionError(f"account {account} is not in the engine's memory")


def fill(client):
    """An issuer, and an account of 1000 on each shard."""
    issuer = client.accounts_on(0, 1)[0]
    wallets = [client.accounts_on(shard, 2)[1] for shard in range(SHARDS)]
    client.create(issuer, floor=wire.FLOOR_ISSUER)
    for wallet in wallets:
        client.create(wallet)
        client.pay(issuer, wallet, 1000)
    return wallets


def test_memory(row):
    with Engine(engine_shards=SHARDS) as engine, Client() as client:
        wallets = fill(client)
        opened = diff(engine)
        with row("a bit of an account in the engine's memory: its shard is named, the log is right"):
            plant(engine, wallets[2], 1000, 1000 | 1 << 20)
            assert client.lookup(wallets[2]).balance == 1000 | 1 << 20, "it was the account"
            report = diff(engine, wanted=DIVERGED)
            assert different(report) == [2] and report["shards_different"] == 1, report
            assert report["log_proved"] and report["log_verdict"] == "sound", report
            assert "engine's memory, shard 2," in report["first_divergence"], report
            assert f"behind epoch {opened['opened_epoch']} " in report["first_divergence"]
            assert f"not behind epoch {report['epoch']};" in report["first_divergence"]
            assert "SIGKILL" in report["what_to_do"], report
        with row("killed and started again, as it was told, it has what the log says"):
            engine.kill()
            engine.start()
            client.refresh()
            assert client.lookup(wallets[2]).balance == 1000
            assert diff(engine)["shards_different"] == 0
        with row("a wrong outcome that was logged: the log itself names the first one"):
            plant(engine, wallets[1], 1000, 1000 | 1 << 20)
            client.pay(wallets[0], wallets[3], 1)
            client.pay(wallets[1], wallets[0], 5000)
            client.pay(wallets[0], wallets[3], 1)
            report = diff(engine, wanted=DIVERGED)
            assert report["log_verdict"] == "DIVERGED", report
            assert "in the log itself" in report["first_divergence"], report
            assert "shard 1" in report["first_divergence"], report
            assert "INSUFFICIENT_FUNDS" in report["first_divergence"] or \
                "the log says TRANSFER" in report["first_divergence"], report
            assert "keep the log" in report["what_to_do"], report


# Answers that do not fit the log.

@contextlib.contextmanager
def stand_in(answers):
    """A telemetry socket that gives these answers, {command: object}."""
    path = network.SCRATCH / "stand-in"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        listener.listen()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    with listener.accept()[0] as connection:
                        connection.send(b'{"version":"DPDK 22.11","pid":7,"max_output_len":16384}')
                        while asked := connection.recv(4096).decode():
                            connection.send(json.dumps({asked: answers.get(asked)}).encode())

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            path.unlink()


OTHER = "0123456789abcdef"


def answers_that_do_not_fit(info, digest):
    """(name, /giro/info, /giro/digest, exit status, what is said)"""
    def but(**changed):
        return {**digest, **changed}

    flipped = ["0" * 32, *digest["digests"][1:]]
    return [
        ("the engine's own", info, digest, SOUND, ""),
        ("another log's", {**info, "log_id": OTHER}, digest, DIVERGED, "not the log of this engine"),
        ("of more shards", info, but(digests=digest["digests"] * 2), DIVERGED,
         "not the log of this engine"),
        ("of another last block", info, but(chain=OTHER * 2), DIVERGED,
         "is not the one that the engine wrote"),
        ("of more blocks than there are", info, but(blocks=digest["blocks"] + 1000), CORRUPT,
         "the engine has made block"),
        ("of another state", info, but(digests=flipped), DIVERGED, "engine's memory, shard 0,"),
        ("a refusal", info, {"error": "other digests are under way"}, UNREADABLE, "under way"),
        ("no digest", info, None, UNREADABLE, "/giro/digest"),
        ("no digests in it", info, but(digests=[]), UNREADABLE, "not understood"),
        ("digests that are none", info, but(digests=["x" * 32] * SHARDS), UNREADABLE,
         "not understood"),
        ("a digest that is too short", info, but(digests=["0" * 31] * SHARDS), UNREADABLE,
         "not understood"),
        ("an epoch below zero", info, but(epoch=-1), UNREADABLE, "not understood"),
        ("an epoch in words", info, but(epoch="one"), UNREADABLE, "not understood"),
        ("more shards than there can be", info, but(digests=["0" * 32] * 65), UNREADABLE,
         "not understood"),
        ("no log id", {}, digest, UNREADABLE, "not understood"),
    ]


def test_answers(row):
    with Engine(engine_shards=SHARDS) as engine, Client() as client:
        wallets = fill(client)
        old = engine.folder / "old"
        shutil.copytree(engine.log, old)
        for amount in range(1, 20):
            client.pay(wallets[amount % SHARDS], wallets[0 if amount % SHARDS else 1], amount)
        info, digest = (telemetry.ask(engine, f"/giro/{name}") for name in ("info", "digest"))
        for name, told, answer, status, said in answers_that_do_not_fit(info, digest):
            with row(f"an answer that is {name}"), \
                    stand_in({"/giro/info": told, "/giro/digest": answer}) as path:
                report = diff(engine, target=path, wanted=status)
                assert said in (json.dumps(report) if isinstance(report, dict) else report), report
        with row("an old copy of the log"):
            report = diff(engine, log=old, wanted=CORRUPT)
            assert "the log ends behind block" in report["first_divergence"], report
        with row("digests of before, when the log has gone on: only what was asked for is read"), \
                stand_in({"/giro/info": info, "/giro/digest": digest}) as path:
            for _ in range(3):
                client.pay(wallets[0], wallets[1], 1)
            report = diff(engine, target=path)
            assert report["blocks"] == digest["blocks"], report
            engine.kill()
            engine.start()
            # The new start's epochs begin behind the last block, which may be below the digests'.
            assert diff(engine, target=path)["shards_different"] == 0
        with row("no engine, and one that is gone"):
            assert "no running giro-engine" in diff(engine, target="nobody", wanted=UNREADABLE)
            engine.stop()
            assert "no running giro-engine" in diff(engine, wanted=UNREADABLE)
            assert "no engine at" in diff(engine, target=telemetry.socket_path(engine),
                                          wanted=UNREADABLE)
