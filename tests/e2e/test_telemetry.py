# SPDX-License-Identifier: Apache-2.0
"""What an engine tells of itself, and everyone who reads it: dpdk-telemetry.py, giro-exporter, giro
top. Each number is compared with what was done to the engine.
"""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import socket
import subprocess
import termios
import threading
import time

import frames
import giro_wire as wire
import network
import telemetry
from client import Client, command
from engine import Engine, wait_until

STAGES = ("rx", "decode", "apply", "ring", "seal", "tx", "idle")


def total(parts, key):
    return sum(part[key] for part in parts)


def do_known_things(client):
    """7 local transfers, 5 across shards, 2 refused, 1 repeated, on 5 accounts."""
    issuer, *local = client.accounts_on(0, 3, first=1)
    other = client.accounts_on(1, 2, first=1)
    client.create(issuer, floor=wire.FLOOR_ISSUER)
    for account in (*local, *other):
        client.create(account)
    repeated = client.new_id()
    statuses = [client.transfer(client.new_id(), issuer, local[0], 100) for _ in range(6)]
    statuses += [client.transfer(client.new_id(), issuer, account, 10)
                 for account in (*other, *other, other[0])]
    statuses += [client.transfer(repeated, local[0], local[1], 5) for _ in range(2)]
    assert statuses == ["OK"] * 13, statuses
    for _ in range(2):
        status = client.transfer(client.new_id(), local[0], local[1], 10**9)
        assert status == "INSUFFICIENT_FUNDS", status


def test_numbers(row):
    with Engine() as engine, Client() as client:
        do_known_things(client)
        with row("dpdk-telemetry.py reads it as it is"):
            done = subprocess.run(["/usr/bin/dpdk-telemetry.py", "-f", engine.prefix], text=True,
                                  input="/giro/epoch\n/giro/worker,1\n/giro/digest\nquit\n",
                                  timeout=20,
                                  capture_output=True)
            answers = [json.loads(line) for line in done.stdout.splitlines()
                       if line.startswith('{"/giro')]
            assert answers[0]["/giro/epoch"]["committed"] > 0, done.stdout
            assert answers[1]["/giro/worker"]["loops"] > 0, done.stdout
            assert len(answers[2]["/giro/digest"]["digests"]) == 2, done.stdout
        with row("every command is listed and answers; a number too many is refused"):
            listed = [name for name in ask_list(engine) if name.startswith("/giro/")]
            assert sorted(listed) == ["/giro/digest", "/giro/epoch", "/giro/info", "/giro/log", "/giro/port",
                                      "/giro/results", "/giro/shard", "/giro/worker"], listed
            assert all(telemetry.ask(engine, name) for name in listed)
            for wrong in ("/giro/worker,2", "/giro/shard,2", "/giro/shard,x", "/giro/shard,-1"):
                assert telemetry.ask(engine, wrong) is None, wrong
        with row("transfers, accounts, statuses and events are those that were done"):
            shards = telemetry.ask_each(engine, "/giro/shard")
            assert total(shards, "event/local_done") == 7
            assert total(shards, "event/cross_confirmed") == 5
            assert total(shards, "event/repeat") == 1
            assert total(shards, "accounts") == 5
            # A row keeps its id in the window too; an account's creation has an id as well.
            assert total(shards, "window_ids") == 7 + 5 + 2 + 5, shards
            results = telemetry.ask(engine, "/giro/results")
            # 12 transfers, 1 repeat and 5 creations.
            assert (results["OK"], results["INSUFFICIENT_FUNDS"]) == (18, 2), results
            assert sum(results.values()) == 20, results
        with row("every datagram has a reply, each with its time in the engine"):
            workers = telemetry.ask_each(engine, "/giro/worker")
            assert total(workers, "datagrams") == total(workers, "replies") == 20
            assert sum(sum(worker["latency"]) for worker in workers) == 20
            assert total(workers, "latency_sum_ns") > 20 * 1000
            assert total(workers, "held") == total(workers, "requests") == 0
            frames_received = sum(size * count for worker in workers
                                  for size, count in enumerate(worker["bursts"], 1))
            assert frames_received == telemetry.ask(engine, "/giro/port")["received"]
            assert all(worker[f"cycles/{stage}"] > 0 for stage in ("apply", "tx", "idle", "seal")
                       for worker in workers), workers
        with row("blocks, their latencies, and the epoch they made durable"):
            log = telemetry.ask(engine, "/giro/log")
            # The opening block came before the log writer's thread began to measure.
            assert sum(log["latency"]) + log["in_flight"] == log["blocks"] - 1, log
            assert log["bytes"] % 4096 == 0 and log["has_space"] == 1
            epoch = telemetry.ask(engine, "/giro/epoch")
            assert 1 <= epoch["lag"] <= epoch["slots"]
        with row("what is dropped is counted under its reason"):
            drops_are_counted(engine)
        with row("what recovery replays is not this engine's work"):
            engine.stop()
            engine.start()
            shards = telemetry.ask_each(engine, "/giro/shard")
            assert total(shards, "accounts") == 5 and total(shards, "event/local_done") == 0
            assert sum(telemetry.ask(engine, "/giro/results").values()) == 0


def ask_list(engine):
    """The commands that EAL knows."""
    return telemetry.ask(engine, "/")


def drops_are_counted(engine):
    before = telemetry.ask(engine, "/giro/port")
    udp = network.udp_socket()
    for _ in range(3):
        udp.sendto(b"no giro at all, but as long as a header is", (network.ENGINE_ADDRESS, 7400))
    for _ in range(2):
        udp.sendto(b"x" * 40, (network.ENGINE_ADDRESS, 7399))
    raw = network.raw_socket(frames.ARP)
    raw.send(frames.ethernet(b"\x02" * 6, network.client_mac(), frames.ARP, bytes(46)))

    def grown(reason):
        return telemetry.ask(engine, "/giro/port")[f"drop/{reason}"] - before[f"drop/{reason}"]

    wanted = {"datagram_magic": 3, "udp_port": 2, "other_mac": 1}
    wait_until(lambda: {reason: grown(reason) for reason in wanted} == wanted, 10,
               f"drops of {wanted}")
    udp.close()
    raw.close()


def test_exporter(row):
    with Engine() as engine, Client() as client, telemetry.exporter(engine) as url:
        do_known_things(client)
        with row("its metrics are in Prometheus' format and are the engine's numbers"):
            found = telemetry.metrics(url)
            assert telemetry.value(found, "giro_up") == 1
            assert telemetry.value(found, "giro_transfers_total", kind="local") == 7
            assert telemetry.value(found, "giro_transfers_total", kind="cross") == 5
            assert telemetry.value(found, "giro_transfers_total") == 12
            assert telemetry.value(found, "giro_results_total", status="OK") == 18
            assert telemetry.value(found, "giro_shard_accounts") == 5
            assert telemetry.histogram(found, "giro_request_seconds", "_count") == 20
            assert telemetry.histogram(found, "giro_worker_burst_frames", "_sum") == \
                telemetry.value(found, "giro_port_frames_total", kind="received")
        with row("time by stage is the time that passed"):
            stages_fill_the_time(url)
        with row("a page of its own, and the reading it is made from"):
            status, headers, page = telemetry.fetch(url)
            assert status == 200 and headers["Content-Type"].startswith("text/html")
            assert not re.search(r'(?:src|href)="(?!data:)', page) and "@import" not in page
            reading = json.loads(telemetry.fetch(url + "status.json")[2])
            assert len(reading["shards"]) == len(reading["workers"]) == 2
            assert total(reading["shards"], "event/local_done") == 7
        with row("anything else is refused"):
            assert telemetry.fetch(url + "metrics", "POST", b"a=1")[0] == 405
            assert telemetry.fetch(url + "etc/passwd")[0] == 404
            assert telemetry.fetch(url + "metrics", "HEAD")[::2] == (200, "")
        with row("it survives the engine, and finds the next one"):
            engine.stop()
            wait_until(lambda: telemetry.value(telemetry.metrics(url), "giro_up") == 0, 10,
                       "giro_up 0")
            status, _, text = telemetry.fetch(url + "status.json")
            assert status == 503 and "no engine at" in json.loads(text)["error"], text
            engine.start()
            wait_until(lambda: telemetry.value(telemetry.metrics(url), "giro_up") == 1, 10,
                       "giro_up 1")
    with row("without --socket it finds the engine by its prefix"):
        with Engine() as engine, telemetry.exporter(engine, "--file-prefix", engine.prefix) as url:
            assert telemetry.value(telemetry.metrics(url), "giro_up") == 1


def stages_fill_the_time(url):
    """Over a while, the stages of each worker add up to the time between two readings."""
    def look():
        reading = json.loads(telemetry.fetch(url + "status.json")[2])
        return reading["at_ms"], [sum(worker[f"cycles/{stage}"] for stage in STAGES)
                                  for worker in reading["workers"]], reading["info"]["tsc_hz"]

    first_ms, first, hz = look()
    wait_until(lambda: look()[0] >= first_ms + 1500, 10, "time")
    last_ms, last, _ = look()
    passed = (last_ms - first_ms) / 1000
    for before, after in zip(first, last):
        # Workers close their accounts once a turn, and are read one after the other.
        assert abs((after - before) / hz - passed) < 0.2 * passed, (before, after, passed)


# Whoever listens there, a reader must not break.

HELLO = b'{"version":"DPDK 22.11","pid":1,"max_output_len":16384}'


@contextlib.contextmanager
def stranger(hello, answer):
    """A telemetry socket that greets with `hello` and answers every command the same; None: not at
    all."""
    network.SCRATCH.mkdir(parents=True, exist_ok=True)
    path = network.SCRATCH / "stranger"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, \
            contextlib.ExitStack() as taken:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        listener.listen()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection = taken.enter_context(listener.accept()[0])
                    if hello is not None:
                        connection.send(hello)
                    while connection.recv(4096) and answer is not None:
                        connection.send(answer)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            path.unlink()


STRANGERS = [
    ("greets with nothing", None, None, "does not answer"),
    ("greets with no JSON", b"SSH-2.0-OpenSSH", None, "no JSON object"),
    ("greets with JSON that is no object", b"[1,2]", None, "no JSON object"),
    ("is DPDK, but not giro", HELLO, b'{"/giro/info":null}', "no giro-engine"),
    ("answers with an array", HELLO, b'{"/giro/info":[1]}', "no giro-engine"),
    ("answers with nothing in it", HELLO, b"{}", "no giro-engine"),
    ("answers without an end", HELLO, b'{"/giro/info":{"workers":', "no JSON object"),
    ("answers too much", HELLO, b"[" + b" " * 100_000, "too long"),
    ("claims a million workers", HELLO, b'{"/giro/info":{"workers":1000000}}', "claims 1000000"),
    ("claims less than none", HELLO, b'{"/giro/info":{"workers":-1}}', "claims -1"),
    ("claims words", HELLO, b'{"/giro/info":{"workers":"4","shards":{}}}', None),
]


def test_strangers(row):
    for name, hello, answer, wanted in STRANGERS:
        with row(f"a socket that {name}"), stranger(hello, answer) as path, \
                telemetry.exporter(None, "--socket", path) as url:
            done = subprocess.run([*command()[:1], "top", "--once", "--json", "--delay", "0.1",
                                   "--socket", path], text=True, capture_output=True, timeout=30)
            status, _, text = telemetry.fetch(url + "status.json")
            found = telemetry.fetch(url + "metrics")[2]
            if wanted is None:
                assert (done.returncode, status) == (0, 200), done.stderr
            else:
                assert done.returncode == 3 and wanted in done.stderr, done
                assert status == 503 and wanted in json.loads(text)["error"], text
                assert "\ngiro_up 0\n" in found, found


# giro top

def top(engine, *options, wanted=0):
    done = subprocess.run([*command()[:1], "top", "--socket", telemetry.socket_path(engine),
                           *map(str, options)], text=True, capture_output=True, timeout=60)
    assert done.returncode == wanted, done.stderr
    return done.stdout


@contextlib.contextmanager
def load(rate, cross=0.25):
    """giro-bench at a steady rate until the block ends."""
    process = network.start_in_client(
        network.BUILD / "client/giro-bench", "--server",
        f"{network.ENGINE_ADDRESS}:{network.UDP_PORT}", "--accounts", "500", "--rate", str(rate),
        "--cross", str(cross), "--warm-up", "0.1", "--seconds", "60", "--quiet",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_top(row):
    with Engine(shard_ids_per_second=100_000, shard_window_s=10, engine_shards=4) as engine:
        with load(2000):
            with row("--once --json under load gives the rate of the load"):
                wait_until(lambda: telemetry.ask(engine, "/giro/results")["OK"] > 2000, 30, "load")
                look = json.loads(top(engine, "--once", "--json", "--delay", 2))
                assert 1500 < look["transfers_per_s"] < 2500, look
                assert abs(sum(shard["transfers_per_s"] for shard in look["shards"])
                           - look["transfers_per_s"]) < 1
                assert 0.15 < sum(shard["cross_per_s"] for shard in look["shards"]) \
                    / look["transfers_per_s"] < 0.35
                assert len(look["workers"]) == 4
                assert all(0 < worker["busy"] < 1 for worker in look["workers"])
                assert 0 < look["latency"]["p50_ns"] <= look["latency"]["p99_ns"] < 10**10
                assert 0 < look["log"]["write"]["p50_ns"] < 10**10
            with row("a terminal of 80x24: all of it fits, q ends it"):
                screen_fits(engine, 80, 24, ("transfers", "SHARD", "CORE", "p99.9"))
            with row("a terminal of 60x10 and one of 20x3: what fits is shown"):
                screen_fits(engine, 60, 10, ("transfers", "CORE"))
                screen_fits(engine, 20, 3, ("transfers",))
        with row("--once without --json is a screen without a terminal's codes"):
            text = top(engine, "--once", "--delay", 0.2)
            assert "\033" not in text and max(map(len, text.splitlines())) <= 80, text
        with row("the command line"):
            top(engine, "--delay", "x", wanted=2)
            top(engine, "--delay", 0, wanted=2)
            top(engine, wanted=2)  # no terminal
        engine.stop()
        with row("without an engine it says so"):
            top(engine, "--once", wanted=3)


class Terminal:
    """giro top on a pseudo terminal, with what it drew as lines."""

    def __init__(self, engine, columns, lines):
        self.columns, self.lines = columns, lines
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            # Until the size is set, nothing is drawn.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            program = str(network.BUILD / "client/giro")
            os.execv(program, [program, "top", "--delay", "0.5", "--socket",
                               str(telemetry.socket_path(engine))])
        self.text = ""

    def read(self):
        while select.select([self.file], [], [], 0.05)[0]:
            try:
                data = os.read(self.file, 65536)
            except OSError:  # it ended
                return
            if not data:
                return
            self.text += data.decode()

    def screens(self):
        """Whole screens, oldest first, each a list of lines without codes."""
        self.read()
        parts = self.text.split("\033[H")[1:]
        return [re.sub(r"\033\[[0-9;?]*[a-zA-Z]", "", part.split("\033[J")[0]).split("\r\n")
                for part in parts if "\033[J" in part]

    def end(self):
        """Presses q; returns the exit status, or None when it goes on."""
        os.write(self.file, b"q")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = None
                return os.waitstatus_to_exitcode(status)
        return None

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.file)


def screen_fits(engine, columns, lines, words):
    terminal = Terminal(engine, columns, lines)
    try:
        wait_until(lambda: any("transfers" in line for screen in terminal.screens()
                               for line in screen), 20, "a screen with numbers")
        wait_until(lambda: len(terminal.screens()) >= 4, 20, "four screens")
        for screen in terminal.screens():
            assert len(screen) <= lines, f"{len(screen)} lines of {lines}: {screen}"
            for line in screen:
                assert len(line) <= columns and line.isascii(), f"{len(line)} columns: {line!r}"
        last = "\n".join(terminal.screens()[-1])
        assert all(word in last for word in words), last
        assert terminal.end() == 0, "q did not end it"
        assert terminal.text.endswith("\033[?25h\033[?1049l"), terminal.text[-60:]
    finally:
        terminal.close()
