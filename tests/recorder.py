"""A disk that writes down what is done to it: a program that serves one file over /dev/fuse, for a loop device.

    python recorder.py IMAGE LOG DIRECTORY

DIRECTORY/disk is IMAGE. LOG gets a record of each write, of each flush and of each number that is written to
DIRECTORY/mark, in their order. Source: Linux, include/uapi/linux/fuse.h, version 7.31. It ends when it is unmounted.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Callable, Mapping

WRITE, FLUSH, MARK = 1, 2, 3
RECORD = struct.Struct("<BQQ")  # kind; offset or number; bytes that follow
ROOT, DISK, MARKS = 1, 2, 3
NODES = {b"disk\0": DISK, b"mark\0": MARKS}
PAGES_MAX = 256
WRITE_BYTES_MAX = PAGES_MAX * 4096
FOREVER_S = 1_000_000
VERSION, MINOR = 7, 31
FLAGS = 1 << 5 | 1 << 22  # FUSE_BIG_WRITES, FUSE_MAX_PAGES
DIRECT_IO = 1

IN = struct.Struct("<IIQQIIIHH")
OUT = struct.Struct("<IiQ")
INIT = struct.Struct("<IIIIHHIIHH28x")
ENTRY = struct.Struct("<QQQQII")
ATTRIBUTES = struct.Struct("<6Q10I")
VALID = struct.Struct("<QII")
OPENED = struct.Struct("<QIi")
TRANSFER = struct.Struct("<QQIIQII")
WRITTEN = struct.Struct("<II")


class Recorder:
    """Answers the kernel, one request at a time: so the order in the log is the order on the disk."""

    def __init__(self, image: str, log: str) -> None:
        self._image = os.open(image, os.O_RDWR)
        self._log = open(log, "wb", buffering=0)  # noqa: SIM115 - for as long as the program runs
        self._answers: Mapping[int, Callable[[int, bytes], bytes]] = {
            1: self._look_up,
            3: self._get_attributes,
            4: self._get_attributes,  # sets them: a loop device sets none that matter
            14: self._open,
            15: self._read,
            16: self._write,
            18: self._nothing,
            20: self._flush,
            25: self._nothing,
            26: self._init,
            27: self._open,
            29: self._nothing,
        }

    def serve(self, descriptor: int) -> None:
        while True:
            try:
                request = os.read(descriptor, WRITE_BYTES_MAX + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:  # unmounted
                    return
                raise
            _, operation, unique, node, *_ = IN.unpack_from(request)
            if operation in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET want no answer
                continue
            try:
                body, code = self._answers[operation](node, request[IN.size :]), 0
            except KeyError:
                body, code = b"", -errno.ENOSYS
            except OSError as error:
                body, code = b"", -(error.errno or errno.EIO)
            os.writev(descriptor, [OUT.pack(OUT.size + len(body), code, unique), body])

    def _record(self, kind: int, number: int, data: bytes = b"") -> None:
        self._log.write(RECORD.pack(kind, number, len(data)) + data)

    def _init(self, _: int, __: bytes) -> bytes:
        return INIT.pack(VERSION, MINOR, 131_072, FLAGS, 16, 12, WRITE_BYTES_MAX, 1, PAGES_MAX, 0)

    def _look_up(self, _: int, name: bytes) -> bytes:
        if name not in NODES:
            raise OSError(errno.ENOENT, "no such file")
        node = NODES[name]
        return ENTRY.pack(node, 0, FOREVER_S, FOREVER_S, 0, 0) + self._attributes(node)

    def _get_attributes(self, node: int, _: bytes) -> bytes:
        return VALID.pack(FOREVER_S, 0, 0) + self._attributes(node)

    def _attributes(self, node: int) -> bytes:
        size = os.fstat(self._image).st_size if node == DISK else 0
        mode = stat.S_IFDIR | 0o700 if node == ROOT else stat.S_IFREG | 0o600
        return ATTRIBUTES.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _open(self, node: int, _: bytes) -> bytes:
        return OPENED.pack(0, DIRECT_IO if node == MARKS else 0, 0)

    def _read(self, _: int, body: bytes) -> bytes:
        _, offset, size, *_ = TRANSFER.unpack_from(body)
        return os.pread(self._image, size, offset)

    def _write(self, node: int, body: bytes) -> bytes:
        _, offset, size, *_ = TRANSFER.unpack_from(body)
        data = body[TRANSFER.size : TRANSFER.size + size]
        if node == MARKS:
            self._record(MARK, int(data))
        else:
            os.pwrite(self._image, data, offset)
            self._record(WRITE, offset, data)
        return WRITTEN.pack(size, 0)

    def _flush(self, _: int, __: bytes) -> bytes:
        self._record(FLUSH, 0)
        return b""

    def _nothing(self, _: int, __: bytes) -> bytes:
        return b""


def mount(directory: str) -> int:
    """Mount at `directory`; return the descriptor by which the kernel asks. Raises OSError."""
    descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"recorder", os.fsencode(directory), b"fuse", 0, options.encode()):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), directory)
    return descriptor


def main() -> None:
    image, log, directory = sys.argv[1:]
    recorder = Recorder(image, log)
    descriptor = mount(directory)
    os.write(1, b"mounted\n")
    recorder.serve(descriptor)


if __name__ == "__main__":
    main()
