"""Reading what a PNG says in words."""

import struct


def png_texts(path):
    """What a PNG says in words: its tEXt chunks (Latin 1) and iTXt chunks (UTF-8, not compressed)."""
    content, said = path.read_bytes(), {}
    start = 8                                               # behind the signature
    while start < len(content):
        length, kind = struct.unpack_from(">I4s", content, start)
        body = content[start + 8 : start + 8 + length]
        if kind == b"tEXt":
            key, text = body.split(b"\0", 1)
            said[key.decode()] = text.decode("latin-1")
        if kind == b"iTXt":
            key, _, text = body.partition(b"\0\0\0")
            said[key.decode()] = text.split(b"\0", 2)[2].decode("utf-8")
        start += 12 + length
    return said
