#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs giro as on metal, in an emulated machine, and cuts its power.

    tests/metal/metal.py [--cuts N] [--seed S]

The machine (see machine.py) runs Debian's own kernel. In each boot an engine on one NIC, by its PCI
address over vfio-pci, with its log on the raw disk, is loaded by a client on the NIC it is joined with.
Then the power is cut under load: the emulator is killed, and with it goes what the disk had not made
durable. After every cut the log on the disk must verify and hold every outcome that was acknowledged,
once, as it was told; and the next boot, on the next kind of NIC, must recover from it and remember all
of them. The last boot stops cleanly. N cuts on NVMe, then one on a disk with a volatile cache.

GIRO_BUILD names the build, GIRO_METAL the folder where the kernel is kept. As root, for loop devices.
The last line is "metal: ...".
"""

import argparse
import contextlib
import os
import pathlib
import random
import re
import secrets
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
os.environ.setdefault("GIRO_NETWORK", f"giro-metal-{os.getpid()}")
sys.path.insert(0, str(HERE.parent / "crash"))

import ground  # noqa: E402 it makes the modules below importable
import giro_wire as wire  # noqa: E402
import journal  # noqa: E402
import network  # noqa: E402
from crash import check_journal, Verdict  # noqa: E402
from dump import balances, Dump  # noqa: E402
from engine import wait_until  # noqa: E402
from load import Journal  # noqa: E402
from machine import Kernel, Machine, PAIRS  # noqa: E402

CUTS = 3
# Outcomes acknowledged in a boot before its power is cut: at least, and at most so many more.
ACKNOWLEDGED_MIN = 300
ACKNOWLEDGED_MORE = 700
# Generous to a host with other work.
BOOT_S = 300
LOAD_S = 300


class HostDisk:
    """The machine's disk as a block device of the host, read-only, while the machine is off."""

    def __init__(self, machine):
        self.raw = machine.folder / "disk.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", machine.image, self.raw], check=True)

    def __enter__(self):
        self.path = subprocess.run(
            ["losetup", "--find", "--show", "--read-only", self.raw], text=True, check=True,
            stdout=subprocess.PIPE).stdout.strip()
        return self

    def __exit__(self, *_):
        subprocess.run(["losetup", "--detach", self.path], check=True)
        self.raw.unlink()

    def replay(self, *words, allowed=(0,)):
        done = subprocess.run([network.BUILD / "replay/giro-replay", words[0], self.path,
                               *words[1:]], text=True, capture_output=True, timeout=300)
        assert done.returncode in allowed, (
            f"giro-replay {words[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


class Boot:
    """One boot, seen through the scratch folder."""

    def __init__(self, machine, nic, mode, seed):
        self.machine = machine
        for name in ("events", "screen", "failure", "shown"):
            with contextlib.suppress(FileNotFoundError):
                (machine.scratch / name).unlink()
        self.started = time.monotonic()
        machine.boot(f"GIRO_BUILD={network.BUILD} /usr/bin/python3 -B {HERE}/guest.py "
                     f"{nic} {machine.name} {mode} {seed}")

    def text(self, name):
        try:
            return (self.machine.scratch / name).read_text()
        except FileNotFoundError:
            return ""

    def events(self):
        return self.text("events").splitlines()

    def wait_for(self, step, seconds):
        def reached():
            if any(line.startswith(step) for line in self.events()):
                return True
            assert "failed" not in self.events() and self.machine.running(), (
                f"the machine did not get to '{step}':\n{self.text('failure')}\n"
                f"{self.text('screen')}\n{self.machine.last_words()}")
            return False

        wait_until(reached, seconds, f"the machine's event '{step}'")
        return time.monotonic() - self.started

    def faults(self):
        return [line for line in self.events() if line.startswith("fault ")]


def acknowledged(machine):
    """Lines of the journal, which is read while the machine writes it."""
    try:
        return (machine.scratch / "journal").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def told_journal(machine):
    """The journal as what check_journal() compares with a log."""
    told = Journal(0)
    for identity, line in journal.read(machine.scratch / "journal").items():
        told.sent[identity] = line.record
        told.acknowledged[identity] = (line.status, line.epoch)
    return told


def check_screen(screen, nic, disk):
    """The engine said that it drives that NIC, and that its log is the raw disk."""
    assert PAIRS[nic].driver in screen, screen
    assert re.search(rf"^  log +{disk.path},", screen, re.MULTILINE), screen


def check_disk(machine, verdict, allowed):
    """The log on the disk is sound and holds every acknowledged outcome, once, as it was told."""
    told = told_journal(machine)
    with HostDisk(machine) as disk:
        verdict.torn += "torn tail" in disk.replay("verify", allowed=allowed)
        dump = Dump(disk.path)
    check_journal(told, dump, verdict)
    for identity, record in told.sent.items():
        assert dump.outcomes[identity].record == record, f"id {identity} is not what was sent"
    return dump


def cut_boot(machine, nic, chance, verdict, cases):
    before = acknowledged(machine)
    goal = before + ACKNOWLEDGED_MIN + chance.randrange(ACKNOWLEDGED_MORE)
    text = f"{PAIRS[nic].driver}, {machine.disk.path}"
    with cases.case(f"{text}: {before} earlier outcomes remembered, {goal - before} more acknowledged"):
        boot = Boot(machine, nic, "load", chance.randrange(1 << 32))
        ready = boot.wait_for("ready", BOOT_S)
        check_screen(boot.text("screen"), nic, machine.disk)
        boot.wait_for(f"repeated {before}", BOOT_S)
        boot.wait_for("loading", BOOT_S)
        print(f"     ready {ready:.1f} s after power on; {'; '.join(boot.events()[:2])}")
        for line in boot.text("screen").splitlines():
            if re.match(r" *(port|memory|log|recovery) |ready|EAL: (Selected|Using)", line):
                print(f"     {line}")
        wait_until(lambda: acknowledged(machine) >= goal or not machine.running()
                   or "failed" in boot.events(), LOAD_S, "the load's answers")
        assert not boot.faults(), boot.faults()
        assert "failed" not in boot.events(), boot.text("failure")
    if cases.failed:
        return
    with cases.case(f"{text}: the power is cut under load; nothing that was acknowledged is lost"):
        machine.cut_power()
        journal.drop_cut_line(machine.scratch / "journal")
        verdict.kills += 1
        check_disk(machine, verdict, allowed=(0, 2))


def last_boot(machine, nic, cuts, chance, verdict, cases):
    before = acknowledged(machine)
    text = f"{PAIRS[nic].driver}, {machine.disk.path}"
    with cases.case(f"{text}: recovers after the last cut, remembers {before} outcomes, stops cleanly "
                    "and goes off"):
        boot = Boot(machine, nic, "close", chance.randrange(1 << 32))
        boot.wait_for("closed", BOOT_S + LOAD_S)
        check_screen(boot.text("screen"), nic, machine.disk)
        machine.wait_off(60)
        assert f"repeated {before}" in boot.events() and not boot.faults(), boot.events()
    with cases.case("the closed log is sound; it, the engine and giro-replay give the same "
                    "balances, which sum to zero"):
        dump = check_disk(machine, verdict, allowed=(0,))
        shown = {}
        for line in boot.text("shown").splitlines():
            account, *amounts = map(int, line.split())
            shown[account] = tuple(amounts)
        with HostDisk(machine) as disk:
            lines = disk.replay("balances", "--csv").splitlines()[1:]
        replayed = dict(map(int, line.split(",")) for line in lines)
        # An operation is no movement: its record's amounts are of accounts that there are not.
        done = [outcome.record for outcome in dump.outcomes.values() if outcome.status == "OK"
                and wire.transfer_movement(outcome.record)[1] in shown]
        assert balances(shown, done) == replayed and sum(replayed.values()) == 0
        assert shown == {account: (balance, 0, 0) for account, balance in replayed.items()}
        assert dump.opens == cuts + 1 and dump.crossed > 0


def take():
    """The scratch folder; the scripts' sweep removes it if this process is killed."""
    if os.geteuid() != 0:
        sys.exit("loop devices need root; run this again with sudo")
    if not (network.BUILD / "engine/giro-engine").exists():
        sys.exit(f"no engine in {network.BUILD}; build it, or name its folder in GIRO_BUILD")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    for words in (("network_require_root",), ("network_sweep",),
                  ("network_claim", network.NAME, os.getpid())):
        network.script_function(*words)


def play(kernel, disk, cuts, seed, verdict, cases):
    """Boots on one kind of NIC after another; each goes on from the disk that the last one left."""
    chance = random.Random(f"{seed} {disk}")
    nics = list(PAIRS)
    machine = Machine(kernel, network.SCRATCH / disk, disk)
    try:
        for cut in range(cuts):
            cut_boot(machine, nics[cut % len(nics)], chance, verdict, cases)
            if cases.failed:
                return  # whatever follows would rest on it
        last_boot(machine, nics[cuts % len(nics)], cuts, chance, verdict, cases)
    finally:
        machine.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuts", type=int, default=CUTS)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    print(f"metal: seed {seed}; again with: {sys.argv[0]} --cuts {options.cuts} --seed {seed}")
    cases = ground.Cases("metal")
    verdict = Verdict()
    take()
    folder = pathlib.Path(os.environ.get("GIRO_METAL", f"{network.BUILD}-metal"))
    try:
        with cases.case("Debian's own kernel and what it needs to boot"):
            kernel = Kernel(folder)
            print(f"     {kernel.name}")
        for disk, cuts in (("nvme", options.cuts), ("cached", 1)):
            if not cases.failed:
                play(kernel, disk, cuts, seed, verdict, cases)
    finally:
        network.script_function("network_down", network.NAME)
    print(f"{cases.line()}")
    print(f"metal: {verdict.kills} power cuts, {verdict.torn} torn tails, "
          f"{verdict.acknowledged} acknowledged outcomes looked for, lost {verdict.lost}, "
          f"doubled {verdict.doubled}")
    return 1 if cases.failed else 0


if __name__ == "__main__":
    sys.exit(main())
