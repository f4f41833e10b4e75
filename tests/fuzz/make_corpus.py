#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the first inputs of the fuzz targets: one sound example of everything they decode.

What a fuzzer finds later is added beside them by hand, named for what it broke.
"""

import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden" / "wire"

ENGINE_MAC = bytes([2, 0, 0, 0, 0, 1])
CLIENT_MAC = bytes([2, 0, 0, 0, 0, 2])
ENGINE = bytes([10, 77, 0, 1])
CLIENT = bytes([10, 77, 0, 2])

# Bits of the choice byte, see fuzz_frame.c and fuzz_wire.c.
VERIFIED = 0x03
LEFT_TO_NIC = 0x0C
HALF_REPLY = 0x10
MAKE_SOUND = 0x01
KEEP_KIND = 0x02


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def link(kind, body, tags=b"", target=ENGINE_MAC, padding=0):
    return target + CLIENT_MAC + tags + struct.pack(">H", kind) + body + bytes(padding)


def ip(protocol, body, fragment=0x4000, source=CLIENT):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, fragment, 64, protocol, 0,
                       source, ENGINE)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


def udp(payload, check=True, source=40000, target=7001):
    size = 8 + len(payload)
    head = struct.pack(">HHHH", source, target, size, 0)
    pseudo = CLIENT + ENGINE + struct.pack(">HH", 17, size)
    value = checksum(pseudo + head + payload) or 0xFFFF
    return head[:6] + struct.pack(">H", value if check else 0) + payload


def ping(data):
    head = struct.pack(">BBHHH", 8, 0, 0, 0xABCD, 1)
    return head[:2] + struct.pack(">H", checksum(head + data)) + head[4:] + data


def arp(operation):
    return struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, CLIENT_MAC, CLIENT, bytes(6),
                       ENGINE)


def frames():
    payload = bytes(range(64))
    one_tag = struct.pack(">HH", 0x8100, 100)
    two_tags = struct.pack(">HHHH", 0x88A8, 100, 0x8100, 200)
    plain = ip(17, udp(payload))
    return {
        "udp": (0, link(0x0800, plain)),
        "udp-half": (HALF_REPLY, link(0x0800, plain)),
        "udp-no-sum": (0, link(0x0800, ip(17, udp(payload, check=False)))),
        "udp-verified": (VERIFIED, link(0x0800, plain)),
        "udp-nic-fills": (VERIFIED | LEFT_TO_NIC, link(0x0800, plain)),
        "udp-tag": (0, link(0x0800, plain, one_tag)),
        "udp-tags": (HALF_REPLY, link(0x0800, plain, two_tags)),
        "udp-padded": (0, link(0x0800, ip(17, udp(b"ping")), padding=14)),
        "udp-empty": (0, link(0x0800, ip(17, udp(b"")))),
        "udp-fragment": (0, link(0x0800, ip(17, udp(payload), 0x2000))),
        "udp-three-tags": (0, link(0x0800, plain, one_tag + two_tags)),
        "udp-from-us": (0, link(0x0800, ip(17, udp(payload), source=ENGINE))),
        "udp-from-port-0": (0, link(0x0800, ip(17, udp(payload, check=False, source=0)))),
        "udp-to-port-0": (0, link(0x0800, ip(17, udp(payload, target=0)))),
        "ping-cut": (0, link(0x0800, ip(1, ping(b"")[:7]))),
        "ping": (0, link(0x0800, ip(1, ping(payload)))),
        "ping-tag": (0, link(0x0800, ip(1, ping(b"x")), one_tag, padding=10)),
        "arp": (0, link(0x0806, arp(1), target=b"\xff" * 6, padding=18)),
        "arp-tag": (0, link(0x0806, arp(1), one_tag, target=b"\xff" * 6)),
        "arp-reply": (0, link(0x0806, arp(2))),
        "ipv6": (0, link(0x86DD, bytes(40))),
    }


def payloads():
    found = {}
    for file in sorted(GOLDEN.glob("*.hex")):
        payload = bytes.fromhex(file.read_text().replace("\n", ""))
        if len(payload) <= 2048:
            found[file.stem] = (MAKE_SOUND | KEEP_KIND, payload)
            if len(payload) <= 512:
                found[file.stem + ".as-is"] = (0, payload)
    return found


SAMPLE = b"""# all keys
[port]
device=net_af_packet0
address=10.77.0.1/24
udp_port=7400
mtu=1500
rx_descriptors=1024
tx_descriptors=1024

[engine]
shards=2
requests=4096
idle=sleep

[shard]
accounts=1000
window_s=60
ahead_s=10
ids_per_second=100
rows=64
try_timeout_ms=10000

[log]
path=/var/lib/giro
segment_mib=64
buffer_kib=1024
epochs=8
writes=2
"""

LEAST = b"[port]\naddress=10.0.0.1/8\n[log]\npath=l\n"


def configs():
    def with_value(key, value):
        lines = [b"%s=%s" % (key, value) if line.startswith(key + b"=") else line
                 for line in SAMPLE.split(b"\n")]
        return b"\n".join(lines)
    return {
        "sample": SAMPLE,
        "least": LEAST,
        "no-address": b"[log]\npath=l\n",
        "no-path": b"[port]\naddress=10.0.0.1/8\n",
        "twice-key": LEAST + b"path=m\n",
        "twice-section": LEAST + b"[log]\n",
        "unknown-key": LEAST + b"pth=m\n",
        "unknown-section": LEAST + b"[lgo]\n",
        "no-section": b"path=l\n",
        "section-not-closed": b"[log\npath=l\n",
        "long-path": LEAST[:-2] + b"p" * 260 + b"\n",
        "idle": LEAST + b"[engine]\nidle=never\n",
        "rows": with_value(b"rows", b"63"),
        "ahead": with_value(b"ahead_s", b"61"),
        "buffer": with_value(b"buffer_kib", b"1023"),
        "writes": with_value(b"writes", b"8"),
        "block": with_value(b"buffer_kib", b"32768").replace(b"shards=2", b"shards=64"),
        "segment": with_value(b"segment_mib", b"4"),
        "segments-ahead": with_value(b"segment_mib", b"8").replace(b"epochs=8", b"epochs=64"),
        "number": with_value(b"mtu", b"0x5dc"),
    }


def csv_pairs():
    heading = b"id,ledger,floor,opening\n"
    other = b"time_ms,code,debit,credit,amount\n"
    accounts = heading + b"1,1,issuer,0\n2,1,0,500\r\n3,1,-9,0\n"

    def pair(first, second, ledger=0):
        return bytes([ledger]) + first + b"\x1e" + second
    return {
        "both": pair(accounts, other + b"1700000000000,7,2,3,5\n0,0,3,2,1"),
        "uuid": pair(heading + b"0190a5b0-0000-7000-8000-000000000abc,4294967295,0,0\n", other),
        "largest": pair(heading + b"340282366920938463463374607431768211455,1,"
                        b"-9223372036854775807,0\n",
                        other + b"18446744073709551615,65535,1,2,18446744073709551615\n", 1),
        "twice": pair(accounts + b"2,1,0,0\n", other),
        "no-issuer": pair(heading + b"2,1,0,5\n", other),
        "issuer-opening": pair(heading + b"1,1,issuer,5\n", other),
        "no-ledger": pair(heading, other + b"0,0,8,9,1\n"),
        "same-account": pair(accounts, other + b"0,0,2,2,1\n"),
        "fields": pair(heading + b"1,1,issuer\n", other),
        "id": pair(heading + b"0,1,0,0\n", other),
        "ledger": pair(heading + b"1,0,0,0\n", other),
        "floor": pair(heading + b"1,1,5,0\n", other),
        "opening": pair(heading + b"1,1,0,-1\n", other),
        "time": pair(accounts, other + b"x,0,2,3,1\n"),
        "code": pair(accounts, other + b"0,65536,2,3,1\n"),
        "amount": pair(accounts, other + b"0,0,2,3,0\n"),
        "heading": pair(b"id,ledger\n", other),
        "empty": pair(b"", b""),
    }


# Operations of a ledger program, see ledger.c: code + 16 * argument, then what the code asks for.
(ACCOUNT, TRANSFER, _, AGAIN, DELIVER, DELIVER_ALL, LOSE, COPY, OPEN_EPOCH, ENTER, TURN, WAIT,
 TIME_OUTS, RESEND, NO_NEW_WORK, CRASH) = range(16)


def do(code, argument=0, *more):
    return bytes([code + 16 * argument, *more])


def create(account, issuer=False):
    return do(ACCOUNT, 0, 13 if issuer else 1, account | 16)


def pay(debit, credit, amount=3):
    return do(TRANSFER, 0, debit | credit << 4, amount, 8)


def programs():
    three = bytes([0x3e])  # shards 3, rows 4, accounts 12, 64 ids a second, time-outs
    small = bytes([0x21])  # shards 2, everything as small as it gets, time-outs
    books = b"".join(create(account, account in (1, 6)) for account in range(1, 12))
    moves = b"".join(pay(1, account) for account in range(2, 12))
    settle = do(DELIVER_ALL) * 4 + do(TURN)
    everyone = books + moves + settle
    return {
        "books": three + everyone,
        "small": small + everyone + b"".join(pay(2, account, 1) for account in range(3, 12)),
        "crash": three + everyone + moves + do(DELIVER_ALL) + do(TURN) + do(CRASH) + settle,
        "refused": three + everyone + b"".join(pay(a, 15 - a, 0x60 + a) for a in range(1, 15)),
        "late": three + everyone + moves + do(WAIT, 2) + b"".join(
            do(TIME_OUTS, shard) for shard in range(3)) + do(COPY) * 3 + settle,
        "overtaken": three + everyone + moves + do(WAIT, 2) + b"".join(
            do(TIME_OUTS, shard) for shard in range(3)) + b"".join(
                do(DELIVER, at) for at in range(15, 0, -1)) + settle,
        "again": three + everyone + b"".join(do(AGAIN, 0, which, 0) for which in range(12)) + b"".join(
            do(AGAIN, 0, which, 0x80 | 33, 1) for which in range(12)),
        "expired": three + everyone + do(WAIT, 5) + b"".join(
            do(AGAIN, 0, which, 0) for which in range(4)),
        "no-new-work": three + books + do(NO_NEW_WORK, 1) + moves,
        "epochs": three + books + (do(OPEN_EPOCH) + do(ENTER, 1) + moves + do(DELIVER) * 4) * 3,
        "lost": three + everyone + moves + do(LOSE) * 3 + do(RESEND) + do(RESEND, 1) + settle,
    }


CRASHED = bytes([0x3e]) + b"".join(create(account) for account in range(1, 4)) + do(TURN) * 2 + (
    do(CRASH) + create(4) + do(TURN) * 2)


def with_program(choice, program, changes=b""):
    program = program[:255]
    return bytes([choice, len(program)]) + program + changes


def logs():
    found = {}
    for name, program in programs().items():
        found[name] = with_program(0x12, program)
    books = programs()["books"]
    found["torn"] = with_program(0, books, bytes([3, 9, 0, 0, 1]))
    found["lost"] = with_program(0x10, books, bytes([2, 9, 0, 0, 1]))
    found["forged"] = with_program(0x11, books, bytes([3, 4, 0, 0, 1]))
    found["meta"] = with_program(0x11, books, bytes([0, 0, 4, 5, 1]))
    found["cut"] = with_program(0x10, books, bytes([0, 0, 0, 0xe8, 3]))
    found["gone"] = with_program(0x10, books, bytes([0, 0, 0, 0xf0, 3]))
    found["unreadable"] = with_program(0x10, books, bytes([0, 0, 0, 0xf8, 3]))
    found["sections"] = with_program(0x11, books, bytes([1, 20, 0, 5, 4, 1, 225, 0, 5, 0x10]))
    found["header-torn"] = with_program(0x10, books, bytes([0x10, 0, 0, 4, 0, 0x10, 132, 3, 0, 1]))
    found["rolled"] = with_program(0x30, CRASHED)
    found["stale"] = with_program(0x50, CRASHED)
    found["stale-damaged"] = with_program(0x50, CRASHED, bytes([4, 9, 0, 0, 1]))
    found["section-wraps"] = with_program(0x11, books, bytes([1, 23, 0, 2, 3]))
    found["epoch"] = with_program(0x13, books, bytes([2, 5, 0, 2, 1]))
    found["incarnation"] = with_program(0x12, CRASHED, bytes([7, 8, 0, 2, 1]))
    found["second"] = with_program(0x1a, programs()["crash"])
    return found


def checkpoints():
    found = {}
    for name, program in programs().items():
        found[name] = with_program(0, program)
    for mode in (1, 2, 3):
        found[f"changed-{mode}"] = with_program(mode, programs()["epochs"], bytes([9, 0, 0, 1]))
        found[f"header-{mode}"] = with_program(mode, programs()["epochs"], bytes([12, 0, 0x80, 1]))
        found[f"state-{mode}"] = with_program(4 | mode, programs()["books"], bytes(64))
    # Heads of a state of 3 shards and 12 generations, and then too little.
    head = bytes(56) + struct.pack("<II", 3, 12)
    found["state-links"] = with_program(7, programs()["books"], head + bytes(71))
    found["state-window"] = with_program(7, programs()["books"], head + bytes(72 + 100))
    found["other-shards"] = with_program(2, programs()["books"], bytes([136, 0, 0x81, 2]))
    return found


def main():
    for folder, inputs in (("config", configs()), ("csv", csv_pairs()), ("shard", programs()),
                           ("log", logs()), ("checkpoint", checkpoints())):
        path = HERE / "corpus" / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (path / name).write_bytes(data)
    for folder, inputs in (("frame", frames()), ("wire", payloads())):
        path = HERE / "corpus" / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, (choice, data) in inputs.items():
            (path / name).write_bytes(bytes([choice]) + data)


main()
