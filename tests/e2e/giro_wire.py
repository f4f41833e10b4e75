# SPDX-License-Identifier: Apache-2.0
"""Wire protocol version 1, written a second time.

The end-to-end tests and the golden datagrams speak to the engine through this module and not
through the C codec, so that an error in the one is seen by the other. It follows docs/protocol.md,
uses the standard library only, and is slow on purpose: nothing here is shared with the C code.

Ids are Python integers of 128 bits; account ids of any value are allowed, so that tests can send
what a client must not. Amounts, floors and times are integers.
"""

import collections
import secrets
import struct
import time

MAGIC = int.from_bytes(b"GIRO", "little")
VERSION = 1

INFO = 1
TRANSFER = 2
ACCOUNT = 3
LOOKUP_ACCOUNT = 4
LOOKUP_TRANSFER = 5
REPLY = 0x80

CREATE_ACCOUNT = 1
FREEZE_ACCOUNT = 2
UNFREEZE_ACCOUNT = 3
CLOSE_ACCOUNT = 4

ACCOUNT_FROZEN = 1
ACCOUNT_CLOSED = 2

FLOOR_ISSUER = -(1 << 63)
SLOTS = 4096
INFO_SLOTS = 1024
SHARDS_MAX = 64
DATAGRAM_MAX = 9000 - 28
DATAGRAM_1500 = 1500 - 28

HEADER = struct.Struct("<QIBBHQIHH")
HEADER_BYTES = 32
RECORD_BYTES = 64
INFO_BYTES = 64 + 2 * SHARDS_MAX + INFO_SLOTS
RESULT_BYTES = {INFO: INFO_BYTES, TRANSFER: 16, ACCOUNT: 16, LOOKUP_ACCOUNT: 64, LOOKUP_TRANSFER: 16}

STATUS = {
    "OK": 0, "BAD_VERSION": 1, "BAD_KIND": 2, "BAD_COUNT": 3,
    "RESERVED_NOT_ZERO": 10, "BAD_ACTION": 11, "ACCOUNT_ZERO": 12, "SAME_ACCOUNT": 13,
    "AMOUNT_ZERO": 14, "LEDGER_ZERO": 15, "FLOOR_POSITIVE": 16,
    "WRONG_SHARD": 20, "PENDING": 21, "ID_EXPIRED": 22, "ID_AHEAD": 23, "ID_REUSED": 24,
    "TRANSFER_NOT_FOUND": 25, "BUSY": 26,
    "DEBIT_NOT_FOUND": 30, "DEBIT_LEDGER_MISMATCH": 31, "DEBIT_CLOSED": 32, "DEBIT_FROZEN": 33,
    "INSUFFICIENT_FUNDS": 34,
    "CREDIT_NOT_FOUND": 40, "CREDIT_LEDGER_MISMATCH": 41, "CREDIT_CLOSED": 42,
    "CREDIT_FROZEN": 43, "CREDIT_OVERFLOW": 44, "TRY_TIMEOUT": 45,
    "ACCOUNT_EXISTS": 50, "ACCOUNT_DIFFERS": 51, "ACCOUNT_NOT_FOUND": 52,
    "ACCOUNT_ALREADY_CLOSED": 53, "ACCOUNT_NOT_EMPTY": 54,
}
_NAME = {number: name for name, number in STATUS.items()}


def status_name(number):
    return _NAME.get(number, "UNKNOWN_STATUS")



# XXH3-64, seed 0, as its specification gives it.

_M32 = (1 << 32) - 1
_M64 = (1 << 64) - 1
_P32_1, _P32_2, _P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
_P64_1, _P64_2, _P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P64_4, _P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
_MX1, _MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25

_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364ea"
    "c5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e2b"
    "16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)


def _u32(data, at):
    return int.from_bytes(data[at:at + 4], "little")


def _u64(data, at):
    return int.from_bytes(data[at:at + 8], "little")


def _swap64(value):
    return int.from_bytes(value.to_bytes(8, "little"), "big")


def _fold(a, b):
    product = a * b
    return (product & _M64) ^ (product >> 64)


def _rotate(value, bits):
    return ((value << bits) | (value >> (64 - bits))) & _M64


def _avalanche(value):
    value ^= value >> 37
    value = value * _MX1 & _M64
    return value ^ (value >> 32)


def _avalanche64(value):
    value ^= value >> 33
    value = value * _P64_2 & _M64
    value ^= value >> 29
    value = value * _P64_3 & _M64
    return value ^ (value >> 32)


def _mix16(data, at, secret):
    return _fold(_u64(data, at) ^ _u64(_SECRET, secret),
                 _u64(data, at + 8) ^ _u64(_SECRET, secret + 8))


def _accumulate(acc, data, at, secret):
    for lane in range(8):
        value = _u64(data, at + 8 * lane)
        key = value ^ _u64(_SECRET, secret + 8 * lane)
        acc[lane ^ 1] = (acc[lane ^ 1] + value) & _M64
        acc[lane] = (acc[lane] + (key & _M32) * (key >> 32)) & _M64


def _hash_long(data):
    size = len(data)
    acc = [_P32_3, _P64_1, _P64_2, _P64_3, _P64_4, _P32_2, _P64_5, _P32_1]
    blocks = (size - 1) // 1024
    for block in range(blocks):
        for stripe in range(16):
            _accumulate(acc, data, 1024 * block + 64 * stripe, 8 * stripe)
        for lane in range(8):
            value = acc[lane]
            value ^= value >> 47
            value ^= _u64(_SECRET, 128 + 8 * lane)
            acc[lane] = value * _P32_1 & _M64
    for stripe in range((size - 1 - 1024 * blocks) // 64):
        _accumulate(acc, data, 1024 * blocks + 64 * stripe, 8 * stripe)
    _accumulate(acc, data, size - 64, 121)
    result = size * _P64_1 & _M64
    for pair in range(4):
        result += _fold(acc[2 * pair] ^ _u64(_SECRET, 11 + 16 * pair),
                        acc[2 * pair + 1] ^ _u64(_SECRET, 19 + 16 * pair))
    return _avalanche(result & _M64)


def _hash_short(data):
    size = len(data)
    if size > 8:
        lo = _u64(data, 0) ^ _u64(_SECRET, 24) ^ _u64(_SECRET, 32)
        hi = _u64(data, size - 8) ^ _u64(_SECRET, 40) ^ _u64(_SECRET, 48)
        return _avalanche((size + _swap64(lo) + hi + _fold(lo, hi)) & _M64)
    if size >= 4:
        value = _u32(data, size - 4) + (_u32(data, 0) << 32)
        value ^= _u64(_SECRET, 8) ^ _u64(_SECRET, 16)
        value ^= _rotate(value, 49) ^ _rotate(value, 24)
        value = value * _MX2 & _M64
        value ^= (value >> 35) + size
        value = value * _MX2 & _M64
        return value ^ (value >> 28)
    if size > 0:
        value = data[0] << 16 | data[size >> 1] << 24 | data[size - 1] | size << 8
        return _avalanche64(value ^ _u32(_SECRET, 0) ^ _u32(_SECRET, 4))
    return _avalanche64(_u64(_SECRET, 56) ^ _u64(_SECRET, 64))


def xxh3_64(data):
    """XXH3-64 of bytes, seed 0, as an integer."""
    data = bytes(data)
    size = len(data)
    if size <= 16:
        return _hash_short(data)
    if size > 240:
        return _hash_long(data)
    total = size * _P64_1
    if size <= 128:
        for i in range((size - 1) // 32, -1, -1):
            total += _mix16(data, 16 * i, 32 * i)
            total += _mix16(data, size - 16 * (i + 1), 32 * i + 16)
        return _avalanche(total & _M64)
    for i in range(8):
        total += _mix16(data, 16 * i, 16 * i)
    total = _avalanche(total & _M64)
    for i in range(8, size // 16):
        total += _mix16(data, 16 * i, 16 * (i - 8) + 3)
    total += _mix16(data, size - 16, 119)
    return _avalanche(total & _M64)


# Ids.


def id_bytes(number):
    return number.to_bytes(16, "little")


def slot(account):
    """The slot, 0..4095, that decides the shard of an account."""
    return xxh3_64(id_bytes(account)) % SLOTS


def new_id(time_ms=None, random_bits=None):
    """A transfer or operation id: a UUIDv7 of 74 random bits, read as a big-endian number."""
    if time_ms is None:
        time_ms = time.time_ns() // 1_000_000
    if random_bits is None:
        random_bits = secrets.randbits(74)
    upper = random_bits >> 62
    lower = random_bits & (1 << 62) - 1
    return time_ms << 80 | 7 << 76 | upper << 64 | 2 << 62 | lower


def id_time_ms(number):
    return number >> 80


# Records of requests, as bytes.


def transfer_record(id, debit, credit, amount, ledger, code=0, flags=0):
    return id_bytes(id) + id_bytes(debit) + id_bytes(credit) + struct.pack(
        "<QIHH", amount, ledger, code, flags)


def operation_record(id, account, action, ledger=0, floor=0, flags=0, reserved=bytes(16)):
    return id_bytes(id) + id_bytes(account) + struct.pack(
        "<qIHH", floor, ledger, action, flags) + reserved


def lookup_account_record(account, reserved=bytes(48)):
    return id_bytes(account) + reserved


def lookup_transfer_record(id, debit, reserved=bytes(32)):
    return id_bytes(id) + id_bytes(debit) + reserved


def info_record(first_slot=0):
    return struct.pack("<H", first_slot) + bytes(INFO_BYTES - 2)


def _id_at(record, offset):
    return int.from_bytes(record[offset:offset + 16], "little")


def transfer_id(record):
    """The id of a transfer or account operation record."""
    return _id_at(record, 0)


def transfer_movement(record):
    """(debit, credit, amount) of a transfer record."""
    return _id_at(record, 16), _id_at(record, 32), int.from_bytes(record[48:56], "little")


def steering_account(kind, record):
    """The account whose shard a record is sent to."""
    return _id_at(record, 0 if kind == LOOKUP_ACCOUNT else 16)


# Results, as bytes: for the golden datagrams, and for servers made up in tests.


def result_record(status, retry_after_ms=0, epoch=0):
    return struct.pack("<HHIQ", status, retry_after_ms, 0, epoch)


def account_record(account, balance=0, held=0, incoming=0, floor=0, ledger=0, status=0, flags=0,
                   epoch=0):
    return id_bytes(account) + struct.pack("<qQQqIHHQ", balance, held, incoming, floor, ledger,
                                           status, flags, epoch)


_INFO = struct.Struct("<HHHHHHIQQQQQQ64H1024s")


def info_result(shards, first_slot, datagram_max, records_max, window_ms, ahead_ms, now_ms,
                committed, log_id, accounts_max, port, slots):
    ports = list(port) + [0] * (SHARDS_MAX - len(port))
    return _INFO.pack(VERSION, VERSION, shards, first_slot, datagram_max, records_max, 0,
                      window_ms, ahead_ms, now_ms, committed, log_id, accounts_max, *ports,
                      bytes(slots))


# Datagrams.


def seal(kind, count, request_id, body, version=VERSION, map_version=0, status=0,
         retry_after_ms=0, magic=MAGIC):
    """A datagram of a header and `body`, with its checksum. Every field can be set wrong."""
    head = HEADER.pack(0, magic, version, kind, count, request_id, map_version, status,
                       retry_after_ms)
    covered = head[8:] + body
    return struct.pack("<Q", xxh3_64(covered)) + covered


def encode_request(kind, request_id, records):
    return seal(kind, len(records), request_id, b"".join(records))


def encode_info_request(request_id, first_slot=0):
    return encode_request(INFO, request_id, [info_record(first_slot)])


def encode_reply(kind, request_id, results, map_version=1, status=0, retry_after_ms=0):
    return seal(kind | REPLY, len(results), request_id, b"".join(results),
                map_version=map_version, status=status, retry_after_ms=retry_after_ms)


def alter_header(payload, **fields):
    """The datagram with header fields replaced and the checksum right again."""
    header = decode_header(payload)._replace(**fields)._asdict()
    del header["checksum"]
    return seal(body=payload[HEADER_BYTES:], **header)


def request_id(payload):
    return decode_header(payload).request_id


class WireError(Exception):
    """A datagram that breaks the protocol; the text says how."""


Header = collections.namedtuple(
    "Header", "checksum magic version kind count request_id map_version status retry_after_ms")
# status: a number, for the datagram as a whole; results: bytes, one item a record
Reply = collections.namedtuple("Reply", "kind request_id map_version status retry_after_ms results")
# status: a number
Result = collections.namedtuple("Result", "status retry_after_ms epoch")
# status: a name
Account = collections.namedtuple(
    "Account", "account balance held incoming floor ledger status flags epoch")
# port: UDP ports of shards 0..shards-1; slots: shard of each slot from first_slot on
Info = collections.namedtuple(
    "Info", "version_min version_max shards first_slot datagram_max records_max window_ms "
    "ahead_ms now_ms committed log_id accounts_max port slots")


def decode_header(payload):
    if len(payload) < HEADER_BYTES:
        raise WireError(f"{len(payload)} bytes are shorter than a header")
    return Header(*HEADER.unpack_from(payload))


def decode_reply(payload):
    """Checks a reply datagram as a client must; raises WireError."""
    header = decode_header(payload)
    if header.magic != MAGIC:
        raise WireError(f"magic is {header.magic:#x}")
    if header.checksum != xxh3_64(payload[8:]):
        raise WireError("checksum does not match")
    if not header.kind & REPLY:
        raise WireError(f"kind {header.kind} is a request")
    if header.version != VERSION:
        raise WireError(f"version is {header.version}")
    kind = header.kind & ~REPLY
    body = payload[HEADER_BYTES:]
    size = RESULT_BYTES.get(kind, 0)
    if len(body) != header.count * size:
        raise WireError(f"{len(body)} bytes are not {header.count} results of kind {kind}")
    if header.status != 0 and header.count != 0:
        raise WireError(f"status {header.status} for the datagram, and results in it")
    results = [body[at:at + size] for at in range(0, len(body), size or 1)]
    return Reply(kind, header.request_id, header.map_version, header.status,
                 header.retry_after_ms, results)


def decode_result(data):
    status, retry_after_ms, reserved, epoch = struct.unpack("<HHIQ", data)
    if reserved != 0:
        raise WireError("reserved field of a result is not zero")
    return Result(status, retry_after_ms, epoch)


def decode_account(data):
    account = Account(_id_at(data, 0), *struct.unpack_from("<qQQqIHHQ", data, 16))
    return account._replace(status=status_name(account.status))


def decode_info(data):
    fields = _INFO.unpack(data)
    shards = fields[2]
    if fields[6] != 0:
        raise WireError("reserved field of INFO is not zero")
    port = list(fields[13:13 + shards])
    if any(fields[13 + shards:13 + SHARDS_MAX]):
        raise WireError("INFO has ports for shards that it does not have")
    return Info(*fields[:6], *fields[7:13], port, fields[-1])
