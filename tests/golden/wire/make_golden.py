#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden datagrams of wire protocol version 1, one file for each kind of message and way.

    make_golden.py             writes the files beside this script
    make_golden.py --check     compares them with what this encoder makes; exit status 1 if they differ

A file holds the UDP payload in hexadecimal, 32 bytes a line. The encoder is tests/e2e/giro_wire.py,
which shares no code with the C codec; the C unit tests compare that codec's bytes with these files.
Version 1 is out: a difference means that the code is wrong, not the file.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent.parent / "e2e"))

import giro_wire as wire  # noqa: E402

REQUEST_ID = 0x1122334455667788
MAP_VERSION = 7
TIME_MS = 0x0191A2B3C4D5
ALICE = 0x0F0E0D0C0B0A09080706050403020100
BOB = 0xB0B
ISSUER = 1


def transfer_id(n):
    return wire.new_id(TIME_MS + n, 0x155_0123_4567_89AB_CDEF + n)


def transfers(count):
    return [wire.transfer_record(transfer_id(n), ALICE + n, BOB, 0x0102030405060708 + n, 978, 42)
            for n in range(count)]


def operations():
    return [
        wire.operation_record(transfer_id(0), ISSUER, wire.CREATE_ACCOUNT, 978, wire.FLOOR_ISSUER),
        wire.operation_record(transfer_id(1), ALICE, wire.CREATE_ACCOUNT, 978, -5000),
        wire.operation_record(transfer_id(2), ALICE, wire.FREEZE_ACCOUNT),
        wire.operation_record(transfer_id(3), ALICE, wire.UNFREEZE_ACCOUNT),
        wire.operation_record(transfer_id(4), ALICE, wire.CLOSE_ACCOUNT),
    ]


def results(*names):
    return [wire.result_record(wire.STATUS[name], 15 if name == "BUSY" else 0, 0xE0 + n)
            for n, name in enumerate(names)]


def accounts():
    return [
        wire.account_record(ALICE, -1234, 56, 78, -5000, 978, flags=wire.ACCOUNT_FROZEN, epoch=99),
        wire.account_record(BOB, status=wire.STATUS["ACCOUNT_NOT_FOUND"], epoch=99),
    ]


def info():
    return wire.info_result(
        shards=3, first_slot=1024, datagram_max=1472, records_max=22, window_ms=3600000,
        ahead_ms=60000, now_ms=TIME_MS, committed=0x1234, log_id=0xFEDCBA9876543210,
        accounts_max=1 << 20, port=[7000, 7001, 7002],
        slots=[slot * 3 // wire.SLOTS for slot in range(1024, 2048)])


def request(kind, records):
    return wire.encode_request(kind, REQUEST_ID, records)


def reply(kind, records, **fields):
    return wire.encode_reply(kind, REQUEST_ID, records, MAP_VERSION, **fields)


def datagrams():
    return {
        "info.request": wire.encode_info_request(REQUEST_ID, 1024),
        "info.reply": reply(wire.INFO, [info()]),
        "transfer.request": request(wire.TRANSFER, transfers(1)),
        "transfer.reply": reply(wire.TRANSFER, results("OK")),
        "transfer-3.request": request(wire.TRANSFER, transfers(3)),
        "transfer-3.reply": reply(wire.TRANSFER, results("OK", "INSUFFICIENT_FUNDS", "BUSY")),
        "transfer-139.request": request(wire.TRANSFER, transfers(139)),
        "account.request": request(wire.ACCOUNT, operations()),
        "account.reply": reply(wire.ACCOUNT, results("OK", "ACCOUNT_EXISTS", "OK", "OK",
                                                     "ACCOUNT_NOT_EMPTY")),
        "lookup-account.request": request(wire.LOOKUP_ACCOUNT,
                                          [wire.lookup_account_record(ALICE),
                                           wire.lookup_account_record(BOB)]),
        "lookup-account.reply": reply(wire.LOOKUP_ACCOUNT, accounts()),
        "lookup-transfer.request": request(wire.LOOKUP_TRANSFER,
                                           [wire.lookup_transfer_record(transfer_id(0), ALICE)]),
        "lookup-transfer.reply": reply(wire.LOOKUP_TRANSFER, results("TRANSFER_NOT_FOUND")),
        "busy.reply": reply(wire.TRANSFER, [], status=wire.STATUS["BUSY"], retry_after_ms=20),
        "bad-kind.reply": reply(77, [], status=wire.STATUS["BAD_KIND"]),
    }


def text(payload):
    return "".join(payload[at:at + 32].hex() + "\n" for at in range(0, len(payload), 32))


def check():
    wanted = {f"{name}.hex": text(payload) for name, payload in datagrams().items()}
    found = {file.name: file.read_text() for file in HERE.glob("*.hex")}
    wrong = [name for name in sorted(wanted.keys() | found.keys())
             if wanted.get(name) != found.get(name)]
    for name in wrong:
        state = "missing" if name not in found else (
            "not made by this script" if name not in wanted else "differs")
        print(f"{HERE / name}: {state}", file=sys.stderr)
    return 1 if wrong else 0


def main():
    if sys.argv[1:] == ["--check"]:
        return check()
    if sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    for name, payload in datagrams().items():
        (HERE / f"{name}.hex").write_text(text(payload))
    return 0


sys.exit(main())
