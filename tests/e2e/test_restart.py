# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged is there after the engine ended, however it ended."""

import random
import threading

import giro_wire as wire
from client import UNDECIDED, Client
from engine import Engine, LoopDevice, wait_until

MONEY = 1_000_000


class Load(threading.Thread):
    """Pays between wallets, many at a time, and keeps what was answered."""

    def __init__(self, wallets, seed):
        super().__init__(daemon=True)
        self.client = Client()
        self.chance = random.Random(seed)
        self.wallets = wallets
        self.sent = {}  # record -> Outcome, or None while unanswered
        self.answered = 0
        self.halt = threading.Event()

    def run(self):
        while not self.halt.is_set():
            debit = self.chance.choice(self.wallets)
            records = []
            for _ in range(self.chance.choice((1, 3, 22))):
                credit = self.chance.choice([each for each in self.wallets if each != debit])
                # Now and then more than there is.
                amount = self.chance.choice((1, 5, 20, 2 * MONEY * len(self.wallets)))
                records.append(wire.transfer_record(self.client.new_id(), debit, credit, amount,
                                             ledger=1))
            self.sent |= dict.fromkeys(records)
            try:
                outcomes = self.client.outcomes(wire.TRANSFER, records, seconds=0.5)
            except TimeoutError:
                continue  # the engine is down; these stay unanswered
            for record, outcome in zip(records, outcomes):
                if outcome.status not in UNDECIDED:
                    self.sent[record] = outcome
                    self.answered += 1

    def end(self):
        self.halt.set()
        self.join()
        self.client.close()


def open_wallets(client, shards):
    """Two wallets a shard with money; {account: balance}."""
    issuer = client.accounts_on(0, 1)[0]
    wallets = [account for shard in range(shards)
               for account in client.accounts_on(shard, 2, first=1000)]
    client.create(issuer, floor=wire.FLOOR_ISSUER)
    for wallet in wallets:
        client.create(wallet)
        assert client.transfer(client.new_id(), issuer, wallet, MONEY) == "OK"
    return {issuer: -MONEY * len(wallets), **dict.fromkeys(wallets, MONEY)}


def check_outcomes(engine, client, load, balances):
    """Every acknowledged outcome is repeated, the rest get one, and the balances follow from them."""
    acknowledged = {record: outcome for record, outcome in load.sent.items() if outcome}
    records = list(load.sent)
    final = dict(zip(records, client.final_outcomes(wire.TRANSFER, records)))
    for record, outcome in acknowledged.items():
        assert final[record] == outcome, f"acknowledged {outcome}, in the end {final[record]}"
    for record, outcome in final.items():
        assert outcome.status in ("OK", "INSUFFICIENT_FUNDS"), outcome
        if outcome.status == "OK":
            debit, credit, amount = wire.transfer_movement(record)
            balances[debit] -= amount
            balances[credit] += amount
    for account, balance in balances.items():
        found = client.lookup(account)
        assert (found.balance, found.held, found.incoming) == (balance, 0, 0), (balance, found)
    engine.stop()
    engine.verify()
    assert engine.balances() == balances
    assert sum(balances.values()) == 0
    return len(acknowledged)


def crash_under_load(engine, shards, how, rounds, seed):
    with Client() as client:
        balances = open_wallets(client, shards)
        load = Load([account for account in balances if balances[account] > 0], seed)
        load.start()
        for _ in range(rounds):
            before = load.answered
            wait_until(lambda: load.answered > before + 300, 60, "load to be answered")
            getattr(engine, how)()
            engine.start()
        before = load.answered
        wait_until(lambda: load.answered > before + 50, 60, "load after the restart")
        load.end()
        return check_outcomes(engine, client, load, balances)


def test_restart_under_load(row):
    for shards in (1, 2, 4):
        for how, rounds in (("stop", 1), ("kill", 3)):
            seed = 100 * shards + rounds
            with row(f"{shards} shards, {how} {rounds}x under load (seed {seed})"), \
                    Engine(engine_shards=shards) as engine:
                assert crash_under_load(engine, shards, how, rounds, seed) > 300 * rounds


def test_loop_device(row):
    with LoopDevice(mib=128) as device:
        with row("a log on a block device: kill 2x under load, verify"), \
                Engine(log=device) as engine:
            assert crash_under_load(engine, 2, "kill", 2, seed=7) > 600


def test_epochs_go_on(row):
    with Engine(engine_shards=2) as engine, Client() as client:
        balances = open_wallets(client, 2)
        issuer, wallet = list(balances)[:2]
        with row("several restarts change nothing, and epochs only grow"):
            log_id = client.info.log_id
            last = 0
            for how in ("stop", "kill", "stop", "stop", "kill", "kill"):
                record = wire.transfer_record(client.new_id(), issuer, wallet, 1, ledger=1)
                result = wire.decode_result(client.exchange(wire.TRANSFER, [record]).results[0])
                assert result.status == 0 and result.epoch > last, (result, last)
                last = result.epoch
                balances[issuer] -= 1
                balances[wallet] += 1
                getattr(engine, how)()
                engine.start()
                assert client.refresh().log_id == log_id
                for account, balance in balances.items():
                    assert client.lookup(account).balance == balance
            engine.stop()
            engine.verify()
            assert engine.balances() == balances
