# SPDX-License-Identifier: Apache-2.0
"""The two namespaces that scripts/test made, seen from the tests.

GIRO_NETWORK names them (NAME-engine, NAME-client); scripts/network.sh draws the picture. Sockets are
opened inside the client's namespace and can then be used from anywhere in this process.
"""

import contextlib
import ctypes
import errno
import os
import pathlib
import socket
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GIRO_BUILD", ROOT / "build"))
# The clients built with ASan and UBSan.
SANITIZED = pathlib.Path(os.environ.get("GIRO_SANITIZED_BUILD", ROOT / "build-sanitize"))
NAME = os.environ.get("GIRO_NETWORK", "")
SCRATCH = pathlib.Path("/var/tmp") / NAME

ENGINE_ADDRESS = "10.77.0.1"
CLIENT_ADDRESS = "10.77.0.2"
UDP_PORT = 7400

_AF_XDP = 44
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _setns(file):
    if _libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def client_namespace():
    """This thread is in the client's namespace inside the block."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{NAME}-client") as away:
        _setns(away)
        try:
            yield
        finally:
            _setns(home)


def udp_socket():
    with client_namespace():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        udp.bind((CLIENT_ADDRESS, 0))
    return udp


def raw_socket(ethertype=0x0003):
    """Whole Ethernet frames on the client's end; 0x0003 receives every ethertype."""
    with client_namespace():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethertype))
        raw.bind(("client", ethertype))
        raw.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: the VLAN tag the kernel took off
    return raw


def has_af_xdp():
    """Whether this kernel has the sockets that net_af_xdp opens."""
    try:
        socket.socket(_AF_XDP, socket.SOCK_RAW).close()
    except OSError as error:
        assert error.errno == errno.EAFNOSUPPORT, error
        return False
    return True


def client_mac():
    text = in_client("cat", "/sys/class/net/client/address").stdout
    return bytes.fromhex(text.strip().replace(":", ""))


def in_client(*command, timeout=120, check=True, **options):
    """Runs a command in the client's namespace; returns its CompletedProcess with text output."""
    return subprocess.run(
        ["ip", "netns", "exec", f"{NAME}-client", *map(str, command)], text=True,
        capture_output=True, timeout=timeout, check=check, **options)


def start_in_client(*command, **options):
    return subprocess.Popen(
        ["ip", "netns", "exec", f"{NAME}-client", *map(str, command)], text=True,
        preexec_fn=die_with_parent, **options)


def script_function(function, *arguments):
    """A function of scripts/network.sh; returns the lines it prints."""
    return subprocess.run(
        ["bash", "-euc", '. "$0"; "$@"', ROOT / "scripts/network.sh", function,
         *map(str, arguments)],
        text=True, stdout=subprocess.PIPE, check=True).stdout.splitlines()


def set_mtu(mtu):
    script_function("network_set_mtu", NAME, mtu)


def die_with_parent():
    """For preexec_fn: the child is killed when the test runner is."""
    _libc.prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
