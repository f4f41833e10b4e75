# SPDX-License-Identifier: Apache-2.0
"""net: durable transfers end to end, from sockets in one namespace to an engine in another.

The reference of each rate is what the same way carries when the engine only answers "no such kind":
datagrams a second of the same size, times the transfers in one.
"""

import ground

TITLE = "durable, over veth, engine and client and log on the same CPUs"

# Datagrams under way: as many as it takes to saturate, and no more than the engine holds.
IN_FLIGHT = {1: 4096, 8: 1024}
IN_FLIGHT_FULL = 512
CROSS_SHARES = (0, 0.25, 0.5, 0.75, 1)
SHARD_COUNTS = (1, 2, 4)
TARGETS = {"full": 1e6, "single": 1e5}


def cpu_text(cpu):
    return "CPUs used: " + ", ".join(f"{who} {cpu[who]:.2f}"
                                     for who in ("client", "workers", "log", "others")
                                     if who in cpu)


def measure(report, process, name, mtu, accounts, seconds, echoes, batch=None, cross=None,
            series=None, target=None):
    shards = process.settings["engine.shards"]
    fit = min(batch or ground.records(mtu), ground.records(mtu))
    in_flight = IN_FLIGHT.get(batch, IN_FLIGHT_FULL)
    if fit not in echoes:
        echoes[fit] = ground.echo(shards, 32 + 64 * fit, in_flight, min(seconds, 2))
    result = ground.load(process, accounts, mtu, seconds, batch=batch, in_flight=in_flight,
                         cross=cross)
    latency = result["latency_us"]
    report.row(name, result["rate"], "transfers/s", echoes[fit]["datagrams_per_second"] * fit,
               "bare datagrams", f"p50 {latency['p50'] / 1e3:.1f} p99 {latency['p99'] / 1e3:.1f} "
               f"ms, {result['network']['retransmits']} sent again, " + cpu_text(result["cpu"]),
               target, batch=fit, mtu=mtu, accounts=accounts, shards=shards,
               cross=result["cross"], latency_us=latency, cpu=result["cpu"], series=series,
               outcomes=result["outcomes"], network=result["network"],
               echo=echoes[fit])


def thousands(accounts):
    return f"{accounts // 1000000} M" if accounts >= 1000000 else f"{accounts // 1000} k"


def batches(report, seconds):
    for accounts in (10000, 1000000):
        with ground.running_engine(2, 1500, 3 * accounts) as process:
            echoes = {}
            for batch, what in ((1, "single"), (8, "8"), (None, "full")):
                name = f"batch {what}, MTU 1500, {thousands(accounts)} accounts, 2 shards"
                target = TARGETS.get(what) if accounts == 1000000 else None
                measure(report, process, name, 1500, accounts, seconds, echoes, batch=batch,
                        series=f"batch-{accounts}", target=target)
        mtu = ground.mtu_max()
        with ground.running_engine(2, mtu, accounts) as process:
            measure(report, process,
                    f"batch full, MTU {mtu}, {thousands(accounts)} accounts, 2 shards", mtu,
                    accounts, seconds, {}, series=f"batch-{accounts}")


def cross_shares(report, seconds):
    accounts = 100000
    with ground.running_engine(2, 1500, len(CROSS_SHARES) * accounts) as process:
        echoes = {}
        for cross in CROSS_SHARES:
            measure(report, process, f"{100 * cross:.0f} % across shards, full, 100 k, 2 shards",
                    1500, accounts, seconds, echoes, cross=cross, series="cross")


def shard_counts(report, seconds):
    accounts = 1000000
    for shards in SHARD_COUNTS:
        with ground.running_engine(shards, 1500, accounts) as process:
            measure(report, process, f"{shards} shards, full, MTU 1500, 1 M accounts", 1500,
                    accounts, seconds, {}, series="shards")


def run(report, seconds):
    batches(report, seconds)
    cross_shares(report, seconds)
    shard_counts(report, seconds)
