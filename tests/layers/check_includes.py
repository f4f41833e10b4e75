#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Enforces the include rules of docs/architecture.md.

    base <- {shard, wal, net} <- replay <- engine        client -> base, net/wire.h, monitor/top.h
    monitor -> base        replay/live.c -> monitor/telemetry.h

Layers include downwards only, and shard, wal and net do not know each other. <rte_*.h> is named and
reached (through other headers) only by net/port.* and engine/. The shard is pure: it includes no
header through which a clock, a thread, an allocation or I/O could come in.

    check_includes.py [ROOT]        one PASS or FAIL line a rule; exit status 1 when one is broken
    check_includes.py --self-test   plants every violation in a copy and wants each of them reported
"""

import os
import re
import sys
import tempfile

# Layer -> layers it may include, besides itself.
BELOW = {
    "base": set(),
    "shard": {"base"},
    "wal": {"base"},
    "net": {"base"},
    "replay": {"base", "shard", "wal", "net"},
    "engine": {"base", "shard", "wal", "net", "replay"},
    "monitor": {"base"},
    "client": {"base"},
}
# Single headers that a layer, or one file of it, may include besides those.
EXCEPTIONS = {"client": {"net/wire.h", "monitor/top.h"}, "replay/live.c": {"monitor/telemetry.h"}}

# Where DPDK may be seen: by path prefix.
DPDK_IN = ("net/port", "engine/", "tests/unit/net/test_port", "tests/unit/engine/", "tests/bench/",
           "tests/fuzz/fuzz_config")

# Everything a pure function on memory needs; a new entry here needs a reason.
SHARD_SYSTEM = {
    "assert.h", "inttypes.h", "limits.h", "stdalign.h", "stdbool.h", "stddef.h", "stdint.h",
    "string.h", "xxhash.h",
}

RULES = ("from the root", "downwards", "dpdk", "pure shard")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def sources(root):
    """{path relative to root: [(quote, included path)]} of every C file of the layers and tests."""
    found = {}
    for top in [*BELOW, "tests"]:
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith((".c", ".h")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as file:
                        found[os.path.relpath(path, root)] = INCLUDE.findall(file.read())
    return found


def route_to_dpdk(path, files, seen=()):
    """The chain of includes that leads from path to an rte_ header, or None."""
    for quote, target in files.get(path, []):
        if quote == "<" and target.startswith("rte_"):
            return [path, target]
        if quote == '"' and target in files and target not in seen:
            rest = route_to_dpdk(target, files, (*seen, path))
            if rest:
                return [path, *rest]
    return None


def violations(files):
    """[(rule, what is wrong)]"""
    wrong = []
    for path, includes in sorted(files.items()):
        layer = path.split("/")[0]
        for quote, target in includes:
            if quote == '"' and target not in files:
                wrong.append(("from the root",
                              f'{path} includes "{target}", which is no file of a layer: write '
                              "the path from the root of the repository"))
                continue
            target_layer = target.split("/")[0]
            if (quote == '"' and layer in BELOW and target_layer != layer
                    and target_layer not in BELOW[layer]
                    and target not in EXCEPTIONS.get(layer, ())
                    and target not in EXCEPTIONS.get(path, ())):
                wrong.append(("downwards", f"{path} includes {target}: {layer} must not know "
                              f"{target_layer}"))
            if quote == "<" and layer == "shard" and target not in SHARD_SYSTEM:
                wrong.append(("pure shard", f"{path} includes <{target}>"))
        if not path.startswith(DPDK_IN):
            route = route_to_dpdk(path, files)
            if route:
                wrong.append(("dpdk", f"{' -> '.join(route)}: only net/port.* and engine/ may "
                              "see DPDK"))
    return wrong


PLANTED = [
    ("from the root", "net/frame.c", '#include "wire.h"'),
    ("from the root", "engine/main.c", '#include "../net/wire.h"'),
    ("downwards", "base/check.c", '#include "shard/shard.h"'),
    ("downwards", "shard/shard.c", '#include "wal/writer.h"'),
    ("downwards", "wal/writer.c", '#include "net/wire.h"'),
    ("downwards", "net/wire.c", '#include "replay/recovery.h"'),
    ("downwards", "replay/recovery.c", '#include "engine/worker.h"'),
    ("downwards", "client/giro.c", '#include "net/port.h"'),
    ("downwards", "client/giro.c", '#include "shard/shard.h"'),
    ("downwards", "client/giro.c", '#include "monitor/source.h"'),
    ("downwards", "monitor/source.c", '#include "engine/worker.h"'),
    ("downwards", "replay/recovery.c", '#include "monitor/telemetry.h"'),
    ("downwards", "replay/live.c", '#include "monitor/source.h"'),
    ("dpdk", "monitor/source.c", "#include <rte_telemetry.h>"),
    ("dpdk", "net/wire.c", "#include <rte_mbuf.h>"),
    ("dpdk", "net/frame.c", '#include "net/port.h"'),
    ("dpdk", "replay/recovery.c", "  #  include <rte_ring.h>"),
    ("dpdk", "tests/unit/shard/test_shard.c", "#include <rte_eal.h>"),
    ("pure shard", "shard/shard.c", "#include <time.h>"),
    ("pure shard", "shard/shard.h", "#include <stdlib.h>"),
]

CLEAN = {
    "base/check.h": "#include <stdint.h>\n",
    "base/check.c": '#include "base/check.h"\n',
    "shard/shard.h": '#include "base/check.h"\n',
    "shard/shard.c": '#include <string.h>\n#include "shard/shard.h"\n',
    "wal/writer.h": "",
    "wal/writer.c": '#include <liburing.h>\n#include "wal/writer.h"\n',
    "net/wire.h": "",
    "net/wire.c": '#include "net/wire.h"\n',
    "net/frame.c": '#include "net/wire.h"\n',
    "net/port.h": "#include <rte_mbuf.h>\n",
    "net/port.c": '#include "net/port.h"\n',
    "replay/recovery.h": "",
    "replay/recovery.c": '#include "replay/recovery.h"\n#include "wal/writer.h"\n',
    "engine/worker.h": "#include <rte_ring.h>\n",
    "engine/main.c": '#include "engine/worker.h"\n#include "net/port.h"\n',
    "monitor/source.h": "#include <jansson.h>\n",
    "monitor/telemetry.h": "#include <jansson.h>\n",
    "replay/live.c": '#include "monitor/telemetry.h"\n',
    "monitor/source.c": '#include "monitor/source.h"\n',
    "client/giro.c": '#include "base/check.h"\n#include "net/wire.h"\n',
    "tests/unit/shard/test_shard.c": '#include <stdlib.h>\n#include "shard/shard.h"\n',
}


def write_tree(root, tree):
    for path, text in tree.items():
        os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8") as file:
            file.write(text)


def self_test():
    failed = 0
    with tempfile.TemporaryDirectory(prefix="giro-layers-") as root:
        write_tree(root, CLEAN)
        wrong = violations(sources(root))
        print("PASS layers: a clean tree is clean" if not wrong else
              f"FAIL layers: a clean tree is called wrong: {wrong}")
        failed += bool(wrong)
        for rule, path, line in PLANTED:
            write_tree(root, {**CLEAN, path: CLEAN[path] + line + "\n"})
            found = [text for broken, text in violations(sources(root))
                     if broken == rule and text.startswith(path)]
            write_tree(root, CLEAN)
            verdict = "PASS" if found else "FAIL"
            print(f"{verdict} layers: planted in {path}: {line.strip()}")
            failed += not found
    return 1 if failed else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    here = os.path.dirname(os.path.abspath(__file__))
    root = arguments[0] if arguments else os.path.dirname(os.path.dirname(here))
    files = sources(root)
    empty = [layer for layer in BELOW if not any(path.startswith(layer + "/") for path in files)]
    wrong = violations(files)
    for rule in RULES:
        texts = [text for broken, text in wrong if broken == rule]
        print(f"{'FAIL' if texts else 'PASS'} layers: {rule} ({len(files)} files)")
        for text in texts:
            print(f"     {text}")
    print(f"FAIL layers: nothing to check in {empty}" if empty else
          "PASS layers: every layer has files")
    return 1 if wrong or empty else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
