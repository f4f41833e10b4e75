# SPDX-License-Identifier: Apache-2.0
"""The giro command and giro-bench as a person at a terminal meets them."""

import json
import re

import network
from client import command
from engine import Engine

DONE, REFUSED, USAGE, NO_OUTCOME = range(4)


def giro(*words, wanted=DONE):
    """Runs `giro`; returns what it printed, both streams together."""
    done = network.in_client(*command(*words), check=False)
    text = done.stdout + done.stderr
    assert done.returncode == wanted, f"giro {words} ended with {done.returncode}: {text}"
    return text


def balance(account):
    return int(re.search(r"balance\s+(-?\d+)", giro("account", "show", account))[1])


def test_a_transfer_in_one_minute(row):
    with Engine() as engine:
        with row("info and ping"):
            assert re.search(r"shards\s+2", giro("info"))
            assert "3 of 3 answered" in giro("ping", 3)
        with row("accounts, money in, money on"):
            giro("account", "create", 1, "--ledger", 1, "--floor", "issuer")
            giro("account", "create", 1001, "--ledger", 1)
            giro("account", "create", 1002, "--ledger", 1)
            giro("transfer", 1, 1001, 5000, "--ledger", 1)
            identity = giro("transfer", 1001, 1002, 1250, "--ledger", 1).split()[0]
            assert (balance(1001), balance(1002)) == (3750, 1250)
        with row("the same id pays once and is found again"):
            giro("transfer", 1001, 1002, 1250, "--ledger", 1, "--id", identity)
            assert (balance(1001), balance(1002)) == (3750, 1250)
            giro("transfer", "show", identity, 1001)
        with row("a refusal has a name and a status"):
            text = giro("transfer", 1001, 1002, 99999, "--ledger", 1, wanted=REFUSED)
            assert "INSUFFICIENT_FUNDS" in text, text
            assert "ACCOUNT_NOT_FOUND" in giro("account", "show", 77, wanted=REFUSED)
        with row("freeze, unfreeze, close"):
            giro("account", "freeze", 1002)
            text = giro("transfer", 1002, 1001, 1, "--ledger", 1, wanted=REFUSED)
            assert "DEBIT_FROZEN" in text, text
            giro("account", "unfreeze", 1002)
            assert "ACCOUNT_NOT_EMPTY" in giro("account", "close", 1002, wanted=REFUSED)
            giro("transfer", 1002, 1001, 1250, "--ledger", 1)
            giro("account", "close", 1002)
            assert "closed" in giro("account", "show", 1002)
        with row("what it is told wrong it says so"):
            for words in (("bogus",), ("account", "create"), ("transfer", 1, 2, "x"),
                          ("transfer", 1, 2, -5, "--ledger", 1)):
                assert "--help" in giro(*words, wanted=USAGE), words
        with row("the log agrees"):
            engine.stop()
            engine.verify()
            assert engine.balances() == {1: -5000, 1001: 5000, 1002: 0}
        with row("without an engine it says that nothing answers, and when to ask again"):
            text = giro("--timeout", 1, "info", wanted=NO_OUTCOME)
            assert network.ENGINE_ADDRESS in text and "no answer" in text, text


def test_bench(row):
    with Engine(shard_ids_per_second=500_000, shard_window_s=10, log_buffer_kib=1024,
                log_segment_mib=64) as engine:
        for name, options in [
            ("closed loop", []),
            ("one transfer a datagram", ["--batch", 1]),
            ("open loop, all across shards", ["--rate", 5000, "--cross", 1]),
            ("skewed, all local", ["--skew", 0.9, "--cross", 0]),
        ]:
            with row(f"{name}: its books are right"):
                report = engine.folder / "bench.json"
                network.in_client(
                    network.BUILD / "client/giro-bench", "--server",
                    f"{network.ENGINE_ADDRESS}:{network.UDP_PORT}", "--accounts", 500,
                    "--warm-up", 0.2, "--seconds", 1, "--json", report, *options)
                load = json.loads(report.read_text())
                assert load["transfers"] > 500 and load["rate"] > 500, load
                assert load["ledger"]["balances_match"] and load["ledger"]["sum_zero"], load
                if "--cross" in options:
                    assert abs(load["cross"] - options[options.index("--cross") + 1]) < 0.01, load
        engine.stop()
        engine.verify()
        assert sum(engine.balances().values()) == 0
