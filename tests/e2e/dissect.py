# SPDX-License-Identifier: Apache-2.0
"""client/wireshark/giro.lua as tshark runs it: captures in, fields out.

What the fields should be comes from giro_wire, which shares nothing with the dissector.
"""

import collections
import os
import struct
import subprocess
import xml.etree.ElementTree

import frames
import giro_wire as wire
import network

SCRIPT = network.ROOT / "client/wireshark/giro.lua"

# One frame of a capture: when, in seconds, and its bytes from the Ethernet header on.
Captured = collections.namedtuple("Captured", "time data")


def write_capture(file, captured):
    """A pcap file with nanoseconds."""
    with open(file, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        for time, data in captured:
            nanoseconds = round(time * 1e9)
            out.write(struct.pack("<IIII", nanoseconds // 10**9, nanoseconds % 10**9, len(data),
                                  len(data)) + data)


def datagram(payload, to_engine, port=5555):
    """A frame that carries `payload` between `port` of a client and shard 0."""
    ends = [(network.CLIENT_ADDRESS, port), (network.ENGINE_ADDRESS, network.UDP_PORT)]
    (source, source_port), (target, target_port) = ends if to_engine else ends[::-1]
    return frames.ethernet(b"\2" * 6, b"\4" * 6, frames.IPV4,
                           frames.udp(source, target, source_port, target_port, payload))


def tshark(file, *words):
    """What tshark says of a capture, read twice, so that requests know their replies."""
    done = subprocess.run(
        ["tshark", "-n", "-2", "-X", f"lua_script:{SCRIPT}", "-r", file, *words], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=100,
        env={"PATH": os.environ["PATH"], "HOME": str(network.SCRATCH), "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0 and "Lua Error" not in done.stdout + done.stderr, (
        f"tshark ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def matching(file, display_filter):
    """Numbers of the frames that a display filter lets through."""
    text = tshark(file, "-Y", display_filter, "-T", "fields", "-e", "frame.number")
    return [int(line) for line in text.split()]


class Decoded:
    """The dissector's view of one frame."""

    def __init__(self, packet):
        self.fields = collections.defaultdict(list)  # name -> values as tshark shows them
        self.faults = set()  # of giro.malformed
        self.covered = set()  # payload bytes that a field stands for
        start = None
        for node in packet.iter():
            name, position = node.get("name", ""), int(node.get("pos") or 0)
            if node.tag == "proto" and name == "giro":
                start = position
            elif name.startswith("giro.malformed."):
                self.faults.add(name[len("giro.malformed."):])
            elif name.startswith("giro."):
                self.fields[name].append(node.get("show"))
                if name != "giro.record":
                    self.covered |= set(range(position, position + int(node.get("size") or 0)))
        self.covered = {at - start for at in self.covered} if start is not None else set()

    def only(self, name):
        assert len(self.fields[name]) == 1, (name, self.fields[name])
        return self.fields[name][0]


def decode(file):
    """Every frame of a capture, decoded."""
    root = xml.etree.ElementTree.fromstring(tshark(file, "-T", "pdml"))
    return [Decoded(packet) for packet in root.iter("packet")]


# What the fields should be.


def id_text(number):
    """As the giro command writes an id."""
    if number < 1 << 64:
        return str(number)
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def octets(data):
    return data.hex(":")


def expected_header(payload):
    header = wire.decode_header(payload)
    good = header.checksum == wire.xxh3_64(payload[8:])
    return {
        "giro.checksum": [f"0x{header.checksum:016x}"],
        "giro.checksum.good": [str(int(good))],
        "giro.magic": [f"0x{header.magic:08x}"],
        "giro.version": [str(header.version)],
        "giro.reply": [str(header.kind >> 7)],
        "giro.kind": [str(header.kind & 0x7F)],
        "giro.count": [str(header.count)],
        "giro.request_id": [f"0x{header.request_id:016x}"],
        "giro.map_version": [str(header.map_version)],
        "giro.status": [str(header.status)],
        "giro.retry_after_ms": [str(header.retry_after_ms)],
    }


def _number(data, at, size, signed=False):
    return str(int.from_bytes(data[at:at + size], "little", signed=signed))


def _flags(data, at):
    return f"0x{int.from_bytes(data[at:at + 2], 'little'):04x}"


def _id(data, at):
    return id_text(int.from_bytes(data[at:at + 16], "little"))


def _request_record(kind, record):
    """[(field, value)] of a record, in the order of its bytes."""
    if kind == wire.INFO:
        return [("giro.info.first_slot", _number(record, 0, 2)),
                ("giro.reserved", octets(record[2:]))]
    if kind == wire.TRANSFER:
        return [("giro.transfer.id", _id(record, 0)),
                ("giro.transfer.debit", _id(record, 16)), ("giro.account.id", _id(record, 16)),
                ("giro.transfer.credit", _id(record, 32)), ("giro.account.id", _id(record, 32)),
                ("giro.transfer.amount", _number(record, 48, 8)),
                ("giro.transfer.ledger", _number(record, 56, 4)),
                ("giro.transfer.code", _number(record, 60, 2)),
                ("giro.transfer.flags", _flags(record, 62))]
    if kind == wire.ACCOUNT:
        return [("giro.operation.id", _id(record, 0)),
                ("giro.operation.account", _id(record, 16)), ("giro.account.id", _id(record, 16)),
                ("giro.operation.floor", _number(record, 32, 8, signed=True)),
                ("giro.operation.ledger", _number(record, 40, 4)),
                ("giro.operation.action", _number(record, 44, 2)),
                ("giro.operation.flags", _flags(record, 46)),
                ("giro.reserved", octets(record[48:]))]
    if kind == wire.LOOKUP_ACCOUNT:
        return [("giro.account.id", _id(record, 0)), ("giro.reserved", octets(record[16:]))]
    return [("giro.transfer.id", _id(record, 0)),
            ("giro.transfer.debit", _id(record, 16)), ("giro.account.id", _id(record, 16)),
            ("giro.reserved", octets(record[32:]))]


_INFO_NUMBERS = ("version_min version_max shards first_slot datagram_max records_max window_ms "
                 "ahead_ms now_ms committed accounts_max").split()


def _reply_record(kind, record):
    if kind == wire.INFO:
        info = wire.decode_info(record)
        return ([(f"giro.info.{name}", str(getattr(info, name))) for name in _INFO_NUMBERS]
                + [("giro.info.log_id", f"0x{info.log_id:016x}"),
                   ("giro.reserved", octets(record[12:16]))]
                + [("giro.info.port", str(port)) for port in info.port]
                + [("giro.reserved", octets(record[64 + 2 * info.shards:192])),
                   ("giro.info.slots", octets(info.slots))])
    if kind == wire.LOOKUP_ACCOUNT:
        account = wire.decode_account(record)
        return [("giro.account.id", id_text(account.account)),
                ("giro.account.balance", str(account.balance)),
                ("giro.account.held", str(account.held)),
                ("giro.account.incoming", str(account.incoming)),
                ("giro.account.floor", str(account.floor)),
                ("giro.account.ledger", str(account.ledger)),
                ("giro.result.status", str(wire.STATUS[account.status])),
                ("giro.account.flags", f"0x{account.flags:04x}"),
                ("giro.account.frozen", str(account.flags & 1)),
                ("giro.account.closed", str(account.flags >> 1 & 1)),
                ("giro.result.epoch", str(account.epoch))]
    result = wire.decode_result(record)
    return [("giro.result.status", str(result.status)),
            ("giro.result.retry_after_ms", str(result.retry_after_ms)),
            ("giro.reserved", octets(record[4:8])), ("giro.result.epoch", str(result.epoch))]


# What of a request's record its result is said to be about.
_SUBJECT = ("giro.transfer.id", "giro.transfer.debit", "giro.transfer.credit", "giro.operation.id",
            "giro.account.id")


def _records(payload):
    header = wire.decode_header(payload)
    kind = header.kind & 0x7F
    if header.kind & wire.REPLY:
        size = wire.RESULT_BYTES[kind]
    else:
        size = wire.INFO_BYTES if kind == wire.INFO else wire.RECORD_BYTES
    return [payload[at:at + size] for at in range(wire.HEADER_BYTES, len(payload), size)]


def expected(payload, request=None):
    """{field: values} of a sound datagram; a reply's with the ids of its request, when it is
    known."""
    header = wire.decode_header(payload)
    kind = header.kind & 0x7F
    fields = collections.defaultdict(list, expected_header(payload))
    if header.count == 0:
        return fields
    about = _records(request) if request else []
    for index, record in enumerate(_records(payload)):
        if not header.kind & wire.REPLY:
            pairs = _request_record(kind, record)
        else:
            pairs = _reply_record(kind, record)
            if about and kind not in (wire.INFO, wire.LOOKUP_ACCOUNT):
                pairs += [pair for pair in _request_record(kind, about[index])
                          if pair[0] in _SUBJECT]
        for name, value in [("giro.record", ""), *pairs]:
            fields[name].append(value)
    return fields


LINKS = ("giro.response_in", "giro.response_to", "giro.response_time", "giro.repeat_of")


def check(decoded, payload, request=None):
    """Every field is there with its value, none besides, and every byte is shown by one."""
    found = {name: values for name, values in decoded.fields.items()
             if name not in LINKS and not name.startswith("giro.note.")}
    wanted = expected(payload, request)
    for name in sorted(found.keys() | wanted.keys()):
        assert found.get(name) == wanted.get(name), (
            f"{name}: found {found.get(name)}, wanted {wanted.get(name)}")
    assert not decoded.faults, decoded.faults
    assert decoded.covered >= set(range(len(payload))), "bytes that no field shows"
