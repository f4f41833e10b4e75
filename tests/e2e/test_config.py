# SPDX-License-Identifier: Apache-2.0
"""A configuration that cannot be is refused at start, and the message names the key."""

import engine
import network

# (what differs from a good configuration, what the message must contain)
BAD = [
    ({"port.address": "10.77.0.1"}, ["address"]),
    ({"port.address": "10.77.0.300/24"}, ["address", "10.77.0.300/24"]),
    ({"port.address": None}, ["address"]),
    ({"port.udp_port": "0"}, ["udp_port"]),
    ({"port.udp_port": "65535", "engine.shards": 2}, ["udp_port"]),
    ({"port.mtu": "100"}, ["mtu", "100"]),
    ({"port.mtu": "9001"}, ["mtu", "9001"]),
    ({"port.queues": "0"}, ["queues", "0"]),
    ({"port.speed": "10"}, ["speed"]),
    ({"port.device": "net_nothing0"}, ["net_nothing0"]),
    ({"engine.shards": "0"}, ["shards", "0"]),
    ({"engine.shards": "65"}, ["shards", "65"]),
    ({"engine.shards": "two"}, ["shards", "two"]),
    ({"engine.shards": "2x"}, ["shards", "2x"]),
    ({"engine.shards": "-1"}, ["shards", "-1"]),
    ({"engine.idle": "nap"}, ["idle", "nap"]),
    ({"shard.accounts": "0"}, ["accounts"]),
    ({"shard.accounts": "99999999999999999999"}, ["accounts"]),
    ({"shard.accounts": "4000000000"}, ["memory"]),
    ({"shard.window_s": "0"}, ["window_s"]),
    ({"shard.ahead_s": "100", "shard.window_s": "50"}, ["ahead", "window"]),
    ({"shard.ids_per_second": "0"}, ["ids_per_second"]),
    ({"log.path": None}, ["path"]),
    ({"log.path": "/nowhere/at/all"}, ["/nowhere/at/all"]),
    ({"log.path": "/dev/null"}, ["/dev/null"]),
    ({"log.segment_mib": "0"}, ["segment_mib"]),
    ({"log.buffer_kib": "1"}, ["buffer_kib"]),
    ({"logg.path": "x"}, ["logg"]),
]


def test_refusals(row):
    for change, wanted in BAD:
        name = ", ".join(f"{key}={value}" for key, value in change.items())
        with row(name):
            broken = engine.Engine()
            try:
                settings = {**broken.settings, **change}
                broken.launch(engine.config_text(settings))
                status = broken.wait(30)
                text = broken.stderr()
                assert status not in (0, -9, -6, -11), f"ended with {status}: {text}"
                for word in wanted:
                    assert word in text, f"{word!r} is not in:\n{text}"
                assert "ready" not in broken.screen()
            finally:
                broken.kill()


def test_files(row):
    for name, text, wanted in [
        ("an empty file", "", "address"),
        ("no section", "address=10.77.0.1/24\n", "section"),
        ("no ini at all", "\x00\x01\x02 binary", ""),
        ("a key twice", "[log]\npath=/a\npath=/b\n", ""),
    ]:
        with row(name):
            broken = engine.Engine()
            try:
                broken.launch(text)
                assert broken.wait(30) not in (0, -9, -6, -11), broken.stderr()
                assert broken.stderr().strip(), "it said nothing"
                assert wanted in broken.stderr(), broken.stderr()
            finally:
                broken.kill()
    with row("a file that is not there is named"):
        done = network.in_client(network.BUILD / "engine/giro-engine", "--config", "/no/such.conf",
                                 check=False)
        assert done.returncode not in (0, -6, -11) and "/no/such.conf" in done.stderr, done


def test_defaults(row):
    with row("address and log path are all that is needed"):
        few = engine.Engine()
        try:
            few.launch(engine.config_text({
                "port.address": few.settings["port.address"], "log.path": few.log,
                "shard.ids_per_second": 1000}))
            engine.wait_until(lambda: few._ready() or few.process.poll() is not None, 60, "ready")
            assert few._ready(), few.stderr()
            few.stop()
        finally:
            few.kill()
