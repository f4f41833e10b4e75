# SPDX-License-Identifier: Apache-2.0
"""Ethernet, ARP, ICMP, IPv4 and UDP by hand, for frames that no kernel would send."""

import select
import socket
import struct
import time

import network

BROADCAST = b"\xff" * 6
IPV4, ARP, VLAN = 0x0800, 0x0806, 0x8100


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(destination, source, ethertype, payload, vlan=None):
    tag = b"" if vlan is None else struct.pack("!HH", VLAN, vlan)
    return destination + source + tag + struct.pack("!H", ethertype) + payload


def ipv4(source, destination, protocol, payload, fragment=0x4000):
    """`fragment`: the flags and offset; 0x4000 is "don't fragment"."""
    def header(total):
        return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol,
                           total, socket.inet_aton(source), socket.inet_aton(destination))
    return header(checksum(header(0))) + payload


def udp(source, destination, source_port, destination_port, payload):
    size = 8 + len(payload)
    pseudo = (socket.inet_aton(source) + socket.inet_aton(destination)
              + struct.pack("!BBH", 0, 17, size))

    def header(total):
        return struct.pack("!HHHH", source_port, destination_port, size, total)
    total = checksum(pseudo + header(0) + payload) or 0xFFFF
    return ipv4(source, destination, 17, header(total) + payload)


def arp_request(source_mac, source, target):
    return struct.pack("!HHBBH6s4s6s4s", 1, IPV4, 6, 4, 1, source_mac, socket.inet_aton(source),
                       bytes(6), socket.inet_aton(target))


class Frame:
    """A received frame, taken apart as far as it goes; the VLAN tag is None without one."""

    def __init__(self, data, vlan):
        self.data = data
        self.destination, self.source = data[:6], data[6:12]
        self.ethertype = int.from_bytes(data[12:14], "big")
        self.payload = data[14:]
        self.vlan = vlan
        if self.ethertype == VLAN:
            self.vlan = int.from_bytes(data[14:16], "big")
            self.ethertype = int.from_bytes(data[16:18], "big")
            self.payload = data[18:]

    def udp(self):
        """(source port, destination port, payload) of a sound IPv4/UDP frame, else None."""
        packet = self.payload
        if self.ethertype != IPV4 or packet[9] != 17:
            return None
        length = int.from_bytes(packet[2:4], "big")
        header = packet[:20]
        assert packet[0] == 0x45 and checksum(header) == 0, "wrong IPv4 header checksum"
        datagram = packet[20:length]
        pseudo = packet[12:20] + struct.pack("!BBH", 0, 17, len(datagram))
        if datagram[6:8] != b"\0\0":
            assert checksum(pseudo + datagram) == 0, "wrong UDP checksum"
        source, destination, size = struct.unpack("!HHH", datagram[:6])
        assert size == len(datagram), "wrong UDP length"
        return source, destination, datagram[8:]


def receive(raw, wanted, seconds=5):
    """The first received frame for which wanted(frame) is true; our own are skipped."""
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        ready = left > 0 and select.select([raw], [], [], left)[0]
        assert ready, f"no frame of the wanted kind within {seconds} s"
        data, ancillary, _, address = raw.recvmsg(65536, 256)
        if address[2] == socket.PACKET_OUTGOING:
            continue
        vlan = None
        for level, kind, value in ancillary:
            if level == 263 and kind == 8:  # struct tpacket_auxdata
                status, _, _, _, _, tag, _ = struct.unpack("IIIHHHH", value)
                vlan = tag if status & 0x10 else None  # TP_STATUS_VLAN_VALID
        frame = Frame(data, vlan)
        if wanted(frame):
            return frame


def engine_mac(raw):
    """Asks the engine for its address, as every client does first."""
    mac = network.client_mac()
    raw.send(ethernet(BROADCAST, mac, ARP,
                      arp_request(mac, network.CLIENT_ADDRESS, network.ENGINE_ADDRESS)))
    answer = receive(raw, lambda frame: frame.ethertype == ARP and frame.payload[6:8] == b"\0\2"
                     and frame.payload[14:18] == socket.inet_aton(network.ENGINE_ADDRESS))
    return answer.payload[8:14]
