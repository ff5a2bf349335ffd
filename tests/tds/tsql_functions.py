"""The functions that a statement may call, by name. What is not here is error 195, as an unknown function is."""
import hashlib
import struct
import uuid
from datetime import datetime, timezone
from decimal import Decimal

from tds_types import DAY, MAX, TEXTS, WIDES, BadValue, Collation, Type, Variant, raw_of
from tsql_values import convert, moment

INT, BIGINT, FLOAT = Type("int"), Type("bigint"), Type("float")
SYSNAME = Type("nvarchar", 256)
LONG = Type("nvarchar", MAX)
VARIANT = Type("sql_variant")


def _now(offset=False):
    now = datetime.now(timezone.utc)
    days = now.toordinal() - 1
    ticks = ((now.hour * 60 + now.minute) * 60 + now.second) * 10_000_000 + now.microsecond * 10
    return (days, ticks, 0) if offset else (days, ticks)



def _datalength(source, v):
    if source.name == "sql_variant":
        return _datalength(v.type, v.value)
    return len(raw_of(source, v))


def _variant_property(v, what):
    t = v.type
    what = what.lower()
    if what == "basetype":
        return Variant(SYSNAME, t.name)
    if what == "collation":
        return Variant(SYSNAME, t.collation.name) if t.collation else None
    number = {"precision": t.precision if t.precision is not None else {"int": 10, "bigint": 19, "smallint": 5, "tinyint": 3, "bit": 1, "float": 53, "real": 24, "money": 19, "smallmoney": 10, "datetime": 23}.get(t.name, 0),
              "scale": t.scale or {"money": 4, "smallmoney": 4, "datetime": 3}.get(t.name, 0), "totalbytes": _datalength(t, v.value) + 2,
              "maxlength": t.length}.get(what)
    return None if number is None else Variant(INT, number)


UNITS = {"day": DAY, "dd": DAY, "d": DAY, "hour": DAY // 24, "hh": DAY // 24, "minute": 600_000_000, "mi": 600_000_000, "n": 600_000_000,
         "second": 10_000_000, "ss": 10_000_000, "s": 10_000_000, "millisecond": 10_000, "ms": 10_000, "microsecond": 10, "nanosecond": 1}


def _moment(source, v):
    if source.name in TEXTS:
        d, t, o = moment(v, source)
        return d * DAY + t - o * 600_000_000
    if source.name == "date":
        return v * DAY
    return v[0] * DAY + v[1]


def _unit(name):
    if name.lower() not in UNITS:
        raise BadValue(155, f"'{name}' is not a recognized datediff option.")
    return UNITS[name.lower()]


def _style_free(name, result):
    """Functions of texts and numbers alone: NULL in, NULL out."""
    def make(function):
        SIMPLE[name] = (result, function)
        return function
    return make


SIMPLE = {}
_style_free("upper", LONG)(lambda s: str(s).upper())
_style_free("lower", LONG)(lambda s: str(s).lower())
_style_free("ltrim", LONG)(lambda s: str(s).lstrip(" "))
_style_free("rtrim", LONG)(lambda s: str(s).rstrip(" "))
_style_free("trim", LONG)(lambda s: str(s).strip(" "))
_style_free("len", INT)(lambda s: len(str(s).rstrip(" ").encode("utf-16-le", "surrogatepass")) // 2)
_style_free("left", LONG)(lambda s, n: str(s)[:n])
_style_free("right", LONG)(lambda s, n: str(s)[-n:] if n else "")
_style_free("replace", LONG)(lambda s, a, b: str(s).replace(a, b))
_style_free("charindex", INT)(lambda a, s, *at: str(s).lower().find(str(a).lower(), (at[0] - 1) if at else 0) + 1)
_style_free("replicate", LONG)(lambda s, n: str(s) * max(n, 0))
_style_free("space", LONG)(lambda n: " " * n)
_style_free("stuff", LONG)(lambda s, at, n, new: s[:at - 1] + new + s[at - 1 + n:])
_style_free("char", Type("char", 1))(chr)
_style_free("nchar", Type("nvarchar", 4))(chr)
_style_free("ascii", INT)(lambda s: ord(s[0]))
_style_free("unicode", INT)(lambda s: struct.unpack("<H", s.encode("utf-16-le", "surrogatepass")[:2])[0])
_style_free("quotename", SYSNAME)(lambda s, q="[": f"[{s.replace(']', ']]')}]" if q[0] in "[]" else q[0] + s.replace(q[0], q[0] * 2) + q[0])
_style_free("abs", None)(abs)
_style_free("sign", INT)(lambda n: (n > 0) - (n < 0))
_style_free("ceiling", BIGINT)(lambda n: -int(-n // 1))
_style_free("floor", BIGINT)(lambda n: int(n // 1))
_style_free("parsename", SYSNAME)(lambda s, n: (s.replace("[", "").replace("]", "").split(".")[::-1] + [None] * 4)[n - 1])


def _substring(args, at, n, env):
    source, value = args[0]
    v = value(env)
    start, length = at(env), n(env)
    if v is None or start is None or length is None:
        return None
    if length < 0:
        raise BadValue(537, "Invalid length parameter passed to the LEFT or SUBSTRING function.")
    end = start - 1 + length
    if source.name in WIDES:
        raw = v.encode("utf-16-le", "surrogatepass")
        return raw[2 * max(0, start - 1):2 * max(0, end)].decode("utf-16-le", "surrogatepass")
    return v[max(0, start - 1):max(0, end)]


def call(parts, args, ctx):
    """(Type, function of an Env) of a call whose arguments are compiled."""
    name = parts[-1]
    if len(parts) == 1 or parts[0] in ("sys", "hierarchyid", "geography", "geometry"):
        if name in SIMPLE:
            return _simple(name, args)
        if name in SPECIAL:
            return SPECIAL[name](args, ctx)
        if name in CATALOG:
            return _catalog(name, args, ctx)
    if len(parts) == 1:
        raise BadValue(195, f"'{name}' is not a recognized built-in function name.", 15)
    return ctx.user_function(parts, args)


def _simple(name, args):
    result, function = SIMPLE[name]

    def run(env):
        values = [value(env) for _, value in args]
        return None if any(v is None for v in values) else function(*values)
    try:
        run_type = result if result is not None else args[0][0]
    except IndexError:
        raise BadValue(174, f"The {name} function requires arguments.", 15) from None
    if result is LONG and args and args[0][0].name in TEXTS:
        t = args[0][0]
        run_type = t if name in ("upper", "lower", "ltrim", "rtrim", "left", "right") and t.name in ("varchar", "nvarchar") else \
            Type("nvarchar" if t.name in WIDES else "varchar", MAX, collation=t.collation)
    return run_type, run


def _catalog(name, args, ctx):
    result, function = CATALOG[name]
    return result, lambda env: function(ctx, *[value(env) for _, value in args])


def _length_of(args, _ctx):
    source, value = args[0]
    return (BIGINT if source.length == MAX else INT), lambda env: (lambda v: None if v is None else _datalength(source, v))(value(env))


def _sub(args, _ctx):
    if len(args) != 3:
        raise BadValue(174, "The substring function requires 3 argument(s).", 15)
    source = args[0][0]
    if source.name in ("image", "text", "ntext"):
        t = Type({"image": "varbinary", "text": "varchar", "ntext": "nvarchar"}[source.name], 8000, collation=source.collation)
    else:
        name = source.name if source.name.startswith(("var", "nvar")) else "nvarchar" if source.name == "nchar" else "varchar" if source.name == "char" else "varbinary"
        t = Type(name, source.length if source.length else MAX, collation=source.collation)
    return t, lambda env: _substring(args, args[1][1], args[2][1], env)


def _hash(args, _ctx):
    source, value = args[1]
    kinds = {"md5": "md5", "sha": "sha1", "sha1": "sha1", "sha2_256": "sha256", "sha2_512": "sha512"}

    def run(env):
        v = value(env)
        return None if v is None else hashlib.new(kinds[args[0][1](env).lower()], raw_of(source, v)).digest()
    return Type("varbinary", 8000), run


def _round(args, _ctx):
    source, value = args[0]

    def run(env):
        v, n = value(env), args[1][1](env)
        if v is None:
            return None
        return round(v, n) if isinstance(v, (int, float)) else v.quantize(Decimal(1).scaleb(-n))
    return source, run


def _concat(args, _ctx):
    def run(env):
        return "".join(convert(t, LONG, value(env)) or "" for t, value in args)
    return LONG, run


def _datediff(args, big):
    unit = _unit(args[0][1](None))
    (ta, a), (tb, b) = args[1], args[2]

    def run(env):
        x, y = a(env), b(env)
        return None if x is None or y is None else _moment(tb, y) // unit - _moment(ta, x) // unit
    return (BIGINT if big else INT), run


def _datepart(args, _ctx):
    """Of units within a day: what is left of the next greater one."""
    unit = _unit(args[0][1](None))
    whole = {600_000_000: DAY // 24, 10_000_000: 600_000_000}.get(unit, DAY if unit == DAY // 24 else 10_000_000)
    t, value = args[1]

    def run(env):
        v = value(env)
        return None if v is None else _moment(t, v) % whole // unit
    return INT, run


def _dateadd(args, _ctx):
    unit = _unit(args[0][1](None))
    t, value = args[2]
    t = Type("datetime") if t.name in TEXTS else t

    def run(env):
        n, v = args[1][1](env), value(env)
        if n is None or v is None:
            return None
        total = _moment(args[2][0], v) + n * unit
        return total // DAY if t.name == "date" else (total // DAY, total % DAY, *(v[2:] if isinstance(v, tuple) else ()))
    return t, run


def _checksum(args, _ctx):
    def run(env):
        h = hashlib.md5()
        for t, value in args:
            v = value(env)
            h.update(b"\0" if v is None else raw_of(t, v))
        return struct.unpack("<i", h.digest()[:4])[0]
    return INT, run


def _property(args, _ctx):
    def run(env):
        v, what = args[0][1](env), args[1][1](env)
        if v is None:
            return None
        return _variant_property(v if isinstance(v, Variant) else Variant(args[0][0], v), what)
    return VARIANT, run


def _constant(t, get):
    return lambda args, ctx: (t, lambda env: get())


def _next_guid():
    return uuid.uuid4().bytes_le


SPECIAL = {
    "datalength": _length_of, "substring": _sub, "hashbytes": _hash, "round": _round, "concat": _concat,
    "datediff": lambda args, ctx: _datediff(args, False), "datediff_big": lambda args, ctx: _datediff(args, True), "dateadd": _dateadd, "datepart": _datepart,
    "checksum": _checksum, "binary_checksum": _checksum, "sql_variant_property": _property,
    "getdate": _constant(Type("datetime"), _now), "getutcdate": _constant(Type("datetime"), _now), "current_timestamp": _constant(Type("datetime"), _now),
    "sysdatetime": _constant(Type("datetime2"), _now), "sysutcdatetime": _constant(Type("datetime2"), _now),
    "sysdatetimeoffset": _constant(Type("datetimeoffset"), lambda: _now(True)),
    "newid": _constant(Type("uniqueidentifier"), _next_guid), "newsequentialid": _constant(Type("uniqueidentifier"), _next_guid),
    "rand": _constant(FLOAT, lambda: 0.5),
}


def _code_page(_ctx, collation, what):
    if collation is None:
        return None
    try:
        c = Collation.of(collation)
    except Exception:  # an unknown collation has no properties
        return None
    number = {"codepage": c.code_page, "lcid": c.lcid, "comparisonstyle": 196609 if c.ignore_case else 196608, "version": c.version}.get(what.lower())
    return None if number is None else Variant(INT, number)


def _server_property(ctx, what):
    v = ctx.model.server_property(what.lower())
    return None if v is None else Variant(INT if isinstance(v, int) else SYSNAME, v)


CATALOG = {
    "db_id": (INT, lambda ctx, name=None: ctx.model.db_id(name or ctx.session.database)),
    "db_name": (SYSNAME, lambda ctx, number=None: ctx.model.db_name(number) if number is not None else ctx.session.database),
    "object_id": (INT, lambda ctx, name, kind=None: ctx.object_id(name, kind)),
    "object_name": (SYSNAME, lambda ctx, number, db=None: ctx.object_by_id(number, "name")),
    "object_schema_name": (SYSNAME, lambda ctx, number, db=None: ctx.object_by_id(number, "schema")),
    "object_definition": (LONG, lambda ctx, number: ctx.object_by_id(number, "definition")),
    "schema_id": (INT, lambda ctx, name="dbo": ctx.db.schema_id(name)),
    "schema_name": (SYSNAME, lambda ctx, number=1: ctx.db.schema_name(number)),
    "type_id": (INT, lambda ctx, name: ctx.db.type_id(name)),
    "type_name": (SYSNAME, lambda ctx, number: ctx.db.type_name(number)),
    "col_length": (Type("smallint"), lambda ctx, table, column: ctx.col_length(table, column)),
    "col_name": (SYSNAME, lambda ctx, table, number: ctx.col_name(table, number)),
    "columnproperty": (INT, lambda ctx, table, column, what: ctx.column_property(table, column, what)),
    "objectproperty": (INT, lambda ctx, number, what: ctx.object_property(number, what)),
    "ident_current": (Type("numeric", precision=38), lambda ctx, name: ctx.identity(name, "current")),
    "ident_seed": (Type("numeric", precision=38), lambda ctx, name: ctx.identity(name, "seed")),
    "ident_incr": (Type("numeric", precision=38), lambda ctx, name: ctx.identity(name, "increment")),
    "scope_identity": (Type("numeric", precision=38), lambda ctx: ctx.session.state.last_identity),
    "suser_sname": (SYSNAME, lambda ctx, sid=b"": "sa" if sid == b"" else ctx.model.login_of(sid)),
    "suser_sid": (Type("varbinary", 85), lambda ctx: ctx.model.sid(ctx.session.login.user)),
    "suser_name": (SYSNAME, lambda ctx, number=1: ctx.session.login.user),
    "original_login": (SYSNAME, lambda ctx: ctx.session.login.user),
    "system_user": (SYSNAME, lambda ctx: ctx.session.login.user),
    "current_user": (SYSNAME, lambda ctx: "dbo"),
    "user_name": (SYSNAME, lambda ctx, number=1: ctx.db.principal_name(number)),
    "user_id": (INT, lambda ctx, name="dbo": ctx.db.principal_id(name)),
    "database_principal_id": (INT, lambda ctx, name="dbo": ctx.db.principal_id(name)),
    "host_name": (SYSNAME, lambda ctx: ctx.session.login.host),
    "app_name": (SYSNAME, lambda ctx: ctx.session.login.application),
    "xact_state": (Type("smallint"), lambda ctx: 1 if ctx.session.transaction else 0),
    "is_srvrolemember": (INT, lambda ctx, role, login=None: ctx.model.is_role(ctx.session.login.user, role)),
    "is_member": (INT, lambda ctx, role: 1 if role.lower() in ("db_owner", "public") else 0),
    "is_rolemember": (INT, lambda ctx, role, who=None: 1 if role.lower() in ("db_owner", "public") else 0),
    "has_perms_by_name": (INT, lambda ctx, name, kind, right, *rest: ctx.model.has_right(ctx.session.login.user, name)),
    "has_dbaccess": (INT, lambda ctx, name: 1 if ctx.model.db_id(name) else None),
    "serverproperty": (VARIANT, _server_property),
    "databasepropertyex": (VARIANT, lambda ctx, name, what: ctx.model.database_property(name, what)),
    "collationproperty": (VARIANT, _code_page),
    "xml_schema_namespace": (Type("xml"), lambda ctx, schema, name: ctx.db.xml_collection(schema, name)),
    "fulltextserviceproperty": (INT, lambda ctx, what: 0),
    "connectionproperty": (VARIANT, lambda ctx, what: None),
}
