"""CREATE, ALTER and DROP, parsed: each gives (what to do, its arguments). What is not here or not so is a syntax error."""

from tsql_lex import END, NUMBER, STRING, WIDE_STRING, WORD
from tsql_select import Parser

INDEX_OPTIONS = {"PAD_INDEX", "FILLFACTOR", "IGNORE_DUP_KEY", "STATISTICS_NORECOMPUTE", "ALLOW_ROW_LOCKS", "ALLOW_PAGE_LOCKS",
                 "DATA_COMPRESSION", "SORT_IN_TEMPDB", "DROP_EXISTING", "ONLINE", "MAXDOP", "OPTIMIZE_FOR_SEQUENTIAL_KEY", "BOUNDING_BOX",
                 "GRIDS", "CELLS_PER_OBJECT", "STATISTICS_INCREMENTAL"}
SWITCHES = """AUTO_CLOSE AUTO_SHRINK AUTO_CREATE_STATISTICS AUTO_UPDATE_STATISTICS AUTO_UPDATE_STATISTICS_ASYNC RECURSIVE_TRIGGERS
ANSI_NULL_DEFAULT ANSI_NULLS ANSI_PADDING ANSI_WARNINGS ARITHABORT CONCAT_NULL_YIELDS_NULL QUOTED_IDENTIFIER NUMERIC_ROUNDABORT
CURSOR_CLOSE_ON_COMMIT DATE_CORRELATION_OPTIMIZATION DB_CHAINING TRUSTWORTHY READ_COMMITTED_SNAPSHOT ALLOW_SNAPSHOT_ISOLATION""".split()
STATES = "SINGLE_USER RESTRICTED_USER MULTI_USER ONLINE OFFLINE READ_ONLY READ_WRITE ENABLE_BROKER DISABLE_BROKER NEW_BROKER".split()


class Ddl(Parser):
    # ---- pieces ----

    def onoff(self):
        return self.one_of("ON", "OFF") == "ON"

    def index_options(self):
        """WITH (...) of an index or a constraint, as a dictionary."""
        out = {}
        if not self.is_word("WITH", "("):
            return out
        self.at += 2
        while True:
            name = self.name().upper()
            if name not in INDEX_OPTIONS:
                self.at -= 1
                self.fault("an index option")
            self.expect("=")
            if name in ("DATA_COMPRESSION",):
                out[name] = self.one_of("NONE", "ROW", "PAGE", "COLUMNSTORE", "COLUMNSTORE_ARCHIVE")
            elif name in ("BOUNDING_BOX", "GRIDS"):
                out[name] = self.skip_parentheses()
            elif name in ("FILLFACTOR", "MAXDOP", "CELLS_PER_OBJECT"):
                out[name] = self.integer()
            else:
                out[name] = self.onoff()
            if not self.accept(","):
                break
        self.expect(")")
        return out

    def key_column(self):
        name = self.name()
        descending = self.accept("DESC")
        if not descending:
            self.accept("ASC")
        return name, descending

    def filegroup(self):
        if self.accept("ON"):
            self.name()
            if self.token.upper == "(":
                self.in_parentheses(self.name)
        if self.accept("TEXTIMAGE_ON"):
            self.name()

    def condition_text(self):
        return self.source_of(self.expression)

    def _key(self, name, primary):
        clustered = self.accept_any("CLUSTERED", "NONCLUSTERED")
        columns = self.in_parentheses(self.key_column) if self.token.upper == "(" else None
        options = self.index_options()
        self.filegroup()
        return {"kind": "key", "name": name, "primary": primary, "clustered": clustered, "columns": columns, "options": options}

    def _references(self):
        self.expect("REFERENCES")
        out = {"referenced": self.qualified(2), "referenced_columns": None, "delete": "NO_ACTION", "update": "NO_ACTION", "replication": False}
        if self.token.upper == "(":
            out["referenced_columns"] = self.in_parentheses(self.name)
        while True:
            if self.accept("ON"):
                event = self.one_of("DELETE", "UPDATE").lower()
                if self.accept("NO", "ACTION"):
                    out[event] = "NO_ACTION"
                elif self.accept("SET"):
                    out[event] = "SET_" + self.one_of("NULL", "DEFAULT")
                else:
                    self.expect("CASCADE")
                    out[event] = "CASCADE"
            elif self.accept("NOT", "FOR", "REPLICATION"):
                out["replication"] = True
            else:
                return out

    def constraint(self, of_column):
        """A constraint, named or not; None if there is none here."""
        name = self.name() if self.accept("CONSTRAINT") else None
        if self.accept("PRIMARY", "KEY"):
            return self._key(name, True)
        if self.accept("UNIQUE"):
            return self._key(name, False)
        if self.accept("CHECK"):
            replication = self.accept("NOT", "FOR", "REPLICATION")
            if self.token.upper != "(":
                self.fault("(")
            return {"kind": "check", "name": name, "definition": self.condition_in_parentheses(), "replication": replication}
        if self.accept("FOREIGN", "KEY"):
            columns = self.in_parentheses(self.name) if self.token.upper == "(" else None
            return {"kind": "foreign", "name": name, "columns": columns, **self._references()}
        if self.is_word("REFERENCES"):
            return {"kind": "foreign", "name": name, "columns": None, **self._references()}
        if self.accept("DEFAULT"):
            start = self.token.start
            node = self._sum()
            text = self.sql[start:self.tokens[self.at - 1].end]
            column = None
            if not of_column:
                self.expect("FOR")
                column = self.name()
            values = self.accept("WITH", "VALUES")
            return {"kind": "default", "name": name, "definition": text, "node": node, "column": column, "values": values}
        if name:
            self.fault("a constraint")
        return None

    def condition_in_parentheses(self):
        start = self.token.start
        self.expect("(")
        self.expression()
        self.expect(")")
        return self.sql[start:self.tokens[self.at - 1].end]

    def column(self):
        out = {"name": self.name(), "nullable": None, "identity": None, "computed": None, "collation": None, "constraints": [],
               "rowguid": False, "sparse": False, "persisted": False, "mask": None, "generated": 0, "hidden": False, "column_set": False,
               "replication": False, "type": None, "filestream": False}
        if self.accept("AS"):
            start = self.token.start
            out["computed_node"] = self.expression()
            out["computed"] = self.sql[start:self.tokens[self.at - 1].end]
            if self.accept("PERSISTED"):
                out["persisted"] = True
                if self.accept("NOT", "NULL"):
                    out["nullable"] = False
            while True:
                c = self.constraint(True)
                if not c:
                    return out
                out["constraints"].append(c)
        if self.is_word("TIMESTAMP") and self.ahead().upper in (",", ")", "NOT", "NULL"):
            pass
        out["type"] = self.type()
        while True:
            if self.accept("COLLATE"):
                out["collation"] = self.name()
            elif self.accept("NOT", "NULL"):
                out["nullable"] = False
            elif self.accept("NULL"):
                out["nullable"] = True
            elif self.accept("IDENTITY"):
                out["identity"] = (1, 1)
                if self.accept("("):
                    seed = self.integer()
                    self.expect(",")
                    out["identity"] = (seed, self.integer())
                    self.expect(")")
                    if out["identity"][1] == 0:
                        self.fault("an increment")
                if self.accept("NOT", "FOR", "REPLICATION"):
                    out["replication"] = True
            elif self.accept("ROWGUIDCOL"):
                out["rowguid"] = True
            elif self.accept("SPARSE"):
                out["sparse"] = True
            elif self.accept("COLUMN_SET", "FOR", "ALL_SPARSE_COLUMNS"):
                out["column_set"] = True
            elif self.accept("MASKED", "WITH", "("):
                self.expect("FUNCTION", "=")
                out["mask"] = self.string()
                self.expect(")")
            elif self.accept("GENERATED", "ALWAYS", "AS", "ROW"):
                out["generated"] = 1 if self.one_of("START", "END") == "START" else 2
                out["hidden"] = self.accept("HIDDEN")
            else:
                c = self.constraint(True)
                if not c:
                    return out
                out["constraints"].append(c)

    def table_element(self):
        if self.token.upper in ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "DEFAULT"):
            return self.constraint(False)
        if self.accept("PERIOD", "FOR", "SYSTEM_TIME"):
            return {"kind": "period", "columns": self.in_parentheses(self.name)}
        if self.is_word("INDEX"):
            self.at += 1
            name = self.name()
            unique = self.accept("UNIQUE")
            clustered = self.accept_any("CLUSTERED", "NONCLUSTERED")
            return {"kind": "index", "name": name, "unique": unique, "clustered": clustered == "CLUSTERED",
                    "columns": self.in_parentheses(self.key_column), "options": self.index_options(), "included": [], "filter": None}
        return {"kind": "column", **self.column()}

    # ---- CREATE ----

    def create(self):
        start = self.token.start
        self.expect("CREATE")
        if self.accept("OR", "ALTER"):
            return self.module(start, True)
        if self.accept("TABLE"):
            return self._create_table()
        if self.accept("DATABASE"):
            return self._create_database()
        if self.accept("SCHEMA"):
            name = self.name()
            return "create_schema", {"name": name, "owner": self.name() if self.accept("AUTHORIZATION") else None}
        if self.token.upper in ("VIEW", "PROC", "PROCEDURE", "FUNCTION", "TRIGGER", "RULE", "DEFAULT"):
            return self.module(start, False)
        if self.accept("TYPE"):
            return self._create_type()
        if self.accept("SEQUENCE"):
            return self._sequence("create_sequence")
        if self.accept("SYNONYM"):
            name = self.qualified(2)
            self.expect("FOR")
            return "create_synonym", {"name": name, "base": self.source_of(lambda: self.qualified(4))}
        if self.accept("USER"):
            return self._create_user()
        if self.accept("LOGIN"):
            name = self.name()
            self.expect("WITH", "PASSWORD", "=")
            return "create_login", {"name": name, "password": self.string()}
        if self.accept("ROLE"):
            name = self.name()
            return "create_principal", {"name": name, "kind": "R", "owner": self.name() if self.accept("AUTHORIZATION") else None}
        if self.accept("STATISTICS"):
            return self._create_statistics()
        if self.accept("FULLTEXT"):
            return self._create_fulltext()
        if self.accept("XML", "SCHEMA", "COLLECTION"):
            name = self.qualified(2)
            self.expect("AS")
            return "create_xml_collection", {"name": name, "text": self.string()}
        return self._create_index()

    def _create_table(self):
        name = self.qualified(3)
        elements = self.in_parentheses(self.table_element)
        self.filegroup()
        if self.accept("WITH", "("):
            self.at -= 1
            self.skip_parentheses()
        return "create_table", {"name": name, "elements": elements}

    def _create_database(self):
        out = {"name": self.name(), "collation": None, "snapshot_of": None, "files": []}
        if self.accept("CONTAINMENT", "="):
            self.one_of("NONE", "PARTIAL")
        log = False
        if self.accept("ON"):
            self.accept("PRIMARY")
            out["files"] = [self._file_spec()]
            while self.accept(","):
                out["files"].append(self._file_spec())
            log = self.accept("LOG", "ON")
            if log:
                self._file_spec()
        if self.accept("AS", "SNAPSHOT", "OF"):
            if log or any(set(f) != {"NAME", "FILENAME"} for f in out["files"]) or not out["files"]:
                self.fault("NAME and FILENAME of each file of data, and no log")
            out["snapshot_of"] = self.name()
        elif self.accept("COLLATE"):
            out["collation"] = self.name()
        return "create_database", out

    def _file_spec(self):
        """(NAME = logical, FILENAME = 'path', SIZE = 8MB, ...) as a dictionary; sizes in pages."""
        out = {}
        self.expect("(")
        while True:
            word = self.one_of("NAME", "FILENAME", "SIZE", "MAXSIZE", "FILEGROWTH")
            if word in out or ("NAME" not in out and word != "NAME"):
                self.fault("NAME first, and each once")
            self.expect("=")
            if word == "NAME":
                out[word] = self.string() if self.token.kind in (STRING, WIDE_STRING) else self.name()
            elif word == "FILENAME":
                out[word] = self.string()
            elif word == "MAXSIZE" and self.accept("UNLIMITED"):
                out[word] = -1
            else:
                out[word] = self._file_size(word == "FILEGROWTH")
            if not self.accept(","):
                break
        self.expect(")")
        return out

    def _file_size(self, growth):
        n = self.integer()
        if growth and self.accept("%"):
            return n, True
        unit = {"KB": 1, "MB": 1024, "GB": 1024 * 1024}[self.one_of("KB", "MB", "GB")]
        if n * unit % 8:
            self.fault("whole pages")
        return (n * unit // 8, False) if growth else n * unit // 8

    def _create_type(self):
        name = self.qualified(2)
        if self.accept("AS", "TABLE"):
            return "create_table_type", {"name": name, "elements": self.in_parentheses(self.table_element)}
        self.expect("FROM")
        base = self.type()
        nullable = True
        if self.accept("NOT", "NULL"):
            nullable = False
        else:
            self.accept("NULL")
        return "create_type", {"name": name, "base": base, "nullable": nullable}

    def _sequence(self, what):
        out = {"name": self.qualified(2), "type": None, "options": {}}
        if self.accept("AS"):
            out["type"] = self.type()
        options = out["options"]
        while True:
            if self.accept("START", "WITH"):
                options["start"] = self.integer()
            elif self.accept("RESTART"):
                options["restart"] = self.integer() if self.accept("WITH") else None
            elif self.accept("INCREMENT", "BY"):
                options["increment"] = self.integer()
            elif self.accept("MINVALUE"):
                options["minimum"] = self.integer()
            elif self.accept("MAXVALUE"):
                options["maximum"] = self.integer()
            elif self.accept("NO", "CYCLE"):
                options["cycle"] = False
            elif self.accept("CYCLE"):
                options["cycle"] = True
            elif self.accept("NO", "CACHE"):
                options["cache"] = 0
            elif self.accept("CACHE"):
                options["cache"] = self.integer() if self.token.kind == NUMBER else None
            else:
                return what, out

    def _create_user(self):
        out = {"name": self.name(), "kind": "S", "login": None, "schema": "dbo"}
        if self.accept("WITHOUT", "LOGIN"):
            pass
        elif self.accept_any("FOR", "FROM"):
            self.expect("LOGIN")
            out["login"] = self.name()
        else:
            out["login"] = out["name"]
        if self.accept("WITH"):
            self.expect("DEFAULT_SCHEMA", "=")
            out["schema"] = self.name()
        return "create_principal", out

    def _create_statistics(self):
        out = {"name": self.name(), "filter": None, "norecompute": False}
        self.expect("ON")
        out["table"] = self.qualified(2)
        out["columns"] = self.in_parentheses(self.name)
        if self.accept("WHERE"):
            out["filter"] = self.condition_text()
        if self.accept("WITH"):
            self.expect("NORECOMPUTE")
            out["norecompute"] = True
        return "create_statistics", out

    def _create_fulltext(self):
        if self.accept("CATALOG"):
            out = {"name": self.name(), "accent": True, "default": False}
            if self.accept("WITH"):
                self.expect("ACCENT_SENSITIVITY", "=")
                out["accent"] = self.onoff()
            out["default"] = self.accept("AS", "DEFAULT")
            return "create_fulltext_catalog", out
        self.expect("INDEX", "ON")
        out = {"table": self.qualified(2), "tracking": "AUTO", "stoplist": "SYSTEM"}

        def column():
            name = self.name()
            kind = self.name() if self.accept("TYPE", "COLUMN") else None
            return name, kind, (self.integer() if self.accept("LANGUAGE") else 1033)
        out["columns"] = self.in_parentheses(column)
        self.expect("KEY", "INDEX")
        out["key"] = self.name()
        out["catalog"] = self.name() if self.accept("ON") else None
        if self.accept("WITH"):
            self.accept("(")
            while True:
                option = self.one_of("CHANGE_TRACKING", "STOPLIST")
                self.accept("=")
                if option == "CHANGE_TRACKING":
                    out["tracking"] = self.one_of("AUTO", "MANUAL", "OFF")
                else:
                    out["stoplist"] = self.one_of("SYSTEM", "OFF")
                if not self.accept(","):
                    break
            self.accept(")")
        return "create_fulltext_index", out

    def _create_index(self):
        out = {"unique": self.accept("UNIQUE"), "clustered": False, "columnstore": False, "xml": None, "spatial": False, "included": [],
               "filter": None, "columns": []}
        if self.accept("PRIMARY", "XML"):
            out["xml"] = "PRIMARY"
        elif self.accept("XML"):
            out["xml"] = "SECONDARY"
        elif self.accept("SPATIAL"):
            out["spatial"] = True
        else:
            out["clustered"] = self.accept_any("CLUSTERED", "NONCLUSTERED") == "CLUSTERED"
            out["columnstore"] = self.accept("COLUMNSTORE")
        self.expect("INDEX")
        out["name"] = self.name()
        self.expect("ON")
        out["table"] = self.qualified(2)
        if self.token.upper == "(" or not out["columnstore"]:
            out["columns"] = self.in_parentheses(self.key_column)
        if out["xml"] == "SECONDARY":
            self.expect("USING", "XML", "INDEX")
            out["primary"] = self.name()
            self.expect("FOR")
            out["secondary"] = self.one_of("PATH", "VALUE", "PROPERTY")
        if out["spatial"] and self.accept("USING"):
            out["scheme"] = self.name()
        if self.accept("INCLUDE"):
            out["included"] = self.in_parentheses(self.name)
        if self.accept("WHERE"):
            out["filter"] = self.condition_text()
        out["options"] = self.index_options()
        self.filegroup()
        return "create_index", out

    # ---- modules: their text is kept as it is ----

    def module(self, start, alter):
        kind = {"PROC": "P", "PROCEDURE": "P", "VIEW": "V", "FUNCTION": "FN", "TRIGGER": "TR", "RULE": "R", "DEFAULT": "D"}[
            self.one_of("VIEW", "PROC", "PROCEDURE", "FUNCTION", "TRIGGER", "RULE", "DEFAULT")]
        if any(t.kind != END and t.upper != ";" for t in self.tokens[:self.at] if t.start < start):
            self.fault("the only statement in the batch")
        out = {"kind": kind, "name": self.qualified(2), "alter": alter, "query": None, "columns": None, "parent": None, "bound": False}
        if kind == "TR":
            self.expect("ON")
            out["parent"] = None if self.accept("DATABASE") else self.qualified(2)
        if kind == "V":
            if self.token.upper == "(":
                out["columns"] = self.in_parentheses(self.name)
            if self.accept("WITH"):
                while True:
                    out["bound"] = self.one_of("SCHEMABINDING", "ENCRYPTION", "VIEW_METADATA") == "SCHEMABINDING" or out["bound"]
                    if not self.accept(","):
                        break
            self.expect("AS")
            out["query"] = self.select()
            self.accept("WITH", "CHECK", "OPTION")
            self.accept(";")
            if self.token.kind != END:
                self.fault("the end of the view")
        else:
            self._module_body(kind, out)
        # The server keeps the statement from CREATE on, with all behind it; comments before it too.
        out["definition"] = self.sql
        return "create_module", out

    def _module_body(self, kind, out):
        depth, seen_as, upper = 0, False, [t.upper for t in self.tokens]
        while self.token.kind != END:
            word = self.token.upper
            depth += (word == "(") - (word == ")")
            if depth < 0:
                self.fault()
            if word == "AS" and depth == 0:
                seen_as = True
            if word == "SCHEMABINDING" and not seen_as:
                out["bound"] = True
            self.at += 1
        if depth or not seen_as:
            self.fault("AS" if not seen_as else ")")
        if kind == "FN" and "RETURNS" in upper:
            at = upper.index("RETURNS")
            out["kind"] = "IF" if upper[at + 1] == "TABLE" else "TF" if "TABLE" in upper[at + 2:at + 4] else "FN"

    # ---- ALTER ----

    def alter(self):
        start = self.token.start
        self.expect("ALTER")
        if self.accept("TABLE"):
            return self._alter_table()
        if self.accept("DATABASE"):
            return self._alter_database()
        if self.accept("INDEX"):
            return self._alter_index()
        if self.accept("SEQUENCE"):
            return self._sequence("alter_sequence")
        if self.accept("ROLE"):
            name = self.name()
            what = self.one_of("ADD", "DROP")
            self.expect("MEMBER")
            return "alter_role", {"name": name, "add": what == "ADD", "member": self.name()}
        if self.accept("AUTHORIZATION", "ON"):
            kind = self.one_of("ROLE", "SCHEMA", "OBJECT", "TYPE", "DATABASE")
            self.expect("::")
            name = self.qualified(2)
            self.expect("TO")
            return "alter_authorization", {"kind": kind, "name": name, "owner": self.name()}
        if self.accept("SCHEMA"):
            schema = self.name()
            self.expect("TRANSFER")
            return "alter_schema", {"schema": schema, "name": self.qualified(2)}
        if self.accept("USER"):
            name = self.name()
            self.expect("WITH", "LOGIN", "=")
            return "alter_user", {"name": name, "login": self.name()}
        if self.accept("FULLTEXT", "INDEX", "ON"):
            table = self.qualified(2)
            return "alter_fulltext", {"table": table, "enabled": self.one_of("ENABLE", "DISABLE") == "ENABLE"}
        return self.module(start, True)

    def _alter_table(self):
        out = {"name": self.qualified(3)}
        checked = None
        if self.accept("WITH"):
            checked = self.one_of("CHECK", "NOCHECK") == "CHECK"
        if self.accept("ADD"):
            elements = [self.table_element()]
            while self.accept(","):
                elements.append(self.table_element())
            return "alter_add", {**out, "elements": elements, "trusted": checked is not False}
        if self.token.upper in ("CHECK", "NOCHECK"):
            enable = self.one_of("CHECK", "NOCHECK") == "CHECK"
            self.expect("CONSTRAINT")
            names = ["ALL"] if self.accept("ALL") else [self.name()]
            while self.accept(","):
                names.append(self.name())
            return "alter_check", {**out, "enable": enable, "trusted": bool(checked), "names": names}
        if checked is not None:
            self.fault("ADD")
        if self.accept("DROP"):
            return self._alter_drop(out)
        if self.accept("ALTER", "COLUMN"):
            return self._alter_column(out)
        if self.accept("SET"):
            self.expect("(")
            if self.accept("LOCK_ESCALATION", "="):
                out["lock"] = self.one_of("TABLE", "AUTO", "DISABLE")
            else:
                self.expect("SYSTEM_VERSIONING", "=")
                out["versioning"] = self.onoff()
                if self.token.upper == "(":
                    self.skip_parentheses()
            self.expect(")")
            return "alter_set", out
        if self.accept("REBUILD"):
            return "alter_rebuild", {**out, "options": self.index_options()}
        enable = self.one_of("ENABLE", "DISABLE") == "ENABLE"
        self.expect("TRIGGER")
        return "enable_trigger", {"name": [out["name"][0], self.name()] if len(out["name"]) > 1 else [self.name()], "enable": enable}

    def _alter_drop(self, out):
        drops = []
        kind = "CONSTRAINT"
        while True:
            found = self.accept_any("CONSTRAINT", "COLUMN", "PERIOD")
            kind = found or kind
            if kind == "PERIOD":
                self.expect("FOR", "SYSTEM_TIME")
                drops.append(("PERIOD", None, False))
            else:
                exists = self.accept("IF", "EXISTS")
                drops.append((kind, self.name(), exists))
            if not self.accept(","):
                return "alter_drop", {**out, "drops": drops}

    def _alter_column(self, out):
        out["column"] = self.name()
        if self.is_word("ADD") or self.is_word("DROP"):
            add = self.one_of("ADD", "DROP") == "ADD"
            what = self.one_of("HIDDEN", "ROWGUIDCOL", "PERSISTED", "SPARSE", "MASKED")
            if what == "MASKED" and add:
                self.expect("WITH")
                self.skip_parentheses()
            return "alter_column_flag", {**out, "what": what.lower(), "add": add}
        out.update(type=self.type(), collation=self.name() if self.accept("COLLATE") else None, nullable=True)
        if self.accept("NOT", "NULL"):
            out["nullable"] = False
        else:
            self.accept("NULL")
        return "alter_column", out

    def _alter_database(self):
        if self.accept("SCOPED", "CONFIGURATION"):
            self.expect("SET")
            name = self.name().upper()
            self.expect("=")
            t = self.token
            self.at += 1
            return "alter_scoped", {"name": name, "value": t.text.upper()}
        out = {"name": None if self.accept("CURRENT") else self.name()}
        if self.accept("MODIFY", "NAME", "="):
            return "rename_database", {**out, "to": self.name()}
        if self.accept("MODIFY", "FILE"):
            return "modify_file", {**out, "spec": self._file_spec()}
        if self.accept("COLLATE"):
            return "collate_database", {**out, "collation": self.name()}
        self.expect("SET")
        settings = []
        while True:
            settings.append(self._database_setting())
            if not self.accept(","):
                break
        out["settings"], out["immediate"] = settings, None
        if self.accept("WITH"):
            if self.accept("NO_WAIT"):
                out["immediate"] = False
            else:
                self.expect("ROLLBACK")
                if self.accept("AFTER"):
                    self.integer()
                    self.accept("SECONDS")
                else:
                    self.expect("IMMEDIATE")
                out["immediate"] = True
        return "set_database", out

    def _database_setting(self):
        word = self.accept_any(*SWITCHES, *STATES, "RECOVERY", "PAGE_VERIFY", "COMPATIBILITY_LEVEL", "PARAMETERIZATION", "CURSOR_DEFAULT")
        if not word:
            self.fault("a database option")
        if word in STATES:
            return word, None
        if word in SWITCHES:
            self.accept("=")
            return word, self.onoff()
        self.accept("=")
        if word == "COMPATIBILITY_LEVEL":
            return word, self.integer()
        choices = {"RECOVERY": ("FULL", "SIMPLE", "BULK_LOGGED"), "PAGE_VERIFY": ("CHECKSUM", "TORN_PAGE_DETECTION", "NONE"),
                   "PARAMETERIZATION": ("SIMPLE", "FORCED"), "CURSOR_DEFAULT": ("LOCAL", "GLOBAL")}[word]
        return word, self.one_of(*choices)

    def _alter_index(self):
        out = {"name": None if self.accept("ALL") else self.name()}
        self.expect("ON")
        out["table"] = self.qualified(2)
        out["what"] = self.one_of("DISABLE", "REBUILD", "REORGANIZE", "SET")
        out["options"] = {}
        if out["what"] == "REBUILD":
            out["options"] = self.index_options()
        elif out["what"] == "SET":
            self.skip_parentheses()
        return "alter_index", out

    # ---- DROP ----

    def drop(self):
        self.expect("DROP")
        kind = self.one_of("TABLE", "VIEW", "PROC", "PROCEDURE", "FUNCTION", "TRIGGER", "DATABASE", "INDEX", "SCHEMA", "TYPE", "SEQUENCE",
                           "SYNONYM", "USER", "ROLE", "STATISTICS", "FULLTEXT", "RULE", "DEFAULT", "XML", "LOGIN")
        if kind == "FULLTEXT":
            kind += " " + self.one_of("CATALOG", "INDEX")
            if kind.endswith("INDEX"):
                self.expect("ON")
        if kind == "XML":
            self.expect("SCHEMA", "COLLECTION")
        exists = self.accept("IF", "EXISTS")
        names = []
        while True:
            name = self.qualified(3)
            table = self.qualified(2) if kind == "INDEX" and self.accept("ON") else None
            if kind == "TRIGGER" and self.accept("ON"):
                self.expect("DATABASE")
            names.append((name, table))
            if not self.accept(","):
                break
        return "drop", {"kind": "PROCEDURE" if kind == "PROC" else kind, "names": names, "exists": exists}

    # ---- rights ----

    def grant(self):
        word = self.one_of("GRANT", "DENY", "REVOKE")
        if word == "REVOKE":
            self.accept("GRANT", "OPTION", "FOR")
        rights = []
        while True:
            words = []
            while self.token.kind in (WORD,) and self.token.upper not in ("ON", "TO", "FROM"):
                words.append(self.token.upper)
                self.at += 1
            if not words:
                self.fault("a permission")
            columns = self.in_parentheses(self.name) if self.token.upper == "(" else None
            rights.append((" ".join(words), columns))
            if not self.accept(","):
                break
        out = {"state": word, "rights": rights, "kind": "DATABASE", "on": None}
        if self.accept("ON"):
            if self.ahead().upper == "::":
                out["kind"] = self.one_of("OBJECT", "SCHEMA", "TYPE", "ROLE", "USER")
                self.at += 1
            else:
                out["kind"] = "OBJECT"
            out["on"] = self.qualified(2)
            if self.token.upper == "(":
                columns = self.in_parentheses(self.name)
                out["rights"] = [(r, c or columns) for r, c in rights]
        self.one_of("TO", "FROM")
        out["to"] = [self.name()]
        while self.accept(","):
            out["to"].append(self.name())
        out["option"] = self.accept("WITH", "GRANT", "OPTION")
        self.accept("CASCADE")
        return "grant", out


