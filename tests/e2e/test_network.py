# SPDX-License-Identifier: Apache-2.0
"""What crosses the veth pair: ARP, ping, VLAN, frame sizes and everything that is not giro's."""

import os
import random
import re
import socket

import frames
import giro_wire as wire
import network
from client import Client
from engine import Engine

SERVER = network.ENGINE_ADDRESS

# Bursts of the largest datagrams need room in an epoch.
BUFFERS = {"log_buffer_kib": 1024, "log_segment_mib": 64}


def test_ping(row):
    for mtu in (1500, 9000):
        network.set_mtu(mtu)
        with Engine(port_mtu=mtu, **BUFFERS):
            for size in (0, 56, 57, mtu - 28):
                with row(f"MTU {mtu}: ping of {size} bytes"):
                    done = network.in_client("ping", "-c", 3, "-i", 0.01, "-w", 10, "-M", "do",
                                             "-s", size, SERVER, check=False)
                    assert " 3 received" in done.stdout, done.stdout


def test_arp(row):
    with Engine():
        raw = network.raw_socket(frames.ARP)
        mac = network.client_mac()

        def ask(target, source=network.CLIENT_ADDRESS):
            raw.send(frames.ethernet(frames.BROADCAST, mac, frames.ARP,
                                     frames.arp_request(mac, source, target)))

        with row("the engine answers for its own address alone"):
            # Answers come in order: one for the other address would come first.
            ask("10.77.0.99")
            ask(SERVER)
            answer = frames.receive(raw, lambda frame: frame.ethertype == frames.ARP
                                    and frame.payload[6:8] == b"\0\2")
            assert answer.payload[14:18] == socket.inet_aton(SERVER)
            assert answer.destination == mac and answer.source == answer.payload[8:14]
        with row("and to a probe from 0.0.0.0"):
            ask(SERVER, source="0.0.0.0")
            frames.receive(raw, lambda frame: frame.ethertype == frames.ARP
                           and frame.payload[6:8] == b"\0\2")
        with row("the client's kernel learns it"):
            network.in_client("ip", "neigh", "flush", "dev", "client")
            with Client() as client:
                client.refresh()
            table = network.in_client("ip", "neigh", "show", SERVER).stdout
            assert answer.source.hex(":") in table, table


def test_vlan(row):
    with Engine() as engine:
        raw = network.raw_socket()
        mac = network.client_mac()
        peer = frames.engine_mac(raw)
        for tag in (None, 7, 7 | 3 << 13):
            with row("INFO in a frame " + ("without a tag" if tag is None else
                                           f"with VLAN tag {tag:#06x}")):
                payload = wire.encode_info_request(1000 + (tag or 0))
                packet = frames.udp(network.CLIENT_ADDRESS, SERVER, 4321, network.UDP_PORT, payload)
                raw.send(frames.ethernet(peer, mac, frames.IPV4, packet, vlan=tag))
                answer = frames.receive(raw, lambda frame: frame.udp()
                                        and frame.udp()[1] == 4321)
                assert answer.vlan == tag, f"answered with tag {answer.vlan}"
                assert answer.source == peer and answer.destination == mac
                source, _, reply = answer.udp()
                assert source == network.UDP_PORT
                assert wire.decode_reply(reply).request_id == 1000 + (tag or 0)
        assert engine.running()


def test_full_datagrams(row):
    for mtu in (1500, 9000):
        network.set_mtu(mtu)
        with Engine(port_mtu=mtu, **BUFFERS) as engine, Client() as client:
            issuer, local = client.accounts_on(0, 2)
            cross = client.accounts_on(1, 1)[0]
            client.create(issuer, floor=wire.FLOOR_ISSUER)
            client.create(local)
            client.create(cross)
            most = (mtu - 28 - wire.HEADER_BYTES) // wire.RECORD_BYTES
            with row(f"MTU {mtu}: INFO tells the limit of {most} records"):
                assert client.info.records_max == most, client.info.records_max
                assert client.info.datagram_max == mtu - 28, client.info.datagram_max
            for place, credit in (("local", local), ("cross-shard", cross)):
                with row(f"MTU {mtu}: a full datagram of {most} {place} transfers"):
                    records = [wire.transfer_record(client.new_id(), issuer, credit, 1, ledger=1)
                               for _ in range(most)]
                    assert client.statuses(wire.TRANSFER, records) == ["OK"] * most
                    assert client.lookup(credit).balance == most
                with row(f"MTU {mtu}: a full datagram of {most} lookups of a {place} account"):
                    records = [wire.lookup_account_record(credit)] * most
                    reply = client.exchange(wire.LOOKUP_ACCOUNT, records)
                    balances = [wire.decode_account(result).balance for result in reply.results]
                    assert balances == [most] * most
            engine.stop()
            engine.verify()


def drops(engine):
    """What the engine says at its end: {reason: frames or datagrams dropped}."""
    return {reason: int(count) for count, reason in
            re.findall(r"^dropped: (\d+) \w+: (.*)$", engine.screen(), re.MULTILINE)}


def malformed():
    """(name, UDP payload)"""
    info = wire.encode_info_request(1)
    yield "nothing", b""
    yield "one byte", b"x"
    yield "a byte less than a header", info[:31]
    yield "a header alone", info[:32]
    yield "a damaged checksum", bytes([info[0] ^ 1]) + info[1:]
    yield "a damaged last byte", info[:-1] + bytes([info[-1] ^ 0x80])
    yield "another magic", wire.alter_header(info, magic=0x4f524948)
    yield "a reply instead of a request", wire.alter_header(info, kind=0x81)
    yield "a byte too few", info[:-1]
    yield "a byte too many", info + b"\0"
    yield "text", b"GET / HTTP/1.1\r\nHost: giro\r\n\r\n"
    yield "a full datagram of 0xff", b"\xff" * 1472
    chance = random.Random(20)
    for size in (32, 96, 500, 1472):
        yield f"{size} random bytes", chance.randbytes(size)


def test_malformed_datagrams(row):
    with Engine() as engine, Client() as client:
        udp = network.udp_socket()
        for name, payload in malformed():
            with row(f"{name}: the engine goes on"):
                udp.sendto(payload, (SERVER, network.UDP_PORT))
                client.refresh()
                assert engine.running()
        with row("none of them was answered with more than it was long"):
            udp.setblocking(False)
            try:
                while True:
                    reply = udp.recv(65536)
                    assert len(reply) == wire.HEADER_BYTES, reply
            except BlockingIOError:
                pass
        with row("records of random bytes in a sound datagram are refused one by one"):
            chance = random.Random(21)
            for kind in (wire.TRANSFER, wire.ACCOUNT, wire.LOOKUP_ACCOUNT, wire.LOOKUP_TRANSFER):
                for _ in range(20):
                    records = [chance.randbytes(64) for _ in range(22)]
                    reply = client.exchange(kind, records)
                    assert len(reply.results) == 22 and engine.running()
        with row("the engine says how many datagrams it dropped, and why"):
            engine.stop()
            dropped = drops(engine)
            assert dropped == {"length": 4, "checksum": 5, "magic": 6, "direction": 1}, dropped
        engine.verify()


def test_other_frames(row):
    with Engine() as engine, Client() as client:
        raw = network.raw_socket()
        mac = network.client_mac()
        peer = frames.engine_mac(raw)
        info = wire.encode_info_request(5)
        own = network.CLIENT_ADDRESS

        def datagram(**change):
            fields = {"source": own, "destination": SERVER, "source_port": 4000,
                      "destination_port": network.UDP_PORT, "payload": info, **change}
            return frames.udp(**fields)

        good = datagram()
        broken_ip = good[:10] + bytes([good[10] ^ 1]) + good[11:]
        broken_udp = good[:26] + bytes([good[26] ^ 1]) + good[27:]
        for name, frame in [
            ("an unknown ethertype", frames.ethernet(peer, mac, 0x88B5, bytes(46))),
            ("an Ethernet header alone", frames.ethernet(peer, mac, frames.IPV4, b"")),
            ("half an IPv4 header", frames.ethernet(peer, mac, frames.IPV4, good[:10])),
            ("a wrong IPv4 checksum", frames.ethernet(peer, mac, frames.IPV4, broken_ip)),
            ("a wrong UDP checksum", frames.ethernet(peer, mac, frames.IPV4, broken_udp)),
            # net_af_packet has the kernel gather fragments first, so these never arrive.
            ("a first fragment", frames.ethernet(peer, mac, frames.IPV4, frames.ipv4(
                own, SERVER, 17, good[20:], fragment=0x2000))),
            ("a later fragment", frames.ethernet(peer, mac, frames.IPV4, frames.ipv4(
                own, SERVER, 17, good[20:], fragment=0x0001))),
            ("TCP", frames.ethernet(peer, mac, frames.IPV4,
                                    frames.ipv4(own, SERVER, 6, bytes(20)))),
            ("another port", frames.ethernet(peer, mac, frames.IPV4,
                                             datagram(destination_port=9))),
            ("another address", frames.ethernet(peer, mac, frames.IPV4,
                                                datagram(destination="10.77.0.9"))),
            ("another station", frames.ethernet(b"\2" + os.urandom(5), mac, frames.IPV4, good)),
            ("a length beyond the frame", frames.ethernet(peer, mac, frames.IPV4, good[:200])),
        ]:
            with row(f"{name} is not answered and hurts nothing"):
                raw.send(frame)
                # What the engine would answer to it would come before the answer to this.
                raw.send(frames.ethernet(peer, mac, frames.IPV4, datagram(source_port=4999)))
                answer = frames.receive(raw, lambda got: got.source == peer)
                assert answer.ethertype == frames.IPV4 and answer.udp()[1] == 4999, answer.data
        with row("good clients are served afterwards"):
            client.refresh()
        with row("the engine says how many frames it dropped, and why"):
            engine.stop()
            dropped = drops(engine)
            # The kernel answers replies to ports that nobody has with ICMP errors.
            dropped.pop("ICMP, but no echo request")
            assert dropped == {
                "sent to another MAC or to a group": 1, "neither IPv4 nor ARP": 1,
                "frame ends inside its IPv4 header": 2,
                "IPv4 length is below its header or beyond the frame": 1,
                "IPv4 header checksum is wrong": 1, "sent to another IPv4 address": 1,
                "neither UDP nor ICMP": 1, "UDP checksum is wrong": 1,
                "no shard at that UDP port": 1}, dropped
