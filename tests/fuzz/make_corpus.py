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


def ip(protocol, body, fragment=0x4000):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, fragment, 64, protocol, 0,
                       CLIENT, ENGINE)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


def udp(payload, check=True):
    size = 8 + len(payload)
    head = struct.pack(">HHHH", 40000, 7001, size, 0)
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


def main():
    for folder, inputs in (("frame", frames()), ("wire", payloads())):
        path = HERE / "corpus" / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, (choice, data) in inputs.items():
            (path / name).write_bytes(bytes([choice]) + data)


main()
