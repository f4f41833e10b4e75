# SPDX-License-Identifier: Apache-2.0
"""The rows of a run: printed as they come, kept for the JSON file and the plots."""

import datetime
import json
import os
import pathlib
import platform
import re
import subprocess
import sys


def amount(value):
    """1234567 -> "1.23 M"; three digits that mean something."""
    for size, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def machine(folder):
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    kind = subprocess.run(["stat", "--file-system", "--format", "%T", folder], text=True,
                          capture_output=True, check=False).stdout.strip()
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory[1]) // 1024,
        "kernel": platform.release(),
        "log_filesystem": kind,
        "load_average": os.getloadavg()[0],
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
    }


class Report:
    def __init__(self, folder):
        self.date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self.machine = machine(folder)
        self.rows = []
        self.bench = None

    def begin(self, bench, text):
        self.bench = bench
        print(f"\n== {bench}: {text}")
        sys.stdout.flush()

    def note(self, text):
        print(f"   {text}")
        sys.stdout.flush()

    def row(self, name, value, unit, reference=None, reference_name=None, shown="", target=None,
            lower_is_better=False, **details):
        """One figure, its reference beside it, and whether it meets its target."""
        entry = {"bench": self.bench, "name": name, "value": value, "unit": unit, **details}
        line = f"   {name:<46} {amount(value)} {unit}".rstrip()
        if reference:
            entry |= {"reference": reference, "reference_name": reference_name,
                      "ratio": value / reference}
            line += f" | {reference_name} {amount(reference)}: {value / reference:.3g} x"
        if shown:
            line += f" | {shown}"
        if target is not None:
            met = value <= target if lower_is_better else value >= target
            entry |= {"target": target, "met": met}
            line += f" | target {amount(target)} {unit}: {'met' if met else 'MISSED'}"
        self.rows.append(entry)
        print(line)
        sys.stdout.flush()
        return entry

    def find(self, bench, series):
        return [row for row in self.rows if row["bench"] == bench and row.get("series") == series]

    def write(self, file):
        everything = {"date": self.date, "machine": self.machine, "rows": self.rows}
        pathlib.Path(file).write_text(json.dumps(everything, indent=1) + "\n")

    def show_machine(self):
        host = self.machine
        print(f"{self.date}  {host['cpus']} x {host['cpu']}, {host['memory_mib']} MiB, Linux "
              f"{host['kernel']}, log on {host['log_filesystem']}, load average "
              f"{host['load_average']:.1f} before the run, nice {host['nice']}")
