# SPDX-License-Identifier: Apache-2.0
"""An engine over net_af_xdp, the other driver of a kernel interface."""

import contextlib
import json
import subprocess

import network
from client import Client
from engine import Engine
from test_check import check, verdicts
from test_hostile import Link, lose_frames

PMD = "net_af_xdp"
# What a page holds beside the heads of a frame.
MTU_MAX = 3302


def skipped():
    if network.has_af_xdp():
        return False
    print("SKIP e2e: test_af_xdp: this kernel has no AF_XDP sockets")
    return True


def pay(mtu):
    """A second of full datagrams from giro-bench, half of them between shards, and its ledger."""
    file = network.SCRATCH / "af_xdp.json"
    network.in_client(network.BUILD / "client/giro-bench", "--server",
                      f"{network.ENGINE_ADDRESS}:{network.UDP_PORT}", "--accounts", 400,
                      "--in-flight", 8, "--datagram", mtu - 28, "--seconds", 1, "--quiet", "--json",
                      file)
    result = json.loads(file.read_text())
    file.unlink()
    ledger = result["ledger"]
    assert result["outcomes"]["OK"] > 0 and set(result["outcomes"]) <= {"OK", "INSUFFICIENT_FUNDS"}, \
        result["outcomes"]
    assert ledger["checked"] and ledger["sum_zero"] and ledger["mismatches"] == 0, ledger


def program_attached():
    shown = subprocess.run(["ip", "-n", f"{network.NAME}-engine", "-d", "link", "show", "engine"],
                           text=True, stdout=subprocess.PIPE, check=True).stdout
    return "prog/xdp" in shown


@contextlib.contextmanager
def engine_at(mtu):
    network.set_mtu(mtu)
    with Engine(pmd=PMD, port_mtu=mtu, shard_ids_per_second=400000, shard_window_s=5,
                shard_ahead_s=1, log_buffer_kib=1024, log_segment_mib=64) as engine:
        yield engine


def test_af_xdp(row):
    if skipped():
        return
    with engine_at(1500) as engine:
        with row("two workers on the one queue of a veth end; a client is served, the log verifies"):
            screen = engine.screen()
            assert f"({PMD})" in screen and "1 queue of" in screen, screen
            assert "worker 1" in screen and "no port queue" in screen, screen
            pay(1500)
            engine.verify(torn_tail=True)
        with row("killed: its XDP program stays behind, and the next engine takes it over"):
            engine.kill()
            assert program_attached()
            engine.start()
            pay(1500)
            done = network.in_client("ping", "-c", 3, "-i", 0.01, "-w", 10, network.ENGINE_ADDRESS)
            assert " 3 received" in done.stdout, done.stdout
        with row("stopped: nothing stays attached, nothing was dropped"):
            engine.stop()
            assert not program_attached()
            assert "dropped:" not in engine.screen(), engine.screen()
        engine.verify()


def test_af_xdp_frames_lost_in_the_kernel_are_counted(row):
    if skipped():
        return
    with engine_at(1500) as engine, Client() as client, Link(client) as link:
        lose_frames(engine, client, link)


def test_af_xdp_mtu(row):
    if skipped():
        return
    with row(f"MTU {MTU_MAX}: the largest ping and full datagrams pass"):
        with engine_at(MTU_MAX) as engine:
            done = network.in_client("ping", "-c", 3, "-i", 0.01, "-w", 10, "-M", "do", "-s",
                                     MTU_MAX - 28, network.ENGINE_ADDRESS, check=False)
            assert " 3 received" in done.stdout, done.stdout
            pay(MTU_MAX)
            engine.stop()
    for mtu, wanted in ((MTU_MAX + 1, f"MTU {MTU_MAX} at most"),
                        (9000, "cannot have MTU 9000: its limit is")):
        with row(f"MTU {mtu}: refused, and the message says why"):
            with contextlib.closing(Refused(mtu)) as engine:
                assert wanted in engine.words, engine.words
    with row("MTU 9000: --check fails"):
        subject = Engine(pmd=PMD, port_mtu=9000)
        done = check(subject)
        assert verdicts(done)["mtu"] == "FAIL" and done.returncode == 2, done.stdout


class Refused:
    """An engine that does not start, and its last words."""

    def __init__(self, mtu):
        network.set_mtu(1500)
        self.engine = Engine(pmd=PMD, port_mtu=mtu, log_buffer_kib=1024, log_segment_mib=64)
        self.engine.launch()
        assert self.engine.wait() != 0
        self.words = self.engine.stderr()

    def close(self):
        self.engine.kill()
