"""PRELOGIN and LOGIN7, read and checked."""
import struct

from tds_wire import Refused

ENCRYPT_OFF, ENCRYPT_ON, ENCRYPT_NOT_SUPPORTED, ENCRYPT_REQUIRED = 0, 1, 2, 3


def prelogin_read(data):
    """The options by token; ENCRYPTION as a number."""
    options, at = {}, 0
    while True:
        if at >= len(data):
            raise Refused("a PRELOGIN without end")
        if data[at] == 0xFF:
            break
        if at + 5 > len(data):
            raise Refused("a PRELOGIN that is cut off")
        token, offset, length = struct.unpack_from(">BHH", data, at)
        if offset + length > len(data):
            raise Refused(f"option {token} of the PRELOGIN points outside")
        options[token] = data[offset:offset + length]
        at += 5
    if 0 not in options or 1 not in options:
        raise Refused("a PRELOGIN without version or encryption")
    return options


def prelogin_reply(encryption, version=(15, 0, 4153)):
    parts = [(0, struct.pack(">BBHH", *version, 0)), (1, bytes([encryption])), (2, b"\0"), (3, b""), (4, b"\0")]
    offset = 5 * len(parts) + 1
    head, tail = b"", b""
    for token, body in parts:
        head += struct.pack(">BHH", token, offset + len(tail), len(body))
        tail += body
    return head + b"\xff" + tail


def encryption_agreed(client, mode):
    """What the server answers, and whether nothing, the login or everything is encrypted. mode: off, login, require; downgrade:
    the login alone, whatever the client asks for."""
    if mode == "downgrade":
        return ENCRYPT_OFF, "login"
    if mode == "off":
        return ENCRYPT_NOT_SUPPORTED, None
    if client == ENCRYPT_NOT_SUPPORTED:
        return (ENCRYPT_REQUIRED if mode == "require" else ENCRYPT_NOT_SUPPORTED), None
    if mode == "require":
        return ENCRYPT_REQUIRED, "all"
    return (ENCRYPT_ON, "all") if client in (ENCRYPT_ON, ENCRYPT_REQUIRED) else (ENCRYPT_OFF, "login")


class Login:
    """The fields of a LOGIN7."""

    FIELDS = ["host", "user", "password", "application", "server", None, "library", "language", "database"]

    def __init__(self, data):
        if len(data) < 94 or struct.unpack_from("<I", data)[0] != len(data):
            raise Refused("a LOGIN7 whose length is wrong")
        self.version, self.packet_size = struct.unpack_from("<II", data, 4)
        self.process, = struct.unpack_from("<I", data, 16)
        self.flags1, self.flags2, self.type_flags, self.flags3 = struct.unpack_from("<BBBB", data, 24)
        if self.version >> 24 not in (0x71, 0x72, 0x73, 0x74):
            raise Refused(f"TDS version {self.version:08x}")
        for i, name in enumerate(self.FIELDS):
            offset, count = struct.unpack_from("<HH", data, 36 + 4 * i)
            if name is None:
                continue
            if offset + 2 * count > len(data):
                raise Refused(f"the {name} of the LOGIN7 points outside")
            raw = data[offset:offset + 2 * count]
            if name == "password":
                raw = bytes(((b ^ 0xA5) << 4 | (b ^ 0xA5) >> 4) & 255 for b in raw)
            setattr(self, name, raw.decode("utf-16-le", "surrogatepass"))
        offset, count = struct.unpack_from("<HH", data, 78)
        self.sspi = data[offset:offset + count]

    @property
    def odbc(self):
        """Does the client want the ANSI settings of ODBC?"""
        return bool(self.flags2 & 2)

    @property
    def read_only_intent(self):
        return bool(self.type_flags & 0x20)
