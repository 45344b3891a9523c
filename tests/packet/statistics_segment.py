# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the shared-memory segment of counters (common/stats_layout.h)."""
import ctypes
import mmap
import struct

MAGIC = 0x5354415453414C59
VERSION = 1


class StatsHeader(ctypes.Structure):
    _fields_ = [("magic", ctypes.c_uint64), ("version", ctypes.c_uint32), ("counters", ctypes.c_uint32),
                ("epoch", ctypes.c_uint64), ("workers", ctypes.c_uint32), ("worker_stride", ctypes.c_uint32),
                ("cells_offset", ctypes.c_uint64), ("size", ctypes.c_uint64)]


class StatsCounter(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 56), ("offset", ctypes.c_uint32), ("pad", ctypes.c_uint32)]


STRUCTS = {"sp_stats_header": StatsHeader, "sp_stats_counter": StatsCounter}


class Stats:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self.header = StatsHeader.from_buffer_copy(self.map)
        if self.header.magic != MAGIC or self.header.version != VERSION or self.header.size > len(self.map):
            self.map.close()
            raise ValueError(f"{path} is no valid segment")
        at = ctypes.sizeof(StatsHeader)
        self.offsets = {}
        for i in range(self.header.counters):
            counter = StatsCounter.from_buffer_copy(self.map, at + i * ctypes.sizeof(StatsCounter))
            self.offsets[counter.name.decode()] = counter.offset

    def close(self):
        self.map.close()

    def worker(self, name, worker):
        at = self.header.cells_offset + worker * self.header.worker_stride + self.offsets[name]
        return struct.unpack_from("=Q", self.map, at)[0]

    def value(self, name):
        return sum(self.worker(name, w) for w in range(self.header.workers))

    def all(self):
        return {name: self.value(name) for name in self.offsets}
