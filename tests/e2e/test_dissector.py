# SPDX-License-Identifier: Apache-2.0
"""The Wireshark dissector, run by tshark: over the golden datagrams, over malformed ones, and over
what went to and from a real engine."""

import socket
import threading
import time

import dissect
import giro_wire as wire
import network
from client import Client
from dissect import Captured
from engine import Engine, wait_until

GOLDEN = network.ROOT / "tests/golden/wire"


def golden():
    """{name: payload}"""
    return {file.name[:-4]: bytes.fromhex(file.read_text().replace("\n", ""))
            for file in sorted(GOLDEN.glob("*.hex"))}


def test_golden(row):
    payloads = golden()
    file = network.SCRATCH / "golden.pcap"
    # Each on a port of its own, so that none answers another.
    dissect.write_capture(file, [
        Captured(1.5 + at, dissect.datagram(payload, ".request" in name, port=5000 + at))
        for at, (name, payload) in enumerate(payloads.items())])
    decoded = dissect.decode(file)
    with row(f"{len(payloads)} golden datagrams: every field, every byte"):
        assert len(decoded) == len(payloads) >= 15
        for payload, each in zip(payloads.values(), decoded):
            dissect.check(each, payload)
            assert not each.fields.keys() & set(dissect.LINKS)


def malformed():
    """(what is wrong, payload, the dissector's names for it)"""
    request = wire.encode_request(wire.TRANSFER, 7, [
        wire.transfer_record(wire.new_id(), 1, 2, 3, 4)])
    info = wire.encode_info_request(8)
    reply = wire.encode_reply(wire.TRANSFER, 7, [wire.result_record(0)])
    lookup = wire.lookup_account_record(9, bytes(47) + b"\1")

    def sealed(kind, count, body):
        return wire.seal(kind, count, 9, body)
    return [
        ("31 bytes", request[:31], {"short"}),
        ("another magic", wire.alter_header(request, magic=0x4F524948), {"magic"}),
        ("a flipped bit", request[:-1] + bytes([request[-1] ^ 1]), {"checksum", "reserved"}),
        ("a wrong checksum", bytes(8) + request[8:], {"checksum"}),
        ("version 2", wire.alter_header(request, version=2), {"version"}),
        ("kind 0", wire.alter_header(request, kind=0), {"kind", "count"}),
        ("kind 99", wire.alter_header(request, kind=99), {"kind", "count"}),
        ("count too large", wire.alter_header(request, count=2), {"count"}),
        ("count 0", sealed(wire.TRANSFER, 0, b""), {"count"}),
        ("a byte too many", sealed(wire.TRANSFER, 1, request[32:] + b"\0"), {"count"}),
        ("a reply's count 0 without a status", sealed(wire.TRANSFER | wire.REPLY, 0, b""),
         {"count"}),
        ("a header field that must be 0", wire.alter_header(request, map_version=1), {"header"}),
        ("a status beside results", wire.alter_header(reply, status=26), {"header"}),
        ("flags", sealed(wire.TRANSFER, 1, request[32:-2] + b"\1\0"), {"reserved"}),
        ("a reserved byte", wire.encode_request(wire.LOOKUP_ACCOUNT, 9, [lookup]), {"reserved"}),
        ("padding of INFO", sealed(wire.INFO, 1, info[32:-1] + b"\1"), {"reserved"}),
        ("a page that is none", wire.encode_info_request(9, 1000), {"page"}),
        ("a reserved field of a result", sealed(wire.TRANSFER | wire.REPLY, 1,
                                                reply[32:36] + b"\1" + reply[37:]), {"reserved"}),
        ("longer than any", sealed(wire.TRANSFER, 140, request[32:] * 140), {"long"}),
    ]


def test_malformed(row):
    cases = malformed()
    file = network.SCRATCH / "malformed.pcap"
    dissect.write_capture(file, [
        Captured(1 + at, dissect.datagram(payload, True, port=5000 + at))
        for at, (_, payload, _) in enumerate(cases)])
    decoded = dissect.decode(file)
    with row("the filter giro.malformed.any finds all of them"):
        assert dissect.matching(file, "giro.malformed.any") == list(range(1, len(cases) + 1))
    for (what, payload, faults), each in zip(cases, decoded):
        with row(f"malformed: {what}"):
            assert each.faults == faults | {"any"}, each.faults
            if len(payload) < wire.HEADER_BYTES:
                continue
            wanted = dissect.expected_header(payload)
            if "long" in faults:
                del wanted["giro.checksum.good"]
            for name, values in wanted.items():
                assert each.fields[name] == values, (name, each.fields[name], values)


class Sniffer(threading.Thread):
    """Keeps the UDP frames that pass the client's end of the veth pair."""

    def __init__(self):
        super().__init__(daemon=True)
        self.raw = network.raw_socket()
        self.raw.settimeout(0.1)
        self.captured = []
        self.over = False
        self.start()

    def run(self):
        while not self.over:
            try:
                data = self.raw.recv(65536)
            except TimeoutError:
                continue
            if data[12:14] == b"\x08\0" and data[23] == socket.IPPROTO_UDP:
                self.captured.append(Captured(time.time(), data))

    def end(self, wanted):
        """Waits until `wanted` frames came; returns them."""
        wait_until(lambda: len(self.captured) >= wanted, 10, f"{wanted} frames")
        self.over = True
        self.join()
        self.raw.close()
        return self.captured


def payload_of(frame):
    return frame.data[14 + 20 + 8:]


TALK = 21  # exchanges below, those of Client() included


def talk():
    """All kinds of message, and some outcomes of each. Returns the record of a transfer that was
    sent twice, and a wallet."""
    with Client() as client:
        issuer = client.accounts_on(0, 1)[0]
        wallet = client.accounts_on(0, 1, first=100)[0]
        other = client.accounts_on(1, 1, first=100)[0]
        client.create(issuer, floor=wire.FLOOR_ISSUER)
        client.create(wallet)
        client.create(other)
        client.operate(wallet, wire.CREATE_ACCOUNT, ledger=2)
        twice = wire.transfer_record(client.new_id(), issuer, wallet, 500, ledger=1, code=12)
        for _ in range(2):
            request = wire.encode_request(wire.TRANSFER, 0xABCDEF, [twice])
            client.exchange_bytes(request, client.port_of(wire.TRANSFER, twice))
        records = [wire.transfer_record(client.new_id(), wallet, to, amount, ledger=1)
                   for to, amount in ((other, 100), (issuer, 9999), (wallet, 1))]
        client.statuses(wire.TRANSFER, records)
        client.lookup(wallet)
        client.lookup(77)
        client.lookup_transfer(wire.transfer_id(twice), issuer)
        client.lookup_transfer(client.new_id(), issuer)
        client.operate(other, wire.FREEZE_ACCOUNT)
        client.lookup(other)
        client.lookup_transfer(1, issuer)
        client.statuses(wire.ACCOUNT, [wire.operation_record(client.new_id(), other, 9)])
        for wrong in ({"version": 9}, {"kind": 9}):
            payload = wire.alter_header(wire.encode_info_request(next(client.request_ids)), **wrong)
            client.udp.sendto(payload, (network.ENGINE_ADDRESS, network.UDP_PORT))
            client.udp.recv(65536)
        return twice, wallet


class Capture:
    """A conversation with an engine, as captured and as decoded."""

    def __init__(self):
        with Engine() as engine:
            sniffer = Sniffer()
            self.twice, self.wallet = talk()
            engine.stop()
            self.frames = sniffer.end(2 * TALK)
        self.file = network.SCRATCH / "capture.pcap"
        dissect.write_capture(self.file, self.frames)
        self.decoded = dissect.decode(self.file)
        self.payloads = [payload_of(frame) for frame in self.frames]
        self.headers = [wire.decode_header(payload) for payload in self.payloads]
        self.first = {}  # key -> index of the first copy of a request; of its first reply
        self.first_reply = {}
        for index, header in enumerate(self.headers):
            group = self.first_reply if header.kind & wire.REPLY else self.first
            group.setdefault(self.key(index), index)

    def key(self, index):
        return self.headers[index].kind & 0x7F, self.headers[index].request_id

    def is_reply(self, index):
        return bool(self.headers[index].kind & wire.REPLY)

    def requests_with(self, identity):
        """Indexes of the requests that hold an id."""
        return [index for index, payload in enumerate(self.payloads)
                if wire.id_bytes(identity) in payload and not self.is_reply(index)]


def check_links(capture):
    for index, each in enumerate(capture.decoded):
        first, reply = capture.first[capture.key(index)], capture.first_reply[capture.key(index)]
        if capture.is_reply(index):
            assert each.only("giro.response_to") == str(first + 1), (index, each.fields)
            elapsed = capture.frames[index].time - capture.frames[first].time
            assert abs(float(each.only("giro.response_time")) - elapsed) < 1e-5, each.fields
            continue
        assert each.only("giro.response_in") == str(reply + 1), (index, each.fields)
        if index == first:
            assert "giro.repeat_of" not in each.fields
        else:
            assert each.only("giro.repeat_of") == str(first + 1)


def check_filters(capture):
    def matching(text):
        return [number - 1 for number in dissect.matching(capture.file, text)]

    requests = capture.requests_with(wire.transfer_id(capture.twice))
    assert len(requests) == 3, requests
    keys = [capture.key(index) for index in requests]
    replies = [index for index in range(len(capture.frames))
               if capture.is_reply(index) and capture.key(index) in keys]
    identity = dissect.id_text(wire.transfer_id(capture.twice))
    assert matching(f'giro.transfer.id == "{identity}"') == sorted(requests + replies)
    found = matching(f'giro.account.id == "{capture.wallet}"')
    wanted = capture.requests_with(capture.wallet)
    assert [index for index in found if not capture.is_reply(index)] == wanted
    assert len(found) == 2 * len(wanted)
    refused = wire.STATUS["INSUFFICIENT_FUNDS"]
    assert len(matching(f"giro.result.status == {refused}")) == 1
    assert len(matching("giro.repeat_of")) == 1
    assert len(matching("giro.response_time > 0")) == TALK


def test_capture(row):
    capture = Capture()
    with row(f"a conversation of {2 * TALK} datagrams: every field, every byte"):
        kinds = {header.kind for header in capture.headers}
        assert len(capture.frames) == 2 * TALK
        assert kinds >= {kind | reply for kind in range(1, 6) for reply in (0, wire.REPLY)}, kinds
        for index, each in enumerate(capture.decoded):
            if each.faults:
                continue
            request = None
            if capture.is_reply(index) and capture.headers[index].count:
                request = capture.payloads[capture.first[capture.key(index)]]
            dissect.check(each, capture.payloads[index], request)
    with row("what nobody speaks is marked, and its refusal is not"):
        faults = [(capture.key(index)[0], each.faults)
                  for index, each in enumerate(capture.decoded) if each.faults]
        assert faults == [(wire.INFO, {"version", "any"}), (9, {"kind", "count", "any"})], faults
    with row("each reply is linked with its request, with the time between them"):
        check_links(capture)
    with row("filters find a transfer, an account, a status, a repeat"):
        check_filters(capture)
    with row("the list of packets says what happens"):
        text = dissect.tshark(capture.file)
        identity = dissect.id_text(wire.transfer_id(capture.twice))
        for line in ("TRANSFER request, again: " + identity,
                     "TRANSFER reply: 3 records, 1 OK, 1 INSUFFICIENT_FUNDS, 1 SAME_ACCOUNT",
                     f"account {capture.wallet}: OK, balance 400", "INFO reply: BAD_VERSION"):
            assert line in text, (line, text)
