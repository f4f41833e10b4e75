# SPDX-License-Identifier: Apache-2.0
"""overload: more than the engine can do, from a sender that does not listen.

Goodput by offered load, beside a modest client that keeps to the protocol. The reference of each row is
the best goodput of the run: it must not fall far below it when more is offered. Then the same sender
from many ports of an address that is not the modest client's, which must not be refused for them.
"""

import concurrent.futures
import resource

import ground

TITLE = "open loop beyond saturation, full datagrams at MTU 1500, 2 shards; transfers/s"

FACTORS = (0.5, 0.75, 1, 1.5, 2, 3, 5)
ACCOUNTS = 100000
GREEDY_ACCOUNTS = 20000
# Ports to each shard, more at last than the engine tells apart, of an address of their own.
SOURCES = (64, 1024)
GREEDY_ADDRESS = "10.77.0.3"
# The modest client: single transfers, paced, through libgiro.
MODEST_RATE = 500
MODEST_ACCOUNTS = 200
MODEST_SHARE = 0.9
GOODPUT_SHARE = 0.8
# Room for more ids than are done: the window must not be what refuses.
WINDOW = {"shard_window_s": 10, "shard_ids_per_second": 1300000}


def greedy(rate, seconds, *source):
    return ground.run_json(ground.PROGRAMS / "giro-bench-overload", ground.network.ENGINE_ADDRESS,
                           ground.network.UDP_PORT, GREEDY_ACCOUNTS, ground.records(1500),
                           int(rate), seconds, *source, in_client=True)


def modest(process, seconds):
    return ground.load(process, MODEST_ACCOUNTS, 1500, seconds, batch=1, in_flight=64,
                       rate=MODEST_RATE, warm_up=1)


def both(process, rate, seconds, *source):
    """The greedy sender begins before the modest client's measured time and ends after it."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        well_behaved = pool.submit(modest, process, seconds)
        return greedy(rate, seconds + 2, *source), well_behaved.result()


def many_ports(report, process, rate, seconds):
    """The two hosts share the client's end of the veth pair."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    ground.network.in_client("ip", "address", "add", f"{GREEDY_ADDRESS}/24", "dev", "client")
    try:
        for sources in SOURCES:
            result, other = both(process, rate, seconds, sources, GREEDY_ADDRESS)
            report.row(f"from {sources} ports of another host, sent {result['sent']:.0f}/s",
                       result["done"], "transfers/s", shown=f"BUSY {result['busy']:.0f}/s",
                       sources=sources, series="ports", **result)
            report.row("  refusals of a modest client beside it",
                       other["network"]["datagrams_busy"], "datagrams",
                       shown=f"{other['rate']:.0f} transfers/s, "
                       f"p99 {other['latency_us']['p99'] / 1e3:.1f} ms", target=0,
                       lower_is_better=True, sources=sources, series="modest-ports",
                       network=other["network"], latency_us=other["latency_us"])
    finally:
        ground.network.in_client("ip", "address", "del", f"{GREEDY_ADDRESS}/24", "dev", "client")
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)


def show(report, results):
    best = max(result["done"] for _, result, _ in results)
    for factor, result, other in results:
        assert result["busy_without_hint"] == 0 and result["unsound"] == 0, result
        assert result["other"] == 0, result
        target = GOODPUT_SHARE * best if factor >= 2 else None
        report.row(f"offered {factor:4.2f} x saturation, sent {result['sent']:.0f}/s",
                   result["done"], "transfers/s", best, "best goodput",
                   f"BUSY {result['busy']:.0f}/s, no answer {result['unanswered']:.0f}/s, "
                   f"p50 {result['p50_us'] / 1e3:.1f} p99 {result['p99_us'] / 1e3:.1f} ms",
                   target, factor=factor, series="goodput", **result)
        report.row("  modest client beside it", other["rate"], "transfers/s", MODEST_RATE,
                   "what it asked for",
                   f"p50 {other['latency_us']['p50'] / 1e3:.1f} "
                   f"p99 {other['latency_us']['p99'] / 1e3:.1f} ms, "
                   f"{other['network']['retransmits']} sent again",
                   MODEST_SHARE * MODEST_RATE, factor=factor, series="modest",
                   latency_us=other["latency_us"], network=other["network"],
                   outcomes=other["outcomes"])


def run(report, seconds):
    accounts = ACCOUNTS + (len(FACTORS) + len(SOURCES)) * (GREEDY_ACCOUNTS + MODEST_ACCOUNTS)
    with ground.running_engine(2, 1500, accounts, **WINDOW) as process:
        saturation = ground.load(process, ACCOUNTS, 1500, seconds, in_flight=512)["rate"]
        report.note(f"saturation (closed loop): {saturation:.0f} transfers/s")
        results = [(factor, *both(process, factor * saturation, seconds)) for factor in FACTORS]
        show(report, results)
        many_ports(report, process, 2 * saturation, seconds)
