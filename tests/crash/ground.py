# SPDX-License-Identifier: Apache-2.0
"""Where a crash test stands: a network and huge pages of its own, unless GIRO_NETWORK names some.

Importing this module makes tests/e2e importable and gives its codec the C library's checksum, with
which Python keeps hundreds of datagrams in flight. Everything else of the codec stays the second,
independent one.
"""

import atexit
import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.dont_write_bytecode = True

OWN_NETWORK = "GIRO_NETWORK" not in os.environ
if OWN_NETWORK:
    os.environ["GIRO_NETWORK"] = f"giro-crash-{os.getpid()}"

import engine  # noqa: E402 the names above decide what these do
import giro_wire as wire  # noqa: E402
import network  # noqa: E402

HUGEPAGES_MIB = 512


def _library_checksum():
    function = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
    function.restype = ctypes.c_uint64
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t]

    def checksum(data):
        return function(bytes(data), len(data))

    for size in (0, 3, 8, 16, 100, 200, 240, 241, 1464):
        sample = bytes(range(256)) * 6
        assert checksum(sample[:size]) == wire.xxh3_64(sample[:size]), size
    return checksum


wire.xxh3_64 = _library_checksum()


def take():
    """Makes the network and reserves the huge pages; gives all of it back when Python ends."""
    if os.geteuid() != 0:
        sys.exit("network namespaces and huge pages need root; run this again with sudo")
    if not (network.BUILD / "engine/giro-engine").exists():
        sys.exit(f"no engine in {network.BUILD}; build it, or name its folder in GIRO_BUILD")
    # Whoever ends this process ends its engines: by exceptions, so that everything is cleaned up.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    atexit.register(_give_back)
    if OWN_NETWORK:
        for words in (("network_require_root",), ("network_sweep",),
                      ("network_claim", network.NAME, os.getpid()),
                      ("network_up", network.NAME, 1500),
                      ("hugepages_reserve", network.NAME, HUGEPAGES_MIB)):
            network.script_function(*words)
    network.SCRATCH.mkdir(exist_ok=True)


def _give_back():
    engine.kill_all()
    if OWN_NETWORK:
        network.script_function("network_down", network.NAME)


class Cases:
    """PASS and FAIL lines, and their numbers."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failed = 0

    @contextlib.contextmanager
    def case(self, text):
        start = time.monotonic()
        try:
            yield
        except Exception:  # noqa: BLE001 the next case still runs
            self.failed += 1
            print(f"FAIL {self.name}: {text} ({time.monotonic() - start:.1f} s)")
            print("     " + traceback.format_exc().rstrip().replace("\n", "\n     "))
        else:
            self.passed += 1
            print(f"PASS {self.name}: {text} ({time.monotonic() - start:.1f} s)")
        sys.stdout.flush()

    def line(self):
        return f"{self.passed} passed, {self.failed} failed"


def scratch(name):
    """An empty folder on a disk (not in memory: the log is opened with O_DIRECT)."""
    folder = network.SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
