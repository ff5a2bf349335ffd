"""The data of a bulk load as clients of TDS 7.4 send it: COLMETADATA, rows, perhaps a DONE."""
import struct

from tds_types import (BLOB_BY_TOKEN, BY_SIZE, FIXED_BY_TOKEN, MAX, STRING_BY_TOKEN, TEXTS, UDTS, BadValue, Collation, Column, Type,
                       value_of)


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if n < 0 or self.at + n > len(self.data):
            raise BadValue(4804, "Premature end-of-message while reading the bulk data.")
        part = self.data[self.at:self.at + n]
        self.at += n
        return part

    def unpack(self, form):
        values = struct.unpack(form, self.take(struct.calcsize(form)))
        return values if len(values) > 1 else values[0]

    def wide(self, count):
        return self.take(2 * count).decode("utf-16-le", "surrogatepass")


def _type(r):
    """A TYPE_INFO: the type and whether the column can be NULL by its encoding."""
    token = r.unpack("<B")
    if token in FIXED_BY_TOKEN:
        return Type(FIXED_BY_TOKEN[token]), False
    if token in BY_SIZE:
        size = r.unpack("<B")
        if size not in BY_SIZE[token]:
            raise BadValue(4804, f"a type {token:#x} of {size} bytes")
        return Type(BY_SIZE[token][size]), True
    if token in (0x6A, 0x6C):
        _, precision, scale = r.unpack("<BBB")
        if not 1 <= precision <= 38 or scale > precision:
            raise BadValue(4804, f"a decimal({precision},{scale})")
        return Type("decimal" if token == 0x6A else "numeric", precision=precision, scale=scale), True
    if token == 0x28:
        return Type("date"), True
    if token in (0x29, 0x2A, 0x2B):
        scale = r.unpack("<B")
        if scale > 7:
            raise BadValue(4804, f"a time of scale {scale}")
        return Type({0x29: "time", 0x2A: "datetime2", 0x2B: "datetimeoffset"}[token], scale=scale), True
    if token == 0x24:
        r.take(1)
        return Type("uniqueidentifier"), True
    if token in STRING_BY_TOKEN:
        name, length = STRING_BY_TOKEN[token], r.unpack("<H")
        collation = Collation.of_wire(r.take(5)) if name in TEXTS else None
        return Type(name, MAX if length == 0xFFFF else length, collation=collation), True
    if token in BLOB_BY_TOKEN:
        name = BLOB_BY_TOKEN[token]
        r.take(4)
        return Type(name, collation=Collation.of_wire(r.take(5)) if name in TEXTS else None), True
    if token == 0xF1:
        if r.unpack("<B"):
            raise BadValue(4804, "an xml with a schema in a bulk load")
        return Type("xml"), True
    if token == 0x62:
        r.take(4)
        return Type("sql_variant"), True
    raise BadValue(4804, f"Invalid column type from bcp client: {token:#x}.")


def _columns(r):
    if r.unpack("<B") != 0x81:
        raise BadValue(4804, "bulk data that does not begin with its columns")
    columns = []
    for _ in range(r.unpack("<H")):
        _, flags = r.unpack("<IH")
        t, nullable = _type(r)
        if t.name in BLOB_BY_TOKEN.values():
            r.wide(r.unpack("<H"))
        name = r.wide(r.unpack("<B"))
        columns.append(Column(name, t, nullable, bool(flags & 0x10)))
    return columns


def _plp(r):
    total = r.unpack("<Q")
    if total == 0xFFFFFFFFFFFFFFFF:
        return None
    parts = []
    while True:
        size = r.unpack("<I")
        if size == 0:
            break
        parts.append(r.take(size))
    raw = b"".join(parts)
    if total != 0xFFFFFFFFFFFFFFFE and total != len(raw):
        raise BadValue(4804, f"a long value said {total} bytes and had {len(raw)}")
    return raw


def _raw(r, column):
    """The bytes of one cell; None for NULL."""
    t = column.type
    n = t.name
    if t.plp or n in UDTS:
        return _plp(r)
    if not column.nullable:
        return r.take(t.length)
    if n in STRING_BY_TOKEN.values():
        size = r.unpack("<H")
        if size == 0xFFFF:
            return None
        if size > t.length:
            raise BadValue(4863, f"{size} bytes in column {column.name} of {t.length}")
        return r.take(size)
    if n in BLOB_BY_TOKEN.values():
        pointer = r.unpack("<B")
        if pointer == 0:
            return None
        r.take(pointer + 8)
        return r.take(r.unpack("<I"))
    if n == "sql_variant":
        raise BadValue(4804, "a sql_variant in a bulk load is not read here")
    size = r.unpack("<B")
    if size == 0:
        return None
    if n not in ("decimal", "numeric") and size != t.length:
        raise BadValue(4804, f"{size} bytes in column {column.name} of {t.length}")
    return r.take(size)


def decode(data):
    """Columns and rows of one bulk load. Raises BadValue where the server would."""
    r = _Reader(data)
    columns = _columns(r)
    rows = []
    while r.at < len(data):
        token = r.unpack("<B")
        if token == 0xFD:
            r.take(12)
            if r.at != len(data):
                raise BadValue(4804, "something behind the end of the bulk data")
            break
        if token != 0xD1:
            raise BadValue(4804, f"token {token:#x} among the rows of a bulk load")
        values = []
        for c in columns:
            raw = _raw(r, c)
            values.append(None if raw is None else value_of(c.type, raw))
        rows.append(values)
    return columns, rows
