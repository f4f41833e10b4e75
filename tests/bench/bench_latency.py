# SPDX-License-Identifier: Apache-2.0
"""latency: an open loop on a fixed schedule; latency counts from when a transfer was to be sent.

The reference is one durable write of 4 KiB to the same disk, measured beside it.
"""

import ground

TITLE = "open loop, full datagrams at MTU 1500, 2 shards, 100 k accounts; ms from the intended time"

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
ACCOUNTS = 100000
# Opened one at a time.
ACCOUNTS_ALONE = 1000
PERCENTILES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")
# At half of the saturation.
P99_TARGET_MS = 2
P999_TARGET_MS = 10
# The unloaded transfer, in durable writes of 4 KiB.
ALONE_TARGET = 1.5


def show(latency):
    return "  ".join(f"{name} {latency[name] / 1e3:.2f}" for name in PERCENTILES)


def alone(report, process, name, seconds, cross):
    """One transfer at a time, against the same disk doing nothing but a write at a time."""
    before = ground.disk(4096, seconds)
    latency = ground.load(process, ACCOUNTS_ALONE, 1500, seconds, batch=1, in_flight=1,
                          cross=cross)["latency_us"]
    after = ground.disk(4096, seconds)
    write_ms = (before["p50_us"] + after["p50_us"]) / 2e3
    report.row(name, latency["p50"] / 1e3, "ms (p50)", write_ms, "one 4 KiB DSYNC write",
               show(latency), ALONE_TARGET * write_ms if cross == 0 else None,
               lower_is_better=True, series="alone", latency_us=latency,
               write_us=[before["p50_us"], after["p50_us"]])


def run(report, seconds):
    with ground.running_engine(2, 1500, (len(SHARES) + 3) * ACCOUNTS) as process:
        alone(report, process, "one transfer at a time, within a shard", seconds, 0)
        alone(report, process, "one transfer at a time, between shards", seconds, 1)
        write_ms = ground.disk(4096, min(seconds, 1))["p50_us"] / 1e3
        saturation = ground.load(process, ACCOUNTS, 1500, seconds, in_flight=512)["rate"]
        report.note(f"saturation (closed loop): {saturation:.0f} transfers/s")
        for share in SHARES:
            result = ground.load(process, ACCOUNTS, 1500, seconds, in_flight=4096,
                                 rate=share * saturation)
            latency = result["latency_us"]
            name = f"offered {100 * share:3.0f} % = {share * saturation:.0f}/s"
            report.row(name, latency["p99"] / 1e3, "ms (p99)", write_ms, "4 KiB DSYNC write",
                       f"done {result['rate']:.0f}/s, {result['network']['retransmits']} sent "
                       "again  " + show(latency),
                       P99_TARGET_MS if share == 0.5 else None, lower_is_better=True,
                       series="load", share=share, offered=share * saturation,
                       rate=result["rate"], latency_us=latency, cpu=result["cpu"],
                       network=result["network"])
            if share == 0.5:
                report.row("  the same, p99.9", latency["p99.9"] / 1e3, "ms",
                           target=P999_TARGET_MS, lower_is_better=True)
