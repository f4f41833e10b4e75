# SPDX-License-Identifier: Apache-2.0
"""The example clients, as they are, against a real engine."""

import array
import fcntl
import signal
import subprocess
import sys
import termios
import threading
import time

import network
from client import Client
from engine import Engine, wait_until

INPUT_BYTES = 4096  # what loop.c reads at a time
EXAMPLES = network.ROOT / "client/examples"
SERVER = f"{network.ENGINE_ADDRESS}:{network.UDP_PORT}"


def program(name):
    return network.BUILD / "client/examples" / f"giro-example-{name}"


def python(*words, code=0):
    """examples/giro.py as a command, by an interpreter without site packages."""
    done = network.in_client("/usr/bin/python3", "-BIS", EXAMPLES / "giro.py", SERVER, *words,
                             check=False)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout


def python_module():
    sys.path.insert(0, str(EXAMPLES))
    try:
        import giro
        return giro
    finally:
        sys.path.remove(str(EXAMPLES))


def test_blocking(row):
    with Engine() as engine:
        with row("pay: opens wallets, pays, shows; a second run pays again"):
            assert network.in_client(program("pay"), SERVER).stdout == "1001 3750\n1002 1250\n"
            assert network.in_client(program("pay"), SERVER).stdout == "1001 7500\n1002 2500\n"
        with row("pay: says why it gives up"):
            done = network.in_client(program("pay"), SERVER, 2, check=False)
            assert done.returncode == 1 and "ACCOUNT_DIFFERS" in done.stderr, done
        engine.stop()
        engine.verify()
        assert engine.balances() == {1: -10000, 1001: 7500, 1002: 2500}


def test_event_loop(row):
    with Engine() as engine:
        network.in_client(program("pay"), SERVER)
        with row("loop: 20 000 payments at once, an outcome for each, and none twice"):
            with Client() as client:
                ids = [client.new_id() for _ in range(20000)]
            lines = "".join(f"{uuid_text(identity)} 1 1002 1 1\n" for identity in ids)
            done = network.in_client(program("loop"), SERVER, input=lines)
            found = dict(line.split() for line in done.stdout.splitlines())
            assert len(done.stdout.splitlines()) == len(ids)
            assert found == {uuid_text(identity): "OK" for identity in ids}
        with row("loop: the same lines again have the same outcomes and move nothing"):
            again = network.in_client(program("loop"), SERVER, input=lines).stdout
            assert dict(line.split() for line in again.splitlines()) == found
        with row("loop: refusals, lines that are no payments, a last line without an end"):
            done = network.in_client(
                program("loop"), SERVER, input="- 1002 1001 999999 1\nwhat\n- 1 1 1 1\n- 5 1 1 1")
            outcomes = sorted(line.split()[1] for line in done.stdout.splitlines())
            assert outcomes == ["DEBIT_NOT_FOUND", "INSUFFICIENT_FUNDS", "SAME_ACCOUNT"], done
            assert "not a payment: what" in done.stderr, done.stderr
        engine.stop()
        engine.verify()
        assert engine.balances() == {1: -25000, 1001: 3750, 1002: 21250}


def test_event_loop_full(row):
    """An engine that is silent until libgiro has no room, and lines that each fill loop.c's input:
    it has no room then at the first line of a full input."""
    with Engine() as engine:
        network.in_client(program("pay"), SERVER)
        loop = network.start_in_client(program("loop"), SERVER, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with row("loop: no room for the first line of a full input: it waits, and takes it later"):
            loop.stdin.write("- 1 1002 1 1\n")
            loop.stdin.flush()
            assert loop.stdout.readline().split()[1] == "OK"
            line = "- 1 1002 1 "
            line += "1\n".rjust(INPUT_BYTES - len(line), "0")
            engine.process.send_signal(signal.SIGSTOP)
            told = []
            threads = [threading.Thread(target=pour, args=(loop.stdin, line, 20000)),
                       threading.Thread(target=lambda: told.extend(loop.stdout))]
            for thread in threads:
                thread.start()
            wait_until(lambda: stuck(loop), 60, "the example to stop reading")
            engine.process.send_signal(signal.SIGCONT)
            for thread in threads:
                thread.join(60)
            assert loop.wait(60) == 0, loop.stderr.read()
            assert [text.split()[1] for text in told] == ["OK"] * 20000
        engine.stop()
        engine.verify()


def pour(pipe, line, count):
    try:
        for _ in range(count):
            pipe.write(line)
        pipe.close()
    except BrokenPipeError:
        pass  # the exit status of the reader tells why


def stuck(process):
    """It has ended, or its input is full at each of ten looks."""
    for _ in range(10):
        if process.poll() is not None:
            return True
        waiting = array.array("i", [0])
        fcntl.ioctl(process.stdin, termios.FIONREAD, waiting)
        if waiting[0] < fcntl.fcntl(process.stdin, fcntl.F_GETPIPE_SZ):
            return False
        time.sleep(0.01)
    return True


def uuid_text(number):
    """As the library writes an id."""
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class LateSocket:
    """A socket that gives nothing for so many seconds, though it has something."""

    def __init__(self, udp, seconds):
        self.udp, self.until = udp, time.monotonic() + seconds

    def __getattr__(self, name):
        return getattr(self.udp, name)

    def recvfrom(self, size):
        if time.monotonic() < self.until:
            raise BlockingIOError
        return self.udp.recvfrom(size)


def test_python(row):
    giro = python_module()
    with Engine() as engine:
        with row("giro.py as a command: info, transfer, account"):
            assert "shards       2\n" in python("info")
            network.in_client(program("pay"), SERVER)
            identity, status = python("transfer", 1001, 1002, 50, 1).split()
            assert status == "OK"
            assert python("transfer", 1001, 1002, 50, 1, identity).split() == [identity, "OK"]
            assert "balance      1300\n" in python("account", 1002)
            assert "ACCOUNT_NOT_FOUND" in python("account", 77, code=1)
            assert "INSUFFICIENT_FUNDS" in python("transfer", 1002, 1001, 99999, 1, code=1)
            python("transfer", 1002, 1001, code=2)
        with row("giro.py as a module: every call"), network.client_namespace(), \
                giro.Client(network.ENGINE_ADDRESS) as bank:
            assert bank.create_account(2001, ledger=1) == "OK"
            assert bank.create_account(2001, ledger=1) == "ACCOUNT_EXISTS"
            assert bank.freeze(2001) == "OK" and bank.account(2001).frozen
            assert bank.transfer(1, 2001, 5, ledger=1) == "CREDIT_FROZEN"
            assert bank.unfreeze(2001) == "OK"
            identity = giro.new_id()
            for _ in range(3):
                assert bank.transfer(1, 2001, 5, ledger=1, code=7, id=identity) == "OK"
            assert bank.outcome(identity, 1) == "OK"
            assert bank.outcome(giro.new_id(), 1) == "TRANSFER_NOT_FOUND"
            assert bank.account(2001).balance == 5
            assert bank.close_account(2001) == "ACCOUNT_NOT_EMPTY"
            assert bank.transfer(2001, 1, 5, ledger=1) == "OK"
            assert bank.close_account(2001) == "OK" and bank.account(2001).closed
        with row("giro.py: finds the shard of 500 accounts"), network.client_namespace(), \
                giro.Client(network.ENGINE_ADDRESS) as bank, Client() as client:
            for account in range(1, 2**128, 2**128 // 500):
                assert bank.shard(account) == client.shard_of(account), account
        with row("giro.py: 3000 transfers, in datagrams of 22"), \
                network.client_namespace(), giro.Client(network.ENGINE_ADDRESS) as bank:
            for account in range(3000, 3020):
                bank.create_account(account, ledger=1)
            before = bank.next_id
            statuses = bank.transfers([giro.Transfer(giro.new_id(), 1, 3000 + n % 20, 1, 1)
                                       for n in range(3000)])
            assert statuses == ["OK"] * 3000, set(statuses)
            assert bank.next_id - before < 400, bank.next_id - before
        with row("giro.py: answers that come late, all at once"), \
                network.client_namespace(), giro.Client(network.ENGINE_ADDRESS) as bank:
            bank.udp = LateSocket(bank.udp, 0.5)
            statuses = bank.transfers([giro.Transfer(giro.new_id(), 1, 3001, 1, 1)
                                       for n in range(3000)])
            assert statuses == ["OK"] * 3000, set(statuses)
        with row("giro.py: nothing answers, then the same id finds out"), \
                network.client_namespace(), giro.Client(network.ENGINE_ADDRESS, timeout=1) as bank:
            engine.kill()
            identity = giro.new_id()
            assert bank.transfer(1, 3000, 1000, ledger=1, id=identity) == "TIMED_OUT"
            engine.start()
            bank.timeout = 20
            assert bank.transfer(1, 3000, 1000, ledger=1, id=identity) == "OK"
            assert bank.account(3000).balance == 1150
        engine.stop()
        engine.verify()
        assert sum(engine.balances().values()) == 0
