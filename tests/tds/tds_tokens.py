"""The tokens of a reply."""
import struct

DONE, DONEPROC, DONEINPROC = 0xFD, 0xFE, 0xFF
MORE, ERROR, IN_TRANSACTION, COUNT, ATTENTION_ACK, SERVER_ERROR = 1, 2, 4, 0x10, 0x20, 0x100
SERVER = "ENDPOINT"


def wide(text):
    return text.encode("utf-16-le", "surrogatepass")


def b_varchar(text):
    raw = wide(text)
    return bytes([len(raw) // 2]) + raw


def us_varchar(text):
    raw = wide(text)
    return struct.pack("<H", len(raw) // 2) + raw


def _sized(token, body):
    return struct.pack("<BH", token, len(body)) + body


def login_ack(version):
    name = b_varchar("Microsoft SQL Server")
    return _sized(0xAD, b"\x01" + struct.pack(">I", version) + name + bytes([15, 0, 0x10, 0x39]))


def env_change(kind, new, old=""):
    return _sized(0xE3, bytes([kind]) + b_varchar(new) + b_varchar(old))


def env_collation(new):
    return _sized(0xE3, bytes([7, len(new)]) + new + b"\0")


def env_transaction(kind, descriptor):
    raw = struct.pack("<Q", descriptor)
    return _sized(0xE3, bytes([kind]) + (b"\x08" + raw + b"\0" if kind == 8 else b"\0\x08" + raw))


def message(number, severity, text, state=1, procedure="", line=1):
    """An INFO below severity 11, an ERROR from there on."""
    body = struct.pack("<IBB", number & 0xFFFFFFFF, state, severity) + us_varchar(text) + b_varchar(SERVER)
    return _sized(0xAA if severity > 10 else 0xAB, body + b_varchar(procedure) + struct.pack("<I", line))


def done(status=0, rows=None, token=DONE, command=0xC1):
    if rows is not None:
        status |= COUNT
    return struct.pack("<BHHQ", token, status, command, rows or 0)


def return_status(value):
    return struct.pack("<Bi", 0x79, value)


def order_by(columns):
    return _sized(0xA9, b"".join(struct.pack("<H", c) for c in columns))
