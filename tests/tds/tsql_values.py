"""Conversions, comparison and sort order of values (as tds_types.py has them)."""
import re
import struct
from datetime import date
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, InvalidOperation

from tds_types import (BYTES, DAY, DAYS_1900, DECIMALS, INTS, MAX, RANGES, TEXTS, WIDE, WIDES, BadValue, Type, Variant, raw_of, time_size,
                       value_of)

DATES = ("date", "time", "datetime", "smalldatetime", "datetime2", "datetimeoffset")
FLOATS = ("float", "real")
# As the server's: what is further left wins.
PRECEDENCE = ["sql_variant", "xml", "datetimeoffset", "datetime2", "datetime", "smalldatetime", "date", "time", "float", "real", "decimal",
              "numeric", "money", "smallmoney", "bigint", "int", "smallint", "tinyint", "bit", "ntext", "text", "image", "timestamp",
              "uniqueidentifier", "nvarchar", "nchar", "varchar", "char", "varbinary", "binary", "hierarchyid", "geography", "geometry"]
NULL_TYPE = Type("int", alias="null")


def overflow(t):
    raise BadValue(8115, f"Arithmetic overflow error converting expression to data type {t.name}.")


def cannot(source, t):
    raise BadValue(529, f"Explicit conversion from data type {source.name} to {t.name} is not allowed.")


# ---- texts ----

def _number_text(source, value):
    if source.name in ("money", "smallmoney"):
        return f"{value:.2f}"
    if source.name in DECIMALS:
        return f"{value:.{source.scale}f}"
    if source.name in FLOATS:
        return f"{value:.6g}" if source.name == "float" else f"{value:.6g}"
    return str(value)


def guid_text(raw):
    return f"{raw[3::-1].hex()}-{raw[5:3:-1].hex()}-{raw[7:5:-1].hex()}-{raw[8:10].hex()}-{raw[10:].hex()}".upper()


def guid_of(text):
    m = re.fullmatch(r"\{?([0-9a-fA-F]{8})-([0-9a-fA-F]{4})-([0-9a-fA-F]{4})-([0-9a-fA-F]{4})-([0-9a-fA-F]{12})\}?", text.strip())
    if not m:
        raise BadValue(8169, "Conversion failed when converting from a character string to uniqueidentifier.")
    a, b, c, d, e = (bytes.fromhex(g) for g in m.groups())
    return a[::-1] + b[::-1] + c[::-1] + d + e


def _clock(ticks, scale):
    seconds, part = divmod(ticks, 10_000_000)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return text + (f".{part:07}"[:scale + 1] if scale else "")


def _day(days):
    return date.fromordinal(days + 1).isoformat()


def date_text(source, value, style):
    n = source.name
    if n == "date":
        return _day(value).replace("-", "") if style == 112 else _day(value)
    if n == "time":
        return _clock(value, source.scale)
    days, ticks = value[0], value[1]
    if n == "datetimeoffset":
        total = days * DAY + ticks + value[2] * 600_000_000
        days, ticks = divmod(total, DAY)
    scale = {"datetime": 3, "smalldatetime": 0}.get(n, source.scale)
    between = "T" if style in (126, 127) else " "
    if n in ("datetime", "smalldatetime") and style in (None, 0, 100):
        d = date.fromordinal(days + 1)
        hour = ticks // 36_000_000_000
        return f"{d:%b} {d.day:2} {d.year:04} {(hour + 11) % 12 + 1:2}:{ticks // 600_000_000 % 60:02}{'AM' if hour < 12 else 'PM'}"
    text = _day(days) + between + _clock(ticks, scale if n != "smalldatetime" or style else 0)
    if n == "datetimeoffset":
        text += f" {'-' if value[2] < 0 else '+'}{abs(value[2]) // 60:02}:{abs(value[2]) % 60:02}"
    return text


def text_of(source, value, style=None):
    n = source.name
    if n in TEXTS:
        return value
    if n == "uniqueidentifier":
        return guid_text(value)
    if n in DATES:
        return date_text(source, value, style)
    if n in INTS or n in DECIMALS or n in FLOATS:
        if n in FLOATS and style == 3:
            return repr(value)
        return _number_text(source, value)
    if n == "sql_variant":
        return text_of(value.type, value.value, style)
    raise BadValue(529, f"Explicit conversion from data type {n} to varchar is not allowed.")


# ---- dates ----

MOMENT = re.compile(r"\s*(?:(\d{4})-?(\d\d)-?(\d\d))?(?:[ T]*(\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(?:([+-])(\d\d):(\d\d)|(Z))?\s*")


def moment(text, t):
    """A text as (days, ticks, minutes of offset)."""
    m = MOMENT.fullmatch(text)
    if not m or not (m.group(1) or m.group(4) or not text.strip()):
        raise BadValue(241, "Conversion failed when converting date and/or time from character string.")
    try:
        days = date(int(m.group(1)), int(m.group(2)), int(m.group(3))).toordinal() - 1 if m.group(1) else DAYS_1900
    except ValueError:
        raise BadValue(242, f"The conversion of a varchar data type to a {t.name} data type resulted in an out-of-range value.") from None
    hour, minute, second = (int(m.group(i) or 0) for i in (4, 5, 6))
    if hour > 23 or minute > 59 or second > 59:
        raise BadValue(242, f"The conversion of a varchar data type to a {t.name} data type resulted in an out-of-range value.")
    part = int((m.group(7) or "0").ljust(9, "0")[:9])
    ticks = (hour * 3600 + minute * 60 + second) * 10_000_000 + (part + 50) // 100
    offset = int(m.group(9)) * 60 + int(m.group(10)) if m.group(8) else 0
    return days, ticks, -offset if m.group(8) == "-" else offset


def _round_to(days, ticks, unit):
    total = (days * DAY + ticks + unit // 2) // unit * unit
    return divmod(total, DAY)


def date_of(t, days, ticks, offset):
    """days and ticks are UTC for an offset that is not 0."""
    n = t.name
    if n == "datetimeoffset":
        return (*_round_to(days, ticks, 10 ** (7 - t.scale)), offset)
    if offset:
        days, ticks = divmod(days * DAY + ticks + offset * 600_000_000, DAY)
    if n == "date":
        return days
    if n == "time":
        return _round_to(0, ticks, 10 ** (7 - t.scale))[1]
    if n == "datetime2":
        return _round_to(days, ticks, 10 ** (7 - t.scale))
    if n == "smalldatetime":
        return _round_to(days, ticks, 600_000_000)
    return value_of(t, raw_of(t, (days, ticks)))  # a datetime counts in 1/300 s


def _moment_of_bytes(source, t, value):
    """As _bytes_of() gives them."""
    if t.name == "datetime" and len(value) == 8:
        days, clock = struct.unpack(">iI", value)
        return days + DAYS_1900, (clock * 100_000 + 1) // 3
    if t.name == "smalldatetime" and len(value) == 4:
        days, minutes = struct.unpack(">HH", value)
        return days + DAYS_1900, minutes * 600_000_000
    if t.name == "date" and len(value) == 3:
        return int.from_bytes(value, "little")
    if t.name in ("time", "datetime2", "datetimeoffset") and value and value[0] <= 7:
        size = time_size(value[0])
        ticks = int.from_bytes(value[1:1 + size], "little") * 10 ** (7 - value[0])
        days = int.from_bytes(value[1 + size:4 + size], "little")
        if t.name == "time":
            return ticks
        return (days, ticks) if t.name == "datetime2" else (days, ticks, struct.unpack("<h", value[4 + size:6 + size])[0])
    return cannot(source, t)


def _to_date(source, t, value):
    n = source.name
    if n in TEXTS:
        days, ticks, offset = moment(value, t)
        if t.name == "datetimeoffset" or offset:
            days, ticks = divmod(days * DAY + ticks - offset * 600_000_000, DAY)
        return date_of(t, days, ticks, offset)
    if n in BYTES:
        return _moment_of_bytes(source, t, value)
    if n == "date":
        return date_of(t, value, 0, 0)
    if n == "time":
        return date_of(t, DAYS_1900, value, 0)
    if n in DATES:
        return date_of(t, value[0], value[1], value[2] if n == "datetimeoffset" else 0)
    if n in INTS or n in DECIMALS or n in FLOATS:
        total = int(Decimal(value) * DAY)
        return date_of(t, DAYS_1900 + total // DAY, total % DAY, 0)
    return cannot(source, t)


# ---- numbers ----

def _number(source, t, value):
    n = source.name
    if n in INTS or n in DECIMALS:
        return Decimal(value)
    if n in FLOATS:
        return Decimal(value)
    if n in TEXTS:
        text = value.strip()
        if t.name in ("money", "smallmoney"):
            text = text.replace(",", "").replace("$", "")
        try:
            if not text and t.name not in DECIMALS:
                return Decimal(0)
            if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text):
                raise InvalidOperation
            return Decimal(text)
        except InvalidOperation:
            if t.name in INTS:
                raise BadValue(245, f"Conversion failed when converting the varchar value '{value}' to data type {t.name}.") from None
            raise BadValue(8114, f"Error converting data type {n} to {t.name}.") from None
    if n in BYTES and t.name in ("decimal", "numeric"):  # as _bytes_of() gives them
        if len(value) < 5 or value[3] > 1:
            return cannot(source, t)
        number = Decimal(int.from_bytes(value[4:], "little")).scaleb(-value[1], WIDE)
        return number if value[3] else -number
    if n in BYTES and t.name in ("money", "smallmoney"):
        return Decimal(int.from_bytes(value[-8:], "big", signed=True)).scaleb(-4, WIDE)
    if n in BYTES:
        return Decimal(int.from_bytes(value[-8:], "big", signed=False))
    if n in DATES:
        if isinstance(value, tuple):
            return Decimal(value[0] - DAYS_1900) + Decimal(value[1]) / DAY
    return cannot(source, t)


def _to_number(source, t, value):
    n = t.name
    if n in FLOATS:
        out = float(value) if source.name in FLOATS else float(_number(source, t, value))
        return struct.unpack("<f", struct.pack("<f", out))[0] if n == "real" else out
    number = _number(source, t, value)
    if n == "bit":
        return 1 if number else 0
    if n in INTS:
        out = int(number.to_integral_value(ROUND_HALF_UP if source.name in ("money", "smallmoney") else ROUND_DOWN, WIDE))
        low, high = RANGES[n]
        if source.name in BYTES:
            out = int.from_bytes(value[-t.length:].rjust(t.length, b"\0"), "big", signed=n != "tinyint")
        return out if low <= out <= high else overflow(t)
    scale = 4 if n in ("money", "smallmoney") else t.scale
    out = number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, WIDE)
    if n in ("money", "smallmoney"):
        edge = 1 << (63 if n == "money" else 31)
        return out if -edge <= out.scaleb(4, WIDE) < edge else overflow(t)
    return out if abs(out.scaleb(scale, WIDE)) < 10 ** t.precision else overflow(t)


# ---- bytes ----

def _bytes_of(source, value, style):
    n = source.name
    if n in TEXTS and style in (1, 2):
        text = value[2:] if style == 1 else value
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise BadValue(8114, "Error converting data type varchar to varbinary.") from None
    if n == "sql_variant":
        return _bytes_of(value.type, value.value, style)
    if n in INTS:
        return value.to_bytes(source.length, "big", signed=n not in ("bit", "tinyint"))
    if n in ("decimal", "numeric"):
        raw = raw_of(source, value)
        return bytes([source.precision, source.scale, 0, raw[0]]) + raw[1:]
    if n in FLOATS or n in ("money", "smallmoney", "datetime", "smalldatetime"):
        raw = raw_of(source, value)
        if n in ("money", "datetime"):
            return raw[3::-1] + raw[:3:-1]
        if n == "smalldatetime":
            return raw[1::-1] + raw[:1:-1]
        return raw[::-1]
    if n in ("time", "datetime2", "datetimeoffset"):
        return bytes([source.scale]) + raw_of(source, value)
    return raw_of(source, value)


def _to_bytes(source, t, value, style):
    raw = _bytes_of(source, value, style)
    if t.length not in (MAX, None) and t.name in ("binary", "varbinary", "timestamp"):
        raw = raw[-t.length:] if source.name in INTS or source.name in DECIMALS else raw[:t.length]
        if t.name != "varbinary" and len(raw) < t.length:
            raw = raw.rjust(t.length, b"\0") if source.name in INTS else raw.ljust(t.length, b"\0")
    return raw


# ---- all ----

def fit_text(t, text, strict):
    """A text for a column or a CAST: cut where that is silent, else an error."""
    if t.name in WIDES:
        if t.length == MAX or t.name in ("ntext", "xml"):
            return text
        raw = text.encode("utf-16-le", "surrogatepass")
        if len(raw) > t.length:
            if strict and raw[t.length:].strip(b" \0"):
                raise BadValue(8152, "String or binary data would be truncated.")
            raw = raw[:t.length]
        if t.name == "nchar":
            raw = raw.ljust(t.length // 2 * 2, b"\0")[:len(raw)] + b" \0" * ((t.length - len(raw)) // 2)
        return raw.decode("utf-16-le", "surrogatepass")
    raw = t.collation.encode_fast(text)
    if t.length != MAX and t.name != "text":
        if len(raw) > t.length:
            if strict and raw[t.length:].strip(b" "):
                raise BadValue(8152, "String or binary data would be truncated.")
            raw = raw[:t.length]
        if t.name == "char":
            raw = raw.ljust(t.length)
    return t.collation.decode(raw)


def convert(source, t, value, style=None, strict=False):
    """CAST and CONVERT; strict: as an INSERT does, which does not cut."""
    if value is None:
        return None
    n = t.name
    if source.name == n and n not in TEXTS + ("decimal", "numeric", "binary", "varbinary", "time", "datetime2", "datetimeoffset"):
        return value
    if n == "sql_variant":
        if source.name in ("text", "ntext", "image", "xml", "timestamp") or source.plp:
            raise BadValue(206, f"Operand type clash: {source.name} is incompatible with sql_variant")
        return value if isinstance(value, Variant) else Variant(source, value)
    if source.name == "sql_variant":
        return convert(value.type, t, value.value, style, strict)
    if n in TEXTS:
        if source.name in BYTES and source.name not in ("hierarchyid",):
            if style in (1, 2):
                return fit_text(t, ("0x" if style == 1 else "") + value.hex().upper(), strict)
            return fit_text(t, value[:len(value) // 2 * 2].decode("utf-16-le", "surrogatepass") if n in WIDES else t.collation.decode(value), strict)
        return fit_text(t, text_of(source, value, style), strict)
    if n in BYTES:
        raw = _to_bytes(source, t, value, style)
        if strict and source.name in BYTES and t.length not in (MAX, None) and t.name in ("binary", "varbinary") and len(value) > t.length:
            raise BadValue(8152, "String or binary data would be truncated.")
        return raw
    if n == "uniqueidentifier":
        if source.name in TEXTS:
            return guid_of(value)
        if source.name in BYTES and len(value) >= 16:
            return bytes(value[:16])
        return cannot(source, t)
    if n in DATES:
        return _to_date(source, t, value)
    return _to_number(source, t, value)


def wider(a, b):
    """The type of two together (UNION, CASE, COALESCE, comparison)."""
    if a.alias == "null":
        return b
    if b.alias == "null":
        return a
    first, second = sorted((a, b), key=lambda t: PRECEDENCE.index(t.name))
    n = first.name
    if n in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        lengths = [t.length * (2 if n[0] == "n" and t.name[0] != "n" else 1) if t.length != MAX else MAX for t in (a, b) if t.length is not None]
        length = MAX if MAX in lengths else max(lengths)
        if first.name != second.name:
            n = n if n.startswith(("var", "nvar")) else {"char": "varchar", "nchar": "nvarchar", "binary": "varbinary"}[n]
        return Type(n, length, collation=first.collation or second.collation)
    if n in ("decimal", "numeric"):
        s1, s2 = _digits(a), _digits(b)
        scale = max(s1[1], s2[1])
        precision = min(38, max(s1[0] - s1[1], s2[0] - s2[1]) + scale)
        return Type(n, precision=precision, scale=min(scale, precision))
    if n in ("time", "datetime2", "datetimeoffset"):
        return Type(n, scale=max(t.scale or 0 for t in (a, b) if t.name == n))
    return first


def _digits(t):
    if t.name in ("decimal", "numeric"):
        return t.precision, t.scale
    return {"bit": (1, 0), "tinyint": (3, 0), "smallint": (5, 0), "int": (10, 0), "bigint": (19, 0), "money": (19, 4),
            "smallmoney": (10, 4)}.get(t.name, (38, 0))


digits = _digits


def sort_key(t, value):
    """A key that sorts as ORDER BY does; NULL first."""
    if value is None:
        return (0,)
    return (1, comparable(t, value))


def comparable(t, value):
    n = t.name
    if n in TEXTS and n != "xml":
        text = value.rstrip(" ")
        if t.collation and t.collation.ignore_case:
            return (text.casefold(),)
        return (text,)
    if n == "uniqueidentifier":
        return value[10:] + value[8:10] + value[6:8] + value[4:6] + value[:4]
    if n == "datetimeoffset":
        return value[:2]
    if n == "sql_variant":
        return (PRECEDENCE.index(value.type.name) * -1, comparable(value.type, value.value))
    if n == "binary" or n == "varbinary":
        return value.rstrip(b"\0")
    if n in ("text", "ntext", "image", "xml", "geography", "geometry"):
        raise BadValue(306, f"The {n} data type cannot be compared or sorted, except when using IS NULL or LIKE operator.")
    return value


def like_pattern(pattern, escape):
    """A LIKE pattern as a regular expression."""
    out, at = "", 0
    while at < len(pattern):
        c = pattern[at]
        if escape and c == escape and at + 1 < len(pattern):
            at += 1
            out += re.escape(pattern[at])
        elif c == "%":
            out += ".*"
        elif c == "_":
            out += "."
        elif c == "[" and "]" in pattern[at + 1:]:
            end = pattern.index("]", at + 2) if pattern[at + 1:at + 2] == "]" else pattern.index("]", at + 1)
            inside = pattern[at + 1:end]
            negated = inside.startswith("^")
            out += "[" + ("^" if negated else "") + re.sub(r"([\\\[\]^])", r"\\\1", inside[negated:]) + "]"
            at = end
        else:
            out += re.escape(c)
        at += 1
    return out
