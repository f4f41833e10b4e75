# SPDX-License-Identifier: Apache-2.0
"""Exported rows against what giro-replay, the clients and the sqlite3 shell say of the same log."""

import collections
import contextlib
import json
import random
import shutil
import signal
import subprocess
import tempfile

import exported
import giro_wire as wire
import network
from client import Client
from engine import Engine, wait_until
from test_restart import Load, open_wallets

FORMATS = ("csv", "jsonl", "sqlite")
SHARDS = 4
LOADS = 3
# Epochs whose balances are compared, with money in flight and any others.
SAMPLES = 12
KILLS = 5
# Of each shard at first.
ACCOUNTS_FIRST = 64
FOLLOW_S = 60


@contextlib.contextmanager
def loads(wallets, seed):
    """Several loads at once; ended with the block."""
    started = []
    try:
        for number in range(LOADS):
            started.append(Load(wallets, seed + number))
            started[-1].start()
        yield started
    finally:
        for load in started:
            load.end()


def answered(started, more):
    goal = sum(load.answered for load in started) + more
    wait_until(lambda: sum(load.answered for load in started) >= goal, 60, "answers to the load")


def busy_log(engine, seed):
    """Load over a kill and a start, then a kill: some transfers stay under way. Returns what the
    clients were told: {record: Outcome}."""
    with Client() as client:
        wallets = [account for account, balance in open_wallets(client, SHARDS).items()
                   if balance > 0]
    with loads(wallets, seed) as started:
        answered(started, 1500)
        engine.kill()
        engine.start()
        answered(started, 1500)
        engine.kill()
    return {record: outcome for load in started for record, outcome in load.sent.items() if outcome}


def start_replay(engine, command, *arguments):
    errors = tempfile.TemporaryFile("w+")
    process = subprocess.Popen(
        [network.BUILD / "replay/giro-replay", command, engine.log, *map(str, arguments)],
        text=True, stdout=subprocess.DEVNULL, stderr=errors,
        preexec_fn=network.die_with_parent)
    process.errors = errors
    return process


def start_export(engine, form, path, *arguments):
    return start_replay(engine, "export", f"--{form}", path, *arguments)


def blocks_in(form, path):
    if form == "sqlite":
        return exported.database_position(path)
    return int(exported.position(path).get("blocks", 0))


def check_same(form, left, right):
    """Byte for byte; row for row in SQLite, whose pages know their history."""
    if form == "sqlite":
        assert exported.shell(left, ".dump") == exported.shell(right, ".dump")
        return
    for name in (*(f"{stem}.{form}" for stem in exported.STEMS), "position"):
        assert (left / name).read_bytes() == (right / name).read_bytes(), name


def balances_at(engine, epoch):
    return json.loads(engine.replay("balances", "--json", "--at", epoch,
                                    torn_tail=True).stdout)["accounts"]


class Fold:
    """Balances added up from exported movements, epoch by epoch."""

    def __init__(self, rows):
        self.rows = rows
        self.balances = collections.Counter()
        self.next = 0

    def to(self, epoch):
        """Balances of all accounts opened up to the epoch."""
        movements = self.rows["movements"]
        while self.next < len(movements) and movements[self.next]["epoch"] <= epoch:
            row = movements[self.next]
            self.next += 1
            assert row["number"] == self.next
            self.balances[row["account"]] += row["amount"]
            assert self.balances[row["account"]] == row["balance"], row
        opened = [row["account"] for row in self.rows["operations"]
                  if row["epoch"] <= epoch and row["action"] == "create"
                  and row["status"] == "OK"]
        return {account: self.balances[account] for account in opened}


def check_history(engine, rows, seed):
    """Sampled epochs, as many as possible with money in flight: debited, not yet credited."""
    epochs = [row["epoch"] for row in rows["epochs"]]
    chance = random.Random(seed)
    fold = Fold(rows)
    in_flight = [epoch for epoch in epochs if sum(fold.to(epoch).values()) != 0]
    sampled = {*chance.sample(in_flight, min(SAMPLES, len(in_flight))),
               *chance.sample(epochs, SAMPLES), epochs[-1]}
    assert len(sampled & set(in_flight)) >= 3, f"only {len(in_flight)} epochs with money in flight"
    fold = Fold(rows)
    for epoch in sorted(sampled):
        then = {int(row["account"]): row["balance"] for row in balances_at(engine, epoch)}
        assert then == fold.to(epoch), f"epoch {epoch} (seed {seed})"


def check_transfers(rows, told):
    """Each OK is two movements, and nothing else moved; clients were told the same."""
    moved = collections.defaultdict(list)
    for row in rows["movements"]:
        moved[row["transfer"]].append(row)
    final = {(row["transfer"], row["debit"]): row for row in rows["transfers"]}
    assert len(final) == len(rows["transfers"])
    reach = rows["epochs"][-1]["epoch"]
    for row in rows["transfers"]:
        pair = moved.pop(row["transfer"], [])
        if row["status"] != "OK":
            assert pair == [], row
            continue
        assert {(each["account"], each["counterparty"], each["amount"]) for each in pair} == {
            (row["debit"], row["credit"], -row["amount"]),
            (row["credit"], row["debit"], row["amount"])}, (row, pair)
        assert all(each["epoch"] <= row["epoch"] and each["code"] == row["code"]
                   for each in pair)
    assert all(row["epoch"] > rows["epochs"][0]["epoch"] for each in moved.values() for row in each)
    checked = 0
    for record, outcome in told.items():
        debit, credit, amount = wire.transfer_movement(record)
        row = final.get((wire.transfer_id(record), debit))
        if outcome.epoch > reach:
            continue
        assert row and (row["status"], row["epoch"]) == outcome, (row, outcome)
        assert (row["credit"], row["amount"]) == (credit, amount), row
        checked += 1
    assert checked > 1000, checked


def check_shell(engine, path):
    """The sqlite3 shell's own sums."""
    assert exported.shell(path, "PRAGMA integrity_check") == ["ok"]
    assert exported.shell(path, "PRAGMA foreign_key_check") == []
    assert exported.shell(path, "SELECT balances + in_flight FROM ledgers") == ["0"]
    epoch = exported.shell(path, "SELECT epoch FROM position")[0]
    assert exported.shell(path, "SELECT max(epoch) FROM epochs") == [epoch]
    now = balances_at(engine, epoch)
    sums = dict(line.split("|") for line in exported.shell(
        path, "SELECT account, sum(amount) FROM movements GROUP BY account"))
    assert {row["account"]: str(row["balance"]) for row in now if row["balance"] != 0} == {
        account: total for account, total in sums.items() if total != "0"}
    accounts = exported.shell(path, "SELECT id, ledger, balance, held, incoming, floor, frozen, "
                              "closed FROM accounts")
    assert sorted(accounts) == sorted(
        "|".join(str(int(value)) for value in row.values()) for row in now)
    held = sum(row["held"] for row in now)
    assert held <= int(exported.shell(path, "SELECT coalesce(sum(amount), 0) FROM transfers "
                                      "WHERE status = 'PENDING'")[0])


def test_export_of_a_killed_engines_log(row):
    seed = random.SystemRandom().randrange(1 << 32)
    with Engine(engine_shards=SHARDS) as engine:
        told = busy_log(engine, seed)
        paths = {form: engine.folder / f"whole.{form}" for form in FORMATS}
        for form, path in paths.items():
            engine.replay("export", f"--{form}", path, torn_tail=True)
        rows = exported.rows(paths["csv"], "csv")
        with row("CSV and JSON lines hold the same"):
            assert rows == exported.rows(paths["jsonl"], "jsonl")
        with row("balances at any epoch are the sums of the movements before"):
            check_history(engine, rows, seed)
        with row("transfers, movements and what clients were told agree"):
            check_transfers(rows, told)
        with row("SQLite: the shell's own sums"):
            check_shell(engine, paths["sqlite"])
        for form in FORMATS:
            with row(f"{form}: killed {KILLS}x and gone on with, it is the same (seed {seed})"):
                check_kills(engine, form, paths[form], random.Random(seed))


def check_kills(engine, form, whole, chance):
    path = engine.folder / f"killed.{form}"
    cut = 0
    for _ in range(KILLS):
        # On a fast machine an export may be through before it is killed: then it begins anew.
        if blocks_in(form, path) == blocks_in(form, whole):
            for made in path.parent.glob(f"{path.name}*"):
                shutil.rmtree(made) if made.is_dir() else made.unlink()
        before = blocks_in(form, path)
        process = start_export(engine, form, path, "--every", 1)
        goal = before + chance.randrange(1, 20)
        wait_until(lambda: blocks_in(form, path) >= goal or process.poll() is not None, 60,
                   "the export's commits")
        process.kill()
        process.wait()
        cut += before < blocks_in(form, path) < blocks_in(form, whole)
    assert cut >= 1, f"none of {KILLS} was cut short"
    engine.replay("export", f"--{form}", path, torn_tail=True)
    check_same(form, path, whole)


def durable_blocks(engine):
    return max(block.durable for block in exported.blocks(engine.log))


def check_follower(form, path, started, engine):
    """While the load runs: what is there is whole, and no block is there before it was durable."""
    for _ in range(5):
        before = blocks_in(form, path)
        wait_until(lambda: blocks_in(form, path) > before + 20, FOLLOW_S, "the export to follow")
        seen = blocks_in(form, path)
        assert seen <= durable_blocks(engine), "a block that may still be cut"
        if form == "sqlite":
            assert exported.shell(path, "SELECT balances + in_flight FROM ledgers") == ["0"]
        else:
            Fold(exported.rows(path, form)).to(1 << 62)
    assert all(load.is_alive() for load in started)


def open_more(engine):
    """More accounts than the engine had room for when the log was begun."""
    with Client() as client:
        for account in range(1 << 40, (1 << 40) + 2 * ACCOUNTS_FIRST):
            client.create(account)


def test_follow(row):
    """A killed engine leaves blocks that nobody calls durable yet; here they are then lost. Its
    next start has larger tables."""
    with Engine(engine_shards=2, shard_accounts=ACCOUNTS_FIRST) as engine, \
            contextlib.ExitStack() as ending:
        with Client() as client:
            wallets = [account for account, balance in open_wallets(client, 2).items()
                       if balance > 0]
        paths = {form: engine.folder / f"follow.{form}" for form in FORMATS}
        followers = {}
        for form, path in paths.items():
            followers[form] = start_export(engine, form, path, "--follow")
            ending.callback(followers[form].kill)
        checkpoints = engine.folder / "checkpoints"
        checkpoints.mkdir()
        maker = start_replay(engine, "checkpoint", "--follow", "--every", 10, "--keep", 500,
                             "--directory", checkpoints)
        ending.callback(maker.kill)
        with loads(wallets, 1) as started:
            for form in FORMATS:
                with row(f"{form}: follows a loaded engine, never ahead of what is durable"):
                    check_follower(form, paths[form], started, engine)
            engine.kill()
            durable = durable_blocks(engine)
            last = exported.blocks(engine.log)[-1]
            for form in FORMATS:
                with row(f"{form}: stops before the blocks that may be cut"):
                    assert last.seq >= durable
                    wait_until(lambda: blocks_in(form, paths[form]) == durable, FOLLOW_S,
                               f"{durable} blocks in the export")
                    once = engine.folder / f"once.{form}"
                    engine.replay("export", f"--{form}", once, torn_tail=True)
                    assert blocks_in(form, once) == blocks_in(form, paths[form]) == durable
            for block in exported.blocks(engine.log)[durable:]:
                block.destroy()
            engine.settings["shard.accounts"] = 10 * ACCOUNTS_FIRST
            engine.start()
            answered(started, 100)
            open_more(engine)
        engine.stop()
        for form in FORMATS:
            with row(f"{form}: goes on behind the cut, and ends as if made in one go"):
                goal = exported.blocks(engine.log)[-1].seq
                wait_until(lambda: blocks_in(form, paths[form]) == goal, FOLLOW_S,
                           f"{goal} blocks in the export")
                if form != "sqlite":
                    finish(followers[form])
                shutil.rmtree(engine.folder / f"once.{form}", ignore_errors=True)
                once = engine.folder / f"at-once.{form}"
                engine.replay("export", f"--{form}", once)
                check_same(form, paths[form], once)
        with row("checkpoints that were made meanwhile are what the log gives"):
            finish(maker)
            told = json.loads(engine.replay("verify", "--checkpoints", checkpoints,
                                            "--json").stdout)
            assert told["checkpoints_equal"] > 10 and told["checkpoints_damaged"] == 0, told
        with row("sqlite: a second process that goes on with it makes the first give way"):
            exported.shell(paths["sqlite"], "UPDATE position SET blocks = blocks - 1")
            engine.start()
            assert followers["sqlite"].wait(FOLLOW_S) == 5
            followers["sqlite"].errors.seek(0)
            assert "another process goes on" in followers["sqlite"].errors.read()


def finish(follower):
    follower.send_signal(signal.SIGTERM)
    status = follower.wait(FOLLOW_S)
    follower.errors.seek(0)
    assert status == 0, (status, follower.errors.read())
