# SPDX-License-Identifier: Apache-2.0
"""100 000 transfers in the proportions of a mobile-money service, imported over the network.

The input lies in ../shared/data/paysim beside the checkout where that exists; otherwise make_paysim
generates input of the same shape.
"""

import collections
import csv
import functools
import pathlib
import random
import subprocess
import sys
import time

import network
from client import command
from engine import Engine, wait_until

# A kill and a run again must find all ids inside the window.
SETTINGS = {"shard_window_s": 300, "shard_ids_per_second": 4000}
KILLS = 5
# Accounts whose statements are compared with the files: the busiest, and others.
BUSIEST = 4
OTHERS = 4


@functools.cache
def paysim():
    """The folder with accounts.csv, transfers.csv and expected.csv."""
    beside = network.ROOT.parent / "shared/data/paysim"
    if beside.is_dir():
        return beside
    made = network.SCRATCH / "paysim"
    subprocess.run([sys.executable, pathlib.Path(__file__).with_name("make_paysim.py"), made],
                   check=True)
    return made


@functools.cache
def expected():
    with open(paysim() / "expected.csv", newline="", encoding="utf-8") as file:
        return {int(row["id"]): int(row["balance"]) for row in csv.DictReader(file)}


def inputs(engine):
    """Copies beside which the journal may be written."""
    folder = engine.folder / "import"
    folder.mkdir()
    paths = []
    for name in ("accounts.csv", "transfers.csv"):
        paths.append(folder / name)
        paths[-1].write_bytes((paysim() / name).read_bytes())
    return paths


def check_books(engine):
    engine.stop()
    engine.verify()
    assert sum(expected().values()) == 0
    found = engine.balances()
    wrong = {account: (found.get(account), balance) for account, balance in expected().items()
             if found.get(account) != balance}
    assert not wrong, f"{len(wrong)} wrong balances, (found, expected): {list(wrong.items())[:5]}"
    assert len(found) == len(expected())
    assert sum(found.values()) == 0


def statement_accounts(chance):
    """The issuer, the busiest customer, the busiest accounts of all, and some others."""
    counts = collections.Counter()
    with open(paysim() / "transfers.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            counts.update((int(row["debit"]), int(row["credit"])))
    issuer = min(expected(), key=expected().get)
    busiest = [account for account, _ in counts.most_common(BUSIEST)]
    customer = max((account for account in counts if 1_000_000 <= account < 5_000_000),
                   key=counts.get)
    return [issuer, customer, *busiest, *chance.sample(sorted(counts), OTHERS)]


def check_statement(engine, account):
    """By a program that knows the files and nothing of giro."""
    done = engine.replay("statement", account, "--csv")
    checked = subprocess.run(
        [sys.executable, pathlib.Path(__file__).with_name("check_statement.py"), paysim(),
         str(account)], input=done.stdout, text=True, capture_output=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


def test_import(row):
    for shards in (1, 2, 4):
        with Engine(engine_shards=shards, **SETTINGS) as engine:
            with row(f"{shards} shards: balances equal expected.csv"):
                files = inputs(engine)
                network.in_client(*command("import", *files), timeout=200)
                check_books(engine)
            if shards < 4:
                continue
            seed = random.SystemRandom().randrange(1 << 32)
            with row(f"{shards} shards: statements of busy accounts and others are what the "
                     f"files say (seed {seed})"):
                for account in statement_accounts(random.Random(seed)):
                    check_statement(engine, account)


def test_import_again(row):
    with row("a second import of the same files pays nothing twice"), \
            Engine(**SETTINGS) as engine:
        files = inputs(engine)
        for _ in range(2):
            network.in_client(*command("import", *files), timeout=200)
        check_books(engine)


def test_import_with_kills(row):
    seed = random.SystemRandom().randrange(1 << 32)
    with row(f"{KILLS} kills at random moments, the import run again (seed {seed})"), \
            Engine(**SETTINGS) as engine:
        chance = random.Random(seed)
        files = inputs(engine)
        out = open(engine.folder / "import.out", "w")
        cut_short = 0
        for kill in range(KILLS):
            # Few datagrams at a time, so that the import lasts longer than all the kills together.
            importer = network.start_in_client(*command("import", "--in-flight", 2, *files),
                                               stdout=out, stderr=subprocess.STDOUT)
            moment = time.monotonic() + chance.uniform(0.05, 0.5)
            wait_until(lambda: time.monotonic() > moment or importer.poll() is not None, 60,
                       "the moment to kill")
            cut_short += importer.poll() is None
            engine.kill()
            if kill % 2:
                importer.kill()  # the client dies as well, now and then
            else:
                importer.terminate()
            importer.wait(60)
            engine.start()
        out.close()
        assert cut_short >= 2, f"only {cut_short} of {KILLS} imports were cut short"
        network.in_client(*command("import", *files), timeout=200)
        check_books(engine)
