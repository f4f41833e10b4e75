# SPDX-License-Identifier: Apache-2.0
"""drivers: net_af_xdp against net_af_packet on the same veth end, in pairs that take turns in going
first, so that what else the machine does falls on both alike.

The reference of each row is the same load over net_af_packet. Engines differ in the driver alone;
net_af_xdp opens one queue of a veth end, so with two shards its first worker hands on what is the
other's, where net_af_packet lets the kernel spread flows over two queues.
"""

import statistics

import bench_net
import ground
import network

TITLE = "durable over veth, net_af_xdp against net_af_packet, in turn"

PAIRS = 5
ACCOUNTS = 100000
ACCOUNTS_ALONE = 1000
# As many frames as the XDP socket has buffers.
DESCRIPTORS = 2048
# Transfers in a datagram, datagrams under way.
LOADS = {
    "full datagrams": {"in_flight": bench_net.IN_FLIGHT_FULL},
    "one transfer a datagram": {"batch": 1, "in_flight": 1024},
    "one transfer at a time": {"batch": 1, "in_flight": 1, "accounts": ACCOUNTS_ALONE},
}
PACKET, XDP = "net_af_packet", "net_af_xdp"


def measure(pmd, shards, seconds):
    """{load: result} of one engine."""
    accounts = ACCOUNTS * len(LOADS)
    with ground.running_engine(shards, 1500, accounts, pmd=pmd,
                               port_rx_descriptors=DESCRIPTORS) as process:
        return {name: ground.load(process, mtu=1500, seconds=seconds,
                                  **{"accounts": ACCOUNTS, **load})
                for name, load in LOADS.items()}


def median(results, *keys):
    values = []
    for value in results:
        for key in keys:
            value = value[key]
        values.append(value)
    return statistics.median(values)


def shown(results):
    cpu = {who: median(results, "cpu", who) for who in results[0]["cpu"]}
    repeats = sum(result["network"]["retransmits"] for result in results)
    return (f"p50 {median(results, 'latency_us', 'p50') / 1e3:.2f} p99 "
            f"{median(results, 'latency_us', 'p99') / 1e3:.2f} ms, {repeats} sent again, "
            + bench_net.cpu_text(cpu))


def compare(report, shards, seconds):
    rounds = {PACKET: [], XDP: []}
    for pair in range(PAIRS):
        for pmd in (PACKET, XDP) if pair % 2 == 0 else (XDP, PACKET):
            rounds[pmd].append(measure(pmd, shards, seconds))
    for name in LOADS:
        packet, xdp = ([results[name] for results in rounds[pmd]] for pmd in (PACKET, XDP))
        ratios = sorted(one["rate"] / other["rate"] for one, other in zip(xdp, packet))
        report.row(f"{shards} shard{'s' if shards > 1 else ''}, {name}", median(xdp, "rate"),
                   "transfers/s", median(packet, "rate"), PACKET,
                   f"{PAIRS} pairs: {ratios[0]:.2f} to {ratios[-1]:.2f}, median "
                   f"{statistics.median(ratios):.2f}", shards=shards, ratios=ratios, xdp=xdp,
                   packet=packet)
        report.note(f"  {XDP}: {shown(xdp)}")
        report.note(f"  {PACKET}: {shown(packet)}")


def run(report, seconds):
    if not network.has_af_xdp():
        report.note("not measured: this kernel has no AF_XDP sockets")
        return
    for shards in (1, 2):
        compare(report, shards, seconds)
