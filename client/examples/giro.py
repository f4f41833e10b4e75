# SPDX-License-Identifier: Apache-2.0
"""A client of the giro engine in one file, with nothing but Python's standard library.

Written from docs/protocol.md alone; copy it, or read it beside that page.

    import giro
    with giro.Client("10.77.0.1") as bank:
        bank.create_account(1, ledger=1, floor=giro.ISSUER)
        bank.create_account(1001, ledger=1)
        print(bank.transfer(1, 1001, 5000, ledger=1))             # OK
        print(bank.account(1001).balance)                         # 5000
        payments = [giro.Transfer(giro.new_id(), 1, 1001, n, 1) for n in range(1, 1000)]
        statuses = bank.transfers(payments)                       # many datagrams at a time

    python3 giro.py HOST[:PORT] info
    python3 giro.py HOST[:PORT] account ID
    python3 giro.py HOST[:PORT] transfer DEBIT CREDIT AMOUNT LEDGER [ID]

Ids are integers of 128 bits; uuid.UUID(...).int is one. A status is its name as a string. TIMED_OUT
means that the outcome is unknown: call again with the same id, never with a new one.
One thread at a time. XXH3 in Python is slow: some thousand transfers a second.
"""

import collections
import functools
import heapq
import random
import secrets
import select
import socket
import struct
import sys
import time

PORT = 7400
ISSUER = -(1 << 63)  # the floor of an account through which money enters and leaves

INFO, TRANSFER, ACCOUNT, LOOKUP_ACCOUNT, LOOKUP_TRANSFER, REPLY = 1, 2, 3, 4, 5, 0x80
CREATE, FREEZE, UNFREEZE, CLOSE = 1, 2, 3, 4
RESULT_BYTES = {INFO: 1216, TRANSFER: 16, ACCOUNT: 16, LOOKUP_ACCOUNT: 64, LOOKUP_TRANSFER: 16}
SLOTS, PAGE = 4096, 1024
HEADER = struct.Struct("<Q4sBBHQIHH")

STATUS = {
    0: "OK", 1: "BAD_VERSION", 2: "BAD_KIND", 3: "BAD_COUNT", 10: "RESERVED_NOT_ZERO",
    11: "BAD_ACTION", 12: "ACCOUNT_ZERO", 13: "SAME_ACCOUNT", 14: "AMOUNT_ZERO", 15: "LEDGER_ZERO",
    16: "FLOOR_POSITIVE", 20: "WRONG_SHARD", 21: "PENDING", 22: "ID_EXPIRED", 23: "ID_AHEAD",
    24: "ID_REUSED", 25: "TRANSFER_NOT_FOUND", 26: "BUSY", 30: "DEBIT_NOT_FOUND",
    31: "DEBIT_LEDGER_MISMATCH", 32: "DEBIT_CLOSED", 33: "DEBIT_FROZEN", 34: "INSUFFICIENT_FUNDS",
    40: "CREDIT_NOT_FOUND", 41: "CREDIT_LEDGER_MISMATCH", 42: "CREDIT_CLOSED", 43: "CREDIT_FROZEN",
    44: "CREDIT_OVERFLOW", 45: "TRY_TIMEOUT", 50: "ACCOUNT_EXISTS", 51: "ACCOUNT_DIFFERS",
    52: "ACCOUNT_NOT_FOUND", 53: "ACCOUNT_ALREADY_CLOSED", 54: "ACCOUNT_NOT_EMPTY",
}

Transfer = collections.namedtuple("Transfer", "id debit credit amount ledger code", defaults=[0])
Account = collections.namedtuple(
    "Account", "status balance held incoming floor ledger frozen closed epoch")
Info = collections.namedtuple(
    "Info", "version_min version_max shards first_slot datagram_max records_max window_ms ahead_ms "
    "now_ms committed log_id accounts_max ports slots")


class Refused(Exception):
    """The engine refuses whole datagrams of ours: this client and the engine do not fit."""


class LogChanged(Exception):
    """The engine now writes another log: what was sent before is unknown there."""


# XXH3-64, as the page's appendix has it.

_64 = (1 << 64) - 1
_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
_P32 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
_P64 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5)


def _words(data, at, count):
    return struct.unpack_from(f"<{count}Q", data, at)


_LANE_KEYS = [_words(_SECRET, 8 * stripe, 8) for stripe in range(17)]
_LAST_KEYS = _words(_SECRET, 121, 8)


def _fold(a, b):
    product = a * b
    return (product ^ product >> 64) & _64


def _finish(hash):
    hash &= _64
    hash = (hash ^ hash >> 37) * 0x165667919E3779F9 & _64
    return hash ^ hash >> 32


def _mix(data, at, secret_at):
    (a, b), (x, y) = _words(data, at, 2), _words(_SECRET, secret_at, 2)
    return _fold(a ^ x, b ^ y)


def _stripe(lanes, data, at, keys):
    for lane, (word, key) in enumerate(zip(_words(data, at, 8), keys)):
        key ^= word
        lanes[lane ^ 1] += word
        lanes[lane] += (key & 0xFFFFFFFF) * (key >> 32)


def _long(data, size):
    lanes = [_P32[2], _P64[0], _P64[1], _P64[2], _P64[3], _P32[1], _P64[4], _P32[0]]
    for at in range(0, (size - 1) // 64 * 64, 64):
        _stripe(lanes, data, at, _LANE_KEYS[at // 64 % 16])
        if at % 1024 == 960:
            for lane, key in enumerate(_LANE_KEYS[16]):
                value = lanes[lane] & _64
                lanes[lane] = (value ^ value >> 47 ^ key) * _P32[0] & _64
    _stripe(lanes, data, size - 64, _LAST_KEYS)
    total = size * _P64[0]
    for pair in range(4):
        x, y = _words(_SECRET, 11 + 16 * pair, 2)
        total += _fold((lanes[2 * pair] & _64) ^ x, (lanes[2 * pair + 1] & _64) ^ y)
    return _finish(total)


def xxh3_64(data):
    """Of 9 bytes and more, seed 0."""
    size = len(data)
    if size > 240:
        return _long(data, size)
    if size <= 16:
        s = _words(_SECRET, 24, 4)
        low = _words(data, 0, 1)[0] ^ s[0] ^ s[1]
        high = _words(data, size - 8, 1)[0] ^ s[2] ^ s[3]
        swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
        return _finish(size + swapped + high + _fold(low, high))
    total = size * _P64[0]
    if size <= 128:
        for i in range((size - 1) // 32 + 1):
            total += _mix(data, 16 * i, 32 * i) + _mix(data, size - 16 * (i + 1), 32 * i + 16)
        return _finish(total)
    total = _finish(total + sum(_mix(data, 16 * i, 16 * i) for i in range(8)))
    total += sum(_mix(data, 16 * i, 16 * (i - 8) + 3) for i in range(8, size // 16))
    return _finish(total + _mix(data, size - 16, 119))


# Ids and datagrams.


def new_id(now_ms=None):
    """A UUIDv7 as a number: the id of a new transfer or account operation."""
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    bits = secrets.randbits(74)
    return now_ms << 80 | 7 << 76 | bits >> 62 << 64 | 2 << 62 | bits & (1 << 62) - 1


def _id(number):
    return number.to_bytes(16, "little")


def _request(kind, request_id, records):
    body = HEADER.pack(0, b"GIRO", 1, kind, len(records), request_id, 0, 0, 0)[8:]
    body += b"".join(records)
    return struct.pack("<Q", xxh3_64(body)) + body


_Reply = collections.namedtuple("_Reply", "count request_id map_version status retry_ms results")


def _reply(payload, kind, count):
    """None unless the datagram is a sound answer to `count` records of `kind`."""
    if len(payload) < HEADER.size:
        return None
    checksum, magic, version, its_kind, its_count, request_id, *rest = HEADER.unpack_from(payload)
    size = RESULT_BYTES[kind]
    if (magic != b"GIRO" or its_kind != kind | REPLY or checksum != xxh3_64(payload[8:])
            or len(payload) != HEADER.size + its_count * size
            or (its_count == 0) != (rest[1] != 0) or its_count not in (0, count)
            or (version != 1 and rest[1] != 1)):
        return None
    return _Reply(its_count, request_id, *rest,
                  [payload[at:at + size] for at in range(HEADER.size, len(payload), size)])


class _Window:
    """What may be unanswered at one shard, and how long to wait: the page's congestion rule."""

    def __init__(self):
        self.size, self.threshold, self.in_flight = 32.0, float("inf"), 0
        self.srtt = self.rttvar = self.cut_at = 0.0
        self.rto, self.doublings = 0.25, 0

    def answered(self, trip, repeated):
        if not repeated:
            self.doublings = 0
            if self.srtt == 0:
                self.srtt, self.rttvar = trip, trip / 2
            self.rttvar += (abs(self.srtt - trip) - self.rttvar) / 4
            self.srtt += (trip - self.srtt) / 8
            self.rto = min(max(self.srtt + 4 * self.rttvar, 0.05), 1.0)
        if self.in_flight >= self.size / 2:
            self.size += 1 if self.size < self.threshold else 1 / self.size

    def lost(self, doublings, now):
        self.doublings = max(self.doublings, doublings + 1)
        self.cut(0.5, now)

    def cut(self, keep, now):
        if now - self.cut_at >= max(self.srtt, 0.001):
            self.size = self.threshold = max(self.size * keep, 2.0)
            self.cut_at = now


class _Flight:
    """One datagram, from its making to its reply, for which `take` is called."""

    def __init__(self, kind, shard, count, request_id, payload, take):
        self.kind, self.shard, self.count = kind, shard, count
        self.request_id, self.payload, self.take = request_id, payload, take
        self.first_sent = None
        self.due = None  # when to send it again; None while it waits to be sent
        self.repeats = self.doublings = 0


def _vary(seconds):
    return seconds * random.uniform(0.75, 1.25)


class Client:
    def __init__(self, host="127.0.0.1", port=PORT, timeout=10.0, datagram=1472):
        """Reads the engine's limits and slot map. TimeoutError when nothing answers."""
        self.host, self.port, self.timeout, self.datagram = (
            socket.gethostbyname(host), port, timeout, datagram)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setblocking(False)
        self.next_id = secrets.randbits(63)
        self.flights = {}  # by request id
        self.ready = collections.defaultdict(collections.deque)  # by shard: those to be sent
        self.windows = collections.defaultdict(_Window)
        self.info = self.pages = None
        self.map_version = None
        self.slots = bytes(SLOTS)
        self.read_at = 0.0
        self.refresh()

    def close(self):
        self.udp.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # What one does with a bank

    def create_account(self, account, ledger, floor=0, id=None):
        return self._operate(account, CREATE, ledger, floor, id)

    def freeze(self, account, id=None):
        return self._operate(account, FREEZE, 0, 0, id)

    def unfreeze(self, account, id=None):
        return self._operate(account, UNFREEZE, 0, 0, id)

    def close_account(self, account, id=None):
        return self._operate(account, CLOSE, 0, 0, id)

    def transfer(self, debit, credit, amount, ledger, code=0, id=None):
        """Moves money at most once an id. For a payment that must not be forgotten, make the id
        (new_id) and store it before the call."""
        return self.transfers([Transfer(id or new_id(), debit, credit, amount, ledger, code)])[0]

    def transfers(self, transfers):
        """The status of each. Their order of execution is not given."""
        records = [_id(t.id) + _id(t.debit) + _id(t.credit)
                   + struct.pack("<QIHH", t.amount, t.ledger, t.code, 0) for t in transfers]
        return self._statuses(TRANSFER, records)

    def outcome(self, id, debit):
        """The status of an earlier transfer, by its id and the account that was to pay."""
        return self._statuses(LOOKUP_TRANSFER, [_id(id) + _id(debit) + bytes(32)])[0]

    def account(self, account):
        """An Account; its status is OK, ACCOUNT_NOT_FOUND or TIMED_OUT."""
        result = self.run(LOOKUP_ACCOUNT, [_id(account) + bytes(48)])[0]
        if result is None:
            return Account("TIMED_OUT", *[0] * 5, False, False, 0)
        balance, held, incoming, floor, ledger, status, flags, epoch = struct.unpack_from(
            "<qQQqIHHQ", result, 16)
        return Account(STATUS.get(status, str(status)), balance, held, incoming, floor, ledger,
                       bool(flags & 1), bool(flags & 2), epoch)

    def _operate(self, account, action, ledger, floor, id):
        record = _id(id or new_id()) + _id(account) + struct.pack(
            "<qIHH16x", floor, ledger, action, 0)
        return self._statuses(ACCOUNT, [record])[0]

    def _statuses(self, kind, records):
        return ["TIMED_OUT" if result is None else
                STATUS.get(struct.unpack_from("<H", result)[0], "UNKNOWN")
                for result in self.run(kind, records)]

    # INFO and the slot map

    def refresh(self):
        """Reads INFO and the map anew."""
        deadline = time.monotonic() + self.timeout
        self._ask_for_map()
        while self.pages is not None:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"no answer from {self.host}:{self.port}")
            self._step(deadline)

    def _ask_for_map(self):
        self.pages = {}
        self.read_at = time.monotonic()
        for first in range(0, SLOTS, PAGE):
            record = struct.pack("<H", first) + bytes(1214)
            self._fly(INFO, None, [record], functools.partial(self._page, first))

    def _page(self, first, reply):
        if reply.status != 0:
            raise Refused(f"INFO: {STATUS.get(reply.status, reply.status)}")
        *fields, ports, slots = struct.unpack("<6H4x6Q128s1024s", reply.results[0])
        info = Info(*fields, struct.unpack("<64H", ports)[:fields[2]], slots)
        if self.info is not None and info.log_id != self.info.log_id:
            raise LogChanged(f"log {info.log_id:016x}, before {self.info.log_id:016x}")
        if self.pages is None:
            return
        self.pages[first] = (reply.map_version, info)
        if len(self.pages) < SLOTS // PAGE:
            return
        if len({version for version, _ in self.pages.values()}) > 1:
            self._ask_for_map()  # it changed meanwhile
            return
        self.slots = b"".join(self.pages[first][1].slots for first in sorted(self.pages))
        self.map_version, self.info = reply.map_version, info
        self.pages = None

    def _map_is_old(self):
        if self.pages is None and time.monotonic() - self.read_at > 0.1:
            self._ask_for_map()

    # Datagrams

    def _fly(self, kind, shard, records, take):
        self.next_id += 1
        flight = _Flight(kind, shard, len(records), self.next_id,
                         _request(kind, self.next_id, records), take)
        self.flights[flight.request_id] = flight
        self.ready[shard].append(flight)

    def _room(self, shard):
        window = self.windows[shard]
        return window.in_flight + len(self.ready[shard]) < window.size

    def _send(self, flight, now):
        window = self.windows[flight.shard]
        port = self.port  # takes everything, if need be by a detour
        if flight.shard is not None and flight.shard < self.info.shards:
            port = self.info.ports[flight.shard]
        try:
            self.udp.sendto(flight.payload, (self.host, port))
        except OSError:
            pass  # as good as lost
        window.in_flight += 1
        flight.first_sent = flight.first_sent or now
        flight.doublings = max(min(flight.repeats, 6), window.doublings)
        flight.due = now + _vary(min(window.rto * 2 ** flight.doublings, 2.0))

    def _unsend(self, flight):
        if flight.due is not None:
            self.windows[flight.shard].in_flight -= 1
            flight.due = None

    def _forget(self, flight):
        if flight.due is None:
            self.ready[flight.shard].remove(flight)
        self._unsend(flight)
        del self.flights[flight.request_id]

    def _step(self, until):
        """One round: what had no answer in time, what may be sent, what has arrived. Waits for a
        datagram up to `until`."""
        now = time.monotonic()
        for flight in list(self.flights.values()):
            if flight.due is None or flight.due > now:
                continue
            self._unsend(flight)
            self.windows[flight.shard].lost(flight.doublings, now)
            flight.repeats += 1
            self.ready[flight.shard].appendleft(flight)
            if flight.repeats >= 3 and flight.kind != INFO:
                self._map_is_old()  # the engine may be back, with other ports
        for shard, ready in self.ready.items():
            while ready and self.windows[shard].in_flight < self.windows[shard].size:
                self._send(ready.popleft(), now)
        until = min([until] + [each.due for each in self.flights.values() if each.due])
        if select.select([self.udp], [], [], max(0, until - time.monotonic()))[0]:
            self._receive()

    def _receive(self):
        while True:
            try:
                payload, (host, _) = self.udp.recvfrom(9000)
            except BlockingIOError:
                return
            except OSError:
                continue  # what ICMP said of an earlier datagram: as good as a loss
            flight = len(payload) >= HEADER.size and self.flights.get(
                HEADER.unpack_from(payload)[5])
            reply = flight and host == self.host and _reply(payload, flight.kind, flight.count)
            if not reply:
                continue
            now = time.monotonic()
            if flight.due is not None:
                self.windows[flight.shard].answered(now - flight.first_sent, flight.repeats > 0)
            self._forget(flight)
            if reply.map_version != self.map_version and flight.kind != INFO:
                self._map_is_old()
            flight.take(reply)

    def shard(self, account):
        """The shard that an account lies on."""
        return self.slots[xxh3_64(_id(account)) % SLOTS]

    def _shard(self, kind, record):
        """Of a record's steering account."""
        at = 0 if kind == LOOKUP_ACCOUNT else 16
        return self.shard(int.from_bytes(record[at:at + 16], "little"))

    def run(self, kind, records):
        """Any number of records of one kind, 64 bytes each. Returns their result records, None for
        each without outcome when nothing was decided for `timeout` seconds."""
        results = [None] * len(records)
        asked = [0] * len(records)
        fresh = collections.defaultdict(collections.deque)  # by shard: those to be sent
        later = []  # heap of (when, index): those to be asked again
        left = len(records)
        most = min(self.info.records_max,
                   (min(self.datagram, self.info.datagram_max) - HEADER.size) // 64)

        def take(indices, shard, reply):
            nonlocal left
            now = time.monotonic()
            for place, i in enumerate(indices):
                if reply.count:
                    status, retry_ms = struct.unpack_from(
                        "<HH", reply.results[place], 52 if kind == LOOKUP_ACCOUNT else 0)
                else:
                    status, retry_ms = reply.status, reply.retry_ms
                if status not in (20, 21, 26):
                    if not reply.count:
                        raise Refused(STATUS.get(status, str(status)))
                    results[i] = reply.results[place]
                    left -= 1
                    continue
                wait = _vary(min(max(self.windows[shard].srtt, 0.001) * 2 ** min(asked[i], 9), 0.5))
                if status == 26:
                    self.windows[shard].cut(0.75, now)
                    wait = max(wait, retry_ms / 1000 * random.uniform(1, 1.5))
                if status == 20:
                    self._map_is_old()
                asked[i] += 1
                heapq.heappush(later, (now + wait, i))

        for i, record in enumerate(records):
            fresh[self._shard(kind, record)].append(i)
        decided, deadline = left, time.monotonic() + self.timeout
        try:
            while left:
                now = time.monotonic()
                if left < decided:
                    decided, deadline = left, now + self.timeout
                if now >= deadline:
                    break
                while later and later[0][0] <= now:
                    i = heapq.heappop(later)[1]
                    fresh[self._shard(kind, records[i])].append(i)
                for shard, queue in fresh.items():
                    while queue and self._room(shard):
                        batch = [queue.popleft() for _ in range(min(most, len(queue)))]
                        self._fly(kind, shard, [records[i] for i in batch],
                                  functools.partial(take, batch, shard))
                self._step(min([deadline] + [when for when, _ in later[:1]]))
        finally:  # also when the engine refuses: nothing of this call is sent any more
            for flight in [each for each in self.flights.values() if each.kind != INFO]:
                self._forget(flight)
        return results


def main(arguments):
    try:
        host, _, port = arguments[0].partition(":")
        command, *numbers = arguments[1:2] + [int(each) for each in arguments[2:]]
        if (command, len(numbers)) not in (
                ("info", 0), ("account", 1), ("transfer", 4), ("transfer", 5)):
            raise ValueError
    except (IndexError, ValueError):
        print(__doc__[__doc__.index("    python3"):__doc__.index("\n\nIds")], file=sys.stderr)
        return 2
    with Client(host, int(port or PORT)) as bank:
        if command == "info":
            for name, value in bank.info._asdict().items():
                if name not in ("slots", "first_slot"):
                    print(f"{name:12} {value}")
            return 0
        if command == "account":
            account = bank.account(*numbers)
            for name, value in account._asdict().items():
                print(f"{name:12} {value}")
            return 0 if account.status == "OK" else 1
        debit, credit, amount, ledger, *id = numbers
        identity = id[0] if id else new_id()
        print(identity, flush=True)  # before it is sent: who knows it can ask again
        status = bank.transfer(debit, credit, amount, ledger, id=identity)
        print(status)
        return 0 if status == "OK" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
