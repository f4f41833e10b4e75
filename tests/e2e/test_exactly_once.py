# SPDX-License-Identifier: Apache-2.0
"""However often an id is sent, it happens once and every copy gets the same answer."""

import giro_wire as wire
from client import Client
from engine import Engine, wait_until

PLACES = (("local", 0), ("cross-shard", 1))


def open_pair(client, other, first, money=100):
    """A wallet with money on shard 0 and an empty one on shard `other`."""
    issuer, debit = client.accounts_on(0, 2, first=first)
    credit = client.accounts_on(other, 1, first=first + 100)[0]
    client.create(issuer, floor=wire.FLOOR_ISSUER)
    client.create(debit)
    client.create(credit)
    assert client.transfer(client.new_id(), issuer, debit, money) == "OK"
    return debit, credit


def final_statuses(client, records):
    """The outcomes of records; those under way are asked again."""
    def ask():
        statuses = client.statuses(wire.TRANSFER, records)
        return statuses if "PENDING" not in statuses else None
    return wait_until(ask, 10, "the outcome of every copy")


def test_copies(row):
    with Engine() as engine, Client() as client:
        for number, (place, other) in enumerate(PLACES):
            debit, credit = open_pair(client, other, 1000 * (number + 1))
            record = wire.transfer_record(client.new_id(), debit, credit, 7, ledger=1)
            with row(f"{place}: three copies in one datagram and one in the next"):
                first = client.statuses(wire.TRANSFER, [record] * 3)
                assert set(first) <= {"OK", "PENDING"}, first
                assert final_statuses(client, [record] * 3) == ["OK"] * 3
                assert client.lookup(debit).balance == 93
                assert client.lookup(credit).balance == 7
            with row(f"{place}: the id with other content is refused, the first stays"):
                identity = wire.transfer_id(record)
                for change in ({"amount": 8}, {"code": 1}):
                    fields = {"amount": 7, **change}
                    status = client.transfer(identity, debit, credit, **fields)
                    assert status == "ID_REUSED", (change, status)
                assert client.transfer(identity, debit, credit, 7) == "OK"
                assert client.operate(debit, wire.FREEZE_ACCOUNT, id=identity) == "ID_REUSED"
                assert client.lookup(credit).balance == 7
            with row(f"{place}: two contents under one id in one datagram: one is done"):
                identity = client.new_id()
                records = [wire.transfer_record(identity, debit, credit, amount, ledger=1)
                           for amount in (1, 2)]
                first = client.statuses(wire.TRANSFER, records)
                assert first == ["OK", "ID_REUSED"], first
                assert client.lookup(credit).balance == 8
            with row(f"{place}: a refusal stays a refusal when it would be possible later"):
                identity = client.new_id()
                assert client.transfer(identity, debit, credit, 500) == "INSUFFICIENT_FUNDS"
                issuer = client.accounts_on(0, 1, first=1000 * (number + 1))[0]
                assert client.transfer(client.new_id(), issuer, debit, 1000) == "OK"
                assert client.transfer(identity, debit, credit, 500) == "INSUFFICIENT_FUNDS"
                assert client.transfer(client.new_id(), debit, credit, 500) == "OK"
                assert client.lookup(credit).balance == 508
        engine.stop()
        engine.verify()


def test_copies_after_restart(row):
    for how in ("stop", "kill"):
        with Engine() as engine, Client() as client:
            pairs = [open_pair(client, other, 1000 * (number + 1))
                     for number, (_, other) in enumerate(PLACES)]
            done = [wire.transfer_record(client.new_id(), debit, credit, 7, ledger=1)
                    for debit, credit in pairs]
            refused = [wire.transfer_record(client.new_id(), debit, credit, 10**6, ledger=1)
                       for debit, credit in pairs]
            wanted = ["OK"] * 2 + ["INSUFFICIENT_FUNDS"] * 2
            outcomes = client.final_outcomes(wire.TRANSFER, done + refused)
            assert [outcome.status for outcome in outcomes] == wanted
            getattr(engine, how)()
            engine.start()
            with row(f"after {how}: the same answers, no second payment"):
                assert client.final_outcomes(wire.TRANSFER, done + refused) == outcomes
                for debit, credit in pairs:
                    assert client.lookup(debit).balance == 93
                    assert client.lookup(credit).balance == 7
            with row(f"after {how}: the id with other content is still refused"):
                debit, credit = pairs[0]
                identity = wire.transfer_id(done[0])
                assert client.transfer(identity, debit, credit, 8) == "ID_REUSED"
            with row(f"after {how}: verify passes"):
                engine.stop()
                engine.verify()


def test_window_end(row):
    with Engine(shard_window_s=2, shard_ahead_s=1) as engine, Client() as client:
        debit, credit = open_pair(client, 1, 1000)
        identity = client.new_id()
        assert client.transfer(identity, debit, credit, 7) == "OK"
        with row("an id older than the window is refused and never paid again"):
            wait_until(lambda: client.transfer(identity, debit, credit, 7) == "ID_EXPIRED", 20,
                       "the window to pass")
            assert client.lookup_transfer(identity, debit) in ("ID_EXPIRED", "TRANSFER_NOT_FOUND")
            assert client.lookup(credit).balance == 7
        engine.stop()
        engine.verify()
