#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden log: one segment, byte for byte as docs/log-format.md says.

Standard library only, and nothing of giro: this is a second writer made from the document alone.

    make_log.py OUTPUT          writes the segment file
    make_log.py --check FILE    compares a segment file with it, naming the first difference
"""
import struct
import sys

PAGE = 4096
MASK = (1 << 64) - 1

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")

PRIME32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
PRIME64 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
           0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)


def lanes(data, at, count):
    return struct.unpack_from("<%dQ" % count, data, at)


def accumulate(acc, data, at, secret_at):
    values = lanes(data, at, 8)
    keys = lanes(SECRET, secret_at, 8)
    for i in range(8):
        keyed = values[i] ^ keys[i]
        acc[i ^ 1] = (acc[i ^ 1] + values[i]) & MASK
        acc[i] = (acc[i] + (keyed & 0xFFFFFFFF) * (keyed >> 32)) & MASK


def scramble(acc):
    keys = lanes(SECRET, len(SECRET) - 64, 8)
    for i in range(8):
        value = (acc[i] ^ (acc[i] >> 47) ^ keys[i]) & MASK
        acc[i] = value * PRIME32[0] & MASK


def long_accumulators(data):
    """The eight accumulators after an input longer than 240 bytes, seed 0."""
    acc = [PRIME32[2], PRIME64[0], PRIME64[1], PRIME64[2],
           PRIME64[3], PRIME32[1], PRIME64[4], PRIME32[0]]
    stripes_a_block = (len(SECRET) - 64) // 8
    block = 64 * stripes_a_block
    blocks = (len(data) - 1) // block
    for b in range(blocks):
        for s in range(stripes_a_block):
            accumulate(acc, data, b * block + s * 64, s * 8)
        scramble(acc)
    for s in range((len(data) - 1 - block * blocks) // 64):
        accumulate(acc, data, blocks * block + s * 64, s * 8)
    accumulate(acc, data, len(data) - 64, len(SECRET) - 64 - 7)
    return acc


def merge(acc, secret_at, start):
    keys = lanes(SECRET, secret_at, 8)
    result = start & MASK
    for i in range(4):
        product = (acc[2 * i] ^ keys[2 * i]) * (acc[2 * i + 1] ^ keys[2 * i + 1])
        result = (result + ((product & MASK) ^ (product >> 64))) & MASK
    result ^= result >> 37
    result = result * 0x165667919E3779F9 & MASK
    return result ^ (result >> 32)


def xxh3_64(data):
    assert len(data) > 240
    return merge(long_accumulators(data), 11, len(data) * PRIME64[0])


def xxh3_128(data):
    """(lo, hi)"""
    if not data:
        return 0x6001C324468D497F, 0x99AA06D3014798D8
    assert len(data) > 240
    acc = long_accumulators(data)
    lo = merge(acc, 11, len(data) * PRIME64[0])
    hi = merge(acc, len(SECRET) - 64 - 11, ~(len(data) * PRIME64[1]) & MASK)
    return lo, hi


def padded(data):
    return data + bytes(-len(data) % PAGE)


def with_checksum(page):
    assert len(page) == PAGE - 8
    return struct.pack("<Q", xxh3_64(page)) + page


SEGMENT_MAGIC = b"gro-seg1"
BLOCK_MAGIC = b"gro-blk1"
DATA, OPEN, CLOSE = 1, 2, 3


def segment_header(log_id, segment, segment_bytes, first, prev_hash, meta):
    page = SEGMENT_MAGIC
    page += struct.pack("<IIQQQ", 1, len(meta), log_id, segment, segment_bytes)
    page += struct.pack("<QQQQ", first["seq"], first["epoch"], first["time_ms"],
                        first["incarnation"])
    page += struct.pack("<QQ", *prev_hash)
    page = page.ljust(1024 - 8, b"\0") + meta
    return with_checksum(page.ljust(PAGE - 8, b"\0"))


def block(log_id, segment, offset, fields, prev_hash, sections):
    rows = b""
    payload = b""
    for content, digest in sections:
        rows += struct.pack("<QQ16s", PAGE + len(payload), len(content), digest)
        payload += padded(content)
    page = BLOCK_MAGIC
    page += struct.pack("<HHI", 1, fields["type"], len(sections))
    page += struct.pack("<QQQ", log_id, segment, offset)
    page += struct.pack("<QQQQQQ", fields["seq"], fields["epoch"], fields["time_ms"],
                        fields["durable_count"], fields["incarnation"], len(payload))
    page += struct.pack("<QQ", *prev_hash)
    page += struct.pack("<QQ", *xxh3_128(payload))
    page = with_checksum((page + rows).ljust(PAGE - 8, b"\0"))
    return page + payload, xxh3_128(page)


def golden_log():
    log_id = 0x0123456789ABCDEF
    segment_bytes = 16 * PAGE
    common = {"incarnation": 1}
    blocks = [
        (dict(common, type=OPEN, seq=0, epoch=1, time_ms=1700000000000, durable_count=0), []),
        (dict(common, type=DATA, seq=1, epoch=2, time_ms=1700000000001, durable_count=1),
         [(bytes(i * 7 % 251 for i in range(5000)), bytes(range(16))),
          (b"", bytes(16)),
          (b"giro", bytes(range(16, 32)))]),
        (dict(common, type=DATA, seq=2, epoch=5, time_ms=1700000000001, durable_count=1),
         [(bytes(i * 11 % 253 for i in range(4096)), bytes(16))]),
        (dict(common, type=CLOSE, seq=3, epoch=6, time_ms=1700000000002, durable_count=3), []),
    ]
    prev = (0, 0)
    log = segment_header(log_id, 0, segment_bytes, blocks[0][0], prev, b"golden meta")
    for fields, sections in blocks:
        content, prev = block(log_id, 0, len(log), fields, prev, sections)
        log += content
    return log.ljust(segment_bytes, b"\0")


def main():
    if len(sys.argv) == 2 and sys.argv[1] != "--check":
        with open(sys.argv[1], "wb") as output:
            output.write(golden_log())
        return 0
    if len(sys.argv) != 3 or sys.argv[1] != "--check":
        sys.stderr.write(__doc__)
        return 2
    with open(sys.argv[2], "rb") as file:
        have = file.read()
    want = golden_log()
    if have == want:
        return 0
    at = next((i for i, (a, b) in enumerate(zip(have, want)) if a != b), min(len(have), len(want)))
    print("%s differs from the golden log at byte %d (sizes %d, %d)"
          % (sys.argv[2], at, len(have), len(want)))
    return 1


if __name__ == "__main__":
    sys.exit(main())
