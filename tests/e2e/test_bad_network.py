# SPDX-License-Identifier: Apache-2.0
"""The clients behind a network that loses, repeats and reorders, while the engine is killed, and when
nothing answers: under valgrind, and built with ASan and UBSan. Their books must be right, and neither
may find a wrong access, a leak or undefined behaviour."""

import json
import os
import subprocess

import forwarder
import giro_wire as wire
import network
from client import Client
from engine import Engine, wait_until
from forwarder import Forwarder
from test_examples import uuid_text

SERVER = f"{forwarder.ADDRESS}:{network.UDP_PORT}"
FOUND = 77  # exit status of both when they found something
NO_OUTCOME = 3
SHARDS = 2

VALGRIND = ["valgrind", "--quiet", f"--error-exitcode={FOUND}", "--leak-check=full",
            "--errors-for-leak-kinds=definite,indirect,possible", "--track-fds=yes"]
SANITIZED = {
    "ASAN_OPTIONS": f"detect_leaks=1:detect_stack_use_after_return=1:exitcode={FOUND}",
    "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:exitcode={FOUND}",
}


class Judge:
    """How a client is run so that its errors are seen."""

    def __init__(self, name, build, prefix, environment):
        self.name, self.build, self.prefix = name, build, prefix
        self.environment = {**os.environ, **environment}

    def start(self, program, *words):
        return network.start_in_client(*self.prefix, self.build / "client" / program, *words,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, env=self.environment)

    @staticmethod
    def end(process, code=0, text=""):
        """Gives it `text`; returns what it printed."""
        output, errors = process.communicate(text, timeout=120)
        assert process.returncode == code, (
            f"ended with {process.returncode}, wanted {code}:\n{output[-1000:]}{errors[-3000:]}")
        return output

    def run(self, program, *words, code=0, text=""):
        return self.end(self.start(program, *words), code, text)


JUDGES = (Judge("valgrind", network.BUILD, VALGRIND, {}),
          Judge("ASan and UBSan", network.SANITIZED, [], SANITIZED))


def bench(engine, judge, seconds):
    """A load that is under way; and where it will write its result."""
    report = engine.folder / f"{judge.name.split()[0]}.json"
    process = judge.start("giro-bench", "--server", SERVER, "--accounts", 60, "--rate", 600,
                          "--in-flight", 64, "--batch", 4, "--warm-up", 0, "--seconds", seconds,
                          "--quiet", "--json", report)
    return process, report


def check_load(report, transfers):
    load = json.loads(report.read_text())
    assert load["transfers"] > transfers, load
    assert load["ledger"]["balances_match"] and load["ledger"]["sum_zero"], load
    assert load["network"]["retransmits"] > 0, load["network"]
    return load


def test_loss(row):
    with Engine(engine_shards=SHARDS) as engine:
        for judge in JUDGES:
            with row(f"{judge.name}: a load through loss, repetition and reordering"), \
                    Forwarder(SHARDS, seed=7) as between:
                process, report = bench(engine, judge, seconds=2)
                judge.end(process)
                load = check_load(report, 200)
                assert load["ledger"]["in_doubt"] == 0, load
                between.check()
            with row(f"{judge.name}: an event loop through the same"), \
                    Forwarder(SHARDS, seed=8) as between:
                judge.run("examples/giro-example-pay", SERVER)
                with Client() as client:
                    ids = [uuid_text(client.new_id()) for _ in range(3000)]
                lines = "".join(f"{identity} 1 1002 1 1\n" for identity in ids)
                found = judge.run("examples/giro-example-loop", SERVER, text=lines)
                outcomes = dict(line.split() for line in found.splitlines())
                assert outcomes == dict.fromkeys(ids, "OK"), len(outcomes)
                between.check()
        engine.stop()
        engine.verify()
        assert sum(engine.balances().values()) == 0


def test_restart(row):
    with Engine(engine_shards=SHARDS) as engine:
        for judge in JUDGES:
            with row(f"{judge.name}: the engine is killed twice under a load, through loss"), \
                    Forwarder(SHARDS, share=0.04, seed=9) as between:
                process, report = bench(engine, judge, seconds=5)
                for _ in range(2):
                    before = between.back.counts["datagrams"]
                    wait_until(lambda: between.back.counts["datagrams"] > before + 100
                               or process.poll() is not None, 60, "load")
                    assert process.poll() is None, "the load ended before the kill"
                    engine.kill()
                    engine.start()
                judge.end(process)
                check_load(report, 300)
        engine.stop()
        engine.verify()
        assert sum(engine.balances().values()) == 0


def test_time_out(row):
    with Engine(engine_shards=SHARDS) as engine:
        with Client() as client:
            client.create(1, floor=wire.FLOOR_ISSUER)
            client.create(2)
        for judge in JUDGES:
            with Forwarder(SHARDS, share=0) as between:
                words = ("giro", "--server", SERVER, "--timeout", 1)
                between.only_info = True
                with row(f"{judge.name}: only INFO is answered: a transfer without outcome"):
                    identity = judge.run(*words, "transfer", 1, 2, 7, "--ledger", 1,
                                         code=NO_OUTCOME).split()[0]
                between.only_info = False
                with row(f"{judge.name}: the same id finds out, once"):
                    for _ in range(2):
                        judge.run(*words, "transfer", 1, 2, 7, "--ledger", 1, "--id", identity)
            with row(f"{judge.name}: nothing listens"):
                judge.run(*words, "account", "show", 1, code=NO_OUTCOME)
        with Client() as client:
            assert client.lookup(2).balance == 7 * len(JUDGES)
