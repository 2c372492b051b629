"""Binary frames: bytes of one stream with their position in the file."""

from __future__ import annotations

import struct
from typing import NamedTuple

from .errors import ProtocolError

HEADER = struct.Struct(">BBHIQ")
"""`u8 kind, u8 flags, u16 reserved, u32 stream, u64 offset`, big endian."""

KIND_FILE = 1
MAX_PAYLOAD = 256 * 1024
"""The longest payload of a frame, in bytes."""


class FileFrame(NamedTuple):
    """Bytes of one stream."""

    stream: int
    offset: int
    """The position of the first byte in the file."""
    payload: memoryview
    """A view of the received message, not a copy."""


def decode_frame(data: bytes) -> FileFrame | None:
    """Decode a frame. Returns `None` for an unknown kind, which clients ignore."""
    if len(data) < HEADER.size:
        raise ProtocolError(f"a binary frame of {len(data)} bytes is shorter than its header")
    kind, _flags, _reserved, stream, offset = HEADER.unpack_from(data)
    if kind != KIND_FILE:
        return None
    payload = memoryview(data)[HEADER.size :]
    if len(payload) > MAX_PAYLOAD:
        raise ProtocolError(f"a binary frame has a payload of {len(payload)} bytes")
    return FileFrame(stream, offset, payload)


def encode_frame(stream: int, offset: int, payload: bytes) -> bytes:
    """Encode a frame, for servers and tests."""
    return HEADER.pack(KIND_FILE, 0, 0, stream, offset) + payload
