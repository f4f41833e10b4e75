# SPDX-License-Identifier: Apache-2.0
"""Frames that an engine should not be moved by, made with scapy: wrong at every layer, or right and
up to no good.

A Case is a name, frames, and what is to become of each of them: the reason, in the engine's own
words, for which it is dropped, or None where it is answered.
"""

import collections
import os
import random

from scapy.layers.inet import ICMP, IP, UDP, IPOption
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

import giro_wire as wire
import network

Case = collections.namedtuple("Case", "name frames reason")

SERVER = network.ENGINE_ADDRESS
CLIENT = network.CLIENT_ADDRESS
EVIL = "02:66:66:66:66:66"
BROADCAST = "ff:ff:ff:ff:ff:ff"
# A socket of the client is bound to it, so that its kernel does not object to answers.
PORT = 40000

IP_BROADCAST = "IPv4 in a broadcast frame"
OTHER_MAC = "sent to another MAC or to a group"
SOURCE_MAC = "source MAC is zero or a group address"
VLAN_DEPTH = "more than two VLAN tags"
ETHER_TYPE = "neither IPv4 nor ARP"
ARP_MALFORMED = "ARP too short or not IPv4 on Ethernet"
ARP_SENDER = "ARP sender has our address, or is not the frame's source"
ARP_OTHER = "ARP reply, or request for another address"
IP_SHORT = "frame ends inside its IPv4 header"
IP_VERSION = "IP version is not 4"
IP_OPTIONS = "IPv4 header is not 20 bytes"
IP_LENGTH = "IPv4 length is below its header or beyond the frame"
IP_CHECKSUM = "IPv4 header checksum is wrong"
IP_OTHER = "sent to another IPv4 address"
IP_SOURCE = "source address is zero, loopback, group or broadcast"
IP_SPOOFED = "source address is our own"
PROTOCOL = "neither UDP nor ICMP"
ICMP_LENGTH = "ICMP message shorter than its header"
ICMP_TYPE = "ICMP, but no echo request"
ICMP_CHECKSUM = "ICMP checksum is wrong"
UDP_LENGTH = "UDP length differs from what IPv4 carries"
UDP_SOURCE_PORT = "UDP source port is zero: nowhere to answer to"
UDP_CHECKSUM = "UDP checksum is wrong"
UDP_PORT = "no shard at that UDP port"
LENGTH, MAGIC, CHECKSUM, DIRECTION = "length", "magic", "checksum", "direction"

INFO = wire.encode_info_request(0x7001)


class Attacker:
    """Knows who is who on the link."""

    def __init__(self, engine_mac, client_mac):
        self.engine = engine_mac.hex(":")
        self.mac = client_mac.hex(":")
        self.chance = random.Random(6)

    def link(self, **change):
        return Ether(**{"dst": self.engine, "src": self.mac, **change})

    def udp(self, payload=INFO, link=None, ip=None, **udp):
        """A sound datagram, but for what is asked for."""
        return bytes((link or self.link())
                     / IP(**{"src": CLIENT, "dst": SERVER, "flags": "DF", **(ip or {})})
                     / UDP(**{"sport": PORT, "dport": network.UDP_PORT, **udp}) / Raw(payload))

    def icmp(self, data=b"giro" * 14, link=None, ip=None, **icmp):
        return bytes((link or self.link()) / IP(**{"src": CLIENT, "dst": SERVER, **(ip or {})})
                     / ICMP(**icmp) / Raw(data))

    def arp(self, link=None, **arp):
        return bytes((link or self.link(dst=BROADCAST))
                     / ARP(**{"op": 1, "hwsrc": self.mac, "psrc": CLIENT, "pdst": SERVER, **arp}))

    # By layer

    def ethernet(self):
        udp, link = self.udp, self.link
        yield Case("source MAC zero", [udp(link=link(src="00:00:00:00:00:00"))], SOURCE_MAC)
        yield Case("source MAC a group", [udp(link=link(src="01:00:5e:00:00:01")),
                                          udp(link=link(src=BROADCAST))], SOURCE_MAC)
        yield Case("another station", [udp(link=link(dst=EVIL))], OTHER_MAC)
        yield Case("our address by multicast", [udp(link=link(dst="01:00:5e:4d:00:01"))], OTHER_MAC)
        yield Case("our address by broadcast", [udp(link=link(dst=BROADCAST)),
                                                self.icmp(link=link(dst=BROADCAST))], IP_BROADCAST)
        yield Case("three VLAN tags",
                   [udp(link=link() / Dot1Q(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3))], VLAN_DEPTH)
        yield Case("eight VLAN tags", [udp(link=_stack(link(), 8))], VLAN_DEPTH)
        yield Case("ethertypes of others",
                   [bytes(link(type=kind) / Raw(bytes(46)))
                    for kind in (0x86DD, 0x88CC, 0x8847, 0x0026, 0xFFFF)], ETHER_TYPE)

    def arps(self):
        good = self.arp()
        yield Case("ARP cut short", [good[:size] for size in (15, 30, 41)], ARP_MALFORMED)
        yield Case("ARP of other kinds", [self.arp(hwtype=6), self.arp(ptype=0x86DD),
                                          self.arp(hwlen=8), self.arp(plen=16)], ARP_MALFORMED)
        yield Case("poisoning: our address is elsewhere",
                   [self.arp(link=self.link(src=EVIL, dst=BROADCAST), hwsrc=EVIL, psrc=SERVER),
                    self.arp(link=self.link(src=EVIL), op=2, hwsrc=EVIL, psrc=SERVER)], ARP_SENDER)
        yield Case("poisoning: ARP in another's name",
                   [self.arp(hwsrc=EVIL), self.arp(op=2, hwsrc=EVIL)], ARP_SENDER)
        yield Case("poisoning: the client's address is elsewhere",
                   [self.arp(link=self.link(src=EVIL), op=2, hwsrc=EVIL, psrc=CLIENT),
                    self.arp(link=self.link(src=EVIL, dst=BROADCAST), hwsrc=EVIL, psrc=CLIENT,
                             pdst=CLIENT)], ARP_OTHER)
        yield Case("requests for others", [self.arp(pdst=f"10.77.0.{host}")
                                           for host in range(3, 30)], ARP_OTHER)

    def ips(self):
        udp, good = self.udp, self.udp()
        yield Case("IPv4 header cut short", [good[:size] for size in (15, 24, 33)], IP_SHORT)
        yield Case("IP versions", [udp(ip={"version": version}) for version in (0, 5, 6, 15)],
                   IP_VERSION)
        yield Case("IPv4 header lengths", [udp(ip={"ihl": words}) for words in (0, 4, 6, 15)],
                   IP_OPTIONS)
        yield Case("IP options: source route, record route, alert, unknown",
                   [udp(ip={"options": IPOption(option)}) for option in (
                       b"\x83\x07\x04" + bytes([10, 77, 0, 3]), b"\x07\x07\x04" + bytes(4),
                       b"\x94\x04\0\0", b"\xff\x04\0\0")], IP_OPTIONS)
        yield Case("IPv4 length beyond the frame", [udp(ip={"len": len(good) - 13}),
                                                    udp(ip={"len": 65535})], IP_LENGTH)
        yield Case("IPv4 length below its header", [udp(ip={"len": size}) for size in (0, 19)],
                   IP_LENGTH)
        yield Case("cut on the way", [good[:size] for size in (60, 200, len(good) - 1)], IP_LENGTH)
        yield Case("wrong IPv4 checksum", [udp(ip={"chksum": total}) for total in (0, 1, 0xFFFF)],
                   IP_CHECKSUM)
        yield Case("to others", [udp(ip={"dst": address}) for address in (
            "10.77.0.9", "10.77.0.255", "224.0.0.1", "255.255.255.255", "127.0.0.1", "0.0.0.0")],
                   IP_OTHER)
        yield Case("from where nobody is", [udp(ip={"src": address}) for address in (
            "0.0.0.0", "127.0.0.1", "224.0.0.5", "240.0.0.1", "255.255.255.255", "10.77.0.255",
            "10.77.0.0")], IP_SOURCE)
        yield Case("from ourselves", [udp(ip={"src": SERVER}), self.icmp(ip={"src": SERVER}),
                                      udp(ip={"src": SERVER}, sport=network.UDP_PORT)], IP_SPOOFED)
        yield Case("other protocols", [udp(ip={"proto": protocol})
                                       for protocol in (0, 2, 6, 47, 50, 132, 255)], PROTOCOL)

    def icmps(self):
        icmp = self.icmp
        yield Case("ICMP cut short", [icmp(ip={"len": 20 + size}) for size in (0, 1, 7)],
                   ICMP_LENGTH)
        yield Case("echo replies", [icmp(type=0)] * 3, ICMP_TYPE)
        yield Case("unreachable, quench, redirect, time, mask",
                   [icmp(type=kind) for kind in (3, 4, 5, 9, 10, 11, 12, 13, 17)], ICMP_TYPE)
        yield Case("echo of another code", [icmp(code=1)], ICMP_TYPE)
        yield Case("wrong ICMP checksum", [icmp(chksum=1)], ICMP_CHECKSUM)

    def udps(self):
        udp, size = self.udp, 8 + len(INFO)
        yield Case("UDP lengths", [udp(len=length)
                                   for length in (0, 7, 8, size - 1, size + 1, 65535)], UDP_LENGTH)
        yield Case("from port zero", [udp(sport=0)], UDP_SOURCE_PORT)
        yield Case("wrong UDP checksum", [udp(chksum=1), udp(chksum=0xFFFF)], UDP_CHECKSUM)
        yield Case("ports without a shard", [udp(dport=port)
                                             for port in (0, 7, 19, 53, 7399, 7402, 65535)],
                   UDP_PORT)

    def payloads(self):
        def all_of(*payloads):
            return [self.udp(payload) for payload in payloads]

        reply = wire.encode_reply(wire.TRANSFER, 9, [wire.result_record(0)])
        yield Case("no payload, a byte, less than a header", all_of(b"", b"x", INFO[:31]), LENGTH)
        yield Case("another magic, text", all_of(wire.alter_header(INFO, magic=1),
                                                 b"GET / HTTP/1.1\r\nHost: giro\r\n\r\n" * 2),
                   MAGIC)
        yield Case("random bytes", all_of(*(self.chance.randbytes(size)
                                            for size in (32, 96, 500, 1472))), MAGIC)
        yield Case("a payload cut, one too long, one with a flipped bit",
                   all_of(INFO[:-1], INFO + b"\0", INFO[:-1] + b"\x80"), CHECKSUM)
        yield Case("replies", all_of(reply, wire.alter_header(reply, version=9)), DIRECTION)

    def answered(self):
        """Legal, if odd; or refused in so many words."""
        udp, link = self.udp, self.link
        for tags in (1, 2):
            yield Case(f"{tags} VLAN tag{'s'[:tags - 1]}", [udp(link=_stack(link(), tags))], None)
        yield Case("no UDP checksum", [udp(chksum=0)], None)
        yield Case("a station of the link that is not there",
                   [udp(ip={"src": "10.77.0.200"}), udp(ip={"src": "10.77.0.200"}, sport=53)], None)
        yield Case("a host far away", [udp(ip={"src": "192.0.2.1"}, sport=19)], None)
        yield Case("time to live used up", [udp(ip={"ttl": 0})], None)
        yield Case("a long trailer", [udp() + os.urandom(100)], None)
        yield Case("another version, kind, count, reserved field",
                   [udp(wire.alter_header(INFO, **field)) for field in (
                       {"version": 0}, {"version": 255}, {"kind": 0}, {"kind": 99}, {"count": 0},
                       {"count": 65535}, {"map_version": 1}, {"status": 1},
                       {"retry_after_ms": 1})], None)
        yield Case("INFO of pages that there are not",
                   [udp(wire.encode_info_request(3, page)) for page in (1, 4096, 65535)], None)
        for kind, name in ((wire.TRANSFER, "TRANSFER"), (wire.ACCOUNT, "ACCOUNT"),
                           (wire.LOOKUP_ACCOUNT, "LOOKUP_ACCOUNT"),
                           (wire.LOOKUP_TRANSFER, "LOOKUP_TRANSFER")):
            yield Case(f"{name} of random records", [
                udp(wire.encode_request(kind, serial, [self.chance.randbytes(64)
                                                       for _ in range(records)]))
                for serial, records in enumerate((1, 7, 22))], None)

    def all(self):
        for layer in (self.ethernet, self.arps, self.ips, self.icmps, self.udps, self.payloads,
                      self.answered):
            yield from layer()

    # In masses: endless

    def floods(self):
        """(name, a list of frames to be sent over and over, reason or None)"""
        rand = self.chance
        macs = [f"02:{rand.randbytes(5).hex(':')}" for _ in range(200)]
        yield "pings", [self.icmp(id=serial) for serial in range(50)], None
        yield "ARP requests of 200 stations", [
            self.arp(link=self.link(src=mac, dst=BROADCAST), hwsrc=mac,
                     psrc=f"10.77.0.{30 + serial}") for serial, mac in enumerate(macs)], None
        yield "ARP replies in the client's name", [
            self.arp(link=self.link(src=mac), op=2, hwsrc=mac) for mac in macs], ARP_OTHER
        yield "echo replies", [self.icmp(type=0)], ICMP_TYPE
        yield "echo from the broadcast address", [self.icmp(ip={"src": "10.77.0.255"})], IP_SOURCE
        yield "INFO from ourselves", [self.udp(ip={"src": SERVER}, sport=network.UDP_PORT)], \
            IP_SPOOFED
        yield "INFO of 200 spoofed hosts", [
            self.udp(ip={"src": f"10.77.0.{30 + serial}"}) for serial in range(200)], None
        yield "random payloads", [self.udp(rand.randbytes(1472)) for _ in range(50)], MAGIC
        yield "replies of another engine", [
            self.udp(wire.encode_reply(wire.TRANSFER, 9, [wire.result_record(0)]),
                     sport=network.UDP_PORT, ip={"src": "10.77.0.66"})], DIRECTION
        yield "sound headers, random transfers", [
            self.udp(wire.encode_request(wire.TRANSFER, serial,
                                         [rand.randbytes(64) for _ in range(22)]))
            for serial in range(50)], None
        yield "lookups of nothing", [
            self.udp(wire.encode_request(wire.LOOKUP_ACCOUNT, serial, [
                wire.lookup_account_record(rand.getrandbits(128)) for _ in range(22)]))
            for serial in range(50)], None


def _stack(link, tags):
    for tag in range(tags):
        link = link / Dot1Q(vlan=tag + 5)
    return link
