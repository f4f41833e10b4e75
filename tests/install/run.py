#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a user gets: the installed library, its header and pkg-config file, and the man pages.

Installs a build into a folder of its own and looks at what is there, as somebody would who has
nothing else. Started by `scripts/test install`; GIRO_BUILD names the build. One PASS or FAIL line a
test; exit status 1 when one failed.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GIRO_BUILD", ROOT / "build"))
PAGES = {"giro": 1, "giro-bench": 1, "giro-replay": 1, "giro-engine": 8,
         "giro-exporter": 8, "libgiro": 3}
COMMANDS = ("info", "ping", "account", "transfer", "import", "top")  # of giro, each with --help
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


def run(*words, code=0, **options):
    """Runs a command that must end with `code`; returns both its streams as one text."""
    done = subprocess.run([str(word) for word in words], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, timeout=120, **options)
    assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stdout[-3000:]}"
    return done.stdout


class Installed:
    """A build installed below `folder`."""

    def __init__(self, folder):
        self.folder = folder
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", folder)
        self.library = next(folder.rglob("libgiro.so.1")).parent
        self.header = next(folder.rglob("giro.h"))
        self.programs = next(folder.rglob("bin/giro")).parent

    def pkg_config(self, *words):
        """Nothing but the installed file is found."""
        environment = {"PATH": os.environ["PATH"], "PKG_CONFIG_SYSROOT_DIR": str(self.folder),
                       "PKG_CONFIG_LIBDIR": str(self.library / "pkgconfig")}
        return run("pkg-config", *words, "giro", env=environment).split()

    def compile(self, source, program, *more, static=False):
        libraries = self.pkg_config("--libs", *(["--static"] if static else []))
        if static:
            libraries = ["-Wl,-Bstatic", *libraries, "-Wl,-Bdynamic"]
        run("cc", *WARNINGS, source, *more, *self.pkg_config("--cflags"), *libraries, "-o", program)

    def shared_names(self):
        """{name: version} of what the shared library defines for others."""
        lines = run("nm", "--dynamic", "--defined-only", "--with-symbol-versions",
                    self.library / "libgiro.so").splitlines()
        names = [line.split()[2] for line in lines if line.split()[1] != "A"]
        return dict((name.split("@") + [""])[::2][:2] if "@@" in name else (name, "")
                    for name in names)

    def static_names(self):
        lines = run("nm", "--extern-only", "--defined-only", self.library / "libgiro.a")
        return {line.split()[2] for line in lines.splitlines() if len(line.split()) == 3}


def declared_names(header):
    return set(re.findall(r"GIRO_API[^;]*?\b(giro_\w+)\(", header.read_text()))


def listed_names():
    text = (ROOT / "client/libgiro.map").read_text()
    return set(re.findall(r"^\t(giro_\w+);$", text, re.MULTILINE))


def same(what, found, wanted):
    assert found == wanted, (f"{what}: too many: {sorted(found - wanted)}, "
                             f"missing: {sorted(wanted - found)}")


# The library


def test_files(installed):
    """every file is where it belongs"""
    found = {str(path.relative_to(installed.folder)) for path in installed.folder.rglob("*")
             if not path.is_dir()}
    library = str(installed.library.relative_to(installed.folder))
    prefix = str(installed.programs.parent.relative_to(installed.folder))
    wanted = {f"{library}/{name}" for name in (
        "libgiro.a", "libgiro.so", "libgiro.so.1", "libgiro.so.1.0.0", "pkgconfig/giro.pc")}
    wanted |= {f"{prefix}/bin/{name}" for name in ("giro", "giro-bench", "giro-engine",
                                                   "giro-exporter", "giro-replay")}
    wanted |= {f"{prefix}/share/man/man{section}/{name}.{section}"
               for name, section in PAGES.items()}
    wanted |= {f"{prefix}/{name}" for name in (
        "include/giro.h", "share/giro/wireshark/giro.lua", "share/doc/giro/examples/giro.py",
        "share/doc/giro/examples/loop.c", "share/doc/giro/examples/pay.c",
        "share/doc/giro/examples/engine.conf", "share/doc/giro/examples/giro-engine.default",
        "lib/systemd/system/giro-engine.service", "lib/udev/rules.d/90-giro.rules")}
    wanted |= {f"{prefix}/share/doc/giro/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    same("files", found, wanted)


def test_symbols_shared(installed):
    """the shared library exports what giro.h declares and libgiro.map lists, versioned"""
    declared = declared_names(installed.header)
    assert len(declared) > 20, declared
    same("libgiro.map against giro.h", listed_names(), declared)
    exported = installed.shared_names()
    same("exported", set(exported), declared)
    assert set(exported.values()) == {"GIRO_1"}, exported


def test_symbols_static(installed):
    """the static library shows the same names and no other"""
    same("shown", installed.static_names(), declared_names(installed.header))


def test_soname(installed):
    """the soname is libgiro.so.1, and libc is all it needs"""
    text = run("readelf", "--dynamic", "--wide", installed.library / "libgiro.so")
    assert re.findall(r"SONAME\).*\[(.*)\]", text) == ["libgiro.so.1"], text
    needed = set(re.findall(r"NEEDED\).*\[(.*)\]", text))
    # A build with sanitizers needs theirs too.
    assert {name for name in needed if not re.match(r"lib(a|ub|t)san", name)} <= {
        "libc.so.6", "ld-linux-x86-64.so.2"}, needed


def test_header_alone(installed):
    """giro.h compiles by itself as C99, C11 and C++"""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "header.c")
        source.write_text('#include <giro.h>\n#include <giro.h>\nint main(void) { return 0; }\n')
        flags = installed.pkg_config("--cflags")
        for compiler, *language in (("cc", "-std=c99"), ("cc", "-std=c11"),
                                    ("c++", "-std=c++11", "-x", "c++")):
            run(compiler, *language, *WARNINGS, "-fsyntax-only", source, *flags)


def test_examples_link(installed):
    """the examples compile through pkg-config alone, shared and static, and start"""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("pay", "loop"):
            source = next(installed.folder.rglob(f"examples/{name}.c"))
            for static in (False, True):
                program = pathlib.Path(folder, f"{name}-{static}")
                installed.compile(source, program, static=static)
                environment = {"LD_LIBRARY_PATH": str(installed.library)}
                linked = run("ldd", program, env={**os.environ, **environment})
                assert ("libgiro.so.1" in linked) != static, linked
                # Refused before anything is sent, so no engine is needed.
                text = run(program, "127.0.0.1:x", code=1, env=environment)
                assert "port must be a number" in text, text


def test_no_clash(installed):
    """a program may use the library's internal names for itself"""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "clash.c")
        source.write_text(
            "#include <giro.h>\n#include <string.h>\n"
            "const char *status_name(unsigned status);\n"
            "const char *status_name(unsigned status) { (void)status; return \"mine\"; }\n"
            "int main(void) { return strcmp(giro_outcome_name(0), \"OK\"); }\n")
        for static in (False, True):
            program = pathlib.Path(folder, f"clash-{static}")
            installed.compile(source, program, static=static)
            run(program, env={"LD_LIBRARY_PATH": str(installed.library)})


# The man pages


def page_file(name):
    return ROOT / f"docs/man/{name}.{PAGES[name]}"


def page_text(name):
    """The page as it is read, in one long line a paragraph."""
    text = run("mandoc", "-T", "ascii", "-O", "width=500", page_file(name))
    return re.sub(r".\x08", "", text)


def options_of(text):
    """--long and -s options that a text speaks of."""
    return set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*[a-z]|-[a-zA-Z])(?![\w-])", text))


def help_of(installed, name):
    program = installed.programs / name
    text = run(program, "--help")
    if name == "giro":
        text += "".join(run(program, command, "--help") for command in COMMANDS)
    return text.replace("$GIRO_SERVER", "GIRO_SERVER")


def test_pages_are_sound(installed):
    """mandoc has nothing to say of any man page"""
    del installed
    for name in PAGES:
        said = run("mandoc", "-T", "lint", "-W", "warning", page_file(name))
        assert not said, said


def test_options(installed):
    """every option of --help is in the man page, and the page names no other"""
    missing = []
    for name in PAGES:
        if name == "libgiro":
            continue
        text = help_of(installed, name).split(" -- ")[0]
        shown, written = options_of(text), options_of(page_text(name).split("EXAMPLES")[0])
        assert len(shown) >= 2, (name, shown)
        missing += [f"{name}({PAGES[name]}) lacks {option}" for option in sorted(shown - written)]
        binary = (installed.programs / name).read_bytes()
        missing += [f"{name} knows no {option}" for option in sorted(written - shown)
                    if option.lstrip("-").encode() + b"\0" not in binary]
    assert not missing, "\n".join(missing)


def test_commands(installed):
    """every command of giro and giro-replay is in its man page"""
    missing = []
    for name, pattern in (("giro", r"^  ([a-z][\w|-]*(?: [a-z][a-z|]*)?) "),
                          ("giro-replay", r"^  ([a-z][\w-]*) LOG")):
        text = page_text(name)
        commands = set(re.findall(pattern, run(installed.programs / name, "--help"),
                                  re.MULTILINE))
        assert len(commands) >= 5, commands
        missing += [f"{name}({PAGES[name]}) lacks {command}" for command in sorted(commands)
                    if not re.search(rf"^ *(giro )?{re.escape(command)}\b", text, re.MULTILINE)]
    assert not missing, "\n".join(missing)


def test_exit_statuses(installed):
    """every exit status of --help is in the man page"""
    for name in PAGES:
        if name == "libgiro":
            continue
        said = re.split(r"(?i)exit (?:codes?|status):", run(installed.programs / name, "--help"))[1]
        wanted = set(re.findall(r"(?<![\w-])(\d)(?= )", said))
        section = page_text(name).split("EXIT STATUS")[1]
        found = set(re.findall(r"^ +(\d) ", section, re.MULTILINE))
        same(f"exit statuses of {name}", found, wanted)


def test_configuration(installed):
    """every key of the engine's configuration is in giro-engine(8)"""
    sample = run(installed.programs / "giro-engine", "--sample-config")
    keys = set(re.findall(r"^(?:# required: )?([a-z_]+)=", sample, re.MULTILINE))
    assert len(keys) > 15, keys
    text = page_text("giro-engine").split("CONFIGURATION")[1]
    named = set(re.findall(r"\b[a-z_]+\b", "\n".join(
        line for line in text.splitlines() if line.startswith("     "))))
    missing = sorted(keys - named)
    assert not missing, f"giro-engine(8) lacks {missing}"


def test_library_page(installed):
    """every function and outcome of giro.h is in libgiro(3)"""
    text = page_text("libgiro")
    header = installed.header.read_text()
    outcomes = set(re.findall(r"^\t(GIRO_\w+) = -?\d+,", header, re.MULTILINE))
    assert len(outcomes) > 40, outcomes
    actions = {"GIRO_CREATE", "GIRO_FREEZE", "GIRO_UNFREEZE", "GIRO_CLOSE"}
    wanted = declared_names(installed.header) | (outcomes - actions)
    missing = sorted(name for name in wanted if not re.search(rf"\b{name}\b", text))
    assert not missing, f"libgiro(3) lacks {missing}"


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        installed = Installed(pathlib.Path(folder))
        for name, test in list(globals().items()):
            if not name.startswith("test_"):
                continue
            try:
                test(installed)
                print(f"PASS install: {test.__doc__}")
            except Exception as error:  # noqa: BLE001 the next test still runs
                failed += 1
                text = "".join(traceback.format_exception(error)).rstrip()
                print(f"FAIL install: {test.__doc__}\n     " + text.replace("\n", "\n     "))
            sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
