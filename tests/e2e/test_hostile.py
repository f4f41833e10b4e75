# SPDX-License-Identifier: Apache-2.0
"""A network that means harm. Whatever comes, the engine serves those who keep to the protocol, counts
every frame that it drops under a reason, answers nothing with more than it was asked, and takes neither
memory nor log for it."""

import collections
import errno
import os
import re
import signal
import socket

import attacks
import frames
import giro_wire as wire
import network
from client import Client
from engine import Engine

SERVER = network.ENGINE_ADDRESS
PING_PORT = 40001
FLOOD_FRAMES = 10000
RSS_SLACK_KIB = 2048
# More than the ring below the engine holds.
RING_FRAMES = 10000
LOST = "the device had no room for them"


def report(engine):
    """What the engine says at its end: {reason: frames or datagrams dropped}, {what: frames}."""
    dropped = collections.Counter()
    for count, reason in re.findall(r"^dropped: (\d+) \w+: (.*)$", engine.screen(), re.MULTILINE):
        dropped[reason] += int(count)
    line = re.search(r"^frames: (.*)$", engine.screen(), re.MULTILINE)[1]
    counts = {what: int(count) for count, what in re.findall(r"(\d+) ([A-Za-z ]+)", line)}
    return dropped, counts


def log_records(engine):
    """Records in the log of a running engine: those of what was answered are there."""
    return int(re.search(r"^records +(\d+)", engine.verify(torn_tail=True), re.MULTILINE)[1])


class Link:
    """A raw socket on the client's end, and sockets behind the ports that frames are sent from. The
    client's kernel knows the engine for good, so that no ARP of its own comes between."""

    def __init__(self, client):
        self.client_port = client.udp.getsockname()[1]
        self.raw = network.raw_socket()
        self.mac = network.client_mac()
        self.engine_mac = frames.engine_mac(self.raw)
        self.serial = 0
        self.bound = []
        with network.client_namespace():
            for port in (attacks.PORT, PING_PORT):
                udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                udp.bind((network.CLIENT_ADDRESS, port))
                self.bound.append(udp)
        network.in_client("ip", "neigh", "replace", SERVER, "dev", "client", "lladdr",
                          self.engine_mac.hex(":"), "nud", "permanent")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        network.in_client("ip", "neigh", "del", SERVER, "dev", "client")
        for udp in (self.raw, *self.bound):
            udp.close()

    def answers(self, sent, wanted=0):
        """Sends frames and returns what the engine sent before it answered a request behind them,
        and after that until there are as many answers as wanted: another worker may be slower."""
        self.serial += 1
        for frame in sent:
            self.raw.send(frame)
        marker = frames.udp(network.CLIENT_ADDRESS, SERVER, PING_PORT, network.UDP_PORT,
                            wire.encode_info_request(self.serial))
        self.raw.send(frames.ethernet(self.engine_mac, self.mac, frames.IPV4, marker))
        got = []
        marked = False
        while not marked or len(got) < wanted:
            frame = frames.receive(self.raw, lambda frame: frame.source == self.engine_mac)
            datagram = frame.udp() if frame.ethertype == frames.IPV4 else None
            to = datagram[1] if datagram else None
            if to == PING_PORT:
                marked |= wire.request_id(datagram[2]) == self.serial
            if to not in (PING_PORT, self.client_port):
                got.append(frame)
        return got


def books(client):
    """An issuer and two wallets, one on another shard."""
    issuer, wallet = client.accounts_on(0, 2)
    away = client.accounts_on(1, 1)[0]
    client.create(issuer, floor=wire.FLOOR_ISSUER)
    client.create(wallet)
    client.create(away)
    return issuer, wallet, away


def test_frames(row):
    with Engine() as engine, Client() as client, Link(client) as link:
        attacker = attacks.Attacker(link.engine_mac, link.mac)
        issuer, wallet, away = books(client)
        expected = collections.Counter()
        client.pay(issuer, wallet, 1)
        records = log_records(engine)
        for case in attacker.all():
            answer = "answered" if case.reason is None else f"dropped, {case.reason}"
            with row(f"{case.name}: {len(case.frames)} {answer}"):
                wanted = len(case.frames) if case.reason is None else 0
                got = link.answers(case.frames, wanted)
                if case.reason is None:
                    assert len(got) == len(case.frames), f"{len(got)} answers"
                    sizes = sorted(len(frame.data) for frame in got)
                    for size, most in zip(sizes, sorted(map(len, case.frames))):
                        assert size <= most, f"{size} bytes for {most}"
                    assert all(frame.destination == link.mac for frame in got)
                else:
                    assert not got, f"answered with {got[0].data.hex()}"
                    expected[case.reason] += len(case.frames)
                assert client.lookup(wallet).balance == 1
        with row("none of it left anything in the log"):
            assert log_records(engine) == records
        with row("good clients go on"):
            client.pay(wallet, away, 1)
            assert client.lookup(away).balance == 1
        with row("every frame is counted under its reason"):
            engine.stop()
            dropped, _ = report(engine)
            assert dropped == expected, f"{dropped - expected} too many, {expected - dropped} missing"
        engine.verify()


def fragments(packet, *cuts):
    """An IPv4 packet as frames' payloads, cut behind its header at multiples of eight bytes."""
    serial = os.urandom(2)
    body = packet[20:]
    for begin, end in zip((0, *cuts), (*cuts, len(body))):
        more = 0x2000 if end < len(body) else 0
        part = frames.ipv4(network.CLIENT_ADDRESS, SERVER, packet[9], body[begin:end],
                           fragment=more | begin // 8)
        head = part[:4] + serial + part[6:10] + b"\0\0" + part[12:20]
        yield head[:10] + frames.checksum(head).to_bytes(2, "big") + head[12:] + part[20:]


def test_fragments(row):
    """net_af_packet has the kernel put fragments together before the engine sees anything."""
    with Engine() as engine, Client() as client, Link(client) as link:
        attacker = attacks.Attacker(link.engine_mac, link.mac)
        issuer, wallet, _ = books(client)
        lookup = wire.encode_request(wire.LOOKUP_ACCOUNT, 1, [wire.lookup_account_record(1)] * 4)
        asked = attacker.udp(lookup)[14:]
        large = attacker.udp(bytes(4000))[14:]

        def framed(packets):
            return [frames.ethernet(link.engine_mac, link.mac, frames.IPV4, packet)
                    for packet in packets]

        with row("whole in three pieces, the last first: answered"):
            assert len(link.answers(framed(reversed(list(fragments(asked, 72, 144)))), 1)) == 1
        with row("pieces of more than a frame: dropped, " + attacks.IP_LENGTH):
            assert not link.answers(framed(fragments(large, 1400, 2800)))
        with row("first pieces, last pieces, pieces over each other: not answered"):
            first = next(iter(fragments(asked, 72)))
            assert not link.answers(framed([first, first]))
            assert not link.answers(framed([next(iter(fragments(asked, 72)))]
                                           + list(fragments(asked, 72))[1:]))
        with row("2000 first pieces"):
            assert not link.answers(framed(next(iter(fragments(asked, 72))) for _ in range(2000)))
        with row("good clients go on, and what was dropped is counted"):
            client.pay(issuer, wallet, 1)
            engine.stop()
            dropped, _ = report(engine)
            assert dropped == {attacks.IP_LENGTH: 1}, dropped
        engine.verify()


def test_larger_than_the_link(row):
    network.set_mtu(9000)
    with Engine() as engine, Client() as client, Link(client) as link:
        attacker = attacks.Attacker(link.engine_mac, link.mac)
        issuer, wallet, _ = books(client)
        for size in (1501, 2100, 4000, 9000):
            with row(f"an IPv4 packet of {size} bytes: the link does not carry it"):
                try:
                    got = link.answers([attacker.udp(bytes(size - 28))])
                except OSError as error:
                    assert error.errno == errno.ENOBUFS, error
                else:
                    assert not got
                client.pay(issuer, wallet, 1)
        engine.stop()
        engine.verify()


def test_replayed_capture(row):
    with Engine() as engine, Client() as client, Link(client) as link:
        attacker = attacks.Attacker(link.engine_mac, link.mac)
        issuer, wallet, away = books(client)
        capture = []
        for serial in range(20):
            credit = wallet if serial % 2 else away
            record = wire.transfer_record(client.new_id(), issuer, credit, 10, ledger=1)
            payload = wire.encode_request(wire.TRANSFER, serial, [record] * 2)
            frame = attacker.udp(payload, dport=client.port_of(wire.TRANSFER, record))
            capture.append(frame)
            link.answers([frame], 1)
        engine_knows = [client.final_statuses(wire.TRANSFER, [frame[42 + 32:42 + 96]])
                        for frame in capture]
        assert engine_knows == [["OK"]] * 20, engine_knows
        records = log_records(engine)
        for turn in range(3):
            with row(f"a capture of 20 transfers, sent again: time {turn + 1}"):
                link.answers(capture, len(capture))
                for account in (wallet, away):
                    assert client.lookup(account).balance == 100
        with row("from another host, another station and another port"):
            link.answers([attacker.udp(frame[42:], link=attacker.link(src=attacks.EVIL),
                                       ip={"src": "10.77.0.99"}, sport=1) for frame in capture],
                         len(capture))
            for account in (wallet, away):
                assert client.lookup(account).balance == 100
        with row("nothing new is in the log"):
            assert log_records(engine) == records
        engine.stop()
        engine.verify()


def send_all(raw, flood, count):
    """In a process of its own: sends `count` frames as fast as it goes."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            network.die_with_parent()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            for serial in range(count):
                raw.send(flood[serial % len(flood)])
            status = 0
        finally:
            os._exit(status)
    return child


def ended(child):
    return os.waitpid(child, os.WNOHANG)[0] == child


def test_floods(row):
    with Engine(engine_requests=256) as engine, Client() as client, Link(client) as link:
        attacker = attacks.Attacker(link.engine_mac, link.mac)
        # Receives nothing, so that only the sending costs.
        raw = network.raw_socket(0)
        issuer, wallet, away = books(client)
        sent = collections.Counter()
        paid = 0
        # The first transfers and floods touch what is touched lazily.
        for _ in range(50):
            client.pay(issuer, wallet, 1)
        rss = 0
        words = len(engine.stderr())
        for name, flood, reason in attacker.floods():
            with row(f"{FLOOD_FRAMES} {name}: a client is served meanwhile"):
                child = send_all(raw, flood, FLOOD_FRAMES)
                served = 0
                try:
                    while not ended(child) or served == 0:
                        client.pay(issuer, away if served % 2 else wallet, 1)
                        served += 1
                except BaseException:
                    os.kill(child, signal.SIGKILL)
                    raise
                paid += served
                sent[reason] += FLOOD_FRAMES
                client.refresh()
                rss = rss or engine.rss_kib()
        with row("the engine takes no more memory than after the first flood"):
            assert engine.rss_kib() <= rss + RSS_SLACK_KIB, f"{rss} -> {engine.rss_kib()} KiB"
        with row("it says nothing about any of it while it runs"):
            assert len(engine.stderr()) == words, engine.stderr()[-2000:]
        with row("the log holds what the client did, nothing else"):
            balance = client.lookup(wallet).balance + client.lookup(away).balance
            assert balance == paid + 50, (balance, paid)
        with row("every frame of the floods is counted"):
            engine.stop()
            dropped, counts = report(engine)
            lost = dropped[LOST]
            assert counts["received"] + lost >= sum(sent.values()), (lost, counts)
            for reason in filter(None, sent):
                assert sent[reason] - lost <= dropped[reason] <= sent[reason], (reason, dropped)
            assert set(dropped) <= {*sent, LOST}, dropped
            assert counts["sent"] <= counts["received"], counts
        engine.verify()


def lose_frames(engine, client, link):
    """Stops the engine, which polls nothing then: the kernel drops what its ring cannot hold, and
    the engine counts it."""
    attacker = attacks.Attacker(link.engine_mac, link.mac)
    engine.process.send_signal(signal.SIGSTOP)
    echo = attacker.icmp(type=0)
    for _ in range(RING_FRAMES):
        link.raw.send(echo)
    engine.process.send_signal(signal.SIGCONT)
    client.refresh()
    engine.stop()
    dropped, _ = report(engine)
    assert dropped[LOST] > 0 and dropped[attacks.ICMP_TYPE] > 0, dropped
    assert dropped[LOST] + dropped[attacks.ICMP_TYPE] == RING_FRAMES, dropped


def test_lost_below_the_engine(row):
    """A thread that gets no CPU polls nothing; the kernel drops what its ring cannot hold."""
    with Engine() as engine, Client() as client, Link(client) as link:
        lose_frames(engine, client, link)
