"""A batch: every statement that the model knows, parsed as a whole before any of it runs."""
from tsql_ddl import Ddl
from tsql_lex import END, NAME, NUMBER, STRING, VARIABLE, WIDE_STRING, WORD
from tsql_select import RESERVED

OPTIONS = set("""ANSI_NULLS ANSI_PADDING ANSI_WARNINGS ANSI_NULL_DFLT_ON ARITHABORT CONCAT_NULL_YIELDS_NULL QUOTED_IDENTIFIER NUMERIC_ROUNDABORT
IMPLICIT_TRANSACTIONS NOCOUNT XACT_ABORT FMTONLY ANSI_DEFAULTS CURSOR_CLOSE_ON_COMMIT ARITHIGNORE NOEXEC PARSEONLY ANSI_NULL_DFLT_OFF
REMOTE_PROC_TRANSACTIONS FORCEPLAN SHOWPLAN_ALL""".split())


class Batch(Ddl):
    def statements(self):
        """All of the batch: a list of (what, arguments)."""
        out = []
        while self.token.kind != END:
            if self.accept(";"):
                continue
            out.append(self.statement())
        return out

    def statement(self):
        line = self.token.line
        what, arguments = self._statement()
        return what, arguments, line

    def _statement(self):
        word = self.token.upper
        parse = {"SELECT": self._select, "WITH": self._select, "INSERT": self._insert, "UPDATE": self._update, "DELETE": self._delete,
                 "CREATE": self.create, "ALTER": self.alter, "DROP": self.drop, "SET": self._set, "DECLARE": self._declare, "IF": self._if,
                 "BEGIN": self._begin, "COMMIT": self._commit, "ROLLBACK": self._rollback, "SAVE": self._save, "EXEC": self._exec,
                 "EXECUTE": self._exec, "PRINT": self._print, "RAISERROR": self._raiserror, "THROW": self._throw, "USE": self._use,
                 "TRUNCATE": self._truncate, "DBCC": self._dbcc, "GRANT": self.grant, "DENY": self.grant, "REVOKE": self.grant,
                 "WAITFOR": self._waitfor, "WHILE": self._while, "BREAK": lambda: self._word("break_loop"),
                 "CONTINUE": lambda: self._word("continue_loop"), "RETURN": lambda: self._word("return_batch"), "KILL": self._kill,
                 "DISABLE": self._trigger, "ENABLE": self._trigger, "CHECKPOINT": lambda: self._word("nothing"),
                 "BACKUP": self._backup, "RESTORE": self._restore}.get(word)
        if parse is None:
            if self.at == 0 and self.token.kind in (WORD, NAME) and word not in RESERVED:
                return self._exec(False)
            self.fault()
        return parse()

    def _word(self, what):
        self.at += 1
        return what, {}

    def _select(self):
        return "select", {"query": self.select()}

    # ---- rows ----

    def _insert(self):
        self.expect("INSERT")
        if self.accept("BULK"):
            return self._insert_bulk()
        self.accept("INTO")
        out = {"table": [self.token.text.lower()] if self.token.kind == VARIABLE else None}
        if out["table"]:
            self.at += 1
        else:
            out["table"] = self.qualified(3)
        if self.is_word("WITH", "("):
            self.at += 1
            self.in_parentheses(self.hint)
        out["columns"] = self.in_parentheses(self.name) if self.token.upper == "(" and self.ahead().upper != "SELECT" else None
        out["rows"] = out["query"] = None
        if self.accept("DEFAULT", "VALUES"):
            out["rows"] = [[]]
            out["columns"] = []
        elif self.accept("VALUES"):
            out["rows"] = [self.in_parentheses(self._value_or_default)]
            while self.accept(","):
                out["rows"].append(self.in_parentheses(self._value_or_default))
        elif self.token.upper in ("SELECT", "WITH", "("):
            out["query"] = self.select()
        else:
            self.fault("VALUES")
        return "insert", out

    def _value_or_default(self):
        return ("default",) if self.accept("DEFAULT") else self.expression()

    def _insert_bulk(self):
        out = {"table": self.qualified(3)}

        def column():
            name = self.name()
            t = self.type()
            if self.accept("COLLATE"):
                self.name()
            if self.accept("NOT"):
                self.expect("NULL")
            return name, t
        out["columns"] = self.in_parentheses(column)
        out["hints"] = []
        if self.accept("WITH"):
            out["hints"] = [h for h in self.in_parentheses(self._bulk_hint)]
        return "insert_bulk", out

    def _bulk_hint(self):
        word = self.one_of("TABLOCK", "KEEP_NULLS", "CHECK_CONSTRAINTS", "FIRE_TRIGGERS", "ROWS_PER_BATCH", "KILOBYTES_PER_BATCH", "ORDER")
        if word in ("ROWS_PER_BATCH", "KILOBYTES_PER_BATCH"):
            self.expect("=")
            self.integer()
        elif word == "ORDER":
            self.in_parentheses(self.key_column)
        return word

    def _update(self):
        self.expect("UPDATE")
        if self.accept("STATISTICS"):
            self.qualified(2)
            if self.accept("WITH"):
                self.one_of("FULLSCAN", "RESAMPLE")
            return "nothing", {}
        if self.accept("TOP"):
            self.skip_parentheses()
        out = {"table": self.qualified(3), "source": None, "where": None, "sets": []}
        if self.is_word("WITH", "("):
            self.at += 1
            self.in_parentheses(self.hint)
        self.expect("SET")
        while True:
            if self.token.kind == VARIABLE:
                self.fault("a column")
            column = self.qualified(2)[-1]
            if self.token.upper not in ("=", "+="):
                self.fault("=")
            self.at += 1
            out["sets"].append((column, self._value_or_default()))
            if not self.accept(","):
                break
        if self.accept("FROM"):
            out["source"] = self._source()
        if self.accept("WHERE"):
            out["where"] = self.expression()
        return "update", out

    def _delete(self):
        self.expect("DELETE")
        if self.accept("TOP"):
            self.skip_parentheses()
        self.accept("FROM")
        out = {"table": self.qualified(3), "source": None, "where": None}
        if self.is_word("WITH", "("):
            self.at += 1
            self.in_parentheses(self.hint)
        if self.accept("FROM"):
            out["source"] = self._source()
        if self.accept("WHERE"):
            out["where"] = self.expression()
        return "delete", out

    def _truncate(self):
        self.expect("TRUNCATE", "TABLE")
        return "truncate", {"table": self.qualified(3)}

    # ---- settings ----

    def _set(self):
        self.expect("SET")
        if self.token.kind == VARIABLE:
            name = self.token.text.lower()
            self.at += 1
            self.expect("=")
            return "set_variable", {"name": name, "value": self.expression()}
        if self.accept("TRANSACTION", "ISOLATION", "LEVEL"):
            if self.accept("READ"):
                return "isolation", {"level": "READ " + self.one_of("COMMITTED", "UNCOMMITTED")}
            if self.accept("REPEATABLE", "READ"):
                return "isolation", {"level": "REPEATABLE READ"}
            return "isolation", {"level": self.one_of("SNAPSHOT", "SERIALIZABLE")}
        if self.accept("IDENTITY_INSERT"):
            table = self.qualified(3)
            return "identity_insert", {"table": table, "on": self.onoff()}
        if self.accept("STATISTICS"):
            self.one_of("IO", "TIME", "XML")
            self.onoff()
            return "nothing", {}
        word = self.accept_any("TEXTSIZE", "LOCK_TIMEOUT", "ROWCOUNT", "DATEFIRST", "QUERY_GOVERNOR_COST_LIMIT")
        if word:
            return "set_number", {"name": word, "value": self.integer()}
        if self.accept("LANGUAGE"):
            return "set_word", {"name": "LANGUAGE", "value": self.string() if self.token.kind in (STRING, WIDE_STRING) else self.name()}
        if self.accept("DATEFORMAT"):
            return "set_word", {"name": "DATEFORMAT", "value": self.one_of("MDY", "DMY", "YMD", "YDM", "MYD", "DYM").lower()}
        if self.accept("DEADLOCK_PRIORITY"):
            if not self.accept_any("LOW", "NORMAL", "HIGH"):
                self.integer()
            return "nothing", {}
        if self.accept("CONTEXT_INFO"):
            self.at += 1
            return "nothing", {}
        names = []
        while True:
            name = self.accept_any(*OPTIONS)
            if not name:
                self.fault("an option")
            names.append(name)
            if not self.accept(","):
                break
        return "set_options", {"names": names, "on": self.onoff()}

    def _use(self):
        self.expect("USE")
        return "use", {"name": self.name()}

    # ---- flow ----

    def _declare(self):
        self.expect("DECLARE")
        out = []
        while True:
            t = self.token
            if t.kind != VARIABLE:
                self.fault("a variable")
            self.at += 1
            self.accept("AS")
            if self.accept("TABLE"):
                out.append((t.text.lower(), None, self.in_parentheses(self.table_element)))
            else:
                kind = self.type()
                out.append((t.text.lower(), kind, self.expression() if self.accept("=") else None))
            if not self.accept(","):
                return "declare", {"variables": out}

    def _block(self):
        statement = self.statement()
        self.accept(";")
        return statement

    def _if(self):
        self.expect("IF")
        condition = self.expression()
        then = self._block()
        return "if_else", {"condition": condition, "then": then, "otherwise": self._block() if self.accept("ELSE") else None}

    def _while(self):
        self.expect("WHILE")
        condition = self.expression()
        return "while_loop", {"condition": condition, "body": self._block()}

    def _begin(self):
        self.expect("BEGIN")
        if self.accept_any("TRAN", "TRANSACTION"):
            return "begin_transaction", {"name": self._transaction_name()}
        if self.accept("TRY"):
            body = self._until("TRY")
            self.accept(";")
            self.expect("BEGIN", "CATCH")
            return "try_catch", {"body": body, "catch": self._until("CATCH")}
        return "block", {"body": self._until(None)}

    def _until(self, word):
        body = []
        while not self.is_word("END"):
            if self.accept(";"):
                continue
            if self.token.kind == END:
                self.fault("END")
            body.append(self.statement())
        self.at += 1
        if word:
            self.expect(word)
        elif not body:
            self.fault("a statement")
        return body

    def _transaction_name(self):
        if self.token.kind == NAME or (self.token.kind == WORD and self.token.upper not in RESERVED and self.token.upper not in (
                "THROW", "DISABLE", "ENABLE")):
            return self.name()
        return None

    def _commit(self):
        self.expect("COMMIT")
        self.accept_any("TRAN", "TRANSACTION", "WORK")
        return "commit", {"name": self._transaction_name()}

    def _rollback(self):
        self.expect("ROLLBACK")
        self.accept_any("TRAN", "TRANSACTION", "WORK")
        return "rollback", {"name": self._transaction_name()}

    def _save(self):
        self.expect("SAVE")
        self.one_of("TRAN", "TRANSACTION")
        return "save_transaction", {"name": self.name()}

    def _exec(self, keyword=True):
        if keyword:
            self.one_of("EXEC", "EXECUTE")
        if self.accept("("):
            text = self.expression()
            self.expect(")")
            return "execute_text", {"text": text}
        out = {"name": self.qualified(3), "arguments": []}
        while True:
            t = self.token
            if t.kind == VARIABLE and self.ahead().upper == "=":
                self.at += 2
                out["arguments"].append((t.text.lower(), self._argument()))
            elif t.kind in (VARIABLE, STRING, WIDE_STRING, NUMBER) or t.upper in ("-", "NULL", "ON", "OFF") or (
                    not out["arguments"] and t.kind == WORD and t.upper not in RESERVED and t.upper != "WITH" and t.line == self.ahead(-1).line):
                out["arguments"].append((None, self._argument()))
            elif out["arguments"]:
                self.fault("an argument")
            else:
                return "execute", out
            if not self.accept(","):
                return "execute", out

    def _argument(self):
        t = self.token
        if t.kind == WORD and t.upper not in ("NULL",):
            self.at += 1
            return ("lit_word", t.text)
        out = self._unary()
        self.accept_any("OUTPUT", "OUT")
        return out

    def _print(self):
        self.expect("PRINT")
        return "print_text", {"value": self.expression()}

    def _raiserror(self):
        self.expect("RAISERROR", "(")
        arguments = [self.expression()]
        while self.accept(","):
            arguments.append(self.expression())
        self.expect(")")
        nowait = False
        if self.accept("WITH"):
            while True:
                nowait = self.one_of("NOWAIT", "LOG", "SETERROR") == "NOWAIT" or nowait
                if not self.accept(","):
                    break
        if len(arguments) < 3:
            self.fault("severity and state")
        return "raise_error", {"arguments": arguments, "nowait": nowait}

    def _throw(self):
        self.expect("THROW")
        if self.token.kind not in (NUMBER, VARIABLE):
            return "rethrow", {}
        arguments = [self.expression()]
        while self.accept(","):
            arguments.append(self.expression())
        return "throw", {"arguments": arguments}

    def _waitfor(self):
        self.expect("WAITFOR", "DELAY")
        return "waitfor", {"delay": self.expression()}

    def _kill(self):
        self.expect("KILL")
        return "kill", {"session": self.integer()}

    def _trigger(self):
        enable = self.one_of("ENABLE", "DISABLE") == "ENABLE"
        self.expect("TRIGGER")
        name = None if self.accept("ALL") else self.qualified(2)
        self.expect("ON")
        if not self.accept("DATABASE"):
            self.qualified(2)
        return "enable_trigger", {"name": name, "enable": enable}

    def _dbcc(self):
        self.expect("DBCC")
        what = self.one_of("CHECKIDENT", "CHECKDB", "SHRINKDATABASE", "CHECKCONSTRAINTS", "FREEPROCCACHE")
        if what != "CHECKIDENT":
            if self.token.upper == "(":
                self.skip_parentheses()
            if self.accept("WITH"):
                self.name()
            return "nothing", {}
        self.expect("(")
        table = self.string() if self.token.kind in (STRING, WIDE_STRING) else ".".join(f"[{p}]" for p in self.qualified(2))
        reseed = value = None
        if self.accept(","):
            reseed = self.one_of("RESEED", "NORESEED") == "RESEED"
            value = self.integer() if self.accept(",") else None
        self.expect(")")
        if self.accept("WITH"):
            self.expect("NO_INFOMSGS")
        return "check_identity", {"table": table, "reseed": reseed, "value": value}

    # ---- native backup ----

    def _disks(self):
        out = []
        while True:
            self.expect("DISK", "=")
            out.append(self.string())
            if not self.accept(","):
                return out

    def _media_options(self, flags, numbers, texts=(), moves=None):
        """WITH and what may stand there: {name: value or True}; pairs of MOVE go to moves."""
        out = {}
        while self.accept("," if out or moves else "WITH"):
            word = self.one_of(*flags, *numbers, *texts, *(["MOVE"] if moves is not None else []))
            opposite = word.removeprefix("NO_") if word.startswith("NO_") else word.removeprefix("NO") if word.startswith("NO") else None
            if word in out or (opposite and opposite in out) or "NO_" + word in out or "NO" + word in out:
                self.fault("an option once")
            if word == "MOVE":
                logical = self.string()
                self.expect("TO")
                moves.append((logical, self.string()))
                continue
            out[word] = True
            if word in numbers and (word != "STATS" or self.token.upper == "="):
                self.expect("=")
                out[word] = self.integer()
            elif word in texts:
                self.expect("=")
                out[word] = self.string()
        size = out.get("MAXTRANSFERSIZE")
        if size is not None and (size % 65536 or not 65536 <= size <= 4194304):
            self.fault("MAXTRANSFERSIZE in steps of 64 KB up to 4 MB")
        return out

    def _backup(self):
        self.expect("BACKUP", "DATABASE")
        out = {"name": self.name()}
        self.expect("TO")
        out["disks"] = self._disks()
        out["options"] = self._media_options(
            ("COPY_ONLY", "CHECKSUM", "NO_CHECKSUM", "FORMAT", "NOFORMAT", "INIT", "NOINIT", "SKIP", "NOSKIP", "COMPRESSION", "NO_COMPRESSION",
             "STOP_ON_ERROR", "CONTINUE_AFTER_ERROR"), ("MAXTRANSFERSIZE", "BUFFERCOUNT", "BLOCKSIZE", "STATS"), ("NAME", "DESCRIPTION"))
        return "backup", out

    def _restore(self):
        self.expect("RESTORE")
        what = self.one_of("DATABASE", "HEADERONLY", "FILELISTONLY", "VERIFYONLY")
        if what != "DATABASE":
            self.expect("FROM")
            known = ("CHECKSUM", "NO_CHECKSUM") if what == "VERIFYONLY" else ()
            return {"HEADERONLY": "restore_header", "FILELISTONLY": "restore_files", "VERIFYONLY": "restore_verify"}[what], {
                "disks": self._disks(), "options": self._media_options(known, ("FILE",))}
        name = self.name()
        self.expect("FROM")
        if self.token.upper == "DISK":
            moves = []
            disks = self._disks()
            options = self._media_options(("REPLACE", "RECOVERY", "NORECOVERY", "CHECKSUM", "NO_CHECKSUM"), ("STATS", "FILE"), (), moves)
            return "restore_database", {"name": name, "disks": disks, "options": options, "moves": moves}
        self.expect("DATABASE_SNAPSHOT", "=")
        return "revert", {"name": name, "snapshot": self.string() if self.token.kind == STRING else self.name()}


def parse(sql):
    return Batch(sql).statements()
