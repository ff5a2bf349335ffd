"""
The types of a SQL Server column and their bytes: in COLMETADATA, in ROW, in the rows of a bulk load.

A value is None or: int (integers, bit), Decimal (decimal, numeric, money), float (float, real), str (all texts; a lone surrogate stays one, a
byte that the code page has not is a lone surrogate too), bytes (binary family, timestamp, uniqueidentifier as it is on the wire, CLR types),
ticks of 100 ns (time), days since 0001-01-01 (date), (days, ticks) (datetime, smalldatetime, datetime2), (UTC days, ticks, minutes)
(datetimeoffset), Variant.
"""
import decimal
import struct
from decimal import ROUND_HALF_UP, Context, Decimal

WIDE = Context(prec=80)
# Also where an operator takes no context: a decimal has 38 digits, Python's own 28. New threads begin with the default one.
decimal.DefaultContext.prec = WIDE.prec
decimal.setcontext(decimal.DefaultContext.copy())
DAY = 864_000_000_000  # ticks
DAYS_1900 = 693595
MAX = -1


class BadType(Exception):
    pass


class BadValue(Exception):
    """The server would not take it: its number and words."""

    def __init__(self, number, text, severity=16):
        super().__init__(text)
        self.number, self.text, self.severity = number, text, severity


# ---- collations ----

CODE_PAGES = {0x419: "cp1251", 0x804: "cp936", 0x404: "cp950", 0x411: "cp932", 0x412: "cp949", 0x408: "cp1253", 0x41F: "cp1254",
              0x40D: "cp1255", 0x401: "cp1256", 0x425: "cp1257", 0x405: "cp1250", 0x415: "cp1250", 0x41E: "cp874", 0x42A: "cp1258"}
LCIDS = {"Cyrillic_General": 0x419, "Chinese_PRC": 0x804, "Chinese_Taiwan_Stroke": 0x404, "Japanese": 0x411, "Korean_Wansung": 0x412, "Greek": 0x408,
         "Turkish": 0x41F, "Hebrew": 0x40D, "Arabic": 0x401, "Czech": 0x405, "Polish": 0x415, "Thai": 0x41E, "Vietnamese": 0x42A,
         "Latin1_General": 0x409, "SQL_Latin1_General": 0x409, "German_PhoneBook": 0x10407, "Finnish_Swedish": 0x40B}
DEFAULT_COLLATION = "SQL_Latin1_General_CP1_CI_AS"


class Collation:
    known = {}

    def __init__(self, name):
        base = max((b for b in LCIDS if name.lower().startswith(b.lower() + "_")), key=len, default=None)
        if base is None:
            raise BadType(f"Invalid collation '{name}'.")
        self.name, self.lcid = name, LCIDS[base]
        parts = [p.upper() for p in name[len(base):].split("_")]
        self.utf8 = "UTF8" in parts
        self.ignore_case = "CI" in parts
        flags = 0x20 if "BIN2" in parts else 0x10 if "BIN" in parts else 0x0D if self.ignore_case else 0x0C
        flags |= 0x02 if "AI" in parts else 0
        flags |= 0x40 if self.utf8 else 0
        self.version = 2 if "100" in parts else 1 if "90" in parts else 0
        self.codec = "utf-8" if self.utf8 else CODE_PAGES.get(self.lcid, "cp1252")
        sort = 52 if name.upper() == DEFAULT_COLLATION.upper() else 0
        self.wire = struct.pack("<IB", self.lcid & 0xFFFFF | flags << 20 | self.version << 28, sort)

    @classmethod
    def of(cls, name):
        key = (name or DEFAULT_COLLATION).lower()
        if key not in cls.known:
            cls.known[key] = cls(name or DEFAULT_COLLATION)
        return cls.known[key]

    @property
    def code_page(self):
        return 65001 if self.utf8 else int(self.codec[2:])

    def encode(self, text):
        out = bytearray()
        for c in text:
            try:
                out += c.encode(self.codec, "surrogateescape")
            except UnicodeEncodeError:
                out += b"?"
        return bytes(out)

    def encode_fast(self, text):
        try:
            return text.encode(self.codec, "surrogateescape")
        except UnicodeEncodeError:
            return self.encode(text)

    def decode(self, raw):
        return raw.decode(self.codec, "surrogateescape")

    @classmethod
    def of_wire(cls, raw):
        for c in cls.known.values():
            if c.wire == raw:
                return c
        lcid = struct.unpack("<I", raw[:4])[0] & 0xFFFFF
        for base, number in LCIDS.items():
            if number & 0xFFFFF == lcid:
                return cls.of(base + ("_CP1_CI_AS" if base.startswith("SQL_") else "_CI_AS"))
        return cls.of(DEFAULT_COLLATION)


# ---- types ----

FIXED = {"tinyint": (0x30, 1), "bit": (0x32, 1), "smallint": (0x34, 2), "int": (0x38, 4), "smalldatetime": (0x3A, 4), "real": (0x3B, 4),
         "money": (0x3C, 8), "datetime": (0x3D, 8), "float": (0x3E, 8), "smallmoney": (0x7A, 4), "bigint": (0x7F, 8)}
FIXED_BY_TOKEN = {token: name for name, (token, _) in FIXED.items()}
NULLABLE = {"tinyint": 0x26, "smallint": 0x26, "int": 0x26, "bigint": 0x26, "bit": 0x68, "real": 0x6D, "float": 0x6D, "money": 0x6E,
            "smallmoney": 0x6E, "datetime": 0x6F, "smalldatetime": 0x6F}
BY_SIZE = {0x26: {1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"}, 0x68: {1: "bit"}, 0x6D: {4: "real", 8: "float"},
           0x6E: {4: "smallmoney", 8: "money"}, 0x6F: {4: "smalldatetime", 8: "datetime"}}
STRINGS = {"varchar": 0xA7, "char": 0xAF, "nvarchar": 0xE7, "nchar": 0xEF, "varbinary": 0xA5, "binary": 0xAD, "timestamp": 0xAD}
STRING_BY_TOKEN = {0xA7: "varchar", 0xAF: "char", 0xE7: "nvarchar", 0xEF: "nchar", 0xA5: "varbinary", 0xAD: "binary"}
BLOBS = {"text": 0x23, "ntext": 0x63, "image": 0x22}
BLOB_BY_TOKEN = {token: name for name, token in BLOBS.items()}
UDTS = ("hierarchyid", "geography", "geometry")
TEXTS = ("char", "varchar", "nchar", "nvarchar", "text", "ntext", "xml")
WIDES = ("nchar", "nvarchar", "ntext", "xml")
BYTES = ("binary", "varbinary", "image", "timestamp") + UDTS
INTS = ("bit", "tinyint", "smallint", "int", "bigint")
DECIMALS = ("decimal", "numeric", "money", "smallmoney")
RANGES = {"bit": (0, 1), "tinyint": (0, 255), "smallint": (-1 << 15, (1 << 15) - 1), "int": (-1 << 31, (1 << 31) - 1),
          "bigint": (-1 << 63, (1 << 63) - 1)}


def time_size(scale):
    return 3 if scale <= 2 else 4 if scale <= 4 else 5


def decimal_size(precision):
    return 5 if precision <= 9 else 9 if precision <= 19 else 13 if precision <= 28 else 17


class Type:
    """One type, exactly: length in bytes (MAX for max), precision and scale where it has them, collation of texts."""

    __slots__ = ("name", "length", "precision", "scale", "collation", "alias")

    def __init__(self, name, length=None, precision=None, scale=None, collation=None, alias=None):
        self.name, self.length, self.precision, self.scale, self.alias = name, length, precision, scale, alias
        self.collation = Collation.of(collation) if isinstance(collation, str) else collation
        if self.collation is None and name in TEXTS and name != "xml":
            self.collation = Collation.of(None)
        if name in FIXED:
            self.length = FIXED[name][1]
        if name in ("decimal", "numeric"):
            self.precision = 18 if precision is None else precision
            self.scale = 0 if scale is None else scale
            self.length = decimal_size(self.precision)
        if name in ("time", "datetime2", "datetimeoffset"):
            self.scale = 7 if scale is None else scale
            self.length = time_size(self.scale) + {"time": 0, "datetime2": 3, "datetimeoffset": 5}[name]
        if name == "date":
            self.length = 3
        if name == "uniqueidentifier":
            self.length = 16
        if name == "timestamp":
            self.length = 8
        if name == "sql_variant":
            self.length = 8016
        if name in BLOBS:
            self.length = 16
        if name in UDTS:
            self.length = 892 if name == "hierarchyid" else MAX
        if name == "xml":
            self.length = MAX

    def __repr__(self):
        return f"Type({self.name},{self.length},{self.precision},{self.scale},{self.collation and self.collation.name})"

    def __eq__(self, other):
        return isinstance(other, Type) and repr(self) == repr(other)

    __hash__ = None

    @property
    def plp(self):
        return self.name in UDTS or self.name == "xml" or (self.name in STRINGS and self.length == MAX)


class Variant:
    """A value that carries its type."""

    __slots__ = ("type", "value")

    def __init__(self, type_, value):
        self.type, self.value = type_, value


class Column:
    def __init__(self, name, type_, nullable=True, identity=False, computed=False, table=None):
        self.name, self.type, self.nullable, self.identity, self.computed, self.table = name, type_, nullable, identity, computed, table


# ---- scalars ----

def _money(value):
    return int((value * 10000).to_integral_value(ROUND_HALF_UP, WIDE))


def raw_of(t, value):
    """The bytes of a value that is not NULL, without any length."""
    n = t.name
    if n in INTS:
        return value.to_bytes(t.length, "little", signed=n not in ("bit", "tinyint"))
    if n in ("varchar", "char", "text"):
        return t.collation.encode_fast(value)
    if n in WIDES:
        return value.encode("utf-16-le", "surrogatepass")
    if n in BYTES or n == "uniqueidentifier":
        return bytes(value)
    if n == "float":
        return struct.pack("<d", value)
    if n == "real":
        return struct.pack("<f", value)
    if n == "money":
        return struct.pack("<iI", _money(value) >> 32, _money(value) & 0xFFFFFFFF)
    if n == "smallmoney":
        return struct.pack("<i", _money(value))
    if n in ("decimal", "numeric"):
        number = int(value.scaleb(t.scale, WIDE).to_integral_value(ROUND_HALF_UP, WIDE))
        return bytes([0 if number < 0 else 1]) + abs(number).to_bytes(t.length - 1, "little")
    if n == "datetime":
        return struct.pack("<iI", value[0] - DAYS_1900, (value[1] * 3 + 50_000) // 100_000)
    if n == "smalldatetime":
        return struct.pack("<HH", value[0] - DAYS_1900, value[1] // 600_000_000)
    if n == "date":
        return value.to_bytes(3, "little")
    if n == "time":
        return (value // 10 ** (7 - t.scale)).to_bytes(time_size(t.scale), "little")
    if n == "datetime2":
        return (value[1] // 10 ** (7 - t.scale)).to_bytes(time_size(t.scale), "little") + value[0].to_bytes(3, "little")
    if n == "datetimeoffset":
        return ((value[1] // 10 ** (7 - t.scale)).to_bytes(time_size(t.scale), "little") + value[0].to_bytes(3, "little") +
                struct.pack("<h", value[2]))
    raise BadType(n)


def value_of(t, raw):
    """The value of bytes that are not NULL. Refuses what is not of this type."""
    n = t.name
    if n in INTS:
        value = int.from_bytes(raw, "little", signed=n not in ("bit", "tinyint"))
        if n == "bit" and value > 1:
            value = 1
        return value
    if n in ("varchar", "char", "text"):
        return t.collation.decode(raw)
    if n in WIDES:
        if len(raw) % 2:
            raise BadValue(4804, f"a {n} of {len(raw)} bytes, an odd length")
        return raw.decode("utf-16-le", "surrogatepass")
    if n in BYTES:
        return raw
    if n == "uniqueidentifier":
        if len(raw) != 16:
            raise BadValue(4804, f"a uniqueidentifier of {len(raw)} bytes")
        return raw
    if n == "float":
        return struct.unpack("<d", raw)[0]
    if n == "real":
        return struct.unpack("<f", raw)[0]
    if n == "money":
        high, low = struct.unpack("<iI", raw)
        return Decimal((high << 32) + low).scaleb(-4, WIDE)
    if n == "smallmoney":
        return Decimal(struct.unpack("<i", raw)[0]).scaleb(-4, WIDE)
    if n in ("decimal", "numeric"):
        if len(raw) not in (5, 9, 13, 17) or raw[0] > 1:
            raise BadValue(4804, f"a {n} of {len(raw)} bytes with sign {raw[0]}")
        number = int.from_bytes(raw[1:], "little")
        if number >= 10 ** t.precision:
            raise BadValue(8115, f"Arithmetic overflow error converting numeric to data type {n}.")
        return Decimal(number if raw[0] else -number).scaleb(-t.scale, WIDE)
    if n == "datetime":
        days, part = struct.unpack("<iI", raw)
        if not -53690 <= days <= 2958463 or part >= 25_920_000:
            raise BadValue(4804, "a datetime out of range")
        return days + DAYS_1900, (part * 100_000 + 1) // 3
    if n == "smalldatetime":
        days, minutes = struct.unpack("<HH", raw)
        return days + DAYS_1900, minutes * 600_000_000
    unit = 10 ** (7 - t.scale) if t.scale is not None else 1
    size = time_size(t.scale) if t.scale is not None else 0
    ticks = int.from_bytes(raw[:size], "little") * unit
    if ticks >= DAY:
        raise BadValue(4804, f"a {n} at or after midnight's end")
    if n == "time":
        return ticks
    days = int.from_bytes(raw[size:size + 3], "little")
    if days > 3652058:
        raise BadValue(4804, f"a {n} after the year 9999")
    if n == "date":
        return days
    if n == "datetime2":
        return days, ticks
    if n == "datetimeoffset":
        return days, ticks, struct.unpack_from("<h", raw, size + 3)[0]
    raise BadType(n)


# ---- type info ----

def _b_varchar(text):
    raw = text.encode("utf-16-le", "surrogatepass")
    return bytes([len(raw) // 2]) + raw


def _us_varchar(text):
    raw = text.encode("utf-16-le", "surrogatepass")
    return struct.pack("<H", len(raw) // 2) + raw


def type_info(t, nullable=True):
    n = t.name
    if n in FIXED:
        return bytes([FIXED[n][0]]) if not nullable else bytes([NULLABLE[n], t.length])
    if n in ("decimal", "numeric"):
        return bytes([0x6A if n == "decimal" else 0x6C, t.length, t.precision, t.scale])
    if n == "date":
        return b"\x28"
    if n in ("time", "datetime2", "datetimeoffset"):
        return bytes([{"time": 0x29, "datetime2": 0x2A, "datetimeoffset": 0x2B}[n], t.scale])
    if n == "uniqueidentifier":
        return b"\x24\x10"
    if n in STRINGS:
        out = struct.pack("<BH", STRINGS[n], 0xFFFF if t.length == MAX else t.length)
        return out + (t.collation.wire if n in TEXTS else b"")
    if n in BLOBS:
        out = struct.pack("<BI", BLOBS[n], 0x7FFFFFFE if n == "ntext" else 0x7FFFFFFF)
        return out + (t.collation.wire if n in TEXTS else b"")
    if n == "xml":
        return b"\xf1\0"
    if n == "sql_variant":
        return struct.pack("<BI", 0x62, 8009)
    if n in UDTS:
        assembly = f"Microsoft.SqlServer.Types.Sql{n.capitalize()}, Microsoft.SqlServer.Types, Version=11.0.0.0"
        return struct.pack("<BH", 0xF0, 0xFFFF if t.length == MAX else t.length) + _b_varchar("master") + _b_varchar("sys") + _b_varchar(n) + _us_varchar(assembly)
    raise BadType(n)


def column_metadata(columns):
    """COLMETADATA of a reply."""
    out = bytearray(struct.pack("<BH", 0x81, len(columns)))
    for c in columns:
        flags = (1 if c.nullable else 0) | 8 | (0x10 if c.identity else 0) | (0x20 if c.computed else 0)
        out += struct.pack("<IH", 80 if c.type.name == "timestamp" else 0, flags) + type_info(c.type, c.nullable)
        if c.type.name in BLOBS:
            parts = [c.table or ""]
            out += bytes([len(parts)]) + b"".join(_us_varchar(p) for p in parts)
        out += _b_varchar(c.name)
    return bytes(out)


# ---- values in a row ----

def _plp(raw, chunk=32768):
    out = bytearray(struct.pack("<Q", len(raw)))
    for at in range(0, len(raw), chunk):
        part = raw[at:at + chunk]
        out += struct.pack("<I", len(part)) + part
    return bytes(out + b"\0\0\0\0")


def _variant(value):
    t, v = value.type, value.value
    raw = raw_of(t, v)
    n = t.name
    if n in FIXED:
        token, props = FIXED[n][0], b""
    elif n in ("decimal", "numeric"):
        token, props = (0x6A if n == "decimal" else 0x6C), bytes([t.precision, t.scale])
    elif n in STRINGS:
        token, props = STRINGS[n], (t.collation.wire if n in TEXTS else b"") + struct.pack("<H", max(t.length, len(raw)))
    elif n in ("time", "datetime2", "datetimeoffset"):
        token, props = {"time": 0x29, "datetime2": 0x2A, "datetimeoffset": 0x2B}[n], bytes([t.scale])
    else:
        token, props = {"date": 0x28, "uniqueidentifier": 0x24}[n], b""
    body = bytes([token, len(props)]) + props + raw
    return struct.pack("<I", len(body)) + body


NULL_TEXT_POINTER = b"dummy textptr\0\0\0" + b"dummyTS\0"


def cell(column, value):
    t = column.type
    n = t.name
    if value is None:
        if n in FIXED and not column.nullable:
            raise BadValue(0, f"a NULL in column {column.name}, which is NOT NULL")
        if t.plp:
            return b"\xff" * 8
        if n in STRINGS:
            return b"\xff\xff"
        return b"\0\0\0\0" if n == "sql_variant" else b"\0"
    if n == "sql_variant":
        return _variant(value)
    raw = raw_of(t, value)
    if n in FIXED:
        return raw if not column.nullable else bytes([len(raw)]) + raw
    if t.plp:
        return _plp(raw)
    if n in STRINGS:
        if n in ("char", "nchar", "binary") and len(raw) < t.length:
            pad = {"char": b" ", "nchar": b" \0", "binary": b"\0"}[n]
            raw += pad * ((t.length - len(raw)) // len(pad))
        return struct.pack("<H", len(raw)) + raw
    if n in BLOBS:
        return b"\x10" + NULL_TEXT_POINTER + struct.pack("<I", len(raw)) + raw
    return bytes([len(raw)]) + raw


def row(columns, values):
    """ROW, or NBCROW where at least a quarter is NULL, so that a client meets both."""
    if len(columns) != len(values):
        raise BadValue(0, f"{len(values)} values in {len(columns)} columns")
    nulls = [v is None for v in values]
    if 4 * sum(nulls) < len(values) or not any(nulls):
        return b"\xd1" + b"".join(cell(c, v) for c, v in zip(columns, values))
    bitmap = bytearray((len(values) + 7) // 8)
    for i, null in enumerate(nulls):
        if null:
            if columns[i].type.name in FIXED and not columns[i].nullable:
                raise BadValue(0, f"a NULL in column {columns[i].name}, which is NOT NULL")
            bitmap[i // 8] |= 1 << i % 8
    return b"\xd2" + bytes(bitmap) + b"".join(cell(c, v) for c, v in zip(columns, values) if v is not None)
