"""SELECT made into rows: sources, joins, groups, order."""
import itertools

from tds_types import BadValue, Column, Type
from tsql_expr import AGGREGATES, Env, Field, Scope, column, compile_expression, truth
from tsql_select import Core, Select
from tsql_values import comparable, convert, sort_key, wider


def mentions(node, test):
    """Does an expression hold a node that the test is true of? Does not look into inner queries."""
    if isinstance(node, tuple):
        return bool(node) and (test(node) or any(mentions(n, test) for n in node))
    return isinstance(node, list) and any(mentions(n, test) for n in node)


def is_aggregate(node):
    return node[0] == "call" and len(node) == 5 and node[1][-1] in AGGREGATES and not (node[4] and node[4][0] == "over")


def conjuncts(node):
    if node is None:
        return []
    if node[0] == "and":
        return conjuncts(node[1]) + conjuncts(node[2])
    return conjuncts(node[1]) if node[0] == "paren" else [node]


class Query:
    """Compiles within a context `ctx`, which knows tables (ctx.table), types and variables."""

    def __init__(self, ctx):
        self.ctx = ctx

    # ---- from ----

    def source(self, node, parent):
        """(fields, rows of an outer Env)"""
        kind = node[0]
        if kind == "table":
            return self._table(node, parent)
        if kind == "derived":
            columns, rows = self.ctx.compile_select(node[1], parent)
            names = node[3] or [c.name for c in columns]
            if len(names) != len(columns) or not all(names):
                raise BadValue(8155, f"No column name was specified for a column of '{node[2]}'.")
            return [Field(node[2], n, c.type, c.nullable) for n, c in zip(names, columns)], rows
        if kind == "values":
            compiled = [[compile_expression(e, Scope([], parent), self.ctx) for e in r] for r in node[1]]
            kinds = [t for t, _ in compiled[0]]
            for r in compiled[1:]:
                kinds = [wider(a, b[0]) for a, b in zip(kinds, r)]
            fields = [Field(node[2], n, t) for n, t in zip(node[3] or [], kinds)]
            return fields, lambda env: [tuple(convert(t, k, v(Env((), env))) for (t, v), k in zip(r, kinds)) for r in compiled]
        if kind == "join":
            return self._join(node, parent)
        if kind == "apply":
            return self._apply(node, parent)
        raise BadValue(208, f"Invalid object name '{'.'.join(node[1][1]) if kind == 'function' else kind}'.")

    def _table(self, node, parent):
        found = self.ctx.table(node[1])
        alias = node[2]
        if isinstance(found, tuple):  # a query: a view or WITH
            columns, rows = found
            return [Field(alias, c.name, c.type, c.nullable) for c in columns], rows
        fields = [Field(alias, c.name, c.type, c.nullable, c.identity, c.computed) for c in found.fields]
        return fields, lambda env: self.ctx.rows_of(found)

    def _apply(self, node, parent):
        left, left_rows = self.source(node[2], parent)
        right, right_rows = self.source(node[3], Scope(left, parent))
        nulls = (None,) * len(right)

        def rows(env):
            for a in left_rows(env):
                found = False
                for b in right_rows(Env(a, env)):
                    found = True
                    yield a + b
                if not found and node[1] == "OUTER":
                    yield a + nulls
        return left + right, rows

    def _sided(self, term, left, right, parent):
        """An equality between the two sides: its keys of the left and of the right row; else None."""
        if term[0] != "compare" or term[1] != "=":
            return None
        for a, b in ((term[2], term[3]), (term[3], term[2])):
            try:
                ta, fa = compile_expression(a, Scope(left, None), self.ctx)
                tb, fb = compile_expression(b, Scope(right, None), self.ctx)
            except BadValue:
                continue
            if a[0] == "lit" or b[0] == "lit" or ta.name != tb.name:
                continue
            return (lambda r: None if fa(Env(r)) is None else comparable(ta, fa(Env(r)))), \
                   (lambda r: None if fb(Env(r)) is None else comparable(tb, fb(Env(r))))
        return None

    def _join(self, node, parent):
        _, kind, left_node, right_node, on = node
        left, left_rows = self.source(left_node, parent)
        right, right_rows = self.source(right_node, parent)
        fields = left + right
        if kind == "CROSS":
            return fields, lambda env: (a + b for a, b in itertools.product(left_rows(env), list(right_rows(env))))
        for f in (right if kind in ("LEFT", "FULL") else []) + (left if kind in ("RIGHT", "FULL") else []):
            f.nullable = True
        test = truth(on, Scope(fields, parent), self.ctx)
        keys = [k for k in (self._sided(t, left, right, parent) for t in conjuncts(on)) if k]

        def rows(env):
            others = list(right_rows(env))
            met = set()
            index = {}
            for i, b in enumerate(others):
                index.setdefault(tuple(k(b) for _, k in keys), []).append(i)
            for a in left_rows(env):
                found = False
                for i in index.get(tuple(k(a) for k, _ in keys), ()):
                    if test(Env(a + others[i], env)):
                        found = True
                        met.add(i)
                        yield a + others[i]
                if not found and kind in ("LEFT", "FULL"):
                    yield a + (None,) * len(right)
            if kind in ("RIGHT", "FULL"):
                for i, b in enumerate(others):
                    if i not in met:
                        yield (None,) * len(left) + b
        return fields, rows

    # ---- one SELECT ----

    def _items(self, core, scope):
        """(name, node, type, function, field or None) of each column."""
        out = []
        for name, node in core.items:
            if node[0] == "star":
                qualifier = node[1][-1].lower() if node[1] else None
                found = [(i, f) for i, f in enumerate(scope.fields) if qualifier in (None, f.source.lower())]
                if not found:
                    raise BadValue(107, f"The column prefix '{qualifier}' does not match with a table name or alias name used in the query.")
                for i, f in found:
                    out.append((f.name, ("col", [f.source, f.name]), f.type, lambda env, i=i: env.row[i], f))
                continue
            target = None
            if node[0] == "assign":
                target, node = node[1], node[2]
            t, function = compile_expression(node, scope, self.ctx)
            field = None
            if node[0] == "col":
                depth, _, field = column(node[1], scope)
                field = field if depth == 0 else None
            if target:
                function = self.ctx.assigner(target, t, function)
            out.append((name or "", node, t, function, field))
        return out

    def core(self, core, parent, order):
        """(columns, rows of an outer Env, does it only assign)"""
        fields, source = self.source(core.source, parent) if core.source else ([], lambda env: [()])
        scope = Scope(fields, parent)
        where = truth(core.where, scope, self.ctx) if core.where else None
        grouped = bool(core.group or core.having) or mentions([i[1] for i in core.items] + [o[0] for o in order], is_aggregate)
        keys = [compile_expression(e, scope, self.ctx) for e in core.group]
        scope.grouped = grouped
        items = self._items(core, scope)
        having = truth(core.having, scope, self.ctx) if core.having else None
        sorters = [self._sorter(e, d, items, scope) for e, d in order]
        top = compile_expression(core.top, Scope([], parent), self.ctx)[1] if core.top else None
        assigns = [node[0] == "assign" for _, node in core.items]
        if any(assigns) and not all(assigns):
            raise BadValue(141, "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval operations.")

        def rows(env):
            found = [Env(r, env) for r in source(env)] if where is None else [e for e in (Env(r, env) for r in source(env)) if where(e) is True]
            if grouped:
                found = self._groups(found, keys, core.group, env, len(fields))
                if having:
                    found = [e for e in found if having(e) is True]
            self._windows(scope, found)
            out = [(e, tuple(f(e) for _, _, _, f, _ in items)) for e in found]
            if core.distinct:
                seen = {}
                for e, r in out:
                    seen.setdefault(tuple(sort_key(i[2], v) for i, v in zip(items, r)), (e, r))
                out = list(seen.values())
            for key, descending in reversed(sorters):
                out.sort(key=key, reverse=descending)
            if top:
                count = top(env)
                out = out[:int(len(out) * count / 100 + 0.999999) if core.top_percent else count]
            return [r for _, r in out]

        columns = []
        for name, node, t, _, f in items:
            nullable = f.nullable if f else node[0] != "lit"
            columns.append(Column(name, t, nullable, bool(f and f.identity), bool(f and f.computed), f.source if f else None))
        return columns, rows, bool(assigns) and all(assigns)

    def _sorter(self, node, descending, items, scope):
        if node[0] == "lit" and node[1].name == "int":
            if not 1 <= node[2] <= len(items):
                raise BadValue(108, f"The ORDER BY position number {node[2]} is out of range of the number of items in the select list.")
            n = node[2] - 1
            return (lambda er: sort_key(items[n][2], er[1][n])), descending
        if node[0] == "col" and len(node[1]) == 1:
            named = [i for i, item in enumerate(items) if item[0].lower() == node[1][0].lower()]
            if len(named) == 1:
                n = named[0]
                return (lambda er: sort_key(items[n][2], er[1][n])), descending
            if len(named) > 1 and len({str(items[i][1]) for i in named}) > 1:
                raise BadValue(209, f"Ambiguous column name '{node[1][0]}'.")
        t, function = compile_expression(node, scope, self.ctx)
        return (lambda er: sort_key(t, function(er[0]))), descending

    @staticmethod
    def _groups(found, keys, group, env, width):
        if not group:
            return [Env(found[0].row if found else (None,) * width, env, [e.row for e in found])]
        groups = {}
        for e in found:
            groups.setdefault(tuple(sort_key(t, f(e)) for t, f in keys), []).append(e.row)
        return [Env(rows[0], env, rows) for rows in groups.values()]

    @staticmethod
    def _windows(scope, found):
        if not scope.windows:
            return
        for e in found:
            e.windows = []
        for partition, order, kind, aggregate in scope.windows:
            parts = {}
            for e in found:
                parts.setdefault(tuple(sort_key(t, f(e)) for t, f in partition), []).append(e)
            for part in parts.values():
                for t, f, descending in reversed(order):
                    part.sort(key=lambda e, t=t, f=f: sort_key(t, f(e)), reverse=descending)
                value = None if kind == "row_number" else aggregate(Env(part[0].row, part[0].parent, [e.row for e in part]))
                for i, e in enumerate(part):
                    e.windows.append(i + 1 if kind == "row_number" else value)

    # ---- the whole ----

    def select(self, query, parent):
        if len(query.cores) == 1 and isinstance(query.cores[0], Core):
            columns, rows, assigns = self.core(query.cores[0], parent, query.order)
            rows = self._paged(query, rows, parent)
        else:
            columns, rows = self._union(query, parent)
            assigns = False
        return columns, rows, assigns

    def _paged(self, query, rows, parent):
        if not query.offset:
            return rows
        offset = compile_expression(query.offset, Scope([], parent), self.ctx)[1]
        fetch = compile_expression(query.fetch, Scope([], parent), self.ctx)[1] if query.fetch else None

        def paged(env):
            start = offset(env)
            return rows(env)[start:start + fetch(env) if fetch else None]
        return paged

    def _union(self, query, parent):
        parts = [self.select(c, parent)[:2] if isinstance(c, Select) else self.core(c, parent, [])[:2] for c in query.cores]
        first = parts[0][0]
        for columns, _ in parts:
            if len(columns) != len(first):
                raise BadValue(205, "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions.")
        kinds = [c.type for c in first]
        for columns, _ in parts[1:]:
            kinds = [wider(k, c.type) for k, c in zip(kinds, columns)]
        columns = [Column(c.name, k, any(p[i].nullable for p, _ in parts)) for i, (c, k) in enumerate(zip(first, kinds))]
        items = [(c.name, ("col", [c.name]), c.type) for c in columns]
        sorters = [self._sorter(e, d, items, Scope([])) for e, d in query.order]

        def converted(part, env):
            return [tuple(convert(c.type, k, v) for c, k, v in zip(part[0], kinds, r)) for r in part[1](env)]

        def key(row):
            return tuple(sort_key(k, v) for k, v in zip(kinds, row))

        def rows(env):
            out = converted(parts[0], env)
            for op, part in zip(query.unions, parts[1:]):
                more = converted(part, env)
                if op == "UNION ALL":
                    out = out + more
                    continue
                mine, theirs = {key(r): r for r in reversed(out)}, {key(r): r for r in reversed(more)}
                out = list((theirs | mine).values() if op == "UNION" else [r for k, r in mine.items() if (k in theirs) == (op == "INTERSECT")])
            for sort, descending in reversed(sorters):
                out.sort(key=lambda r, sort=sort: sort((None, r)), reverse=descending)
            return out
        return columns, self._paged(query, rows, parent)


def null_free(columns):
    """The columns of a result, none of a type that only a NULL has."""
    for c in columns:
        if c.type.alias == "null":
            c.type = Type("int")
    return columns
