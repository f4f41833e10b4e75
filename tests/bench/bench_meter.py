# SPDX-License-Identifier: Apache-2.0
"""meter: what measuring costs the workers, in two ways.

The worker's code alone (giro-bench-meter): every other burst is metered, within one run, so that
what else the machine does falls on both alike. Then the whole engine between rings (bench_wire)
against the same engine built with -Dmeter=false, in pairs that take turns in going first; a second of
a worker's CPU is compared, but caches and batches still depend on what runs beside.
"""

import statistics

import bench_wire
import ground
import network

TITLE = "telemetry's meter on against off, in turn"

# Records in a datagram, datagrams in a burst, bursts of each kind.
TURNS = ((22, 32, 2000), (1, 32, 20000), (1, 4, 40000))
PAIRS = 6
LOADS = ((1, 0, 0, "full datagrams"), (1, 1, 0, "one a datagram"),
         (2, 0, 1, "full, all between shards"))


def run(report, seconds):
    for records, datagrams, rounds in TURNS:
        result = ground.run_json(ground.PROGRAMS / "giro-bench-meter", records, datagrams, rounds)
        report.row(f"worker's code, {datagrams} datagrams of {records}", result["on_cycles"],
                   "cycles", result["off_cycles"], "without a meter",
                   shown=f"throughput {result['ratio']:.4f} of that without", **result)
    programs = {"on": network.BUILD,
                "off": network.BUILD.with_name(network.BUILD.name + "-unmetered")}
    for shards, records, cross, what in LOADS:
        rates = {"on": [], "off": []}
        for pair in range(PAIRS):
            for meter in ("on", "off") if pair % 2 == 0 else ("off", "on"):
                result = bench_wire.wire(
                    shards, 100000, seconds, cross=cross, records=records,
                    program=programs[meter] / "tests/bench/giro-bench-wire",
                    in_flight=bench_wire.IN_FLIGHT.get(records, bench_wire.IN_FLIGHT_FULL))
                rates[meter].append(result["per_worker_cpu_second"])
        ratios = sorted(on / off for on, off in zip(rates["on"], rates["off"]))
        report.row(f"{shards} shards, {what}: a second of a worker's CPU",
                   statistics.median(rates["on"]), "transfers", statistics.median(rates["off"]),
                   "without a meter",
                   shown=f"median of {PAIRS} pairs {statistics.median(ratios):.3f}, "
                   f"{ratios[0]:.3f} to {ratios[-1]:.3f}", ratios=ratios)
