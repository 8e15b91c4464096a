"""Read the texts in the metadata of a PNG."""

import struct


def png_texts(path):
    """Return {key: text} from two kinds of chunks of a PNG: tEXt (in Latin 1) and uncompressed iTXt (in UTF-8)."""
    content, texts = path.read_bytes(), {}
    start = 8                                               # the chunks begin after the signature of 8 bytes
    while start < len(content):
        length, kind = struct.unpack_from(">I4s", content, start)
        body = content[start + 8 : start + 8 + length]
        if kind == b"tEXt":
            key, text = body.split(b"\0", 1)
            texts[key.decode()] = text.decode("latin-1")
        if kind == b"iTXt":
            key, _, text = body.partition(b"\0\0\0")
            texts[key.decode()] = text.split(b"\0", 2)[2].decode("utf-8")
        start += 12 + length
    return texts
