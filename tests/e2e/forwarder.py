# SPDX-License-Identifier: Apache-2.0
"""A bad network between a client and the engine: a UDP forwarder that loses, repeats and reorders.

    client <--- 127.0.0.1, the engine's ports ---> forwarder <--- 10.77.0.2 ---> engine

It listens in the client's namespace on the ports that the engine's INFO names, so that a client told
of 127.0.0.1 finds every shard there. What happens to a datagram is drawn from a seed, apart for each
direction.
"""

import collections
import random
import selectors
import socket
import threading
import time

import network

ADDRESS = "127.0.0.1"
# What is held back to be overtaken goes on after this, whether anything overtook it or not.
HELD_S = 0.02

INFO = 1


class Direction:
    """One way. `send` takes (socket, data, target)."""

    def __init__(self, seed, share):
        self.chance = random.Random(seed)
        self.share = share
        self.held = []  # (when, socket, data, target)
        self.counts = collections.Counter()

    def take(self, out, data, target):
        what = self.chance.random()
        self.counts["datagrams"] += 1
        if what < self.share:
            self.counts["lost"] += 1
        elif what < 2 * self.share:
            self.counts["repeated"] += 1
            send(out, data, target)
            send(out, data, target)
        elif what < 3 * self.share:
            self.counts["held back"] += 1
            self.held.append((time.monotonic() + HELD_S, out, data, target))
        else:
            send(out, data, target)
            if self.held and self.chance.random() < 0.5:
                self.release(1)

    def release(self, count):
        for _, out, data, target in self.held[:count]:
            send(out, data, target)
        del self.held[:count]

    def release_due(self):
        now = time.monotonic()
        self.release(sum(due <= now for due, *_ in self.held))


def send(out, data, target):
    try:
        out.sendto(data, target)
    except OSError:
        pass  # the engine is down, or the client has gone: a loss


class Forwarder(threading.Thread):
    """Use as a context manager. `share` is the part of all datagrams that is lost, that which is
    repeated, and that which is held back."""

    def __init__(self, shards, share=0.08, seed=1):
        super().__init__(daemon=True)
        self.there = Direction(seed, share)
        self.back = Direction(seed + 1, share)
        self.only_info = False  # everything else is lost
        self.over = False
        self.waiting = selectors.DefaultSelector()
        self.engine_side = {}  # (port, client's address) -> socket
        with network.client_namespace():
            for port in range(network.UDP_PORT, network.UDP_PORT + shards):
                server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
                server.bind((ADDRESS, port))
                server.setblocking(False)
                self.waiting.register(server, selectors.EVENT_READ, (port, None, None))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.join()
        for key in list(self.waiting.get_map().values()):
            key.fileobj.close()
        self.waiting.close()

    def run(self):
        while not self.over:
            for key, _ in self.waiting.select(HELD_S / 4):
                self.forward(key.fileobj, *key.data)
            self.there.release_due()
            self.back.release_due()

    def forward(self, source, port, server, client):
        """Empties one socket: a port that clients send to, or what answers one client."""
        while True:
            try:
                data, address = source.recvfrom(65536)
            except OSError:
                return
            if client is None:
                if not self.only_info or data[13] == INFO:
                    out = self.engine_socket(port, source, address)
                    self.there.take(out, data, (network.ENGINE_ADDRESS, port))
            else:
                self.back.take(server, data, client)

    def engine_socket(self, port, server, client):
        key = (port, client)
        if key not in self.engine_side:
            udp = network.udp_socket()
            udp.setblocking(False)
            self.engine_side[key] = udp
            self.waiting.register(udp, selectors.EVENT_READ, (port, server, client))
        return self.engine_side[key]

    def check(self):
        """Each fault happened, each way."""
        for way in (self.there, self.back):
            for what in ("lost", "repeated", "held back"):
                assert way.counts[what] > 0, (self.there.counts, self.back.counts)
