# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be said of the tree without running it."""

import ast
import concurrent.futures
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("SALLYPORT_BUILD", "build"))
SOURCES = ("common", "dataplane", "controlplane", "cli", "tests", "bench")
SPDX = "SPDX-License-Identifier: GPL-2.0-or-later"


def _files(*suffixes):
    for top in SOURCES:
        for directory, _, names in os.walk(os.path.join(ROOT, top)):
            for name in sorted(names):
                if name.endswith(suffixes):
                    yield os.path.relpath(os.path.join(directory, name), ROOT)


def _run(*argv):
    return subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)


def _tracked():
    """The files of the repository; in a tree without one, those of the source directories."""
    done = _run("git", "-c", "safe.directory=*", "ls-files")
    return done.stdout.splitlines() if done.returncode == 0 else list(
        _files(".c", ".h", ".py", "meson.build", ".md", ".conf"))


def _text(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def test_clang_format():
    done = _run("clang-format", "--dry-run", *_files(".c", ".h"))
    assert done.returncode == 0, done.stderr
    assert sorted(set(re.findall(r"^(\S+?):\d+:\d+: ", done.stderr, re.MULTILINE))) == []


def test_license_is_named_in_every_source():
    sources = [*_files(".c", ".h", ".py", "meson.build"),
               *(f"scripts/{name}" for name in os.listdir(os.path.join(ROOT, "scripts")))]
    assert [path for path in sources if SPDX not in _text(path)[:200]] == []


def test_no_machine_paths():
    """A checkout works wherever it is: no home directory and no build path in the tree."""
    path = re.compile(r"(?<![\w.])/(?:root|home|work|Users)/\w")
    found = [f"{name}:{number}: {line.strip()}" for name in _tracked()
             if os.path.isfile(os.path.join(ROOT, name))
             for number, line in enumerate(_text(name).splitlines(), start=1) if path.search(line)]
    assert found == []


def test_scripts_are_bash():
    for name in os.listdir(os.path.join(ROOT, "scripts")):
        path = os.path.join("scripts", name)
        if _text(path).startswith("#!/bin/bash"):
            done = _run("bash", "-n", path)
            assert done.returncode == 0, done.stderr


def _imported(path):
    for node in ast.walk(ast.parse(_text(path))):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def test_setup_installs_what_the_tests_import():
    """A package that only happens to be here, as another one's recommendation, is not everywhere."""
    packages = re.search(r"^packages=\($(.*?)^\)$", _text("scripts/setup"), re.M | re.S)[1]
    packages = re.sub("#.*", "", packages).split()
    missing = {}
    for name in sorted({name for path in _files(".py") for name in _imported(path)}):
        spec = None if name in sys.stdlib_module_names else importlib.util.find_spec(name)
        if spec is None or not spec.origin or spec.origin.startswith(ROOT):
            continue
        owner = _run("dpkg", "-S", spec.origin).stdout.split(":")[0]
        if owner not in packages:
            missing[name] = owner or spec.origin
    assert missing == {}


def test_units_start_what_is_installed():
    done = _run("meson", "introspect", "--installed", BUILD)
    assert done.returncode == 0, done.stderr
    installed = {os.path.basename(path) for path in json.loads(done.stdout).values()}
    units = os.path.join("conf", "systemd")
    names = set(os.listdir(os.path.join(ROOT, units)))
    for name in list(names):
        names.update(re.findall(r"^ExecStart=(\S+)", _text(os.path.join(units, name)), re.M))
    assert names - installed == set()


def _without_files(words):
    """A compiler's arguments without those that name input, output and dependency file."""
    words = iter(words)
    for word in words:
        if word in ("-o", "-c", "-MQ", "-MF"):
            next(words)
        elif word != "-MD":
            yield word


def _flags(prefix):
    """Where and how sources whose path begins with PREFIX are compiled."""
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)
    for command in commands:
        path = os.path.relpath(os.path.join(command["directory"], command["file"]), ROOT)
        if path.startswith(prefix):
            words = shlex.split(command["command"])
            while not words[0].startswith("-"):  # the compiler, or `ccache` and the compiler
                del words[0]
            return command["directory"], list(_without_files(words))
    pytest.fail(f"nothing of {prefix} is built in {BUILD}")


def _compile(header):
    strongswan = "controlplane/ike_"  # the only ones that may include its headers
    build, flags = _flags(strongswan if header.startswith(strongswan) else
                          header.split(os.sep)[0] + os.sep)
    flags.append("-fdiagnostics-color=never")
    return header, subprocess.run(
        ["gcc", *flags, "-Werror", "-fsyntax-only", "-x", "c", "-"], cwd=build,
        input=f'#include "{header}"\n#include "{header}"\n', capture_output=True, text=True,
        check=False)


def test_headers_compile_alone():
    headers = [path for path in _files(".h") if path.split(os.sep)[0] != "tests"]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = {header: done.stderr for header, done in pool.map(_compile, headers)
                  if done.returncode != 0}
    assert failed == {}


@pytest.mark.parametrize("plane,other", [("dataplane", "controlplane"), ("controlplane",
                                                                         "dataplane"),
                                         ("common", "dataplane"), ("common", "controlplane"),
                                         ("cli", "dataplane")])
def test_planes_do_not_include_each_other(plane, other):
    include = re.compile(rf'#include "{other}/')
    assert [path for path in _files(".c", ".h")
            if path.split(os.sep)[0] == plane and include.search(_text(path))] == []
