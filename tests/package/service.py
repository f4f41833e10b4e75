#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Boots a system, in which the package is installed, in the machine of tests/metal, and runs `drill`
there under systemd.

    tests/package/service.py SYSTEM

GIRO_METAL names the folder where the kernel is kept. One PASS line a step of the drill, one FAIL line
when it did not come to its end.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
os.environ.setdefault("GIRO_NETWORK", f"giro-service-{os.getpid()}")
sys.path[:0] = [str(HERE.parent / "e2e"), str(HERE.parent / "metal")]
sys.dont_write_bytecode = True

import network  # noqa: E402
from machine import Kernel, Machine  # noqa: E402

STEPS = 6
BOOT_S = 400


def main(system):
    kernel = Kernel(pathlib.Path(os.environ.get("GIRO_METAL", f"{network.BUILD}-metal")))
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="giro-service-") as folder:
        machine = Machine(kernel, pathlib.Path(folder) / "machine", "nvme", system)
        shutil.copy(HERE / "drill", machine.scratch)
        try:
            machine.boot_system("/bin/bash /mnt/drill")
            machine.wait_off(BOOT_S)
        except subprocess.TimeoutExpired:
            print(f"     the machine was not off after {BOOT_S} s")
        finally:
            machine.close()
        steps = machine.scratch / "steps"
        shown = steps.read_text().splitlines() if steps.exists() else []
        for step in shown:
            print(f"PASS package: a service on metal: {step}")
        if len(shown) == STEPS:
            return 0
        print(f"FAIL package: a service on metal: {STEPS - len(shown)} of {STEPS} steps not reached")
        output = machine.scratch / "output"
        print(output.read_text()[-4000:] if output.exists() else machine.last_words())
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
