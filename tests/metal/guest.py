#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What runs in the machine: an engine on one NIC of a pair, a client on the other.

    guest.py NIC DISK load|close SEED

Binds the engine's NIC to vfio-pci, gives the client's to a namespace, starts the engine on the NIC's
PCI address with its log on the raw disk, and repeats everything that the journal says was acknowledged
in earlier boots: each must be answered as it was. Then it loads the engine: for ever (load; the power
is cut from outside), or until CLOSE_ANSWERS more were acknowledged, after which it notes what the
engine shows and stops it (close).

/mnt, which the host sees at once: journal (see journal.py), screen (the engine's stdout), events (one
line a step reached), shown (account, balance, held, incoming).
"""

import os
import pathlib
import sys
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HOST = pathlib.Path("/mnt")
NAME = "giro-metal"
WALLETS = 12
SHARDS = 2
# Longer than a run, on a clock that may go on for a while between two boots.
WINDOW_S = 3600
# Datagrams; few, since everything here is emulated.
IN_FLIGHT = 24
CLOSE_ANSWERS = 500

os.environ["GIRO_NETWORK"] = NAME
sys.path.insert(0, str(ROOT / "tests/crash"))

import ground  # noqa: E402, F401 it makes the modules below importable
import giro_wire as wire  # noqa: E402
import journal  # noqa: E402
import load  # noqa: E402
import network  # noqa: E402
from client import Client  # noqa: E402
from engine import Engine, wait_until  # noqa: E402
from machine import DISKS, PAIRS, pci_address  # noqa: E402

network.SCRATCH = pathlib.Path("/run") / NAME  # all that can be written


def event(text):
    with open(HOST / "events", "a") as file:
        file.write(text + "\n")


def write_to(path, text):
    pathlib.Path(path).write_text(text)


def bind_to_vfio(slot):
    device = f"/sys/bus/pci/devices/{pci_address(slot)}"
    write_to(f"{device}/driver_override", "vfio-pci")
    if os.path.exists(f"{device}/driver"):
        write_to(f"{device}/driver/unbind", pci_address(slot))
    write_to("/sys/bus/pci/drivers_probe", pci_address(slot))
    driver = os.path.basename(os.readlink(f"{device}/driver"))
    group = os.path.basename(os.readlink(f"{device}/iommu_group"))
    assert driver == "vfio-pci", driver
    event(f"bound {pci_address(slot)} to {driver}, IOMMU group {group}")


def give_to_client(slot):
    """The kernel's interface of that device, as "client" in the client's namespace."""
    net = pathlib.Path(f"/sys/bus/pci/devices/{pci_address(slot)}").glob("virtio*/net/*")
    interface = next(net).name
    namespace = f"{NAME}-client"
    for words in (("netns", "add", namespace),
                  ("link", "set", interface, "netns", namespace, "name", "client"),
                  ("-n", namespace, "link", "set", "lo", "up"),
                  ("-n", namespace, "link", "set", "client", "up"),
                  ("-n", namespace, "address", "add", f"{network.CLIENT_ADDRESS}/24", "dev",
                   "client")):
        assert os.spawnlp(os.P_WAIT, "ip", "ip", *words) == 0, words


class MetalEngine(Engine):
    """An engine on the NIC in a PCI slot, with its log on a raw disk."""

    def __init__(self, slot, queues, disk):
        self.slot = slot
        super().__init__(log=disk, port_device=pci_address(slot), port_queues=queues,
                         engine_shards=SHARDS, shard_accounts=1000, shard_window_s=WINDOW_S,
                         shard_ids_per_second=500)

    def command(self, file):
        """The log writer shares a CPU with the second worker."""
        return [network.BUILD / "engine/giro-engine", "--config", file, "--",
                "--lcores", "0@1,1@0,2@1", "--iova-mode=va", "--in-memory",
                f"--file-prefix={self.prefix}", "-a", pci_address(self.slot)]


class Journal(load.Journal):
    """Tells the host of every outcome, and of every fault at once."""

    def __init__(self, told):
        super().__init__(WINDOW_S * 1000)
        self.kind = wire.TRANSFER
        self.writer = journal.Writer(HOST / "journal")
        for identity, line in told.items():
            self.sent[identity] = line.record
            self.acknowledged[identity] = (line.status, line.epoch)

    def tell(self, record, status, epoch):
        known = len(self.acknowledged)
        super().tell(record, status, epoch)
        if len(self.acknowledged) > known:
            self.writer.add(self.kind, record, status, epoch)

    def fault(self, text):
        super().fault(text)
        event(f"fault {text}")


class Load(load.Load):
    """Goes on where the journal of earlier boots ends."""

    def __init__(self, seed, told):
        super().__init__(SHARDS, seed, WINDOW_S * 1000, IN_FLIGHT)
        self.journal = Journal(told)
        self.told = [identity for identity, line in told.items() if line.kind == wire.TRANSFER]

    def find_accounts(self):
        """Those that open_accounts() opened in the first boot."""
        for shard in range(self.shards):
            self.accounts.append(self.client.accounts_on(shard, 1, first=100)
                                 + self.client.accounts_on(shard, WALLETS, first=1000))

    def _settle(self, kind, records):
        self.journal.kind = kind
        super()._settle(kind, records)
        self.journal.writer.flush()

    def _answer(self, reply):
        if reply.request_id in self.records:
            self.journal.kind = self.records[reply.request_id][0]
        super()._answer(reply)
        self.journal.writer.flush()


def repeat_all(told):
    """Every acknowledged record once more: the engine must remember each as it was."""
    wrong = []
    with Client() as client:
        for kind in (wire.ACCOUNT, wire.TRANSFER):
            lines = [line for line in told.values() if line.kind == kind]
            if not lines:
                continue
            outcomes = client.final_outcomes(kind, [line.record for line in lines])
            wrong += [f"{line} is now {outcome}" for line, outcome in zip(lines, outcomes)
                      if outcome != (line.status, line.epoch)]
    assert not wrong, f"{len(wrong)} of {len(told)} are forgotten or changed, such as {wrong[0]}"
    event(f"repeated {len(told)}")


def close(engine, loader):
    goal = len(loader.journal.acknowledged) + CLOSE_ANSWERS
    wait_until(lambda: len(loader.journal.acknowledged) >= goal or not loader.alive(), 120,
               "the load's answers")
    loader.draining.set()
    wait_until(lambda: not loader.flight or not loader.alive(), 120, "the last answers")
    loader.end()
    shown = loader.look_up()
    write_to(HOST / "shown", "".join(f"{account} {balance} {held} {incoming}\n" for
                                     account, (balance, held, incoming) in shown.items()))
    engine.stop()
    event("closed")


def run(nic, disk, mode, seed):
    pair = PAIRS[nic]
    event(f"up {os.uname().release}")
    told = journal.read(HOST / "journal")
    bind_to_vfio(pair.engine_slot)
    give_to_client(pair.client_slot)
    engine = MetalEngine(pair.engine_slot, pair.queues, DISKS[disk].path)
    try:
        engine.start()
    finally:
        write_to(HOST / "screen", engine.screen() + engine.stderr())
    event("ready")
    repeat_all(told)
    loader = Load(seed, told)
    if told:
        loader.find_accounts()
    else:
        loader.open_accounts(WALLETS)
    loader.start()
    event("loading")
    if mode == "close":
        close(engine, loader)
    else:
        wait_until(lambda: not loader.alive() or not engine.running(), 3600, "the power cut")
        raise AssertionError(f"the engine ended by itself:\n{engine.stderr()[-2000:]}")


if __name__ == "__main__":
    try:
        run(*sys.argv[1:4], int(sys.argv[4]))
    except Exception:  # noqa: BLE001 told to the host
        write_to(HOST / "failure", traceback.format_exc())
        event("failed")
