#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks; started by scripts/bench, which makes the network and says what there is."""

import argparse
import importlib
import signal
import sys
import traceback

import ground
import plots
import report as report_rows


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("benches", nargs="+")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--transfers", type=int, default=5_000_000)
    parser.add_argument("--json")
    parser.add_argument("--plots")
    return parser.parse_args()


def disk_reference(report, seconds):
    report.begin("disk", "what the log's disk gives without giro: O_DIRECT, DSYNC, one in flight")
    for write_bytes in (4096, 65536, 1 << 20):
        result = ground.disk(write_bytes, min(seconds, 2))
        report.row(f"writes of {write_bytes // 1024} KiB", result["writes_per_second"], "writes/s",
                   shown=f"p50 {result['p50_us'] / 1e3:.2f} p99 {result['p99_us'] / 1e3:.2f} ms, "
                   f"{result['mib_per_second']:.0f} MiB/s", **result)


def end(*_):
    raise SystemExit(143)


def main():
    signal.signal(signal.SIGTERM, end)
    ground.network.die_with_parent()
    options = parse()
    ground.LOGS.mkdir(parents=True, exist_ok=True)
    report = report_rows.Report(ground.LOGS)
    report.show_machine()
    failed = []
    if set(options.benches) - {"core"}:
        disk_reference(report, options.seconds)
    for bench in options.benches:
        module = importlib.import_module(f"bench_{bench}")
        report.begin(bench, module.TITLE)
        try:
            more = [options.transfers] if bench == "history" else []
            module.run(report, options.seconds, *more)
        except Exception:  # noqa: BLE001 the other benchmarks still run
            failed.append(bench)
            print(f"   FAILED {bench}\n{traceback.format_exc()}")
            ground.engine.kill_all()
        if options.json:
            report.write(options.json)
    if options.plots:
        plots.draw_all(report, options.plots)
    missed = [f"{row['bench']}: {row['name'].strip()}" for row in report.rows
              if row.get("met") is False]
    print("\nmissed targets   " + ("; ".join(missed) or "none"))
    if failed:
        print(f"did not finish   {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
