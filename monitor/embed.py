#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py INPUT OUTPUT: writes status.html as the C source that status_page.h declares."""

import pathlib
import sys

data = pathlib.Path(sys.argv[1]).read_bytes()
lines = [", ".join(f"{byte if byte < 128 else byte - 256}" for byte in data[at:at + 16])
         for at in range(0, len(data), 16)]
pathlib.Path(sys.argv[2]).write_text(
    '#include "monitor/status_page.h"\n\n'
    "const char status_page[] = {\n\t" + ",\n\t".join(lines) + "};\n"
    "const size_t status_page_bytes = sizeof(status_page);\n")
