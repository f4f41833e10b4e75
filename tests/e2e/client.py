# SPDX-License-Identifier: Apache-2.0
"""A client written from docs/protocol.md alone, on the codec of giro_wire: one request at a time."""

import collections
import itertools
import select
import secrets
import time

import giro_wire as wire
import network

# What a record can be answered before it has an outcome.
UNDECIDED = ("BUSY", "PENDING")

# A record's status by name, and the log epoch that holds it. The epoch tells a remembered outcome
# from one that was lost and decided again.
Outcome = collections.namedtuple("Outcome", "status epoch")

# A request without an answer is sent again after this, with the same bytes.
REPEAT_S = 0.2
# How long to go on before saying that the engine does not answer.
ANSWER_S = 20


def command(*words):
    """The giro command of the build, told where the engine is."""
    return [network.BUILD / "client/giro", "--server",
            f"{network.ENGINE_ADDRESS}:{network.UDP_PORT}", *words]


class Client:
    def __init__(self):
        self.udp = network.udp_socket()
        self.request_ids = itertools.count(secrets.randbits(48) << 16 >> 8)
        self.refresh()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.udp.close()

    # Datagrams

    def exchange_bytes(self, payload, port=network.UDP_PORT, seconds=ANSWER_S):
        """Sends a request until its reply comes; returns the decoded reply."""
        request_id = wire.request_id(payload)
        deadline = time.monotonic() + seconds
        repeat = 0
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError(f"no answer within {seconds} s")
            if now >= repeat:
                try:
                    self.udp.sendto(payload, (network.ENGINE_ADDRESS, port))
                except (ConnectionError, OSError):
                    pass  # the engine is down: the kernel tells what ARP or ICMP said
                repeat = now + REPEAT_S
            wait = max(0, min(repeat, deadline) - time.monotonic())
            if not select.select([self.udp], [], [], wait)[0]:
                continue
            try:
                data = self.udp.recv(65536)
            except (ConnectionError, OSError):
                continue
            reply = wire.decode_reply(data)
            if reply.request_id == request_id:
                assert len(data) <= len(payload), "a reply longer than its request"
                return reply._replace(status=wire.status_name(reply.status))

    def exchange(self, kind, records, port=None, seconds=ANSWER_S):
        payload = wire.encode_request(kind, next(self.request_ids), records)
        return self.exchange_bytes(payload, port or self.port_of(kind, records[0]), seconds)

    def outcomes(self, kind, records, port=None, seconds=ANSWER_S):
        """One datagram; an Outcome of each record. BUSY for all where the whole is."""
        reply = self.exchange(kind, records, port, seconds)
        if not reply.results:
            return [Outcome(reply.status, 0)] * len(records)
        assert reply.status == "OK" and len(reply.results) == len(records), reply
        results = map(wire.decode_result, reply.results)
        return [Outcome(wire.status_name(result.status), result.epoch) for result in results]

    def statuses(self, kind, records, port=None, seconds=ANSWER_S):
        return [outcome.status for outcome in self.outcomes(kind, records, port, seconds)]

    def final_outcomes(self, kind, records, seconds=60):
        """Any number of records, each to its shard, until every one has a final status."""
        final = {}
        deadline = time.monotonic() + seconds
        while len(final) < len(set(records)):
            by_port = {}
            for record in dict.fromkeys(records):
                if record not in final:
                    by_port.setdefault(self.port_of(kind, record), []).append(record)
            for port, group in by_port.items():
                for start in range(0, len(group), self.info.records_max):
                    batch = group[start:start + self.info.records_max]
                    for record, outcome in zip(batch, self.outcomes(kind, batch, port)):
                        if outcome.status not in UNDECIDED:
                            final[record] = outcome
            assert time.monotonic() < deadline, f"{len(records) - len(final)} without outcome"
        return [final[record] for record in records]

    def final_statuses(self, kind, records):
        return [outcome.status for outcome in self.final_outcomes(kind, records)]

    # The map

    def refresh(self):
        """Reads INFO and the whole slot map."""
        pages = []
        while not pages or sum(len(page.slots) for page in pages) < wire.SLOTS:
            first = sum(len(page.slots) for page in pages)
            request = wire.encode_info_request(next(self.request_ids), first)
            pages.append(wire.decode_info(self.exchange_bytes(request).results[0]))
        self.info = pages[0]
        self.slots = [shard for page in pages for shard in page.slots]
        return self.info

    def shard_of(self, account):
        return self.slots[wire.slot(account)]

    def port_of(self, kind, record):
        return self.info.port[self.shard_of(wire.steering_account(kind, record))]

    def accounts_on(self, shard, count, first=1):
        """The lowest `count` account ids from `first` on that lie on a shard."""
        found = (account for account in itertools.count(first)
                 if self.shard_of(account) == shard % self.info.shards)
        return list(itertools.islice(found, count))

    # Records

    def new_id(self, ahead_ms=0):
        return wire.new_id(int(time.time() * 1000) + ahead_ms)

    def _one(self, kind, record, retry_busy):
        if retry_busy:
            return self.final_statuses(kind, [record])[0]
        return self.statuses(kind, [record])[0]

    def transfer(self, identity, debit, credit, amount, ledger=1, code=0, flags=0,
                 retry_busy=True):
        record = wire.transfer_record(identity, debit, credit, amount, ledger, code, flags)
        return self._one(wire.TRANSFER, record, retry_busy)

    def operate(self, account, action, ledger=0, floor=0, flags=0, id=None, retry_busy=True):
        record = wire.operation_record(id or self.new_id(), account, action, ledger, floor, flags)
        return self._one(wire.ACCOUNT, record, retry_busy)

    def create(self, account, ledger=1, floor=0):
        status = self.operate(account, wire.CREATE_ACCOUNT, ledger, floor)
        assert status == "OK", f"creating {account}: {status}"

    def lookup(self, account):
        """The account as the engine shows it; `status` is a name."""
        reply = self.exchange(wire.LOOKUP_ACCOUNT, [wire.lookup_account_record(account)])
        return wire.decode_account(reply.results[0])

    def lookup_transfer(self, identity, debit):
        return self.statuses(wire.LOOKUP_TRANSFER, [wire.lookup_transfer_record(identity, debit)])[0]

    def pay(self, debit, credit, amount):
        """A new transfer that must be done; returns its record."""
        record = wire.transfer_record(self.new_id(), debit, credit, amount, ledger=1)
        statuses = self.final_statuses(wire.TRANSFER, [record])
        assert statuses == ["OK"], f"{debit} -> {credit}: {statuses}"
        return record
