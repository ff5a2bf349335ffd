"""What DDL does to a database of the model. A mixin of the executor, which has self.db, self.session and self.expression()."""
import copy
import itertools
import struct

from tds_types import MAX, BadValue, Collation, Type, Variant
from tsql_expr import Scope, compile_expression, truth
from tsql_native import Native
from tsql_objects import Database, File, Item, Table, TableColumn
from tsql_values import convert


def in_parentheses(text, number):
    """As the server keeps a definition."""
    text = text.strip()
    if not text.startswith("("):
        text = f"({text})"
    return f"({text})" if number and not text.startswith("((") else text


class Change(Native):
    # ---- databases ----

    def create_database(self, name, collation, snapshot_of, files):
        model = self.model
        if self.session.transaction:
            raise BadValue(226, "CREATE DATABASE statement not allowed within multi-statement transaction.")
        if model.find_database(name):
            raise BadValue(1801, f"Database '{name}' already exists. Choose a different database name.")
        if snapshot_of is not None:
            new = self._snapshot(name, model.database(snapshot_of), files)
        else:
            new = Database(name, model.next_database(), collation)
        model.databases[name.lower()] = new

    def _snapshot(self, name, source, files):
        model = self.model
        if not model.snapshots:
            raise BadValue(1844, "CREATE DATABASE AS SNAPSHOT is not supported on Express Edition.")
        if not model.has_right(self.session.login.user, None):
            raise BadValue(262, "CREATE DATABASE permission denied in database 'master'.")
        if source.snapshot_of or source.state != "ONLINE":
            raise BadValue(1822, "The database must be online to have a database snapshot.")
        if sorted(f["NAME"] for f in files) != sorted(f.name for f in source.files if f.kind == "D"):
            raise BadValue(5127, "All files must be specified for database snapshot creation. Missing or unknown file.")
        taken = {f.path for d in model.databases.values() for f in d.files}
        for f in files:
            if f["FILENAME"] in taken:
                raise BadValue(5170, f"Cannot create file '{f['FILENAME']}' because it already exists.")
        new = source.clone()
        new.name, new.number, new.snapshot_of, new.access = name, model.next_database(), source.number, "MULTI_USER"
        new.made = (source.made[0], 300 * new.number)
        new.files = [File(f["NAME"], "D", f["FILENAME"], next(o.size for o in source.files if o.name == f["NAME"]), 0) for f in files]
        new.files_then, new.access_then = copy.deepcopy(source.files), source.access
        return new

    def modify_file(self, name, spec):
        db = self._target(name)
        f = next((f for f in db.files if f.name.lower() == spec["NAME"].lower()), None)
        if not f:
            raise BadValue(5041, f"MODIFY FILE failed. File '{spec['NAME']}' does not exist.")
        if "SIZE" in spec and spec["SIZE"] <= f.size:
            raise BadValue(5039, "MODIFY FILE failed. Specified size is less than or equal to current size.")
        f.size = spec.get("SIZE", f.size)
        f.growth, f.percent = spec.get("FILEGROWTH", (f.growth, f.percent))
        f.maximum = spec.get("MAXSIZE", f.maximum)

    def rename_database(self, name, to):
        db = self._target(name)
        if self.model.find_database(to) and to.lower() != db.name.lower():
            raise BadValue(1801, f"Database '{to}' already exists. Choose a different database name.")
        if db.snapshot_of:
            raise BadValue(5030, "The database could not be exclusively locked to perform the operation.")
        if [s for s in self.model.users_of(db) if s is not self.session]:
            raise BadValue(5030, "The database could not be exclusively locked to perform the operation.")
        for s in self.model.users_of(db):
            s.database = to
        del self.model.databases[db.name.lower()]
        db.name = to
        db.made = (db.made[0], db.made[1] + 300 * 60)  # "created or renamed"
        self.model.databases[to.lower()] = db
        self.reply.info(f"The database name '{to}' has been set.")

    def collate_database(self, name, collation):
        Collation.of(collation)
        self._target(name).collation = collation

    def set_database(self, name, settings, immediate):
        db = self._target(name)
        if self.session.transaction:
            raise BadValue(226, "ALTER DATABASE statement not allowed within multi-statement transaction.")
        if db.snapshot_of:
            raise BadValue(5093, "The operation cannot be performed on a database snapshot.")
        if db.state == "RESTORING":
            raise BadValue(5052, "ALTER DATABASE is not permitted while a database is in the Restoring state.")
        if db.access == "SINGLE_USER" and [s for s in self.model.users_of(db) if s is not self.session]:
            raise BadValue(5064, f"Changes to the state or options of database '{db.name}' cannot be made at this time. The database is in single-user mode, and a user "
                                 "is currently connected to it.")
        for word, value in settings:
            if word in ("SINGLE_USER", "RESTRICTED_USER", "OFFLINE", "READ_ONLY", "READ_WRITE", "READ_COMMITTED_SNAPSHOT") or word == "MULTI_USER":
                others = [s for s in self.model.users_of(db) if s is not self.session]
                if word == "RESTRICTED_USER":
                    others = [s for s in others if not self.model.is_role(s.login.user, "sysadmin")]
                if others and immediate and word != "MULTI_USER":
                    for s in others:
                        self.model.kick(s)
                elif others and word != "MULTI_USER":
                    raise BadValue(5061, f"ALTER DATABASE failed because a lock could not be placed on database '{db.name}'. Try again later.")
            if word in ("SINGLE_USER", "RESTRICTED_USER", "MULTI_USER"):
                db.access = word
            elif word in ("ONLINE", "OFFLINE"):
                db.state = word
            elif word in ("READ_ONLY", "READ_WRITE"):
                db.options["READ_ONLY"] = word == "READ_ONLY"
            elif word.endswith("_BROKER"):
                db.options["BROKER"] = word != "DISABLE_BROKER"
            else:
                db.options[word] = value

    def alter_scoped(self, name, value):
        if name not in ("MAXDOP", "LEGACY_CARDINALITY_ESTIMATION", "PARAMETER_SNIFFING", "QUERY_OPTIMIZER_HOTFIXES", "IDENTITY_CACHE"):
            raise BadValue(102, f"Incorrect syntax near '{name}'.", 15)
        self.db.scoped[name] = value

    def revert(self, name, snapshot):
        """Going back to a database snapshot, with what that is known to cost: a new log, no full-text catalogs. What it does to the date is not known: it moves."""
        model = self.model
        if self.session.transaction:
            raise BadValue(3021, "Cannot perform a backup or restore operation within a transaction.")
        db, kept = model.database(name), model.database(snapshot)
        if not model.is_role(self.session.login.user, "dbcreator"):  # or the database's owner, who is sa here
            raise BadValue(3110, f"User does not have permission to RESTORE database '{name}'.")
        if kept.snapshot_of != db.number or len(model.snapshots_of(db)) != 1:
            raise BadValue(3137, "Database cannot be reverted. Either the primary or the snapshot names are improperly specified, or there are other snapshots.")
        if kept.state == "SUSPECT":
            raise BadValue(926, f"Database '{kept.name}' cannot be opened. It has been marked SUSPECT by recovery. See the SQL Server errorlog for more information.")
        if db.options["READ_ONLY"]:
            raise BadValue(3137, "Database cannot be reverted: it is read-only.")
        if model.users_of(db) or model.users_of(kept):
            raise BadValue(5070, f"Database state cannot be changed while other users are using the database '{name}'.")
        if self.session.state.half:
            db.state = kept.state = "RESTORING"
            self._half("RESTORE DATABASE")
        kept.state = "ONLINE"
        new = kept.clone()
        new.name, new.number, new.snapshot_of, new.access, new.made = db.name, db.number, None, kept.access_then, (db.made[0], db.made[1] + 300 * 60)
        new.files = copy.deepcopy(kept.files_then)
        for f in new.files:
            if f.kind == "L":
                f.size, f.growth, f.percent = 64, 10, True
        new.catalogs, new.fulltext = {}, {}
        model.databases[db.name.lower()] = new

    def _target(self, name):
        return self.model.database(name) if name else self.db

    # ---- tables ----

    def make_column(self, table, spec, later=False):
        nullable = spec["nullable"]
        number = next(table.numbers)
        common = {k: spec[k] for k in ("replication", "rowguid", "sparse", "mask", "generated", "hidden", "column_set", "persisted")}
        if any(c.name.lower() == spec["name"].lower() for c in table.columns):
            raise BadValue(2705, f"Column names in each table must be unique. Column name '{spec['name']}' in table '{table.name}' is specified more than once.")
        if spec["computed"] is not None:
            scope = Scope(self.fields_of(table))
            t, function = compile_expression(spec["computed_node"], scope, self)
            table.columns.append(TableColumn(number, spec["name"], t, nullable is not False, computed=in_parentheses(spec["computed"], False),
                                             computed_function=function, **common))
            return
        t, user = self.db.type(spec["type"])
        if spec["collation"]:
            if not t.collation:
                raise BadValue(448, f"COLLATE on column '{spec['name']}', whose type has no collation.")
            t = Type(t.name, t.length, collation=spec["collation"], alias=t.alias)
        if spec["column_set"] and t.name != "xml":
            raise BadValue(1734, "The column set must be an XML column.")
        if nullable is None:
            nullable = user["nullable"] if user else not spec["identity"] and t.alias != "sysname" and t.name != "timestamp" and not any(
                c["kind"] == "key" and c["primary"] for c in spec["constraints"])
        if spec["identity"]:
            if any(c.identity for c in table.columns):
                raise BadValue(2744, f"Multiple identity columns specified for table '{table.name}'. Only one identity column per table is allowed.")
            if t.name not in ("tinyint", "smallint", "int", "bigint", "decimal", "numeric") or nullable:
                raise BadValue(2749, f"Identity column '{spec['name']}' must be of an integer type and nonnullable.")
        c = TableColumn(number, spec["name"], t, nullable, identity=spec["identity"], user_type=user, **common)
        table.columns.append(c)
        if later and table.rows:
            if not nullable and not spec["identity"] and not any(x["kind"] == "default" for x in spec["constraints"]):
                raise BadValue(4901, f"ALTER TABLE only allows columns to be added that can contain nulls. Column '{c.name}' cannot be added to non-empty table '{table.name}'.")

    def fields_of(self, table):
        from tsql_expr import Field
        return [Field(table.name, f.name, f.type, f.nullable, f.identity, f.computed) for f in table.fields]

    def create_table(self, name, elements):
        schema = name[-2] if len(name) > 1 and name[-2] else "dbo"
        if name[-1].startswith("#"):
            table = Table("dbo", name[-1])
            self.elements(table, elements, True)
            self.state.temporary[name[-1].lower()] = table
            return
        db, self.db = self.db, self.model.database(name[0]) if len(name) > 2 and name[0] else self.db
        kept = self.db.clone()
        table = Table(schema, name[-1])
        table.ansi_nulls = self.state.options.get("ANSI_NULLS", False)
        try:
            self.db.add(table)
            self.elements(table, elements, True)
        except BadValue:
            self.model.replace(self.db, kept)
            raise
        finally:
            self.db = db

    def elements(self, table, elements, trusted, later=False):
        plain = [e for e in elements if e["kind"] == "column" and e["computed"] is None]
        for e in plain + [e for e in elements if e["kind"] == "column" and e["computed"] is not None]:
            self.make_column(table, e, later)
        if not later:  # computed columns stand where they were written
            order = [e["name"].lower() for e in elements if e["kind"] == "column"]
            table.columns.sort(key=lambda c: order.index(c.name.lower()))
            for n, c in enumerate(table.columns, 1):
                c.number = n
            table.numbers = itertools.count(len(order) + 1)
            for e in elements:
                if e["kind"] == "column" and e["computed"] is not None:
                    table.column(e["name"]).computed_function = compile_expression(e["computed_node"], Scope(self.fields_of(table)), self)[1]
        for e in elements:
            if e["kind"] == "column":
                for c in e["constraints"]:
                    self.constraint(table, c, e["name"], trusted)
        for e in elements:
            if e["kind"] == "index":
                table.add_index(type=1 if e["clustered"] else 2, **{k: e[k] for k in ("name", "unique", "clustered", "columns", "options")})
            elif e["kind"] not in ("column", "period"):
                self.constraint(table, e, None, trusted)
        if later:
            added = [table.column(e["name"]) for e in elements if e["kind"] == "column"]
            for i, r in enumerate(table.rows):
                table.rows[i] = r + tuple(self._value_of_old_row(table, c) for c in added)

    def _value_of_old_row(self, table, c):
        if c.identity:
            table.last_identity = c.identity[0] if table.last_identity is None else table.last_identity + c.identity[1]
            return table.last_identity
        if c.default is not None and not c.nullable and c.computed is None:
            return convert(*self.default_value(c))
        return None

    def _name(self, table, prefix, constraint, column=None):
        if constraint["name"]:
            return constraint["name"], False
        middle = f"{table.name[:9]}__{column[:9]}" if column else table.name[:9]
        return f"{prefix}__{middle}__{self.db.next_id:08X}", True

    def constraint(self, table, c, column, trusted):
        kind = c["kind"]
        if kind == "key":
            self._key(table, c, column)
        elif kind == "check":
            name, generated = self._name(table, "CK", c, column)
            node = self.parse_condition(c["definition"])
            test = truth(node, Scope(self.fields_of(table)), self)
            item = Item("C", table.schema, name, table.id, definition=c["definition"], system_named=generated, disabled=False, trusted=trusted,
                        replication=c["replication"], test=test)
            if trusted and any(test(self.env(r)) is False for r in self.rows_of(table)):
                raise BadValue(547, f'The ALTER TABLE statement conflicted with the CHECK constraint "{name}".')
            self.add_item(table, item)
        elif kind == "default":
            target = table.column(c["column"] or column)
            if target.default is not None:
                raise BadValue(1781, "Column already has a DEFAULT bound to it.")
            name, generated = self._name(table, "DF", c, target.name)
            compile_expression(c["node"], Scope([]), self)
            text = in_parentheses(c["definition"], c["definition"].strip().lstrip("-").replace(".", "").isdigit())
            item = Item("D", table.schema, name, table.id, definition=text, system_named=generated, column=target.number, node=c["node"])
            self.add_item(table, item)
            target.default = item
        elif kind == "foreign":
            self._foreign(table, c, column, trusted)

    def add_item(self, table, item):
        if table.id or not table.name.startswith(("#", "@")):
            self.db.add(item)

    def _key(self, table, c, column):
        columns = c["columns"] or [(column, False)]
        prefix = "PK" if c["primary"] else "UQ"
        if c["primary"] and any(i["primary"] for i in table.indexes):
            raise BadValue(1779, f"Table '{table.name}' already has a primary key defined on it.")
        name, generated = self._name(table, prefix, c)
        for n, _ in columns:
            found = table.column(n)
            if c["primary"] and found.nullable:
                raise BadValue(8111, f"Cannot define PRIMARY KEY constraint on nullable column in table '{table.name}'.")
        taken = any(i["type"] in (1, 5) for i in table.indexes)
        clustered = c["clustered"] == "CLUSTERED" or (c["clustered"] is None and c["primary"] and not taken)
        self.unique(table, columns, None, name)
        index = table.add_index(name=name, type=1 if clustered else 2, clustered=clustered, unique=True, primary=c["primary"], constraint=not c["primary"],
                                columns=columns, options=c["options"])
        self.add_item(table, Item(prefix, table.schema, name, table.id, index=index["id"], system_named=generated))

    def _foreign(self, table, c, column, trusted):
        name, generated = self._name(table, "FK", c, column)
        target = self.db.table(c["referenced"])
        columns = [table.column(n) for n in c["columns"] or [column]]
        names = c["referenced_columns"] or [n for i in target.indexes if i["primary"] for n, _ in i["columns"]]
        if len(names) != len(columns):
            raise BadValue(8139, "Number of referencing columns in foreign key differs from number of referenced columns.")
        wanted = [target.column(n) for n in names]
        if not any(i["unique"] and {n.lower() for n, _ in i["columns"]} == {w.name.lower() for w in wanted} for i in target.indexes):
            raise BadValue(1776, f"There are no primary or candidate keys in the referenced table '{target.name}' that match the referencing column list in the foreign key '{name}'.")
        for a, b in zip(columns, wanted):
            if a.type.name != b.type.name or a.type.length != b.type.length:
                raise BadValue(1778, f"Column '{target.name}.{b.name}' is not the same data type as referencing column '{table.name}.{a.name}' in foreign key '{name}'.")
        item = Item("F", table.schema, name, table.id, referenced=target.id, columns=[x.number for x in columns], referenced_columns=[x.number for x in wanted],
                    delete=c["delete"], update=c["update"], replication=c["replication"], system_named=generated, disabled=False, trusted=trusted)
        if trusted:
            self.check_foreign(table, item, table.rows, "ALTER TABLE")
        self.add_item(table, item)

    def check_foreign(self, table, item, rows, statement):
        target = self.db.objects[item.referenced]
        mine = [next(i for i, c in enumerate(table.columns) if c.number == n) for n in item.columns]
        theirs = [next(i for i, c in enumerate(target.columns) if c.number == n) for n in item.referenced_columns]
        known = {tuple(self.key(target.columns[i].type, r[i]) for i in theirs) for r in target.rows}
        for r in rows:
            if all(r[i] is not None for i in mine) and tuple(self.key(table.columns[i].type, r[i]) for i in mine) not in known:
                raise BadValue(547, f'The {statement} statement conflicted with the FOREIGN KEY constraint "{item.name}".')

    def unique(self, table, columns, condition, name):
        positions = [table.position(n) for n, _ in columns]
        seen = set()
        for r in self.rows_of(table):
            if condition is not None and condition(self.env(r)) is not True:
                continue
            k = tuple(self.key(table.columns[i].type, r[i]) for i in positions)
            if k in seen:
                raise BadValue(1505, f"The CREATE UNIQUE INDEX statement terminated because a duplicate key was found for the object name '{table.schema}.{table.name}' and the index name '{name}'.")
            seen.add(k)

    def alter_add(self, name, elements, trusted):
        table = self.table_named(name)
        self.elements(table, elements, trusted, True)

    def alter_check(self, name, enable, trusted, names):
        table = self.table_named(name)
        found = [o for o in self.db.of_kind("C", "F") if o.parent == table.id and (names == ["ALL"] or o.name.lower() in [n.lower() for n in names])]
        if names != ["ALL"] and len(found) != len(names):
            raise BadValue(11415, f"Object '{names[0]}' cannot be disabled or enabled.")
        for o in found:
            if enable and trusted and o.kind == "F":
                self.check_foreign(table, o, table.rows, "ALTER TABLE")
            o.disabled = not enable
            o.trusted = enable and (trusted or o.trusted)

    def alter_drop(self, name, drops):
        table = self.table_named(name)
        for kind, what, exists in drops:
            if kind == "COLUMN":
                at = table.position(what)
                column = table.columns[at]
                if column.default is not None or any(n.lower() == what.lower() for i in table.indexes for n, _ in i["columns"]):
                    raise BadValue(5074, f"The object is dependent on column '{what}'.")
                del table.columns[at]
                table.rows = [r[:at] + r[at + 1:] for r in table.rows]
            elif kind == "CONSTRAINT":
                item = self.db.find([table.schema, what])
                if not item or item.parent != table.id:
                    if exists:
                        continue
                    raise BadValue(3728, f"'{what}' is not a constraint.")
                if item.kind in ("PK", "UQ"):
                    if any(f.referenced == table.id for f in self.db.of_kind("F")) and item.kind == "PK":
                        raise BadValue(3725, f"The constraint '{what}' is being referenced by a foreign key constraint.")
                    table.indexes = [i for i in table.indexes if i["name"].lower() != what.lower()]
                if item.kind == "D":
                    next(c for c in table.columns if c.number == item.column).default = None
                self.db.remove(item)

    def alter_column(self, name, column, type, collation, nullable):
        table = self.table_named(name)
        c = table.column(column)
        t, user = self.db.type(type)
        if collation:
            t = Type(t.name, t.length, collation=collation)
        at = table.columns.index(c)
        if not nullable and any(r[at] is None for r in table.rows):
            raise BadValue(515, f"Cannot insert the value NULL into column '{column}', table '{table.name}'; column does not allow nulls.")
        table.rows = [r[:at] + (convert(c.type, t, r[at], strict=True),) + r[at + 1:] for r in table.rows]
        c.type, c.user_type, c.nullable = t, user, nullable

    def alter_column_flag(self, name, column, what, add):
        setattr(self.table_named(name).column(column), {"rowguidcol": "rowguid"}.get(what, what), add)

    def alter_set(self, name, lock=None, versioning=None):
        if versioning is not None:
            raise BadValue(13510, "System-versioned tables are not in this model.")
        self.table_named(name).lock = lock

    def alter_rebuild(self, name, options):
        self.table_named(name).compression = options.get("DATA_COMPRESSION", "NONE")

    # ---- indexes ----

    def create_index(self, name, table, columns, unique, clustered, columnstore, xml, spatial, included, filter, options, primary=None,
                     secondary=None, scheme=None):
        item = self.db.find(table, ("U", "V"))
        if not item:
            raise BadValue(1088, f"Cannot find the object \"{'.'.join(table)}\" because it does not exist or you do not have permissions.")
        if item.kind == "V":
            if not item.bound:
                raise BadValue(1939, f"Cannot create index on view '{item.name}' because the view is not schema bound.")
            item.indexes.append({"id": len(item.indexes) + 1, "name": name, "type": 1 if clustered else 2, "unique": unique, "primary": False,
                                 "constraint": False, "columns": columns, "included": included, "filter": filter, "options": options, "disabled": False})
            return
        for n, _ in columns:
            found = item.column(n)
            if not (xml or spatial or columnstore) and found.type.name in ("text", "ntext", "image", "xml", "geography", "geometry"):
                raise BadValue(1919, f"Column '{n}' in table '{item.name}' is of a type that is invalid for use as a key column in an index.")
            if not (xml or spatial or columnstore) and found.type.length == MAX:
                raise BadValue(1919, f"Column '{n}' in table '{item.name}' is of a type that is invalid for use as a key column in an index.")
        for n in included:
            item.column(n)
        condition = truth(self.parse_condition(filter), Scope(self.fields_of(item)), self) if filter else None
        if unique:
            self.unique(item, columns, condition, name)
        number = 3 if xml else 4 if spatial else (5 if clustered else 6) if columnstore else 1 if clustered else 2
        item.add_index(name=name, type=number, clustered=clustered, unique=unique, columns=columns, included=included, filter=filter, options=options,
                       using=primary, secondary=secondary, scheme=scheme, condition=condition)

    def alter_index(self, name, table, what, options):
        item = self.db.find(table, ("U", "V"))
        found = [i for i in item.indexes if name is None or i["name"].lower() == name.lower()] if item else []
        if not found:
            raise BadValue(2727, f"Cannot find index '{name}'.")
        for i in found:
            if what in ("DISABLE", "REBUILD"):
                i["disabled"] = what == "DISABLE"
            i["options"] = {**i["options"], **options}

    def create_statistics(self, name, table, columns, filter, norecompute):
        item = self.db.table(table)
        for n in columns:
            item.column(n)
        item.statistics.append({"name": name, "columns": columns, "filter": filter, "norecompute": norecompute})

    # ---- the rest ----

    def create_schema(self, name, owner):
        if self.db.schema_id(name):
            raise BadValue(2714, f"There is already an object named '{name}' in the database.")
        self.db.schemas[name] = {"id": self.db.next_schema, "owner": self.db.principal(owner or "dbo")}
        self.db.next_schema += 1

    def create_module(self, kind, name, alter, query, columns, parent, bound, definition):
        schema = name[0] if len(name) > 1 else "dbo"
        old = self.db.find(name)
        if old and not alter:
            raise BadValue(2714, f"There is already an object named '{name[-1]}' in the database.")
        table = self.db.find(parent, ("U", "V")) if parent else None
        if parent and not table:
            raise BadValue(8197, f"The object '{'.'.join(parent)}' does not exist or is invalid for this operation.")
        found = []
        if query is not None:
            found, _, _ = self.query.select(query, None)
            if any(not n for n in (columns or [c.name for c in found])):
                raise BadValue(4511, "Create View or Function failed because no column name was specified for a column.")
        if old:
            self.db.remove(old)
        new = Item(kind, schema, name[-1], table.id if table else 0, definition=definition, query=query, names=columns, bound=bound, disabled=False,
                   ansi_nulls=self.state.options.get("ANSI_NULLS", False), quoted=self.state.options.get("QUOTED_IDENTIFIER", False), indexes=[],
                   columns=[TableColumn(i, n, c.type, c.nullable) for i, (n, c) in enumerate(zip(columns or [c.name for c in found], found), 1)])
        new.column = lambda n: next(c for c in new.columns if c.name.lower() == n.lower())
        self.db.add(new)

    def create_type(self, name, base, nullable):
        self._add_type(name, self.db.type(base)[0], nullable, None)

    def _add_type(self, name, base, nullable, table):
        schema = self.db.schema(name[0] if len(name) > 1 else "dbo")
        if (schema.lower(), name[-1].lower()) in self.db.types:
            raise BadValue(219, f"The type '{name[-1]}' already exists, or you do not have permission to create it.")
        self.db.types[schema.lower(), name[-1].lower()] = {"id": self.db.next_type, "name": name[-1], "base": base, "nullable": nullable, "table": table}
        self.db.next_type += 1

    def create_table_type(self, name, elements):
        table = Table("sys", f"TT_{name[-1]}_{self.db.next_id:08X}", "TT")
        self.db.add(table)
        self.elements(table, elements, True)
        self._add_type(name, None, False, table)

    def create_sequence(self, name, type, options):
        from tds_types import RANGES
        t = self.db.type(type)[0] if type else Type("bigint")
        low, high = RANGES.get(t.name) or (-(10 ** t.precision) + 1, 10 ** t.precision - 1)
        o = {"increment": 1, "minimum": low, "maximum": high, "cycle": False, "cache": None, **options}
        start = o.get("start", o["minimum"] if o["increment"] > 0 else o["maximum"])
        if not o["minimum"] <= start <= o["maximum"] or o["increment"] == 0:
            raise BadValue(11703, f"The start value for sequence object '{name[-1]}' must be between the minimum and maximum value.")
        self.db.add(Item("SO", name[0] if len(name) > 1 else "dbo", name[-1], type=t, start=self._whole(t, start), current=self._whole(t, start), used=False,
                         increment=self._whole(t, o["increment"]), minimum=self._whole(t, o["minimum"]), maximum=self._whole(t, o["maximum"]),
                         cycle=o["cycle"], cache=o["cache"]))

    @staticmethod
    def _whole(t, n):
        return convert(Type("numeric", precision=38), t, n)

    def alter_sequence(self, name, type, options):
        item = self.db.find(name, ("SO",))
        if not item:
            raise BadValue(15151, f"Cannot find the sequence '{name[-1]}'.")
        if "restart" in options:
            item.start = item.current = self._whole(item.type, options["restart"]) if options["restart"] is not None else item.start
            item.used = False
        for k in ("increment", "minimum", "maximum", "cycle", "cache"):
            if k in options:
                setattr(item, k, self._whole(item.type, options[k]) if k not in ("cycle", "cache") else options[k])

    def create_synonym(self, name, base):
        self.db.add(Item("SN", name[0] if len(name) > 1 else "dbo", name[-1], base=base))

    def create_xml_collection(self, name, text):
        self.db.collections[(name[0] if len(name) > 1 else "dbo").lower(), name[-1].lower()] = {"id": 65536 + len(self.db.collections), "name": name[-1], "text": text}

    def create_principal(self, name, kind, login=None, schema=None, owner=None):
        if self.db.principal_id(name) is not None:
            raise BadValue(15023, f"User, group, or role '{name}' already exists in the current database.")
        sid = self._free_sid(login) if login else None if kind == "R" else struct.pack("<I12s", self.db.next_principal, b"nobody's sid")
        self.db.principals[name] = {"id": self.db.next_principal, "kind": kind, "login": login, "schema": schema, "owner": owner, "fixed": False, "sid": sid}
        self.db.next_principal += 1

    def _free_sid(self, login):
        sid = self.model.sid(login)
        if any(p.get("sid") == sid for p in self.db.principals.values()):
            raise BadValue(15063, "The login already has an account under a different user name.")
        return sid

    def alter_user(self, name, login):
        self.db.principals[self.db.principal(name)].update(login=login, sid=self._free_sid(login))

    def create_login(self, name, password):
        if name.lower() in [a.lower() for a in self.model.server.accounts]:
            raise BadValue(15025, f"The server principal '{name}' already exists.")
        self.model.sids[name.lower()] = struct.pack("<I12s", 0x51d80000 + len(self.model.sids), b"made anew....")
        self.model.server.accounts[name] = password

    def alter_role(self, name, add, member):
        pair = self.db.principal(name), self.db.principal(member)
        if add:
            self.db.members.append(pair)
        else:
            self.db.members = [m for m in self.db.members if m != pair]

    def alter_authorization(self, kind, name, owner):
        owner = self.db.principal(owner)
        if kind == "SCHEMA":
            self.db.schemas[self.db.schema(name[-1])]["owner"] = owner
        elif kind == "ROLE":
            self.db.principals[self.db.principal(name[-1])]["owner"] = owner

    def alter_schema(self, schema, name):
        item = self.db.find(name)
        if not item:
            raise BadValue(15151, f"Cannot find the object '{name[-1]}'.")
        del self.db.names[item.schema.lower(), item.name.lower()]
        item.schema = self.db.schema(schema)
        self.db.names[item.schema.lower(), item.name.lower()] = item

    def grant(self, state, rights, kind, on, to, option):
        major = 0
        table = None
        if kind == "OBJECT":
            table = self.db.find(on)
            if not table:
                raise BadValue(15151, f"Cannot find the object '{on[-1]}', because it does not exist or you do not have permission.")
            major = table.id
        elif kind == "SCHEMA":
            major = self.db.schema_id(self.db.schema(on[-1]))
        elif kind == "TYPE":
            major = self.db.user_type(on)["id"]
        for who in to:
            who = self.db.principal(who)
            for right, columns in rights:
                for minor in [table.column(c).number for c in columns] if columns else [0]:
                    key = {"kind": kind, "major": major, "minor": minor, "to": who, "right": right}
                    self.db.permissions = [p for p in self.db.permissions if {k: p[k] for k in key} != key]
                    if state != "REVOKE":
                        self.db.permissions.append({**key, "state": "D" if state == "DENY" else "W" if option else "G"})

    def create_fulltext_catalog(self, name, accent, default):
        self.db.catalogs[name.lower()] = {"id": 5 + len(self.db.catalogs), "name": name, "accent": accent, "default": default}

    def create_fulltext_index(self, table, tracking, stoplist, columns, key, catalog):
        item = self.db.table(table)
        index = next((i for i in item.indexes if i["name"].lower() == key.lower() and i["unique"]), None)
        if not index:
            raise BadValue(7653, f"'{key}' is not a valid index to enforce a full-text search key.")
        if (catalog or "").lower() not in self.db.catalogs:
            raise BadValue(7641, f"Full-Text catalog '{catalog}' does not exist.")
        self.db.fulltext[item.id] = {"key": index["id"], "catalog": self.db.catalogs[catalog.lower()]["id"], "tracking": tracking, "stoplist": stoplist,
                                     "enabled": True, "columns": [(item.column(n).number, item.column(t).number if t else None, g) for n, t, g in columns]}

    def alter_fulltext(self, table, enabled):
        self.db.fulltext[self.db.table(table).id]["enabled"] = enabled

    def enable_trigger(self, name, enable):
        item = self.db.find(name, ("TR",)) if name else None
        if not item:
            raise BadValue(4902, f"Cannot find the trigger '{name and name[-1]}'.")
        item.disabled = not enable

    DROPPED = {"TABLE": ("U",), "VIEW": ("V",), "PROCEDURE": ("P",), "FUNCTION": ("FN", "IF", "TF"), "TRIGGER": ("TR",), "SEQUENCE": ("SO",),
               "SYNONYM": ("SN",), "RULE": ("R",), "DEFAULT": ("D",)}

    def drop(self, kind, names, exists):
        for name, table in names:
            try:
                self._drop(kind, name, table)
            except BadValue as e:
                if not exists or e.number not in (3701, 15151, 911, 208, 218, 15151, 1088):
                    raise

    def _drop(self, kind, name, table):
        missing = BadValue(3701, f"Cannot drop the {kind.lower()} '{name[-1]}', because it does not exist or you do not have permission.", 11)
        if kind == "TABLE" and name[-1].startswith("#"):
            if self.state.temporary.pop(name[-1].lower(), None) is None:
                raise missing
            return
        if kind in self.DROPPED:
            item = self.db.find(name, self.DROPPED[kind])
            if not item:
                raise missing
            referencing = [f for f in self.db.of_kind("F") if kind == "TABLE" and f.referenced == item.id and f.parent != item.id]
            if referencing:
                raise BadValue(3726, f"Could not drop object '{name[-1]}' because it is referenced by a FOREIGN KEY constraint.")
            self.db.remove(item)
        elif kind == "DATABASE":
            self._drop_database(name[-1], missing)
        elif kind == "INDEX":
            owner = self.db.find(table or name[:-1], ("U", "V"))
            kept = [i for i in owner.indexes if i["name"].lower() != name[-1].lower()] if owner else []
            if not owner or len(kept) == len(owner.indexes):
                raise missing
            if any(i["primary"] or i["constraint"] for i in owner.indexes if i not in kept):
                raise BadValue(3723, f"An explicit DROP INDEX is not allowed on index '{name[-1]}'. It is being used for constraint enforcement.")
            owner.indexes = kept
        elif kind == "SCHEMA":
            found = self.db.schema(name[-1])
            if any(o.schema == found for o in self.db.objects.values()):
                raise BadValue(3729, f"Cannot drop schema '{found}' because it is being referenced by an object.")
            del self.db.schemas[found]
        elif kind in ("USER", "ROLE"):
            found = self.db.principal(name[-1])
            del self.db.principals[found]
            self.db.members = [m for m in self.db.members if found not in m]
        elif kind == "TYPE":
            found = self.db.user_type(name)
            if found["table"]:
                self.db.remove(found["table"])
            self.db.types = {k: v for k, v in self.db.types.items() if v is not found}
        elif kind == "LOGIN":
            if self.model.server.accounts.pop(name[-1], None) is None:
                raise missing
            self.model.sids.pop(name[-1].lower(), None)
            self.model.sids[f"{name[-1]} that was dropped {len(self.model.sids)}"] = b""  # so that none gets its SID
        elif kind == "STATISTICS":
            owner = self.db.table(name[:-1])
            owner.statistics = [s for s in owner.statistics if s["name"].lower() != name[-1].lower()]
        elif kind == "FULLTEXT INDEX":
            if self.db.fulltext.pop(self.db.table(name).id, None) is None:
                raise missing
        elif kind == "FULLTEXT CATALOG":
            if self.db.catalogs.pop(name[-1].lower(), None) is None:
                raise missing
        elif kind == "XML":
            self.db.collections.pop(((name[0] if len(name) > 1 else "dbo").lower(), name[-1].lower()), None)

    def _drop_database(self, name, missing):
        db = self.model.find_database(name)
        if not db:
            raise missing
        if self.session.transaction:
            raise BadValue(226, "DROP DATABASE statement not allowed within multi-statement transaction.")
        if self.model.users_of(db):
            raise BadValue(3702, f"Cannot drop database \"{db.name}\" because it is currently in use.")
        if self.model.snapshots_of(db):
            raise BadValue(3709, f"Cannot drop the database while the database snapshot refers to it.")
        del self.model.databases[db.name.lower()]

    # ---- procedures of the server ----

    def sp_rename(self, objname, newname, objtype=None):
        parts = [p.strip("[]") for p in objname.split(".")]
        if (objtype or "").upper() == "COLUMN":
            self.db.table(parts[:-1]).column(parts[-1]).name = newname
            return
        if (objtype or "").upper() == "INDEX":
            next(i for i in self.db.table(parts[:-1]).indexes if i["name"].lower() == parts[-1].lower())["name"] = newname
            return
        item = self.db.find(parts)
        if not item:
            raise BadValue(15225, f"No item by the name of '{objname}' could be found in the current database.", 11)
        self.db.rename(item, newname)

    def sp_renamedb(self, dbname, newname):
        self.rename_database(dbname, newname)

    def sp_tableoption(self, tablenamepattern, optionname, optionvalue):
        parts = [p.strip("[]") for p in tablenamepattern.split(".")]
        table = self.db.table(parts)
        if optionname == "large value types out of row":
            table.out_of_row = str(optionvalue).upper() in ("ON", "1", "TRUE")

    def sp_settriggerorder(self, triggername, order, stmttype):
        item = self.db.find([p.strip("[]") for p in triggername.split(".")], ("TR",))
        if not item:
            raise BadValue(15125, f"Trigger '{triggername}' is not a trigger.")
        item.order = {**getattr(item, "order", {}), stmttype.upper(): order.capitalize()}

    def _property_place(self, levels):
        kinds = [(levels.get(f"level{i}type"), levels.get(f"level{i}name")) for i in range(3)]
        if not kinds[0][0]:
            return 0, 0, 0
        if kinds[0][0].upper() == "USER":
            return 4, self.db.principal_id(kinds[0][1]), 0
        if not kinds[1][0]:
            return 3, self.db.schema_id(kinds[0][1]), 0
        if kinds[1][0].upper() == "TYPE":
            return 6, self.db.user_type([kinds[0][1], kinds[1][1]])["id"], 0
        item = self.db.find([kinds[0][1], kinds[1][1]])
        if not item:
            raise BadValue(15135, f"Object is invalid. Extended properties are not permitted on '{kinds[0][1]}.{kinds[1][1]}', or the object does not exist.")
        if not kinds[2][0]:
            return 1, item.id, 0
        if kinds[2][0].upper() == "COLUMN":
            return 1, item.id, item.column(kinds[2][1]).number
        if kinds[2][0].upper() == "INDEX":
            return 7, item.id, next(i["id"] for i in item.indexes if i["name"].lower() == kinds[2][1].lower())
        child = self.db.find([kinds[0][1], kinds[2][1]])
        return 1, child.id, 0

    def sp_addextendedproperty(self, name, value=None, **levels):
        place = self._property_place(levels)
        if any((p["class"], p["major"], p["minor"]) == place and p["name"].lower() == name.lower() for p in self.db.properties):
            raise BadValue(15233, f"Property cannot be added. Property '{name}' already exists.")
        kept = value if value is None or isinstance(value, Variant) else Variant(Type("nvarchar", 7500), str(value))
        self.db.properties.append({"class": place[0], "major": place[1], "minor": place[2], "name": name, "value": kept})

    def sp_dropextendedproperty(self, name, **levels):
        place = self._property_place(levels)
        left = [p for p in self.db.properties if (p["class"], p["major"], p["minor"]) != place or p["name"].lower() != name.lower()]
        if len(left) == len(self.db.properties):
            raise BadValue(15217, f"Cannot update or delete a property. Property '{name}' does not exist.")
        self.db.properties = left

    def sp_updateextendedproperty(self, name, value=None, **levels):
        self.sp_dropextendedproperty(name, **levels)
        self.sp_addextendedproperty(name, value, **levels)
