# SPDX-License-Identifier: Apache-2.0
"""giro-engine --check on this machine: it looks, says, and changes nothing."""

import re
import subprocess

import engine
import giro_wire as wire
import network
from client import Client
from engine import Engine


def check(subject, *options, **settings):
    """Runs the doctor for an Engine's configuration; returns its CompletedProcess."""
    file = subject.folder / "check.conf"
    file.write_text(engine.config_text({**subject.settings, **settings}))
    eal = network.script_function("engine_eal_arguments", f"{subject.prefix}-check",
                                  subject.settings["engine.shards"], subject.settings["port.mtu"],
                                  subject.pmd)
    return subprocess.run(
        ["ip", "netns", "exec", f"{network.NAME}-engine", network.BUILD / "engine/giro-engine",
         "--check", *options, "--config", file, "--", *eal],
        text=True, capture_output=True, timeout=60, check=False)


def verdicts(done):
    """{name: verdict} of what was said."""
    found = re.findall(r"^(ok|warn|FAIL) +(\S+(?: \S+)*) {2,}", done.stdout, re.MULTILINE)
    return {name: verdict for verdict, name in found}


def test_check(row):
    subject = Engine()
    with row("every part of the machine is looked at, and nothing fails"):
        done = check(subject)
        said = verdicts(done)
        assert done.returncode in (0, 1), (done.returncode, done.stdout, done.stderr)
        for name in ("versions", "io_uring", "configuration", "hugepages", "cores",
                     "isolated cpus", "irq affinity", "governor", "turbo", "smt siblings", "autogroup",
                     "numa", "clock source", "clock sync", "log path", "file system", "log space",
                     "log extents", "log device", "poll queues", "dsync latency", "port", "queues",
                     "offloads", "mtu", "descriptors", "link", "kernel address"):
            assert name in said, f"nothing on {name}:\n{done.stdout}"
        assert said["link"] == "ok" and said["kernel address"] == "ok", done.stdout
        assert list(subject.log.iterdir()) == [], "something was left in the log's directory"
    with row("what is wrong is a failure with status 2"):
        for key, value, name in (("log.path", "/nowhere/at/all", "log path"),
                                 ("log.epochs", 2, "configuration"),
                                 ("shard.accounts", 4000000000, "hugepages"),
                                 ("port.device", "net_nothing0", "port")):
            done = check(subject, **{key: value})
            assert done.returncode == 2, (key, done.returncode, done.stdout)
            assert verdicts(done)[name] == "FAIL", (key, done.stdout)
    with row("an address of the kernel's on the interface is found; --tune prints what mends it"):
        address = ["ip", "-n", f"{network.NAME}-engine", "address"]
        subprocess.run([*address, "add", "10.99.0.1/24", "dev", "engine"], check=True)
        try:
            assert verdicts(check(subject))["kernel address"] == "warn"
            done = check(subject, "--tune")
            lines = done.stdout.splitlines()
            assert "ip address flush dev engine" in lines, done.stdout
            assert all(line.startswith("#") or line.split()[0] in
                       ("ip", "echo", "for", "apt-get", "sysctl", "cpupower")
                       for line in lines), done.stdout
            shown = subprocess.run([*address, "show", "dev", "engine"], text=True,
                                   capture_output=True, check=True).stdout
            assert "10.99.0.1" in shown, "a command was run"
        finally:
            subprocess.run([*address, "flush", "dev", "engine"], check=True)
    with row("beside a running engine: its log is in use, and it goes on"), \
            Engine() as running, Client() as client:
        client.create(1, floor=wire.FLOOR_ISSUER)
        assert verdicts(check(running))["log lock"] == "warn"
        assert client.lookup(1).status == "OK"
        running.stop()
        running.verify()
