# SPDX-License-Identifier: Apache-2.0
"""More work than the engine has room for, from a client that does not listen, beside one that does."""

import collections
import contextlib
import itertools
import os
import resource
import select
import signal
import socket

import giro_wire as wire
import network
from client import Client
from engine import Engine, wait_until

# Few enough that a burst of datagrams fills them while the disk writes.
REQUESTS = 4
DATAGRAMS = 400
RECORDS = 8
# The greedy client sends everything so often.
TIMES = 100
# A host that sends from more ports than the engine tells apart.
GREEDY_ADDRESS = "10.77.0.3"
GREEDY_PORTS = 2000
GREEDY_REQUESTS = 16


def make_requests(client, issuer, wallets, datagrams=DATAGRAMS):
    """Datagrams of new transfers, one unit each, by their request ids."""
    requests = {}
    for serial in range(datagrams):
        records = [wire.transfer_record(client.new_id(), issuer, wallets[serial % len(wallets)], 1,
                                        ledger=1) for _ in range(RECORDS)]
        requests[1 << 40 | serial] = wire.encode_request(wire.TRANSFER, 1 << 40 | serial, records)
    return requests


def records_of(payload):
    return [payload[at:at + wire.RECORD_BYTES]
            for at in range(wire.HEADER_BYTES, len(payload), wire.RECORD_BYTES)]


def collect(udp, seen):
    """Takes the replies that are there and counts statuses. Every refusal for want of room says when to
    come again."""
    while select.select([udp], [], [], 0)[0]:
        data = udp.recv(65536)
        reply = wire.decode_reply(data)
        assert len(data) <= wire.HEADER_BYTES + RECORDS * wire.RECORD_BYTES, "a reply longer than its request"
        busy = wire.STATUS["BUSY"]
        if not reply.results:
            assert reply.status == busy, wire.status_name(reply.status)
            assert reply.retry_after_ms > 0, "BUSY without a hint"
            seen["BUSY"] += RECORDS
            continue
        results = [wire.decode_result(result) for result in reply.results]
        assert all(result.retry_after_ms > 0 for result in results if result.status == busy)
        assert all(result.retry_after_ms == 0 for result in results if result.status != busy)
        seen.update(wire.status_name(result.status) for result in results)


def source(udp):
    """How the engine tells clients apart, engine/lcore.c: two may fall together, and share."""
    address, port = udp.getsockname()
    key = int.from_bytes(socket.inet_aton(address), "little") << 16 | port
    return (key * 0x9E3779B97F4A7C15 & (1 << 64) - 1) >> 54


def another_source(than):
    udp = network.udp_socket()
    while source(udp) == source(than):
        udp.close()
        udp = network.udp_socket()
    return udp


def pour(sockets, requests, port, times):
    """In a process of its own: sends all of them, over and over, from one socket after the other."""
    turn = itertools.cycle(sockets)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            network.die_with_parent()
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            for _ in range(times):
                for payload in requests.values():
                    next(turn).sendto(payload, (network.ENGINE_ADDRESS, port))
            status = 0
        finally:
            os._exit(status)
    return child


def pay_beside(child, client, issuer, wallet, meanwhile=lambda: None):
    """Pays one transfer after the other, none of which may be refused, until the child has ended.
    Returns how many."""
    paid = 0
    ended = False
    try:
        while not ended or paid == 0:
            status = client.transfer(client.new_id(), issuer, wallet, 1, retry_busy=False)
            assert status == "OK", f"{status} after {paid} transfers"
            paid += 1
            meanwhile()
            ended = ended or os.waitpid(child, os.WNOHANG)[0] == child
    except BaseException:
        if not ended:
            os.kill(child, signal.SIGKILL)
        raise
    return paid


def test_overload(row):
    with Engine(engine_shards=1, engine_requests=REQUESTS) as engine, Client() as client:
        udp = another_source(client.udp)
        issuer, mine, other, *wallets = client.accounts_on(0, 6)
        client.create(issuer, floor=wire.FLOOR_ISSUER)
        for account in (mine, other, *wallets):
            client.create(account)
        requests = make_requests(client, issuer, wallets)
        seen = collections.Counter()
        with row("a modest client is never refused while a greedy one pours"):
            child = pour([udp], requests, client.info.port[0], TIMES)
            paid = pay_beside(child, client, issuer, mine, lambda: collect(udp, seen))
            assert client.lookup(mine).balance == paid
        with row("what the engine has no room for is refused as BUSY, with a hint when to retry"):
            client.refresh()
            collect(udp, seen)
            assert set(seen) <= {"OK", "BUSY"}, seen

            def refused():
                burst = make_requests(client, issuer, [other], 64)
                for payload in burst.values():
                    udp.sendto(payload, (network.ENGINE_ADDRESS, client.info.port[0]))
                client.refresh()
                collect(udp, seen)
                return seen["BUSY"] > 0
            wait_until(refused, 60, "BUSY for 64 datagrams at once")
        with row("each of its transfers is done once, however often it was sent and refused"):
            records = [record for payload in requests.values() for record in records_of(payload)]
            assert set(client.final_statuses(wire.TRANSFER, records)) == {"OK"}
            total = sum(client.lookup(wallet).balance for wallet in wallets)
            assert total == DATAGRAMS * RECORDS, total
        with row("the engine counts whom it refused"):
            engine.stop()
            assert " 0 BUSY as a whole" not in engine.screen(), engine.screen()[-1500:]
        engine.verify()


@contextlib.contextmanager
def another_host(ports):
    """Sockets of an address beside the client's."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (ports + 1024, max(limit[1], ports + 1024)))
    network.in_client("ip", "address", "add", f"{GREEDY_ADDRESS}/24", "dev", "client")
    try:
        with contextlib.ExitStack() as stack, network.client_namespace():
            sockets = []
            for _ in range(ports):
                udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                udp.bind((GREEDY_ADDRESS, 0))
                sockets.append(udp)
            yield sockets
    finally:
        network.in_client("ip", "address", "del", f"{GREEDY_ADDRESS}/24", "dev", "client")
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)


def test_many_ports_are_one_host(row):
    with Engine(engine_shards=1, engine_requests=GREEDY_REQUESTS) as engine, Client() as client, \
            another_host(GREEDY_PORTS) as sockets:
        issuer, mine, *wallets = client.accounts_on(0, 5)
        client.create(issuer, floor=wire.FLOOR_ISSUER)
        for account in (mine, *wallets):
            client.create(account)
        requests = make_requests(client, issuer, wallets)
        with row("a modest client is never refused while another host pours from every port"):
            child = pour(sockets, requests, client.info.port[0], TIMES)
            paid = pay_beside(child, client, issuer, mine)
            assert client.lookup(mine).balance == paid
        with row("the host was refused meanwhile"):
            engine.stop()
            assert " 0 BUSY as a whole" not in engine.screen(), engine.screen()[-1500:]
