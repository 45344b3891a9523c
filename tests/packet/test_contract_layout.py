# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python structs of the contract and of the counters are the C headers' ones, field by field."""
import ctypes
import os
import re
import subprocess

import pytest

import contract
import statistics_segment

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADERS = ["common/ipc_proto.h", "common/stats_layout.h"]
STRUCTS = {**contract.STRUCTS, **statistics_segment.STRUCTS}


def header_text(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


@pytest.fixture(scope="module")
def c_layout(tmp_path_factory):
    """What the compiler says: {"struct.field": (offset, size), "struct": (0, size), "CONSTANT": (value, 0)}."""
    directory = tmp_path_factory.mktemp("layout")
    lines = []
    for struct_name, cls in STRUCTS.items():
        lines.append(f'printf("{struct_name} 0 %zu\\n", sizeof(struct {struct_name}));')
        for field, *_ in cls._fields_:
            lines.append(f'printf("{struct_name}.{field} %zu %zu\\n", offsetof(struct {struct_name}, {field}), '
                         f'sizeof(((struct {struct_name} *)0)->{field}));')
    for name in contract.CONSTANTS:
        lines.append(f'printf("{name} %llu 0\\n", (unsigned long long)IPC_{name});')
    lines.append('printf("STATS_MAGIC %llu 0\\n", (unsigned long long)SP_STATS_MAGIC);')
    lines.append('printf("STATS_VERSION %llu 0\\n", (unsigned long long)SP_STATS_VERSION);')
    source = directory / "layout.c"
    source.write_text("#include <stdio.h>\n" + "".join(f'#include "{h}"\n' for h in HEADERS) +
                      "int main(void)\n{\n" + "\n".join(lines) + "\nreturn 0;\n}\n")
    program = directory / "layout"
    subprocess.run(["cc", "-I", ROOT, "-o", program, source], check=True)
    output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    layout = {}
    for line in output.splitlines():
        name, first, second = line.split()
        layout[name] = (int(first), int(second))
    return layout


@pytest.mark.parametrize("struct_name", STRUCTS)
def test_struct(c_layout, struct_name):
    cls = STRUCTS[struct_name]
    end = 0
    for field, *_ in cls._fields_:
        descriptor = getattr(cls, field)
        assert (descriptor.offset, descriptor.size) == c_layout[f"{struct_name}.{field}"], field
        assert descriptor.offset == end, f"implicit padding before {field}: a field is missing here or in the header"
        end = descriptor.offset + descriptor.size
    assert end == ctypes.sizeof(cls) == c_layout[struct_name][1]


def test_every_struct_of_the_headers_is_here():
    for header in HEADERS:
        for name in re.findall(r"^struct (\w+) \{", header_text(header), re.M):
            assert name in STRUCTS, f"{name} of {header} has no Python struct"


def test_constants(c_layout):
    for name, value in contract.CONSTANTS.items():
        assert c_layout[name] == (value, 0), name
    assert c_layout["STATS_MAGIC"][0] == statistics_segment.MAGIC
    assert c_layout["STATS_VERSION"][0] == statistics_segment.VERSION


def test_every_constant_of_the_header_is_here():
    text = re.sub(r"/\*.*?\*/", "", header_text("common/ipc_proto.h"), flags=re.S)
    names = set(re.findall(r"^#define IPC_(\w+)", text, re.M)) | set(re.findall(r"\bIPC_(\w+) = \d+", text))
    assert names == set(contract.CONSTANTS)
