#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kills a loaded engine again and again, and shows that nothing is lost and nothing paid twice.

    tests/crash/crash.py [--kills N] [--seed S] [--shards N]

A real engine on a real log (files, O_DIRECT), a real client over a veth pair. The engine is killed
(SIGKILL) under load, right after it got ready, while it reads its log, while it starts and while it
drains; after each kill the log must verify. The client never stops sending. At the end of a round
the log, read as text, and the client's journal must say the same, and both must give the engine's
balances. A round is KILLS_ROUND kills on one log.

GIRO_NETWORK names namespaces to use (see tests/e2e/network.py), GIRO_BUILD the build; otherwise it
makes a network of its own, and takes ROOT/build. The last line is "crash: ...".
"""

import argparse
import pathlib
import random
import secrets
import signal
import sys
import time

import ground
from dump import Dump, balances
from engine import Engine, READY_S, wait_until
from load import Load

import giro_wire as wire

KILLS = 36
# When to kill, after the first kill under load; a full round has all of them, in an order drawn.
MOMENTS = ("recovery", "ready", "drain", "load", "start", "recovery", "load", "load")
KILLS_ROUND = 1 + len(MOMENTS)
SHARDS = (2, 4, 1)
WALLETS = 12
# Shorter than a round, so that ids expire in it.
WINDOW_S = 3
# Seconds in which the load must have been answered, generous to a machine with other work.
ANSWERED_S = 120


class Killer:
    """Runs an engine from one kill to the next."""

    def __init__(self, engine, load, seed):
        self.engine = engine
        self.load = load
        self.chance = random.Random(seed)
        self.kills = 0
        self.torn = 0
        self.where = dict.fromkeys(("start", "recovery", "ready", "load", "drain"), 0)
        self.ready_s = 1.0  # that the last start took
        self.read_s = 0.1  # of it, that the log was open

    def answered(self, count):
        goal = self.load.answers + count
        wait_until(lambda: self.load.answers >= goal or not self.load.alive(), ANSWERED_S,
                   "the load's answers")
        assert self.load.is_alive()

    def _log_is_open(self):
        try:
            return any(link.resolve() == self.engine.log / "lock" for link in
                       pathlib.Path(f"/proc/{self.engine.process.pid}/fd").iterdir())
        except OSError:
            return False

    def _launch_until_log_is_open(self):
        self.engine.launch()
        self._closely(self._log_is_open, "opened its log")

    def _closely(self, condition, what):
        """Waits with a fine step: recovery may be over in milliseconds."""
        deadline = time.monotonic() + READY_S
        while not condition():
            assert self.engine.running(), (
                f"the engine ended before it {what}:\n{self.engine.stderr()[-2000:]}")
            assert time.monotonic() < deadline, f"the engine has not {what} within {READY_S} s"
            time.sleep(0.0005)

    def start(self):
        """Starts the engine and measures how long it takes to where."""
        begun = time.monotonic()
        self._launch_until_log_is_open()
        opened = time.monotonic()
        self._closely(self.is_ready, "was ready")
        self.ready_s = time.monotonic() - begun
        self.read_s = time.monotonic() - opened

    def is_ready(self):
        return "\nready" in "\n" + self.engine.screen()

    def kill(self, moment):
        """From a stopped engine to a killed one."""
        if moment == "start":
            self.engine.launch()
            time.sleep(self.chance.uniform(0, self.ready_s))
        elif moment == "recovery":
            self._launch_until_log_is_open()
            time.sleep(self.chance.uniform(0, self.read_s))
        elif moment == "ready":
            self.start()
            time.sleep(self.chance.uniform(0, 0.05))
        else:
            self.start()
            self.answered(int(10 ** self.chance.uniform(2, 4.3)))
            if moment == "drain":
                self.engine.process.send_signal(signal.SIGTERM)
                time.sleep(self.chance.uniform(0, 0.05))
            else:
                time.sleep(self.chance.uniform(0, 0.02))
        self.end(moment)

    def end(self, moment):
        """Kills what was started at this moment; the log must verify."""
        where = (moment if moment in ("drain", "load") else "ready" if self.is_ready()
                 else "recovery" if self._log_is_open() else "start")
        assert self.engine.running() or moment == "drain", (
            f"the engine ended by itself:\n{self.engine.stderr()[-2000:]}")
        self.engine.kill()
        self.kills += 1
        self.where[where] += 1
        self.torn += "torn tail" in self.engine.verify(torn_tail=True)


class Verdict:
    """What all rounds found."""

    def __init__(self):
        self.kills = self.torn = self.acknowledged = self.lost = self.doubled = 0
        self.where = {}

    def add(self, killer):
        self.kills += killer.kills
        self.torn += killer.torn
        for where, count in killer.where.items():
            self.where[where] = self.where.get(where, 0) + count


def check_journal(journal, dump, verdict):
    """Every acknowledged outcome is in the log, once, as it was told."""
    lost = []
    for identity, told in journal.acknowledged.items():
        found = dump.outcomes[identity][1:] if identity in dump.outcomes else "nothing"
        if told != found:
            lost.append(f"id {identity}: acknowledged {told}, in the log {found}")
    verdict.acknowledged += len(journal.acknowledged)
    verdict.lost += len(lost)
    verdict.doubled += len(dump.doubled)
    assert not lost, f"{len(lost)} lost, such as " + "; ".join(lost[:3])
    assert not dump.doubled, f"{len(dump.doubled)} twice in the log, such as {dump.doubled[:3]}"
    assert not journal.faults, "; ".join(journal.faults)


def check_unacknowledged(journal, dump):
    """What is in the log was sent, word for word; what was not acknowledged has an outcome or is not
    there."""
    for identity, outcome in dump.outcomes.items():
        assert journal.sent.get(identity) == outcome.record, (
            f"id {identity} in the log is not what was sent")
        assert outcome.status != "PENDING", f"id {identity} has no outcome"


def check_balances(journal, dump, accounts, shown, replayed):
    """Journal and log give the balances that the engine and giro-replay show."""
    done = []
    for identity, record in journal.sent.items():
        status = (journal.acknowledged.get(identity) or dump.outcomes.get(identity, (0, ""))[1:])[0]
        # The size of an operation is a transfer's too: only accounts tell them apart.
        if status == "OK" and wire.transfer_movement(record)[1] in accounts:
            done.append(record)
    expected = balances(accounts, done)
    assert sum(expected.values()) == 0
    assert replayed == expected, _difference(expected, replayed)
    assert shown == {account: (balance, 0, 0) for account, balance in expected.items()}, (
        _difference(expected, {account: found[0] for account, found in shown.items()}))
    return len(done)


def _difference(expected, found):
    return "; ".join(f"account {account}: {expected.get(account)} expected, {found.get(account)} found"
                     for account in expected.keys() | found.keys()
                     if expected.get(account) != found.get(account))[:500]


def settle(load):
    """No new work; everything in flight gets its answer."""
    load.draining.set()
    wait_until(lambda: not load.flight or not load.alive(), ANSWERED_S, "the last answers")
    load.end()


def play(engine, load, killer, moments):
    """All kills of a round; {account: (balance, held, incoming)} at its end."""
    load.open_accounts(WALLETS)
    load.start()
    try:
        killer.answered(1000)
        killer.end("load")
        for moment in moments:
            killer.kill(moment)
        killer.start()
        killer.answered(1000)
        settle(load)
        shown = load.look_up()
    finally:
        load.halt.set()
        load.join()
        load.client.close()
    engine.stop()
    engine.verify()
    return shown


def play_round(number, kills, shards, seed, cases, verdict):
    moments = list(MOMENTS[:kills - 1])
    random.Random(seed).shuffle(moments)
    text = f"round {number} ({shards} shards, seed {seed})"
    shown = {}
    with Engine(engine_shards=shards, shard_accounts=1000, shard_window_s=WINDOW_S,
                shard_ahead_s=1, log_segment_mib=2 if shards <= 2 else 4) as engine:
        load = Load(shards, seed, WINDOW_S * 1000)
        killer = Killer(engine, load, seed)
        with cases.case(f"{text}: {kills} kills and a clean stop, the log verifies after each"):
            shown = play(engine, load, killer, moments)
        verdict.add(killer)
        engine.kill()
        dump = Dump(engine.log)
        journal = load.journal
        print(f"     {len(journal.sent)} ids sent, {len(journal.acknowledged)} acknowledged, "
              f"{len(dump.outcomes)} in the log ({dump.crossed} between shards, {dump.blocks} "
              f"blocks, {dump.opens} incarnations); {journal.repeats} answers repeated, "
              f"{journal.expired} ids expired, {journal.reused} reuses refused")
        with cases.case(f"{text}: every acknowledged outcome is in the log, once, as it was told"):
            check_journal(journal, dump, verdict)
        with cases.case(f"{text}: the log holds what was sent, each with its outcome"):
            check_unacknowledged(journal, dump)
        with cases.case(f"{text}: journal, log, engine and giro-replay give the same balances"):
            done = check_balances(journal, dump, load.all_accounts(), shown, engine.balances())
            assert done > 1000 and dump.opens > killer.where["load"] and journal.reused > 0
            assert shards == 1 or dump.crossed > done // 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--shards", type=int, default=None, help="in every round; else 2, 4, 1, ...")
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    print(f"crash: seed {seed}; again with: {sys.argv[0]} --kills {options.kills} --seed {seed}"
          + (f" --shards {options.shards}" if options.shards else ""))
    ground.take()
    cases = ground.Cases("crash")
    verdict = Verdict()
    rounds = -(-options.kills // KILLS_ROUND)
    for number in range(1, rounds + 1):
        kills = min(KILLS_ROUND, options.kills - KILLS_ROUND * (number - 1))
        shards = options.shards or SHARDS[(number - 1) % len(SHARDS)]
        with cases.case(f"round {number} was played to its end"):
            play_round(number, kills, shards, seed + number, cases, verdict)
        ground.engine.kill_all()
    print(f"{cases.line()} (killed while: "
          + ", ".join(f"{where} {count}" for where, count in verdict.where.items())
          + f"; torn tails {verdict.torn})")
    print(f"crash: {verdict.kills} kills, {verdict.acknowledged} acknowledged, "
          f"lost {verdict.lost}, doubled {verdict.doubled}")
    return 1 if cases.failed or verdict.kills < options.kills else 0


if __name__ == "__main__":
    sys.exit(main())
