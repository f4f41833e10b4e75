#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the end-to-end tests; started by `scripts/test e2e [PATTERN]`, which makes the network.

A test is a function test_* of a file test_*.py beside this one. It takes one argument: `row`, a
context manager that names one case within it, prints its PASS or FAIL line and lets the test go on
after a failure. What a test does outside of any row is a case of its own, named like the function.
PATTERN selects tests whose "file.function" holds it. GIRO_TESTS names another folder of such files.
"""

import contextlib
import importlib
import inspect
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

import engine
import network

TEST_S = 240


class Timeout(Exception):
    pass


class Cases:
    def __init__(self, name):
        self.name = name
        self.failed = 0
        self.total = 0

    def report(self, case, error, seconds):
        self.total += 1
        self.failed += error is not None
        print(f"{'FAIL' if error else 'PASS'} e2e: {self.name}{case} ({seconds:.1f} s)")
        if error:
            text = "".join(traceback.format_exception(error)).rstrip()
            if isinstance(error, subprocess.CalledProcessError):
                text += f"\nstderr: {(error.stderr or '').rstrip()}"
            print("     " + text.replace("\n", "\n     "))
        sys.stdout.flush()

    @contextlib.contextmanager
    def row(self, case):
        start = time.monotonic()
        error = None
        try:
            yield
        except Exception as caught:  # noqa: BLE001 the next row still runs
            error = caught
        self.report(f": {case}", error, time.monotonic() - start)
        if isinstance(error, Timeout):
            raise error


def out_of_time(*_):
    raise Timeout(f"the test did not end within {TEST_S} s")


def run(name, function):
    cases = Cases(name)
    start = time.monotonic()
    error = None
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(TEST_S)
    try:
        function(cases.row)
    except Exception as caught:  # noqa: BLE001 the next test still runs
        error = caught
    finally:
        signal.alarm(0)
        engine.kill_all()
        network.set_mtu(1500)
    if error is None and cases.total > 0:
        return cases
    cases.report("", error, time.monotonic() - start)
    return cases


def main(arguments):
    pattern = arguments[0] if arguments else ""
    if not network.NAME:
        sys.exit("the network is made by scripts/test; run: scripts/test e2e [PATTERN]")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = total = 0
    here = pathlib.Path(__file__).parent
    folder = pathlib.Path(os.environ.get("GIRO_TESTS", here))
    sys.path.append(str(folder))
    for file in sorted(folder.glob("test_*.py")):
        module = importlib.import_module(file.stem)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            full = f"{file.stem[5:]}.{name[5:]}"
            if name.startswith("test_") and function.__module__ == file.stem and pattern in full:
                cases = run(full, function)
                failed += cases.failed
                total += cases.total
    if total == 0:
        print(f"FAIL e2e: no test matches {pattern!r}")
    return 1 if failed or total == 0 else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    finally:
        engine.kill_all()
