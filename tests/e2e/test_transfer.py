# SPDX-License-Identifier: Apache-2.0
"""Money moves within and across shards, and is refused for every reason a client can provoke."""

import itertools

import giro_wire as wire
from client import Client
from engine import Engine

INT64_MAX = 2**63 - 1


def test_money_moves(row):
    for shards in (1, 2, 4):
        with row(f"{shards} shards, every pair of wallets"), \
                Engine(engine_shards=shards) as engine, Client() as client:
            issuer = client.accounts_on(0, 1)[0]
            wallets = [account for shard in range(shards)
                       for account in client.accounts_on(shard, 2, first=1000)]
            client.create(issuer, floor=wire.FLOOR_ISSUER)
            for wallet in wallets:
                client.create(wallet)
            expected = {issuer: 0, **dict.fromkeys(wallets, 0)}

            def pay(debit, credit, amount):
                status = client.transfer(client.new_id(), debit, credit, amount)
                assert status == "OK", f"{debit} -> {credit}: {status}"
                expected[debit] -= amount
                expected[credit] += amount

            for wallet in wallets:
                pay(issuer, wallet, 1000)
            for amount, (debit, credit) in enumerate(itertools.permutations(wallets, 2), 1):
                pay(debit, credit, amount)
            for account, balance in expected.items():
                found = client.lookup(account)
                assert (found.status, found.balance) == ("OK", balance), found
                assert (found.held, found.incoming) == (0, 0), found
            engine.stop()
            engine.verify()
            assert engine.balances() == expected
            assert sum(expected.values()) == 0


def test_statuses(row):
    for shards in (1, 2):
        with Engine(engine_shards=shards) as engine, Client() as client:
            places = [("local", 0)] if shards == 1 else [("local", 0), ("cross-shard", 1)]
            for place, other in places:
                world = World(client, other)
                for name, fields, wanted in TRANSFERS:
                    with row(f"{place}: transfer {name} gives {wanted}"):
                        world.check_transfer(fields, wanted)
            for name, fields, wanted in OPERATIONS:
                with row(f"{shards} shards: account {name} gives {wanted}"):
                    world.check_operation(fields, wanted)
            with row(f"{shards} shards: lookups of what is not there"):
                assert client.lookup(10**9).status == "ACCOUNT_NOT_FOUND"
                assert client.lookup(0).status == "ACCOUNT_ZERO"
                assert client.lookup_transfer(client.new_id(), 1) == "TRANSFER_NOT_FOUND"
                assert client.lookup_transfer(client.new_id(), 0) == "ACCOUNT_ZERO"
            with row(f"{shards} shards: refusals moved no money"):
                engine.stop()
                engine.verify()
                assert sum(engine.balances().values()) == 0


class World:
    """Accounts in every state; debits are on shard 0, credits on shard `other`."""

    def __init__(self, client, other):
        self.client = client
        base = 10_000 + 1000 * other
        names = ("rich", "poor", "overdraft", "frozen", "closed", "foreign")
        debits = dict(zip(names, client.accounts_on(0, len(names), first=base)))
        credits_ = dict(zip(names, client.accounts_on(other, len(names), first=base + 500)))
        self.account = {f"debit {name}": account for name, account in debits.items()}
        self.account |= {f"credit {name}": account for name, account in credits_.items()}
        self.account |= {"nobody": 10**12, "zero": 0}
        self.account["full"] = client.accounts_on(other, 1, first=base + 900)[0]
        for name, issuer in zip(("issuer", "second issuer"),
                                client.accounts_on(0, 2, first=base + 950)):
            self.account[name] = issuer
            client.create(issuer, floor=wire.FLOOR_ISSUER)
        for name in ("debit rich", "debit poor", "debit frozen", "debit closed", "credit rich",
                     "credit poor", "credit frozen", "credit closed", "full"):
            client.create(self.account[name])
        client.create(self.account["debit overdraft"], floor=-50)
        for name in ("debit foreign", "credit foreign"):
            client.create(self.account[name], ledger=2)
        for issuer, credit, amount in (("issuer", "debit rich", 1000),
                                       ("issuer", "debit frozen", 1000),
                                       ("second issuer", "full", INT64_MAX)):
            self.pay(issuer, credit, amount, "OK")
        for side in ("debit", "credit"):
            assert client.operate(self.account[f"{side} frozen"], wire.FREEZE_ACCOUNT) == "OK"
            assert client.operate(self.account[f"{side} closed"], wire.CLOSE_ACCOUNT) == "OK"

    def pay(self, debit, credit, amount, wanted, **fields):
        identity = fields.pop("id", None) or self.client.new_id(fields.pop("ahead_ms", 0))
        status = self.client.transfer(identity, self.account[debit], self.account[credit], amount,
                                      **fields)
        assert status == wanted, f"{debit} -> {credit} {amount} {fields}: {status}"
        return identity

    def check_transfer(self, fields, wanted):
        fields = {"debit": "debit rich", "credit": "credit poor", "amount": 1, **fields}
        before = [self.client.lookup(self.account[side]).balance
                  for side in (fields["debit"], fields["credit"])]
        names = fields.pop("debit"), fields.pop("credit")
        amount = fields.pop("amount")
        ahead_ms = fields.pop("ahead_ms", 0)
        identity = self.pay(*names, amount, wanted, ahead_ms=ahead_ms, **fields)
        # The same copy again: the same answer, and still no second payment.
        self.pay(*names, amount, wanted, id=identity, **fields)
        after = [self.client.lookup(self.account[side]).balance for side in names]
        moved = amount if wanted == "OK" else 0
        assert after == [before[0] - moved, before[1] + moved], (before, after)
        remembered = wanted == "OK" or wire.STATUS[wanted] >= wire.STATUS["DEBIT_NOT_FOUND"]
        if remembered:
            found = self.client.lookup_transfer(identity, self.account[names[0]])
            assert found == wanted, f"the lookup says {found}"

    def check_operation(self, fields, wanted):
        fields = {"account": "debit rich", "action": wire.CREATE_ACCOUNT, "ledger": 1, "floor": 0,
                  **fields}
        account = self.account[fields.pop("account")]
        identity = self.client.new_id()
        for _ in range(2):
            status = self.client.operate(account, id=identity, **fields)
            assert status == wanted, status


# What differs from a payment of 1 from a rich wallet to another that would be done.
TRANSFERS = [
    ("between wallets", {}, "OK"),
    ("to the last unit of an overdraft", {"debit": "debit overdraft", "amount": 50}, "OK"),
    ("with a flag", {"flags": 1}, "RESERVED_NOT_ZERO"),
    ("from no account", {"debit": "zero"}, "ACCOUNT_ZERO"),
    ("to no account", {"credit": "zero"}, "ACCOUNT_ZERO"),
    ("to itself", {"credit": "debit rich"}, "SAME_ACCOUNT"),
    ("of nothing", {"amount": 0}, "AMOUNT_ZERO"),
    ("in no ledger", {"ledger": 0}, "LEDGER_ZERO"),
    ("with an id of yesterday", {"ahead_ms": -86_400_000}, "ID_EXPIRED"),
    ("with an id of tomorrow", {"ahead_ms": 86_400_000}, "ID_AHEAD"),
    ("from an unknown account", {"debit": "nobody"}, "DEBIT_NOT_FOUND"),
    ("from another ledger", {"debit": "debit foreign"}, "DEBIT_LEDGER_MISMATCH"),
    ("from a closed account", {"debit": "debit closed"}, "DEBIT_CLOSED"),
    ("from a frozen account", {"debit": "debit frozen"}, "DEBIT_FROZEN"),
    ("beyond the balance", {"amount": 1_000_000}, "INSUFFICIENT_FUNDS"),
    ("beyond an overdraft", {"debit": "debit overdraft"}, "INSUFFICIENT_FUNDS"),
    ("of 2^64 - 1", {"amount": 2**64 - 1}, "INSUFFICIENT_FUNDS"),
    ("to an unknown account", {"credit": "nobody"}, "CREDIT_NOT_FOUND"),
    ("to another ledger", {"credit": "credit foreign"}, "CREDIT_LEDGER_MISMATCH"),
    ("to a closed account", {"credit": "credit closed"}, "CREDIT_CLOSED"),
    ("to a frozen account", {"credit": "credit frozen"}, "CREDIT_FROZEN"),
    ("beyond what an account can hold", {"debit": "issuer", "credit": "full"},
     "CREDIT_OVERFLOW"),
    # Of several reasons the lowest number is given.
    ("with a flag, of nothing, to itself", {"flags": 1, "amount": 0, "credit": "debit rich"},
     "RESERVED_NOT_ZERO"),
    ("to itself, of nothing", {"credit": "debit rich", "amount": 0}, "SAME_ACCOUNT"),
    ("of nothing with an old id", {"amount": 0, "ahead_ms": -86_400_000}, "AMOUNT_ZERO"),
    ("with an old id from nowhere", {"debit": "nobody", "ahead_ms": -86_400_000}, "ID_EXPIRED"),
    ("from a frozen to a closed account", {"debit": "debit frozen", "credit": "credit closed"},
     "DEBIT_FROZEN"),
    ("beyond the balance to a closed account", {"amount": 10**6, "credit": "credit closed"},
     "INSUFFICIENT_FUNDS"),
]

OPERATIONS = [
    ("creation again", {}, "ACCOUNT_EXISTS"),
    ("creation with another floor", {"floor": -1}, "ACCOUNT_DIFFERS"),
    ("creation in another ledger", {"ledger": 9}, "ACCOUNT_DIFFERS"),
    ("creation without an id", {"account": "zero"}, "ACCOUNT_ZERO"),
    ("creation without a ledger", {"ledger": 0}, "LEDGER_ZERO"),
    ("creation with a floor above zero", {"floor": 1}, "FLOOR_POSITIVE"),
    ("creation with a flag", {"flags": 4}, "RESERVED_NOT_ZERO"),
    ("action 0", {"action": 0, "ledger": 0}, "BAD_ACTION"),
    ("action 5", {"action": 5, "ledger": 0}, "BAD_ACTION"),
    ("freeze of nobody",
     {"account": "nobody", "action": wire.FREEZE_ACCOUNT, "ledger": 0}, "ACCOUNT_NOT_FOUND"),
    ("freeze of a closed account",
     {"account": "debit closed", "action": wire.FREEZE_ACCOUNT, "ledger": 0},
     "ACCOUNT_ALREADY_CLOSED"),
    ("close with money in it",
     {"account": "debit rich", "action": wire.CLOSE_ACCOUNT, "ledger": 0}, "ACCOUNT_NOT_EMPTY"),
    ("freeze with a ledger",
     {"account": "debit rich", "action": wire.FREEZE_ACCOUNT}, "RESERVED_NOT_ZERO"),
    ("freeze", {"account": "credit poor", "action": wire.FREEZE_ACCOUNT, "ledger": 0}, "OK"),
    ("freeze of a frozen one",
     {"account": "credit poor", "action": wire.FREEZE_ACCOUNT, "ledger": 0}, "OK"),
    ("unfreeze", {"account": "credit poor", "action": wire.UNFREEZE_ACCOUNT, "ledger": 0}, "OK"),
]


def test_datagram_statuses(row):
    with Engine() as engine, Client() as client:
        issuer = client.accounts_on(0, 1)[0]
        client.create(issuer, floor=wire.FLOOR_ISSUER)
        record = wire.transfer_record(client.new_id(), issuer, 5, 1, ledger=1)
        sound = wire.encode_request(wire.TRANSFER, 7, [record])
        for name, change, wanted in [
            ("a later version", {"version": 9}, "BAD_VERSION"),
            ("an unknown kind", {"kind": 77}, "BAD_KIND"),
            ("fewer records than counted", {"count": 2}, "BAD_COUNT"),
            ("no records", {"count": 0}, "BAD_COUNT"),
            ("a status in a request", {"status": 3}, "BAD_COUNT"),
        ]:
            with row(f"{name} gives {wanted}"):
                reply = client.exchange_bytes(wire.alter_header(sound, **change))
                assert reply.status == wanted and reply.results == [], reply
                assert reply.request_id == 7
        with row("records of several shards in one datagram: those of the first one's shard"):
            other = client.accounts_on(1, 1)[0]
            client.create(other)
            client.create(client.accounts_on(0, 1, first=50)[0])
            records = [wire.transfer_record(client.new_id(), debit, credit, 1, ledger=1)
                       for debit, credit in ((issuer, other), (other, issuer))]
            assert client.statuses(wire.TRANSFER, records) == ["OK", "WRONG_SHARD"]
            status = client.final_statuses(wire.TRANSFER, [records[1]])
            assert status == ["OK"], f"sent again where it belongs: {status}"
        with row("a datagram to another shard's port is handed over and answered"):
            records = [wire.transfer_record(client.new_id(), issuer, other, 1, ledger=1)]
            assert client.statuses(wire.TRANSFER, records, port=client.info.port[1]) == ["OK"]
        engine.stop()
        engine.verify()


def test_busy(row):
    with Engine(engine_shards=1, shard_accounts=16) as engine, Client() as client:
        with row("a full account table refuses new accounts and nothing else"):
            statuses = {}
            for account in range(1, 200):
                statuses[account] = client.operate(account, wire.CREATE_ACCOUNT, ledger=1,
                                                   floor=wire.FLOOR_ISSUER, retry_busy=False)
                if statuses[account] == "BUSY":
                    break
            assert statuses.pop(account) == "BUSY", statuses
            assert set(statuses.values()) == {"OK"} and len(statuses) >= 16, statuses
            assert client.lookup(1).status == "OK"
            assert client.transfer(client.new_id(), 1, 2, 5) == "OK"
            engine.stop()
            engine.verify()
    with Engine(engine_shards=1, shard_ids_per_second=20, shard_window_s=10) as engine, \
            Client() as client:
        with row("new ids above the rate are refused, old ones known, and taken a little later"):
            client.create(1, floor=wire.FLOOR_ISSUER)
            client.create(2)
            known = []
            for _ in range(100_000):
                identity = client.new_id()
                status = client.transfer(identity, 1, 2, 1, retry_busy=False)
                if status == "BUSY":
                    break
                assert status == "OK"
                known.append(identity)
            assert status == "BUSY", "nothing was ever refused"
            assert client.lookup(2).balance == len(known)
            assert client.transfer(known[-1], 1, 2, 1) == "OK"
            assert client.lookup(2).balance == len(known)
            # Under its own id, long before that expires.
            assert client.transfer(identity, 1, 2, 1) == "OK"
            engine.stop()
            engine.verify()
