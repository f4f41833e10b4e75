# SPDX-License-Identifier: Apache-2.0
"""One giro-engine process, its configuration and its log, as the tests drive them."""

import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import network

READY_S = 120
STOP_S = 60

# Small enough that several engines fit the huge pages of a test run.
DEFAULTS = {
    "port.address": f"{network.ENGINE_ADDRESS}/24",
    "port.udp_port": network.UDP_PORT,
    "port.mtu": 1500,
    "engine.shards": 2,
    "engine.idle": "sleep",
    "shard.accounts": 32768,
    "shard.window_s": 60,
    "shard.ids_per_second": 20000,
    "log.segment_mib": 16,
    "log.buffer_kib": 128,
}

_serial = itertools.count(1)


def wait_until(condition, seconds, what):
    """Polls condition until it is true; an AssertionError that says what did not happen."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.01)


def config_text(settings):
    """{"section.key": value} -> the ini file; a value of None leaves the key out."""
    text = ""
    for section in dict.fromkeys(key.split(".")[0] for key in settings):
        text += f"[{section}]\n"
        for key, value in settings.items():
            if key.startswith(section + ".") and value is not None:
                text += f"{key.split('.', 1)[1]}={value}\n"
    return text


class Engine:
    """Use as a context manager: it is killed and its files removed at the end."""

    live = []

    def __init__(self, log=None, pmd="", workers=None, **settings):
        """Settings as section_key=value pairs, for example engine_shards=4. Without a `pmd` GIRO_PMD
        names the driver. A worker for each shard unless told otherwise."""
        number = next(_serial)
        self.folder = network.SCRATCH / f"engine-{number}"
        self.folder.mkdir(parents=True)
        self.log = pathlib.Path(log) if log else self.folder / "log"
        if not log:
            self.log.mkdir()
        self.settings = {**DEFAULTS, "log.path": self.log}
        for key, value in settings.items():
            self.settings[key.replace("_", ".", 1)] = value
        self.pmd = pmd
        self.workers = workers
        self.prefix = f"{network.NAME}-{number}"
        self.process = None
        self.environment = {}  # beside this process's own
        self.starts = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.kill()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        # After a failure the folder stays until the run ends, with the engine's own words in it.

    def launch(self, config=None):
        """Starts the process and returns at once."""
        assert self.process is None
        file = self.folder / "engine.conf"
        file.write_text(config if config is not None else config_text(self.settings))
        self.starts += 1
        self.screen_file = self.folder / f"screen-{self.starts}"
        self.stderr_file = self.folder / f"stderr-{self.starts}"
        with open(self.screen_file, "w") as screen, open(self.stderr_file, "w") as stderr:
            self.process = subprocess.Popen(
                self.command(file), stdin=subprocess.DEVNULL, stdout=screen, stderr=stderr,
                env={**os.environ, **self.environment},
                preexec_fn=network.die_with_parent)
        Engine.live.append(self)

    def command(self, config_file):
        """What launch() runs."""
        eal = network.script_function("engine_eal_arguments", self.prefix,
                                      self.workers or self.settings["engine.shards"],
                                      self.settings["port.mtu"], self.pmd)
        return ["ip", "netns", "exec", f"{network.NAME}-engine",
                network.BUILD / "engine/giro-engine", "--config", config_file, "--", *eal]

    def start(self):
        self.launch()
        wait_until(lambda: self._ready() or self.process.poll() is not None, READY_S,
                   "the engine's ready line")
        assert self._ready(), (
            f"the engine ended with status {self.process.poll()} before it was ready:\n"
            f"{self.stderr()[-2000:]}")

    def _ready(self):
        return re.search(r"^ready", self.screen(), re.MULTILINE)

    def screen(self):
        return self.screen_file.read_text(errors="replace")

    def stderr(self):
        return self.stderr_file.read_text(errors="replace")

    def wait(self, seconds=STOP_S):
        """Waits for the process to end; returns its exit status."""
        status = self.process.wait(seconds)
        self._gone()
        return status

    def stop(self):
        """SIGTERM: drains, seals and must end with status 0."""
        self.process.send_signal(signal.SIGTERM)
        status = self.wait()
        assert status == 0, f"the engine ended with {status} on SIGTERM:\n{self.stderr()[-2000:]}"

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._gone()

    def _gone(self):
        self.process = None
        Engine.live.remove(self)
        shutil.rmtree(f"/var/run/dpdk/{self.prefix}", ignore_errors=True)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def replay(self, command, *arguments, check=True, torn_tail=False):
        """giro-replay on this engine's log; returns its CompletedProcess. With `check` it must end
        well: with 0, or with 2 where the log may end in a torn tail. So it may after a kill, until
        the next start cuts it, and while the engine runs: a block that is just being written looks
        like one."""
        done = subprocess.run(
            [network.BUILD / "replay/giro-replay", command, self.log, *map(str, arguments)],
            text=True, capture_output=True, timeout=120)
        allowed = (0, 2) if torn_tail or self.running() else (0,)
        assert not check or done.returncode in allowed, (
            f"giro-replay {command} ended with {done.returncode}:\n"
            f"{done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done

    def verify(self, *options, torn_tail=False):
        """The log is sound and every recomputed outcome equals the logged one."""
        return self.replay("verify", *options, torn_tail=torn_tail).stdout

    def balances(self):
        """{account: balance} as the log gives them."""
        lines = self.replay("balances", "--csv").stdout.splitlines()
        assert lines[0] == "id,balance", lines[0]
        return {int(account): int(balance)
                for account, balance in (line.split(",") for line in lines[1:])}


def kill_all():
    for engine in list(Engine.live):
        engine.kill()


class LoopDevice:
    """A block device of `mib` MiB over a file below the scratch folder."""

    def __init__(self, mib):
        self.file = network.SCRATCH / f"device-{next(_serial)}"
        self.mib = mib

    def __enter__(self):
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.file, "wb") as file:
            file.truncate(self.mib << 20)
        self.path = subprocess.run(
            ["losetup", "--find", "--show", "--direct-io=on", self.file], text=True, check=True,
            stdout=subprocess.PIPE).stdout.strip()
        return self.path

    def __exit__(self, *_):
        subprocess.run(["losetup", "--detach", self.path], check=True)
        os.unlink(self.file)
