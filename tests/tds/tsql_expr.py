"""Expressions made into functions of a row: compile_expression(node, scope, ctx) gives (Type, function of an Env)."""
import re
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

import tsql_functions
from tds_types import DECIMALS, INTS, MAX, TEXTS, WIDE, WIDES, BadValue, Collation, Type
from tsql_values import (DATES, FLOATS, NULL_TYPE, comparable, convert, digits, like_pattern, overflow, sort_key, wider)

AGGREGATES = ("count", "count_big", "sum", "min", "max", "avg", "checksum_agg", "string_agg")


class Env:
    """One row while it is looked at; the outer query's row; the rows of its group."""

    __slots__ = ("row", "parent", "group", "windows")

    def __init__(self, row, parent=None, group=None):
        self.row, self.parent, self.group, self.windows = row, parent, group, None


class Field:
    """A column as a FROM clause gives it."""

    __slots__ = ("source", "name", "type", "nullable", "identity", "computed")

    def __init__(self, source, name, type_, nullable=True, identity=False, computed=False):
        self.source, self.name, self.type, self.nullable, self.identity, self.computed = source, name, type_, nullable, identity, computed


class Scope:
    def __init__(self, fields, parent=None, grouped=False):
        self.fields, self.parent, self.grouped = fields, parent, grouped
        self.windows = []

    def find(self, parts):
        name, qualifier = parts[-1].lower(), parts[-2].lower() if len(parts) > 1 else None
        found = [i for i, f in enumerate(self.fields) if f.name.lower() == name and (qualifier is None or f.source.lower() == qualifier)]
        if len(found) > 1:
            raise BadValue(209, f"Ambiguous column name '{parts[-1]}'.")
        return found[0] if found else None


def column(parts, scope):
    depth, at = 0, scope
    while at is not None:
        index = at.find(parts)
        if index is not None:
            return depth, index, at.fields[index]
        depth, at = depth + 1, at.parent
    if len(parts) > 1:
        raise BadValue(4104, f'The multi-part identifier "{".".join(parts)}" could not be bound.')
    raise BadValue(207, f"Invalid column name '{parts[-1]}'.")


def truth(node, scope, ctx):
    """A condition: a function that gives True, False or None for unknown."""
    kind = node[0]
    if kind == "paren":
        return truth(node[1], scope, ctx)
    if kind in ("and", "or"):
        a, b = truth(node[1], scope, ctx), truth(node[2], scope, ctx)
        if kind == "and":
            def both(env):
                x = a(env)
                if x is False:
                    return False
                y = b(env)
                return False if y is False else None if x is None or y is None else True
            return both

        def either(env):
            x = a(env)
            if x is True:
                return True
            y = b(env)
            return True if y is True else None if x is None or y is None else False
        return either
    if kind == "not":
        a = truth(node[1], scope, ctx)

        def negated(env):
            x = a(env)
            return None if x is None else not x
        return negated
    if kind in CONDITIONS:
        return CONDITIONS[kind](node, scope, ctx)
    raise BadValue(4145, "An expression of non-boolean type specified in a context where a condition is expected.")


def _comparer(a, b):
    t = wider(a, b)
    if t.name in TEXTS:
        t = Type("nvarchar", MAX, collation=(a.collation or b.collation))

    def key(source):
        if source.name in TEXTS and t.name in TEXTS:
            return lambda v: comparable(t, v)
        if source.name == t.name and t.name not in ("decimal", "numeric"):
            return lambda v: comparable(t, v)
        if t.name in INTS and source.name in INTS:
            return lambda v: v
        if t.name in DECIMALS and (source.name in INTS or source.name in DECIMALS):
            return Decimal
        return lambda v: comparable(t, convert(source, t, v))
    return key(a), key(b)


def _compare(node, scope, ctx):
    (ta, a), (tb, b) = compile_expression(node[2], scope, ctx), compile_expression(node[3], scope, ctx)
    ka, kb = _comparer(ta, tb)
    test = {"=": lambda x, y: x == y, "<>": lambda x, y: x != y, "<": lambda x, y: x < y, ">": lambda x, y: x > y,
            "<=": lambda x, y: x <= y, ">=": lambda x, y: x >= y}[node[1]]

    def compared(env):
        x, y = a(env), b(env)
        return None if x is None or y is None else test(ka(x), kb(y))
    return compared


def _isnull(node, scope, ctx):
    _, a = compile_expression(node[1], scope, ctx)
    negated = node[2]
    return lambda env: (a(env) is None) != negated


def _in(node, scope, ctx):
    terms = [_compare(("compare", "=", node[1], item), scope, ctx) for item in node[2]]
    negated = node[3]

    def member(env):
        unknown = False
        for term in terms:
            x = term(env)
            if x:
                return not negated
            unknown = unknown or x is None
        return None if unknown else negated
    return member


def _inselect(node, scope, ctx):
    ta, a = compile_expression(node[1], scope, ctx)
    columns, rows = ctx.compile_select(node[2], scope)
    if len(columns) != 1:
        raise BadValue(116, "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.")
    ka, kb = _comparer(ta, columns[0].type)
    negated, kept = node[3], {}

    def member(env):
        x = a(env)
        if x is None:
            return None
        # An inner query that looks at no outer row is asked once.
        known = kept.get("values") if not ctx.correlated(node[2]) else None
        if known is None:
            known = [r[0] for r in rows(env)]
            known = {kb(v) for v in known if v is not None}, any(v is None for v in known)
            kept["values"] = known
        if ka(x) in known[0]:
            return not negated
        return None if known[1] else negated
    return member


def _between(node, scope, ctx):
    low = _compare(("compare", ">=", node[1], node[2]), scope, ctx)
    high = _compare(("compare", "<=", node[1], node[3]), scope, ctx)
    negated = node[4]

    def within(env):
        x, y = low(env), high(env)
        if x is False or y is False:
            return negated
        return None if x is None or y is None else not negated
    return within


def _like(node, scope, ctx):
    (ta, a), (tp, p) = compile_expression(node[1], scope, ctx), compile_expression(node[2], scope, ctx)
    escape = compile_expression(node[3], scope, ctx)[1] if node[3] else lambda env: None
    text = Type("nvarchar", MAX)
    collation = ta.collation or Collation.of(None)
    negated, cache = node[4], {}

    def matches(env):
        x, y = a(env), p(env)
        if x is None or y is None:
            return None
        key = (y, escape(env))
        if key not in cache:
            cache[key] = re.compile(like_pattern(convert(tp, text, y), key[1]), re.S | (re.I if collation.ignore_case else 0))
        return bool(cache[key].fullmatch(convert(ta, text, x).rstrip(" ") if not y.endswith(" ") else x)) != negated
    return matches


def _exists(node, scope, ctx):
    _, rows = ctx.compile_select(node[1], scope)
    return lambda env: any(True for _ in rows(env))


CONDITIONS = {"compare": _compare, "isnull": _isnull, "in": _in, "inselect": _inselect, "between": _between, "like": _like, "exists": _exists}


# ---- values ----

def _arithmetic_type(op, a, b):
    t = wider(a, b)
    if t.name in TEXTS or t.name in ("binary", "varbinary"):
        if op != "+":
            raise BadValue(402, f"The data types {a.name} and {b.name} are incompatible in the operator.")
        if MAX in (a.length, b.length):
            length = MAX
        else:
            wide = t.name in WIDES
            length = sum(x.length * (2 if wide and x.name not in WIDES else 1) if x.length and x.alias != "null" else 2 for x in (a, b))
            length = min(length, 8000)
        name = {"char": "varchar", "nchar": "nvarchar", "binary": "varbinary", "text": "varchar", "ntext": "nvarchar"}.get(t.name, t.name)
        return Type(name, length, collation=t.collation)
    if t.name in ("decimal", "numeric"):
        (p1, s1), (p2, s2) = digits(a), digits(b)
        if op in "+-":
            scale, precision = max(s1, s2), max(s1, s2) + max(p1 - s1, p2 - s2) + 1
        elif op == "*":
            scale, precision = s1 + s2, p1 + p2 + 1
        elif op == "/":
            scale = max(6, s1 + p2 + 1)
            precision = p1 - s1 + s2 + scale
        else:
            scale, precision = max(s1, s2), min(p1 - s1, p2 - s2) + max(s1, s2)
        if precision > 38:
            scale = max(min(scale, 38 - (precision - scale)), min(scale, 6))
            precision = 38
        return Type("decimal", precision=precision, scale=scale)
    if t.name in DATES:
        return t
    return Type("int") if t.name in ("bit",) else t


def _arith(node, scope, ctx):
    op = node[1]
    (ta, a), (tb, b) = compile_expression(node[2], scope, ctx), compile_expression(node[3], scope, ctx)
    t = _arithmetic_type(op, ta, tb)
    if t.name in TEXTS + ("varbinary",):
        each = Type(t.name, MAX, collation=t.collation)

        def joined(env):
            x, y = a(env), b(env)
            return None if x is None or y is None else convert(each, t, convert(ta, each, x) + convert(tb, each, y))
        return t, joined
    side = Type("float") if t.name in FLOATS else t if t.name in INTS + ("datetime",) else None

    def computed(env):
        x, y = a(env), b(env)
        if x is None or y is None:
            return None
        if t.name in INTS:
            x, y = convert(ta, side, x), convert(tb, side, y)
            if op in "/%" and not y:
                raise BadValue(8134, "Divide by zero error encountered.")
            quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1) if op in "/%" else 0
            out = {"+": lambda: x + y, "-": lambda: x - y, "*": lambda: x * y, "/": lambda: quotient, "%": lambda: x - quotient * y,
                   "&": lambda: x & y, "|": lambda: x | y, "^": lambda: x ^ y}[op]()
            return convert(Type("decimal", precision=38), t, Decimal(out))
        if t.name in FLOATS:
            x, y = convert(ta, side, x), convert(tb, side, y)
            if op == "/" and not y:
                raise BadValue(8134, "Divide by zero error encountered.")
            return x + y if op == "+" else x - y if op == "-" else x * y if op == "*" else x / y
        if t.name in DATES:
            if ta.name in INTS:
                ta_value, days = y, x
            else:
                ta_value, days = x, y if op == "+" else -y
            return (ta_value[0] + int(days), ta_value[1])
        x, y = (convert(s, Type("decimal", precision=38, scale=digits(s)[1]), v) for s, v in ((ta, x), (tb, y)))
        if op in "/%" and not y:
            raise BadValue(8134, "Divide by zero error encountered.")
        out = (WIDE.add(x, y) if op == "+" else WIDE.subtract(x, y) if op == "-" else WIDE.multiply(x, y) if op == "*" else
               WIDE.divide(x, y) if op == "/" else WIDE.remainder(x, y))
        out = out.quantize(Decimal(1).scaleb(-(t.scale if t.scale is not None else 4)), ROUND_DOWN if op == "/" else ROUND_HALF_UP, WIDE)
        return convert(Type("decimal", precision=38, scale=t.scale if t.scale is not None else 4), t, out)
    return t, computed


def _unary(node, scope, ctx):
    t, a = compile_expression(node[2], scope, ctx)
    if node[1] == "-":
        if node[2][0] == "lit" and t.name == "numeric" and t.scale == 0:
            whole = node[2][2]
            if whole == 1 << 31:
                return Type("int"), lambda env: -(1 << 31)

        def negative(env):
            x = a(env)
            if x is None:
                return None
            return overflow(t) if t.name == "tinyint" and x else x.copy_negate() if isinstance(x, Decimal) else -x
        return t, negative

    def inverted(env):
        x = a(env)
        return None if x is None else 1 - x if t.name == "bit" else 255 - x if t.name == "tinyint" else ~x
    return t, inverted


def _case(node, scope, ctx):
    operand, whens, otherwise = node[1:]
    branches = []
    for condition, result in whens:
        test = ("compare", "=", operand, condition) if operand else condition
        branches.append((truth(test, scope, ctx), compile_expression(result, scope, ctx)))
    last = compile_expression(otherwise, scope, ctx) if otherwise else (NULL_TYPE, lambda env: None)
    t = last[0]
    for _, (each, _) in branches:
        t = wider(t, each)

    def chosen(env):
        for test, (source, value) in branches:
            if test(env):
                return convert(source, t, value(env))
        return convert(last[0], t, last[1](env))
    return t, chosen


def _cast(node, scope, ctx):
    source, a = compile_expression(node[1], scope, ctx)
    t = ctx.type(node[2])
    if t.alias == "unsized":
        t = Type(t.name, 60 if t.name[0] == "n" else 30, collation=t.collation)
    if source.collation and t.name in TEXTS and t.name != "xml":
        t = Type(t.name, t.length, collation=source.collation, alias=t.alias)
    style = compile_expression(node[3], scope, ctx)[1] if node[3] else lambda env: None
    attempt = node[4]

    def cast(env):
        try:
            return convert(source, t, a(env), style(env))
        except BadValue:
            if attempt:
                return None
            raise
    return t, cast


def _column(node, scope, ctx):
    depth, index, field = column(node[1], scope)
    if depth == 0:
        return field.type, lambda env: env.row[index]
    if depth == 1:
        return field.type, lambda env: env.parent.row[index]

    def outer(env):
        for _ in range(depth):
            env = env.parent
        return env.row[index]
    return field.type, outer


def _subquery(node, scope, ctx):
    columns, rows = ctx.compile_select(node[1], scope)
    if len(columns) != 1:
        raise BadValue(116, "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.")

    def single(env):
        found = list(rows(env))
        if len(found) > 1:
            raise BadValue(512, "Subquery returned more than 1 value.")
        return found[0][0] if found else None
    return columns[0].type, single


def _aggregate(name, args, star, scope, ctx):
    inner = Scope(scope.fields, scope.parent)
    distinct = bool(args) and args[0][0] == "distinct"
    if star or not args:
        return Type("bigint" if name == "count_big" else "int"), lambda env: len(env.group)
    source, a = compile_expression(args[0][1] if distinct else args[0], inner, ctx)

    def values(env):
        out = [v for v in (a(Env(r, env.parent)) for r in env.group) if v is not None]
        if distinct:
            out = list({comparable(source, v): v for v in out}.values())
        return out
    if name in ("count", "count_big"):
        return Type("bigint" if name == "count_big" else "int"), lambda env: len(values(env))
    if name in ("min", "max"):
        pick = min if name == "min" else max
        return source, lambda env: (lambda v: pick(v, key=lambda x: sort_key(source, x)) if v else None)(values(env))
    if name == "string_agg":
        _, separator = compile_expression(args[1], inner, ctx)
        return Type("nvarchar", MAX), lambda env: (lambda v: separator(env).join(v) if v else None)(values(env))
    t = (Type("bigint") if source.name == "bigint" else Type("int") if source.name in INTS else Type("float") if source.name in FLOATS else
         Type("money") if source.name in ("money", "smallmoney") else Type("decimal", precision=38, scale=source.scale or 0))

    def total(env):
        v = values(env)
        if not v:
            return None
        out = sum(v)
        if name == "avg":
            out = int(out / len(v)) if source.name in INTS else out / len(v)
        return convert(source if source.name in FLOATS else Type("decimal", precision=38, scale=max(digits(source)[1], t.scale or 0)), t,
                       out if source.name in FLOATS else Decimal(out))
    return t, total


def _window(node, scope, ctx):
    name, args, over = node[1][-1], node[2], node[4]
    partition = [compile_expression(e, scope, ctx) for e in over[1]]
    order = [(*compile_expression(e, scope, ctx), d) for e, d in over[2]]
    slot = len(scope.windows)
    if name in ("row_number", "rank", "dense_rank", "ntile"):
        if not order:
            raise BadValue(4112, f"The function '{name}' must have an OVER clause with ORDER BY.")
        scope.windows.append((partition, order, "row_number", None))
        return Type("bigint"), lambda env: env.windows[slot]
    t, aggregate = _aggregate(name, args, node[3], scope, ctx)
    scope.windows.append((partition, [], "aggregate", aggregate))
    return t, lambda env: env.windows[slot]


def _call(node, scope, ctx):
    name, args, star, over = node[1][-1], node[2], node[3], node[4]
    if over and over[0] == "over":
        return _window(node, scope, ctx)
    if name in AGGREGATES and len(node[1]) == 1:
        if not scope.grouped:
            raise BadValue(147, "An aggregate may not appear here.")
        return _aggregate(name, args, star, scope, ctx)
    if name in ("datediff", "dateadd", "datepart", "datename") and args and args[0][0] == "col":
        args = [("lit", Type("varchar", 20), args[0][1][-1])] + args[1:]
    compiled = [compile_expression(e, scope, ctx) for e in args]
    if name in ("isnull", "coalesce", "nullif", "iif", "choose"):
        return _conditional(name, node, compiled, scope, ctx)
    return tsql_functions.call(node[1], compiled, ctx)


def _conditional(name, node, compiled, scope, ctx):
    if name == "iif":
        return _case(("case", None, [(node[2][0], node[2][1])], node[2][2]), scope, ctx)
    if name == "nullif":
        equal = _compare(("compare", "=", node[2][0], node[2][1]), scope, ctx)
        return compiled[0][0], lambda env: None if equal(env) else compiled[0][1](env)
    t = compiled[0][0]
    if name == "coalesce" or t.alias == "null":
        for each, _ in compiled[1:]:
            t = wider(t, each)

    def first(env):
        for source, value in compiled:
            v = value(env)
            if v is not None:
                return convert(source, t, v)
        return None
    return t, first


def _variable(node, _scope, ctx):
    name = node[1]
    if name.startswith("@@"):
        return ctx.global_variable(name)
    if name not in ctx.variables:
        raise BadValue(137, f'Must declare the scalar variable "{name}".', 15)
    return ctx.variables[name][0], lambda env: ctx.variables[name][1]


def _collate(node, scope, ctx):
    t, a = compile_expression(node[1], scope, ctx)
    name = node[2]
    if name.lower() in ("database_default", "catalog_default"):
        return t, a
    if t.name not in TEXTS:
        raise BadValue(447, "Expression type is invalid for COLLATE clause.")
    return Type(t.name, t.length, collation=ctx.collation(name)), a


def compile_expression(node, scope, ctx):
    kind = node[0]
    if kind == "lit":
        return node[1], lambda env, v=node[2]: v
    if kind == "null":
        return NULL_TYPE, lambda env: None
    if kind == "paren":
        return compile_expression(node[1], scope, ctx)
    if kind in CONDITIONS or kind in ("and", "or", "not"):
        raise BadValue(102, "Incorrect syntax: a condition where a value is expected.", 15)
    if kind not in VALUES:
        raise BadValue(102, f"Incorrect syntax near '{kind}'.", 15)
    return VALUES[kind](node, scope, ctx)


VALUES = {"arith": _arith, "unary": _unary, "case": _case, "cast": _cast, "col": _column, "sub": _subquery, "call": _call, "var": _variable,
          "collate": _collate}
