# SPDX-License-Identifier: Apache-2.0
"""wire: the engine with its log, but without the kernel's network: see bench_wire.c.

The reference is the shard alone (giro-bench-core) on the same number of accounts, in the same run.
"""

import engine
import ground
import network

TITLE = "rings in place of a NIC; generator, workers and log writer share the CPUs"

IN_FLIGHT = {1: 2048}
IN_FLIGHT_FULL = 1024


def lcores(shards):
    """The log writer and the generator share the last CPU; workers begin with the first."""
    cpus = network.script_function("network_cpus")
    workers = [f"{1 + i}@{cpus[i % len(cpus)]}" for i in range(shards)]
    return ",".join([f"0@{cpus[-1]}", *workers, f"{shards + 1}@{cpus[-1]}"])


def wire(shards, accounts, seconds, program=None, **options):
    chosen = ground.settings(shards, 1500, accounts, ids_per_second=9000000)
    chosen |= {"shard_window_s": 8, "shard_accounts": int(accounts * 1.1) // shards + 2000,
               "shard_rows": 16384}
    with ground.log_folder() as log, ground.huge_pages(ground.memory_mib(chosen) + 64):
        values = {**engine.DEFAULTS, "log.path": log,
                  **{key.replace("_", ".", 1): value for key, value in chosen.items()}}
        config = network.SCRATCH / "wire.conf"
        config.write_text(engine.config_text(values))
        words = [word for option, value in options.items()
                 for word in (f"--{option.replace('_', '-')}", value)]
        return ground.run_json(
            program or ground.PROGRAMS / "giro-bench-wire", "--config", config, "--accounts", accounts,
            "--seconds", seconds, "--json", "{json}", *words, "--", "--lcores", lcores(shards),
            "--iova-mode=va", "--in-memory", "--no-pci", f"--file-prefix={network.NAME}-wire")


def core(accounts, cross):
    words = ["--cross"] if cross else []
    return ground.run_json(ground.PROGRAMS / "giro-bench-core", "--accounts", accounts,
                           "--transfers", 2000000, "--json", "{json}", *words)["per_second"]


def run(report, seconds):
    accounts = 1000000
    local = core(accounts, False)
    crossing = core(accounts, True)
    for shards, records, cross, what in ((1, 0, 0, "full datagrams"),
                                         (1, 1, 0, "one a datagram"),
                                         (2, 0, 0, "full, all within a shard"),
                                         (2, 0, 0.5, "full, half between shards"),
                                         (2, 0, 1, "full, all between shards")):
        result = wire(shards, accounts, seconds, cross=cross, records=records,
                      in_flight=IN_FLIGHT.get(records, IN_FLIGHT_FULL))
        reference = 1 / ((1 - cross) / local + cross / crossing)
        report.row(f"{shards} shards, {what}, 1 M accounts: rate", result["rate"], "transfers/s",
                   shown=f"worker CPU {result['worker_cpu_s']:.2f} s, log writer "
                   f"{result['log_cpu_s']:.2f} s of {result['seconds']:.1f} s; "
                   f"{result['busy']} BUSY", series="rate", **{"details": result})
        report.row("  a second of a worker's CPU", result["per_worker_cpu_second"], "transfers",
                   reference, "the shard alone", series="cpu", shards=shards, cross=cross,
                   batch=result["records"])
