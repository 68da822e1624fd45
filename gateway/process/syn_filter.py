"""Closes a listening socket to new connections without losing those that are in its queue (Linux).

Closing the socket resets what the kernel has connected and nobody has accepted yet; and there is no moment at which
one can know that nothing comes any more. So the kernel is told to drop the segments that begin a connection: then the
queue can be emptied, and the socket closed. Who was dropped tries again after a second, and is refused, or finds
somebody else there.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys

# Linux's number on all but two old architectures, where the call fails or does nothing of interest.
_SO_ATTACH_FILTER = 26

# Classic BPF over the TCP header: its flags are in byte 13, SYN is 2, ACK 16 (RFC 9293 §3.1).
_LOAD_BYTE, _AND, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06
_PROGRAM = (
    (_LOAD_BYTE, 0, 0, 13),
    (_AND, 0, 0, 0x12),
    (_JUMP_IF_EQUAL, 0, 1, 0x02),  # SYN alone: the next line, else the one after it
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, 0xFFFFFFFF),
)


def drop_new_connections(listening: socket.socket) -> None:
    """Let no further connection into the queue of this socket. Where that can't be done, nothing happens."""
    if sys.platform != "linux" or listening.family == socket.AF_UNIX:
        return
    instructions = b"".join(struct.pack("HBBI", *instruction) for instruction in _PROGRAM)
    program = ctypes.create_string_buffer(instructions, len(instructions))
    with contextlib.suppress(OSError):
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_PROGRAM), ctypes.addressof(program))
        )
