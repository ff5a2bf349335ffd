"""Runs the statements of a batch against the model. What it has to say is kept in `replies` and told when the batch is through."""
import struct

import tsql_catalog
from tds_types import DAY, BadValue, Collation, Type, Variant
from tsql_batch import Batch
from tsql_change import Change
from tsql_expr import Env, Scope, compile_expression, truth
from tsql_lex import SyntaxFault
from tsql_objects import Table
from tsql_query import Query, null_free
from tsql_values import comparable, convert, moment, text_of


class State:
    """What a session keeps between batches."""

    def __init__(self):
        self.options = {}
        self.numbers = {"TEXTSIZE": 4096, "LOCK_TIMEOUT": -1, "ROWCOUNT": 0}
        self.level = "READ COMMITTED"
        self.depth = 0
        self.undo = None
        self.seen = None
        self.identity_insert = None
        self.temporary = {}
        self.last_identity = None
        self.drop_after = self.end_after = self.half = self.header = None
        self.rowcount = 0
        self.error = 0


class Stop(Exception):
    """The batch ends here."""


class LoopControl(Exception):
    pass


class Executor(Change):
    def __init__(self, model, session, reply):
        self.model, self.session = model, session
        self.state = session.state
        self.real_reply, self.replies, self.reply = reply, [], self
        self.variables, self.query = {}, Query(self)
        self.current_error = None
        self.depth = 0

    # ---- telling ----

    def info(self, text, number=0, severity=0, **more):
        self.replies.append(("message", (number, severity, text, more)))

    def message(self, number, severity, text, **more):
        self.replies.append(("message", (number, severity, text, more)))

    def done(self, rows=None):
        self.replies.append(("done", (None if self.state.options.get("NOCOUNT") else rows,)))

    # ---- a batch ----

    def run(self, sql):
        try:
            statements = Batch(sql).statements()
        except SyntaxFault as e:
            self.model.server.log("refused", text=e.text, sql=sql)
            self.message(e.number, 15, e.text, line=e.line)
            self.done()
            return
        if self._only_parsed(statements):
            return
        self.db = self.model.find_database(self.session.database or "")
        if self.db is None:
            self.message(911, 16, f"Database '{self.session.database}' does not exist.")
            return
        try:
            self.statements(statements)
        except Stop:
            pass

    def _only_parsed(self, statements):
        """PARSEONLY counts when it is read, for the whole batch in which it stands."""
        for what, arguments, _ in statements:
            if what == "set_options" and "PARSEONLY" in arguments["names"]:
                self.state.options["PARSEONLY"] = arguments["on"]
        return self.state.options.get("PARSEONLY", False)

    def statements(self, statements):
        for s in statements:
            self.statement(s)

    def statement(self, node):
        what, arguments, line = node
        self.db = self.model.find_database(self.session.database)
        if self.state.options.get("FMTONLY") and what not in ("select", "set_options"):
            return
        if self.state.options.get("NOEXEC") and not (what == "set_options" and arguments["names"] == ["NOEXEC"]):
            return
        try:
            self.state.error = 0 if what not in ("if_else", "set_variable") else self.state.error
            method = getattr(self, "do_" + what, None) or getattr(self, what)
            guarded = hasattr(Change, what) and what not in ("create_database", "rename_database", "set_database", "modify_file", "revert", "drop") and not what.startswith(("backup", "restore"))
            if guarded or what in ("insert", "update", "delete", "truncate"):
                self._writable()
            method(**arguments)
            if hasattr(Change, what):
                self.done()
        except BadValue as e:
            self.state.error = e.number
            if self.current_error is not None:
                raise
            self.message(e.number, e.severity, e.text, line=line)
            self.done()
            # Binding errors and what XACT_ABORT makes of the others end the batch; the rest ends the statement alone. RAISERROR does not heed XACT_ABORT.
            aborts = self.state.options.get("XACT_ABORT") and what != "raise_error"
            if aborts and self.session.transaction:
                self.undo()
            if aborts or e.number in (102, 137, 195, 207, 208, 209, 2714, 4104, 911, 245, 241, 8114, 50000 + 1) or e.severity >= 20:
                raise Stop() from None

    def _writable(self):
        if self.db.options["READ_ONLY"] or self.db.snapshot_of:
            raise BadValue(3906, f'Failed to update database "{self.db.name}" because the database is read-only.')

    # ---- what Query and the expressions ask ----

    def type(self, node):
        return self.db.type(node)[0]

    def collation(self, name):
        try:
            return Collation.of(name)
        except Exception:
            raise BadValue(448, f"Invalid collation '{name}'.") from None

    @staticmethod
    def correlated(_query):
        return True

    def compile_select(self, query, scope):
        columns, rows, assigns = self.query.select(query, scope)
        if assigns:
            raise BadValue(141, "An inner query can't assign.")
        return columns, rows

    def _seen(self, db):
        """The database as this session's SNAPSHOT transaction sees it."""
        if self.state.level != "SNAPSHOT" or not self.session.transaction:
            return db
        if not db.options.get("ALLOW_SNAPSHOT_ISOLATION"):
            raise BadValue(3952, f"Snapshot isolation transaction failed accessing database '{db.name}' because snapshot isolation is not allowed in this database.")
        if self.state.seen is None:
            self.state.seen = {}
        if db.name not in self.state.seen:
            self.state.seen[db.name] = db.clone()
        return self.state.seen[db.name]

    def table(self, parts):
        name = parts[-1].lower()
        if len(parts) == 1 and name in getattr(self, "ctes", {}):
            return self.ctes[name]
        if name.startswith("@"):
            if name not in self.variables:
                raise BadValue(1087, f'Must declare the table variable "{name}".')
            return self.variables[name][1]
        if name.startswith("#"):
            if name not in self.state.temporary:
                raise BadValue(208, f"Invalid object name '{parts[-1]}'.")
            return self.state.temporary[name]
        db = self.model.database(parts[-3]) if len(parts) > 2 and parts[-3] else self.db
        if len(parts) > 1 and parts[-2].lower() == "sys" or (len(parts) == 1 and name in ("sysprocesses",)):
            if name not in tsql_catalog.VIEWS:
                raise BadValue(208, f"Invalid object name '{'.'.join(parts)}'.")
            v = tsql_catalog.VIEWS[name]
            kept = self._seen(db) if name not in ("databases", "master_files", "dm_exec_sessions", "server_principals") else db
            return [_Column(f) for f in v.fields], lambda env: v.rows(self.model, kept)
        db = self._seen(db)
        item = db.find(parts)
        if item is None or item.kind not in ("U", "V", "SN"):
            raise BadValue(208, f"Invalid object name '{'.'.join(parts)}'.")
        if item.kind == "SN":
            return self.table([p.strip("[]") for p in item.base.split(".")])
        if item.kind == "V":
            columns, rows, _ = self.query.select(item.query, None)
            for c, n in zip(columns, item.names or [c.name for c in columns]):
                c.name = n
            return columns, rows
        return item

    def rows_of(self, table):
        computed = [(i, c.computed_function) for i, c in enumerate(table.columns) if c.computed]
        if not computed:
            return table.rows
        return [self._computed(r, computed) for r in table.rows]

    @staticmethod
    def _computed(r, computed):
        r = list(r)
        for i, function in computed:
            r[i] = function(Env(tuple(r)))
        return tuple(r)

    @staticmethod
    def env(row):
        return Env(row)

    @staticmethod
    def key(t, value):
        return None if value is None else comparable(t, value)

    def assigner(self, name, source, function):
        if name not in self.variables:
            raise BadValue(137, f'Must declare the scalar variable "{name}".', 15)

        def assign(env):
            t = self.variables[name][0]
            self.variables[name] = (t, convert(source, t, function(env)))
        return assign

    def global_variable(self, name):
        number, text = Type("int"), Type("nvarchar", 600)
        get = {"@@trancount": (number, lambda: self.state.depth), "@@rowcount": (number, lambda: self.state.rowcount),
               "@@error": (number, lambda: self.state.error), "@@textsize": (number, lambda: self._textsize()),
               "@@spid": (Type("smallint"), lambda: self.session.number + 50), "@@servername": (text, lambda: "ENDPOINT"),
               "@@identity": (Type("numeric", precision=38), lambda: self.state.last_identity), "@@language": (text, lambda: "us_english"),
               "@@lock_timeout": (number, lambda: self.state.numbers["LOCK_TIMEOUT"]), "@@microsoftversion": (number, lambda: 0x0F001039),
               "@@version": (text, lambda: "Microsoft SQL Server 2019 (endpoint for tests)"), "@@dbts": (Type("varbinary", 8), lambda: struct.pack(">Q", self.db.row_version)),
               "@@options": (number, lambda: 0), "@@max_precision": (Type("tinyint"), lambda: 38)}.get(name)
        if not get:
            raise BadValue(137, f'Must declare the scalar variable "{name}".', 15)
        return get[0], lambda env: get[1]()

    def _textsize(self):
        n = self.state.numbers["TEXTSIZE"]
        return 2147483647 if n == -1 else 4096 if n == 0 else n

    def user_function(self, parts, args):
        raise BadValue(4121, f'Cannot find either column "{parts[0]}" or the user-defined function or aggregate "{".".join(parts)}", or the name is ambiguous.')

    def _item(self, name):
        parts = [p.strip().strip('[]"') for p in name.split(".")]
        if parts[-1].startswith("#"):
            return self.state.temporary.get(parts[-1].lower())
        db = self.model.find_database(parts[-3]) if len(parts) > 2 and parts[-3] else self.db
        return db.find([p for p in parts[-2:] if p] if parts[-2:][0] else parts[-1:]) if db else None

    def object_id(self, name, kind):
        item = self._item(name) if name else None
        return item.id if item and (kind is None or item.kind == kind.strip().upper()) else None

    def object_by_id(self, number, what):
        item = self.db.objects.get(number)
        return getattr(item, what, None) if item else None

    def col_length(self, table, column):
        parts = [p.strip('[]"').lower() for p in table.split(".")]
        if parts[0] == "sys" and parts[-1] in tsql_catalog.VIEWS:
            found = [c for c in tsql_catalog.VIEWS[parts[-1]].columns if c.name.lower() == column.lower()]
            return found[0].type.length if found else None
        item = self._item(table)
        found = [c for c in item.columns if c.name.lower() == column.lower()] if item and item.kind == "U" else []
        return found[0].type.length if found else None

    def col_name(self, table, number):
        item = self.db.objects.get(table)
        return next((c.name for c in item.columns if c.number == number), None) if item else None

    def column_property(self, table, column, what):
        item = self.db.objects.get(table)
        found = [c for c in item.columns if c.name.lower() == column.lower()] if item else []
        if not found:
            return None
        return {"isidentity": int(bool(found[0].identity)), "iscomputed": int(bool(found[0].computed)), "allowsnull": int(found[0].nullable),
                "columnid": found[0].number}.get(what.lower())

    def object_property(self, number, what):
        item = self.db.objects.get(number)
        if not item:
            return None
        return {"istable": int(item.kind == "U"), "isview": int(item.kind == "V"), "isusertable": int(item.kind == "U"), "ismsshipped": 0,
                "tablehasidentity": int(item.kind == "U" and any(c.identity for c in item.columns))}.get(what.lower())

    def identity(self, name, what):
        item = self._item(name)
        column = next((c for c in item.columns if c.identity), None) if item and item.kind == "U" else None
        if not column:
            return None
        from decimal import Decimal
        value = {"seed": column.identity[0], "increment": column.identity[1],
                 "current": item.last_identity if item.last_identity is not None else column.identity[0]}[what]
        return Decimal(value)

    def parse_condition(self, text):
        parser = Batch(text)
        return parser.expression()

    # ---- rows out ----

    def do_select(self, query):
        outer = getattr(self, "ctes", {})
        self.ctes = dict(outer)
        try:
            for name, (names, inner) in query.ctes.items():
                columns, rows = self.compile_select(inner, None)
                for c, n in zip(columns, names or []):
                    c.name = n
                self.ctes[name] = (columns, rows)
            columns, rows, assigns = self.query.select(query, None)
            null_free(columns)
            core = query.cores[0]
            if self.state.options.get("FMTONLY"):
                self.replies.append(("rows", (columns, [])))
                return
            found = list(rows(None))
        finally:
            self.ctes = outer
        self.state.rowcount = len(found)
        if assigns:
            self.done()
        elif getattr(core, "into", None):
            self._select_into(core.into, columns, found)
        else:
            size = self._textsize()
            limited = [i for i, c in enumerate(columns) if c.type.plp or c.type.name in ("text", "ntext", "image")]
            if limited and size < 2147483647:
                found = [tuple(v[:size // (2 if columns[i].type.name[0] == "n" else 1)] if i in limited and v is not None else v for i, v in enumerate(r)) for r in found]
            self.replies.append(("rows", (columns, found)))

    def _select_into(self, name, columns, found):
        from tsql_objects import TableColumn
        table = Table(name[-2] if len(name) > 1 else "dbo", name[-1])
        table.columns = [TableColumn(i, c.name, c.type, c.nullable) for i, c in enumerate(columns, 1)]
        table.rows = found
        if name[-1].startswith("#"):
            self.state.temporary[name[-1].lower()] = table
        else:
            self.db.add(table)
        self.done(len(found))

    # ---- rows in ----

    def table_named(self, parts):
        if parts[-1].startswith(("#", "@")):
            return self.table(parts)
        db = self.model.database(parts[-3]) if len(parts) > 2 and parts[-3] else self.db
        return db.table(parts)

    def default_value(self, column):
        """(its type, the column's type, value) of what a column gets that was not named."""
        if column.default is not None:
            t, function = compile_expression(column.default.node, Scope([]), self)
            return t, column.type, function(Env(()))
        return column.type, column.type, None

    def _target_columns(self, table, names):
        own = self.state.identity_insert is table
        if names is None:
            return [c for c in table.columns if not c.computed and c.type.name != "timestamp" and (not c.identity or own)]
        out = [table.column(n) for n in names]
        for c in out:
            if c.computed or c.type.name == "timestamp":
                raise BadValue(271 if c.computed else 273, f'The column "{c.name}" cannot be modified.')
            if c.identity and not own:
                raise BadValue(544, f"Cannot insert explicit value for identity column in table '{table.name}' when IDENTITY_INSERT is set to OFF.")
        if own and not any(c.identity for c in out):
            raise BadValue(545, f"Explicit value must be specified for identity column in table '{table.name}'.")
        return out

    def do_insert(self, table, columns, rows, query):
        target = self.table_named(table)
        columns = self._target_columns(target, columns)
        given = []
        if query is not None:
            found, source = self.compile_select(query, None)
            if len(found) != len(columns):
                raise BadValue(213, "Column name or number of supplied values does not match table definition.")
            given = [[(c.type, v) for c, v in zip(found, r)] for r in list(source(None))]
        else:
            for r in rows:
                if len(r) != len(columns):
                    raise BadValue(213 if len(r) < len(columns) else 110, "Column name or number of supplied values does not match table definition.")
                values = []
                for node, c in zip(r, columns):
                    if node == ("default",):
                        source_type, _, v = self.default_value(c)
                        values.append((source_type, v))
                    else:
                        t, function = compile_expression(node, Scope([]), self)
                        values.append((t, function(Env(()))))
                given.append(values)
        made = [self._row(target, columns, values, True) for values in given]
        self.put_rows(target, made, "INSERT")
        self.state.rowcount = len(made)
        self.done(len(made))

    def _row(self, table, columns, values, defaults):
        by_column = {id(c): (t, v) for c, (t, v) in zip(columns, values)}
        out = []
        for c in table.columns:
            if c.computed:
                out.append(None)
            elif c.type.name == "timestamp":
                self.db.row_version += 1
                out.append(struct.pack(">Q", self.db.row_version))
            elif id(c) in by_column:
                t, v = by_column[id(c)]
                out.append(convert(t, c.type, v, strict=True))
                if c.identity and out[-1] is not None:
                    self._identity_seen(table, c, int(out[-1]))
            elif c.identity:
                out.append(self._next_identity(table, c))
            else:
                source, t, v = self.default_value(c) if defaults else (c.type, c.type, None)
                out.append(convert(source, t, v, strict=True))
            if out[-1] is None and not c.nullable and not c.computed:
                raise BadValue(515, f"Cannot insert the value NULL into column '{c.name}', table '{self.db.name}.{table.schema}.{table.name}'; column does not allow nulls. INSERT fails.")
        return tuple(out)

    @staticmethod
    def _identity_seen(table, c, value):
        last, step = table.last_identity, c.identity[1]
        if last is None or (value > last if step > 0 else value < last):
            table.last_identity = value
        table.fresh = False

    def _next_identity(self, table, c):
        seed, step = c.identity
        if table.last_identity is None:
            value = seed
        else:
            value = table.last_identity if getattr(table, "reseeded_fresh", False) else table.last_identity + step
        table.reseeded_fresh = False
        table.last_identity, table.fresh = value, False
        value = convert(Type("bigint"), c.type, value)
        self.state.last_identity = convert(c.type, Type("numeric", precision=38), value)
        return value

    def put_rows(self, table, rows, statement, checks=True, before=None):
        """Adds rows, or with `before` puts `rows` in place of all; checks uniqueness and constraints first."""
        kept = table.rows if before is None else before
        self._unique_among(table, kept, rows)
        if checks and table.id:
            self._constraints(table, rows, statement)
        table.rows = kept + rows

    def _unique_among(self, table, kept, rows):
        computed = [(i, c.computed_function) for i, c in enumerate(table.columns) if c.computed]
        for index in table.indexes:
            if not index["unique"] or index["disabled"] or index["type"] not in (1, 2):
                continue
            positions = [table.position(n) for n, _ in index["columns"]]
            condition = index.get("condition")
            seen = set()
            for n, r in enumerate([*kept, *rows]):
                r = self._computed(r, computed) if computed else r
                if condition is not None and condition(Env(r)) is not True:
                    continue
                k = tuple(self.key(table.columns[i].type, r[i]) for i in positions)
                if k in seen and n >= len(kept):
                    what = f"Violation of {'PRIMARY KEY' if index['primary'] else 'UNIQUE KEY'} constraint '{index['name']}'. Cannot insert duplicate key in object '{table.schema}.{table.name}'." \
                        if index["primary"] or index["constraint"] else f"Cannot insert duplicate key row in object '{table.schema}.{table.name}' with unique index '{index['name']}'."
                    raise BadValue(2627 if index["primary"] or index["constraint"] else 2601, what, 14)
                seen.add(k)

    def _constraints(self, table, rows, statement):
        for o in self.db.of_kind("C", "F"):
            if o.parent != table.id or o.disabled:
                continue
            if o.kind == "F":
                self.check_foreign(table, o, rows, statement)
            elif any(o.test(Env(r)) is False for r in rows):
                raise BadValue(547, f'The {statement} statement conflicted with the CHECK constraint "{o.name}".')

    def _matching(self, table, name, source, where):
        """Which rows of the table a WHERE, perhaps with a FROM, is true of: (position, Env)."""
        if source is None:
            scope = Scope(self.fields_of(table))
            test = truth(where, scope, self) if where else None
            return scope, [(i, Env(r)) for i, r in enumerate(self.rows_of(table)) if test is None or test(Env(r)) is True]
        raise BadValue(40000, "UPDATE and DELETE with FROM are not in this model.")

    def do_update(self, table, source, where, sets):
        target = self.table_named(table)
        scope, found = self._matching(target, table, source, where)
        compiled = []
        for name, node in sets:
            c = target.column(name)
            if c.computed or c.identity or c.type.name == "timestamp":
                raise BadValue(8102 if c.identity else 271, f"Cannot update column '{name}'.")
            t, function = compile_expression(node, scope, self) if node != ("default",) else (None, None)
            compiled.append((target.position(name), c, t, function))
        changed = {}
        for at, env in found:
            r = list(target.rows[at])
            for i, c, t, function in compiled:
                source_type, _, v = self.default_value(c) if function is None else (t, None, function(env))
                r[i] = convert(source_type, c.type, v, strict=True)
                if r[i] is None and not c.nullable:
                    raise BadValue(515, f"Cannot insert the value NULL into column '{c.name}', table '{target.name}'; column does not allow nulls. UPDATE fails.")
            for i, c in enumerate(target.columns):
                if c.type.name == "timestamp":
                    self.db.row_version += 1
                    r[i] = struct.pack(">Q", self.db.row_version)
            changed[at] = tuple(r)
        rows = [changed.get(i, r) for i, r in enumerate(target.rows)]
        self._unique_among(target, [], rows)
        if target.id:
            self._constraints(target, list(changed.values()), "UPDATE")
        target.rows = rows
        self.state.rowcount = len(changed)
        self.done(len(changed))

    def do_delete(self, table, source, where):
        target = self.table_named(table)
        gone = {i for i, _ in self._matching(target, table, source, where)[1]}
        left = [r for i, r in enumerate(target.rows) if i not in gone]
        kept, target.rows = target.rows, left
        try:
            for f in self.db.of_kind("F"):
                if f.referenced == target.id and not f.disabled and f.delete == "NO_ACTION":
                    other = self.db.objects[f.parent]
                    self.check_foreign(other, f, other.rows, "DELETE")
        except BadValue:
            target.rows = kept
            raise
        self.state.rowcount = len(gone)
        self.done(len(gone))

    def truncate(self, table):
        target = self.table_named(table)
        if any(f.referenced == target.id for f in self.db.of_kind("F")):
            raise BadValue(4712, f"Cannot truncate table '{target.name}' because it is being referenced by a FOREIGN KEY constraint.")
        target.rows, target.last_identity, target.fresh = [], None, True
        self.done()

    def do_insert_bulk(self, table, columns, hints):
        target = self.table_named(table)
        for name, t in columns:
            c = target.column(name)
            if c.computed or c.type.name == "timestamp":
                raise BadValue(4892, f"Column {name} can't be bulk loaded.")
            declared = self.db.type(t)[0].name
            allowed = {c.type.name, "decimal" if c.type.name == "numeric" else c.type.name, "numeric" if c.type.name == "decimal" else c.type.name}
            if declared not in allowed:
                raise BadValue(4816, f"Invalid column type from bcp client for colid {c.number}: {declared} for {c.type.name}.")
        self.session.pending_bulk = {"table": table, "columns": [n for n, _ in columns], "hints": hints}
        self.done()

    def bulk_rows(self, pending, columns, rows):
        self.db = self.model.find_database(self.session.database)
        self._writable()
        table = self.table_named(pending["table"])
        if [c.name.lower() for c in columns] != [n.lower() for n in pending["columns"]]:
            raise BadValue(4815, "The columns of the data are not those of the statement.")
        target = [table.column(c.name) for c in columns]
        nulls = "KEEP_NULLS" in pending["hints"]
        made = []
        for r in rows:
            values = [(c.type, v) if v is not None or nulls or t.default is None else self.default_value(t)[::2] for c, t, v in zip(columns, target, r)]
            made.append(self._row(table, target, values, not nulls))
        self.put_rows(table, made, "INSERT BULK", "CHECK_CONSTRAINTS" in pending["hints"])
        if rows and "CHECK_CONSTRAINTS" not in pending["hints"]:
            for o in self.db.of_kind("C", "F"):
                if o.parent == table.id:
                    o.trusted = False

    # ---- settings and flow ----

    def set_options(self, names, on):
        for n in names:
            self.state.options[n] = on

    def set_number(self, name, value):
        self.state.numbers[name] = value

    def set_word(self, name, value):
        if name == "LANGUAGE" and value.lower() not in ("us_english", "english"):
            raise BadValue(2741, f"The language '{value}' is not known.")

    def isolation(self, level):
        self.state.level = level

    def identity_insert(self, table, on):
        target = self.table_named(table)
        if not any(c.identity for c in target.columns):
            raise BadValue(8106, f"Table '{target.name}' does not have the identity property. Cannot perform SET operation.")
        if on and self.state.identity_insert not in (None, target):
            raise BadValue(8107, f"IDENTITY_INSERT is already ON for table '{self.state.identity_insert.name}'. Cannot perform SET operation for table '{target.name}'.")
        self.state.identity_insert = target if on else None

    def do_use(self, name):
        db = self.model.database(name)
        refused = self.model.may_enter(self.session, db)
        if refused:
            raise BadValue(refused[0], refused[2], refused[1])
        self.session.database = db.name
        self.replies.append(("use", db.name))

    def nothing(self):
        self.done()

    def value(self, node, t=None):
        source, function = compile_expression(node, Scope([]), self)
        v = function(Env(()))
        return convert(source, t, v) if t else (source, v)

    def declare(self, variables):
        for name, kind, more in variables:
            if kind is None:
                table = Table("dbo", name)
                self.elements(table, more, True)
                self.variables[name] = (None, table)
                continue
            t = self.type(kind)
            self.variables[name] = (t, None)
            if more is not None:
                self.variables[name] = (t, self.value(more, t))

    def set_variable(self, name, value):
        if name not in self.variables:
            raise BadValue(137, f'Must declare the scalar variable "{name}".', 15)
        t = self.variables[name][0]
        self.variables[name] = (t, self.value(value, t))

    def if_else(self, condition, then, otherwise):
        test = truth(condition, Scope([]), self)
        if test(Env(())) is True:
            self.statement(then)
        elif otherwise:
            self.statement(otherwise)

    def block(self, body):
        self.statements(body)

    def while_loop(self, condition, body):
        test = truth(condition, Scope([]), self)
        for _ in range(100000):
            if test(Env(())) is not True:
                return
            try:
                self.statement(body)
            except LoopControl as e:
                if e.args[0] == "break":
                    return
        raise BadValue(40001, "A loop that does not end.")

    def break_loop(self):
        raise LoopControl("break")

    def continue_loop(self):
        raise LoopControl("continue")

    def return_batch(self):
        raise Stop()

    def try_catch(self, body, catch):
        outer, self.current_error = self.current_error, False
        try:
            self.statements(body)
            self.current_error = outer
        except BadValue as e:
            self.current_error = outer
            self.caught = e
            self.statements(catch)

    def rethrow(self):
        raise self.caught

    def throw(self, arguments):
        number, text = (self.value(a)[1] for a in arguments[:2])
        raise BadValue(number, text)

    def print_text(self, value):
        t, v = self.value(value)
        self.info("" if v is None else text_of(t, v))

    def raise_error(self, arguments, nowait):
        (_, what), (_, severity) = self.value(arguments[0]), self.value(arguments[1])
        number, text = (what, f"error {what}") if isinstance(what, int) else (50000, what)
        rest = [self.value(a)[1] for a in arguments[3:]]
        text = text.replace("%i", "%d") % tuple(rest) if rest else text.replace("%%", "%")
        if severity > 10:
            raise BadValue(number, text, severity)
        self.replies.append(("message", (number, severity, text, {"flush": nowait})))

    def waitfor(self, delay):
        _, text = self.value(delay)
        _, ticks, _ = moment(text, Type("time"))
        self.replies.append(("wait", ticks / 10_000_000 if ticks < DAY else 0))

    def kill(self, session):
        found = [s for s in self.model.sessions if s.number + 50 == session]
        if not found or found[0] is self.session:
            raise BadValue(6106, f"Process ID {session} is not an active process ID.")
        self.model.kick(found[0])

    # ---- transactions ----

    def begin_transaction(self, name):
        if self.state.depth == 0:
            self.state.undo = {n: d.clone() for n, d in self.model.databases.items() if d.number > 4 and not d.snapshot_of}
            self.state.seen = None
            self.session.transaction = 1
        self.state.depth += 1

    def commit(self, name):
        if self.state.depth == 0:
            raise BadValue(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.state.depth -= 1
        if self.state.depth == 0:
            self.state.undo = self.state.seen = None
            self.session.transaction = 0

    def rollback(self, name):
        if self.state.depth == 0:
            raise BadValue(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.undo()

    def undo(self):
        """Back to the beginning of the transaction. Whoever only read changes nothing: others may have written since."""
        state = self.session.state
        if state.undo and state.level != "SNAPSHOT":
            for name, kept in state.undo.items():
                if name in self.model.databases:
                    self.model.databases[name] = kept
        state.depth, state.undo, state.seen = 0, None, None
        self.session.transaction = 0

    def save_transaction(self, name):
        if self.state.depth == 0:
            raise BadValue(628, "Cannot issue SAVE TRANSACTION when there is no active transaction.")

    # ---- procedures ----

    def execute_text(self, text):
        _, sql = self.value(text)
        self._nested(sql or "", {})

    def _nested(self, sql, variables):
        if self.depth > 30:
            raise BadValue(217, "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit 32).")
        try:
            statements = Batch(sql).statements()
        except SyntaxFault as e:
            self.model.server.log("refused", text=e.text, sql=sql)
            raise BadValue(e.number, e.text, 15) from None
        outer, self.variables = self.variables, variables
        self.depth += 1
        try:
            self.statements(statements)
        finally:
            self.variables = outer
            self.depth -= 1

    def _arguments(self, arguments):
        out = []
        for name, node in arguments:
            if node[0] == "lit_word":
                out.append((name, Type("nvarchar", 256), node[1]))
            else:
                t, v = self.value(node)
                out.append((name, t, v))
        return out

    def execute(self, name, arguments):
        procedure = name[-1].lower()
        given = self._arguments(arguments)
        if procedure == "sp_executesql":
            self._execute_sql(given)
        elif procedure.startswith("sp_") and hasattr(Change, procedure):
            self._server_procedure(procedure, given)
            self.done()
        elif procedure in ("sp_updatestats", "sp_refreshview", "sp_refreshsqlmodule", "sp_recompile"):
            self.done()
        else:
            item = self.db.find(name, ("P",))
            if not item:
                raise BadValue(2812, f"Could not find stored procedure '{'.'.join(name)}'.")
            raise BadValue(40002, f"The body of '{name[-1]}' is not run in this model.")

    def _server_procedure(self, procedure, given):
        method = getattr(self, procedure)
        plain, named = [], {}
        for name, t, v in given:
            if procedure.endswith("extendedproperty") and name == "@value" and v is not None:
                v = Variant(t, v)
            if name is None:
                plain.append(v)
            else:
                named[name[1:].lower()] = v
        try:
            method(*plain, **named)
        except TypeError as e:
            raise BadValue(8145, f"{procedure}: {e}") from None

    def _execute_sql(self, given):
        sql, variables = given[0][2], {}
        if len(given) > 1 and given[1][2]:
            parser = Batch("DECLARE " + given[1][2].replace(" OUTPUT", ""))
            for name, kind, _ in parser.statements()[0][1]["variables"]:
                variables[name] = (self.type(kind), None)
            for at, (name, t, v) in enumerate(given[2:]):
                key = name or list(variables)[at]
                variables[key] = (variables[key][0], convert(t, variables[key][0], v))
        self._nested(sql, variables)

    def check_identity(self, table, reseed, value):
        item = self._item(table)
        column = next((c for c in item.columns if c.identity), None) if item and item.kind == "U" else None
        if not column:
            raise BadValue(7997, f"'{table}' does not contain an identity column.")
        if reseed and value is not None:
            # A table that nothing was ever put into hands out the new value itself.
            item.reseeded_fresh = item.fresh
            item.last_identity = value
        elif reseed is not False and item.rows:
            at = item.columns.index(column)
            most = max(r[at] for r in item.rows)
            item.last_identity = max(item.last_identity or most, most)
        self.info(f"Checking identity information: current identity value '{item.last_identity if item.last_identity is not None else 'NULL'}'.", 7998)
        self.done()


class _Column:
    """A field as a query's column."""

    def __init__(self, field):
        self.name, self.type, self.nullable = field.name, field.type, field.nullable
