# SPDX-License-Identifier: Apache-2.0
"""A client that loads the engine and keeps a journal: what it sent, and every outcome it was told.

    records --> datagrams, hundreds in flight --> engine
    journal <-- every reply, also late, double and repeated ones

It behaves as clients do: repeats what is not answered with the same bytes, sends some datagrams
twice, gives some up after the first silence (they may have happened or not), repeats old ids, and
tries ids again with other content. One thread; the journal is read when the thread has ended.
"""

import random
import select
import threading
import time

import giro_wire as wire
import network
from client import Client

IN_FLIGHT = 300  # datagrams
REPEAT_S = 0.15
# Share of unanswered datagrams that are given up at their first silence.
GIVEN_UP = 0.3

MONEY = 1_000_000
LEDGER = 1
NOWHERE = 0xDEAD  # no such account

TRANSIENT = ("BUSY", "PENDING", "WRONG_SHARD", "ID_AHEAD")
# The engine's clock moves in epochs, and the reply travels: an id may expire this much early.
EXPIRY_SLACK_MS = 1000


class Journal:
    """What was sent and what was acknowledged, by id."""

    def __init__(self, window_ms):
        self.window_ms = window_ms
        self.sent = {}  # id -> record
        self.acknowledged = {}  # id -> (status name, epoch)
        self.repeats = 0  # answers that only said again what was known
        self.expired = 0
        self.reused = 0
        self.faults = []  # what no engine may say

    def fault(self, text):
        if len(self.faults) < 20:
            self.faults.append(text)

    def tell(self, record, status, epoch):
        """One result of a reply."""
        identity = wire.transfer_id(record)
        if status in TRANSIENT:
            return
        if record != self.sent[identity]:
            self._tell_reused(identity, status)
            return
        known = self.acknowledged.get(identity)
        if status == "ID_EXPIRED":
            age_ms = time.time() * 1000 - wire.id_time_ms(identity)
            if age_ms + EXPIRY_SLACK_MS < self.window_ms:
                self.fault(f"id {identity}: ID_EXPIRED after {age_ms:.0f} ms")
            self.expired += 1
        elif known is None:
            self.acknowledged[identity] = (status, epoch)
            if epoch == 0:
                self.fault(f"id {identity}: {status} in no epoch")
        else:
            self.repeats += 1
            if known != (status, epoch):
                self.fault(f"id {identity}: acknowledged {known}, later {(status, epoch)}")

    def _tell_reused(self, identity, status):
        self.reused += 1
        if status not in ("ID_REUSED", "ID_EXPIRED"):
            self.fault(f"id {identity} with other content: {status}")


class Load(threading.Thread):
    def __init__(self, shards, seed, window_ms, in_flight=IN_FLIGHT):
        super().__init__(daemon=True)
        self.in_flight = in_flight
        self.chance = random.Random(seed)
        self.client = Client()
        self.shards = shards
        self.journal = Journal(window_ms)
        self.flight = {}  # request id -> [datagram, port, when sent], longest silent first
        self.records = {}  # request id -> (kind, records); kept: replies may come late and twice
        self.told = []  # ids with an outcome, to be repeated
        self.next_request = 1
        self.accounts = []  # by shard: issuer, wallets, the last one sometimes frozen
        self.answers = 0
        self.draining = threading.Event()
        self.halt = threading.Event()
        self.failure = None

    # The accounts.

    def open_accounts(self, wallets):
        """An issuer and wallets on every shard; all wallets but one have money."""
        client = self.client
        for shard in range(self.shards):
            self.accounts.append(client.accounts_on(shard, 1, first=100)
                                 + client.accounts_on(shard, wallets, first=1000))
        for issuer, *owned in self.accounts:
            self._settle(wire.ACCOUNT, [self._create(issuer, wire.FLOOR_ISSUER)])
            self._settle(wire.ACCOUNT, [self._create(wallet, 0) for wallet in owned])
            self._settle(wire.TRANSFER, [self._pay(issuer, wallet, MONEY) for wallet in owned[1:]])

    def _settle(self, kind, records):
        """Sends records one datagram at a time until each has its outcome."""
        for record in records:
            self.journal.sent[wire.transfer_id(record)] = record
        while records:
            reply = self.client.exchange(kind, records)
            results = [wire.decode_result(result) for result in reply.results]
            for record, result in zip(records, results):
                self.journal.tell(record, wire.status_name(result.status), result.epoch)
            records = [record for record in records
                       if wire.transfer_id(record) not in self.journal.acknowledged]

    def all_accounts(self):
        return [account for owned in self.accounts for account in owned]

    def look_up(self):
        """{account: (balance, held, incoming)} as the engine shows them."""
        found = {account: self.client.lookup(account) for account in self.all_accounts()}
        return {account: (line.balance, line.held, line.incoming)
                for account, line in found.items()}

    # Records.

    def _new_id(self):
        return wire.new_id(time.time_ns() // 1_000_000, self.chance.getrandbits(74))

    def _create(self, account, floor):
        return wire.operation_record(self._new_id(), account, wire.CREATE_ACCOUNT, LEDGER, floor)

    def _pay(self, debit, credit, amount):
        return wire.transfer_record(self._new_id(), debit, credit, amount, LEDGER)

    def _new_transfer(self, shard):
        chance = self.chance
        issuer, empty, *wallets = self.accounts[shard]
        dice = chance.random()
        debit = chance.choice(wallets) if dice < 0.94 else issuer if dice < 0.97 else empty
        credit = chance.choice(self.accounts[chance.randrange(self.shards)])
        amount = chance.randrange(1, 200)
        dice = chance.random()
        if dice < 0.04:
            amount = 10 * MONEY * len(self.accounts) * len(wallets)
        elif dice < 0.06:
            credit = NOWHERE
        if credit == debit:
            credit = issuer if debit != issuer else empty
        return self._pay(debit, credit, amount)

    def _old_record(self, shard):
        """A record of this shard that has an outcome: as it was, or with other content."""
        if not self.told:
            return None
        # Mostly recent ones; now and then one that may have left the window.
        reach = len(self.told) if self.chance.random() < 0.1 else min(len(self.told), 5000)
        record = self.journal.sent[self.told[-self.chance.randrange(1, reach + 1)]]
        if self.client.shard_of(wire.steering_account(wire.TRANSFER, record)) != shard:
            return None
        if self.chance.random() < 0.2:
            debit, credit, amount = wire.transfer_movement(record)
            return wire.transfer_record(wire.transfer_id(record), debit, credit, amount + 1,
                                        LEDGER)
        return record

    def _transfers(self):
        shard = self.chance.randrange(self.shards)
        records = {}
        for _ in range(self.chance.choice((1, 1, 2, 5, 22))):
            record = self._old_record(shard) if self.chance.random() < 0.08 else None
            record = record or self._new_transfer(shard)
            identity = wire.transfer_id(record)
            self.journal.sent.setdefault(identity, record)
            records.setdefault(identity, record)
        return wire.TRANSFER, list(records.values())

    def _freeze(self):
        """The last wallet of a shard is frozen or thawed."""
        account = self.chance.choice(self.accounts)[-1]
        action = self.chance.choice((wire.FREEZE_ACCOUNT, wire.UNFREEZE_ACCOUNT))
        record = wire.operation_record(self._new_id(), account, action)
        self.journal.sent[wire.transfer_id(record)] = record
        return wire.ACCOUNT, [record]

    # Datagrams.

    def _send(self, payload, port):
        try:
            self.client.udp.sendto(payload, (network.ENGINE_ADDRESS, port))
        except OSError:
            pass  # the engine is down, or the queue full: as good as lost on the way

    def _send_new(self):
        kind, records = self._freeze() if self.chance.random() < 0.01 else self._transfers()
        port = self.client.port_of(kind, records[0])
        if self.shards > 1 and self.chance.random() < 0.02:
            port = self.chance.choice(self.client.info.port)  # the other worker hands it over
        payload = self._send_as(kind, records, port)
        if self.chance.random() < 0.03:
            self._send(payload, port)

    def _send_as(self, kind, records, port):
        """As a datagram of its own: a request id stands for the same records for ever."""
        request_id = self.next_request
        self.next_request += 1
        payload = wire.encode_request(kind, request_id, records)
        self.records[request_id] = (kind, records)
        self.flight[request_id] = [payload, port, time.monotonic()]
        self._send(payload, port)
        return payload

    def _repeat(self):
        now = time.monotonic()
        while self.flight:
            request_id, entry = next(iter(self.flight.items()))
            if entry[2] + REPEAT_S > now:
                return
            del self.flight[request_id]
            if self.chance.random() < GIVEN_UP and not self.draining.is_set():
                continue
            entry[2] = now
            self.flight[request_id] = entry
            self._send(entry[0], entry[1])

    def _receive(self):
        udp = self.client.udp
        if not select.select([udp], [], [], 0.002)[0]:
            return
        for _ in range(64):
            try:
                data = udp.recv(65536)
            except OSError:
                return
            self._answer(wire.decode_reply(data))

    def _answer(self, reply):
        if reply.request_id not in self.records:
            return  # to the client's own requests, sent twice
        kind, records = self.records[reply.request_id]
        self.flight.pop(reply.request_id, None)
        again = []
        if not reply.results:
            again = records
            if wire.status_name(reply.status) not in TRANSIENT:
                self.journal.fault(f"a datagram was answered {wire.status_name(reply.status)}")
        for record, result in zip(records, map(wire.decode_result, reply.results)):
            status = wire.status_name(result.status)
            if status in TRANSIENT:
                again.append(record)
                continue
            identity = wire.transfer_id(record)
            if kind == wire.TRANSFER and identity not in self.journal.acknowledged:
                self.told.append(identity)
            self.journal.tell(record, status, result.epoch)
            self.answers += 1
        if again and (self.draining.is_set() or self.chance.random() > GIVEN_UP):
            self._send_as(kind, again, self.client.port_of(kind, again[0]))

    def run(self):
        try:
            self.client.udp.setblocking(False)
            while not self.halt.is_set():
                while len(self.flight) < self.in_flight and not self.draining.is_set():
                    self._send_new()
                    if len(self.flight) % 32 == 0:
                        self._receive()
                self._receive()
                self._repeat()
        except Exception as failure:  # noqa: BLE001 told to the main thread
            self.failure = failure
        finally:
            self.client.udp.setblocking(True)

    def alive(self):
        if self.failure:
            raise self.failure
        return self.is_alive()

    def end(self):
        self.halt.set()
        self.join()
        if self.failure:
            raise self.failure
