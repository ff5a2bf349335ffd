"""Expressions and SELECT, parsed into tuples: ("kind", ...). Nothing here knows of tables or values."""
from decimal import Decimal

from tds_types import MAX, Type
from tsql_lex import END, HEX, NAME, NUMBER, STRING, VARIABLE, WIDE_STRING, WORD, SyntaxFault, tokens

RESERVED = set("""ADD ALL ALTER AND ANY AS ASC BEGIN BETWEEN BREAK BY CASE CHECK CLOSE COLLATE COLUMN COMMIT CONSTRAINT CONTINUE CONVERT
CREATE CROSS DBCC DECLARE DEFAULT DELETE DENY DESC DISTINCT DROP ELSE END ESCAPE EXCEPT EXEC EXECUTE EXISTS FOREIGN FROM FULL FUNCTION
GOTO GRANT GROUP HAVING IDENTITY_INSERT IF IN INDEX INNER INSERT INTERSECT INTO IS JOIN KEY LEFT LIKE MERGE NOCHECK NOT NULL OF OFF
OFFSETS ON OPEN OPTION OR ORDER OUTER OVER PERCENT PIVOT PLAN PRIMARY PRINT PROC PROCEDURE RAISERROR READ REFERENCES REPLICATION RESTORE
RETURN REVOKE RIGHT ROLLBACK RULE SAVE SCHEMA SELECT SET TABLE TABLESAMPLE THEN TO TOP TRAN TRANSACTION TRIGGER TRUNCATE UNION UNIQUE
UNPIVOT UPDATE USE VALUES VIEW WAITFOR WHEN WHERE WHILE WITH BACKUP KILL""".split())

SIMPLE_TYPES = set("""bit tinyint smallint int bigint real smallmoney money date datetime smalldatetime uniqueidentifier text ntext image
xml sql_variant timestamp geography geometry hierarchyid""".split())
SIZED = {"char": 8000, "varchar": 8000, "nchar": 4000, "nvarchar": 4000, "binary": 8000, "varbinary": 8000}
SYNONYMS = {"integer": "int", "rowversion": "timestamp", "dec": "decimal", "character": "char"}


class Select:
    """One query expression: `cores` joined by `unions`, ordered. A core has top, distinct, items, into, source, where, group, having."""

    def __init__(self):
        self.cores, self.unions, self.order, self.offset, self.fetch, self.ctes = [], [], [], None, None, {}


class Core:
    def __init__(self):
        self.top = self.top_percent = None
        self.distinct = False
        self.items, self.into, self.source, self.where, self.group, self.having = [], None, None, None, [], None


class Parser:
    """The tokens of one batch and where we are among them."""

    def __init__(self, sql):
        self.sql, self.tokens, self.at = sql, tokens(sql), 0

    # ---- the tokens ----

    @property
    def token(self):
        return self.tokens[self.at]

    def ahead(self, n=1):
        return self.tokens[min(self.at + n, len(self.tokens) - 1)]

    def fault(self, expected=None):
        t = self.token
        near = t.text if t.kind != END else "end of batch"
        raise SyntaxFault(f"Incorrect syntax near '{near}'." + (f" Expecting {expected}." if expected else ""), t.line)

    def is_word(self, *words):
        return all(self.ahead(i).upper == w for i, w in enumerate(words))

    def accept(self, *words):
        if self.is_word(*words):
            self.at += len(words)
            return True
        return False

    def expect(self, *words):
        for w in words:
            if not self.accept(w):
                self.fault(w)

    def accept_any(self, *words):
        if self.token.upper in words:
            self.at += 1
            return self.tokens[self.at - 1].upper
        return None

    def one_of(self, *words):
        found = self.accept_any(*words)
        if not found:
            self.fault(" or ".join(words))
        return found

    def name(self):
        t = self.token
        if t.kind == NAME or (t.kind == WORD and t.upper not in RESERVED):
            if len(t.text) > 128:
                raise SyntaxFault(f"The identifier that starts with '{t.text[:128]}' is too long. Maximum length is 128.", t.line, 103)
            self.at += 1
            return t.text
        return self.fault("a name")

    def qualified(self, most=4):
        """The parts of a name, outermost first; an omitted one is ''."""
        parts = [self.name()]
        while self.token.upper == "." and len(parts) < most:
            self.at += 1
            while self.token.upper == ".":
                parts.append("")
                self.at += 1
            parts.append(self.name())
        return parts

    def integer(self):
        sign = -1 if self.accept("-") else 1
        t = self.token
        if t.kind != NUMBER or not t.text.isdigit():
            self.fault("an integer")
        self.at += 1
        return sign * int(t.text)

    def string(self):
        t = self.token
        if t.kind not in (STRING, WIDE_STRING):
            self.fault("a string")
        self.at += 1
        return t.text

    def in_parentheses(self, parse):
        self.expect("(")
        out = [parse()]
        while self.accept(","):
            out.append(parse())
        self.expect(")")
        return out

    def source_of(self, parse):
        """Parses and gives the text that was parsed."""
        start = self.token.start
        parse()
        return self.sql[start:self.tokens[self.at - 1].end]

    # ---- types ----

    def type(self):
        """A type: a Type, or ("alias", parts) of a user's own."""
        t = self.token
        if t.kind == NAME and t.text.lower() not in SIMPLE_TYPES | set(SIZED) | {"decimal", "numeric", "float", "time", "datetime2",
                                                                                  "datetimeoffset", "sysname"}:
            return "alias", self.qualified(2)
        parts = self.qualified(2)
        if len(parts) == 2 and parts[0].lower() != "sys":
            return "alias", parts
        name = SYNONYMS.get(parts[-1].lower(), parts[-1].lower())
        if name == "sysname":
            return Type("nvarchar", 256, alias="sysname")
        if name in SIMPLE_TYPES:
            if name == "xml" and self.accept("("):
                self.accept_any("CONTENT", "DOCUMENT")
                collection = self.qualified(2)
                self.expect(")")
                out = Type("xml")
                out.alias = ("xml", collection)
                return out
            return Type(name)
        if name in SIZED:
            return self._sized(name)
        numbers = []
        if name in ("decimal", "numeric", "float", "time", "datetime2", "datetimeoffset"):
            if self.token.upper == "(":
                numbers = self.in_parentheses(self.integer)
            return self._scaled(name, numbers)
        return "alias", parts

    def _sized(self, name):
        wide = 2 if name[0] == "n" else 1
        if self.accept("VARYING"):
            name = "var" + name
        size = None
        if self.accept("("):
            size = MAX if self.accept("MAX") else self.integer()
            self.expect(")")
        if size is None:
            return Type(name, wide, alias="unsized")
        if size == MAX:
            if "var" not in name:
                self.fault("a length")
            return Type(name, MAX)
        if not 1 <= size <= SIZED[name]:
            raise SyntaxFault(f"The size ({size}) given to the type '{name}' exceeds the maximum allowed.", self.token.line, 131)
        return Type(name, size * wide)

    def _scaled(self, name, numbers):
        if name == "float":
            bits = numbers[0] if numbers else 53
            if not 1 <= bits <= 53:
                raise SyntaxFault("Invalid precision of float.", self.token.line, 2750)
            return Type("float" if bits > 24 else "real")
        if name in ("decimal", "numeric"):
            precision, scale = (numbers + [18])[0], (numbers + [0, 0])[1] if len(numbers) > 1 else 0
            if not 1 <= precision <= 38 or scale > precision or len(numbers) > 2:
                raise SyntaxFault(f"Column or parameter: invalid precision or scale ({precision}, {scale}).", self.token.line, 2750)
            return Type(name, precision=precision, scale=scale)
        scale = numbers[0] if numbers else 7
        if not 0 <= scale <= 7:
            raise SyntaxFault(f"Specified scale {scale} is invalid.", self.token.line, 1002)
        return Type(name, scale=scale)

    # ---- expressions ----

    def expression(self):
        return self._or()

    def _or(self):
        left = self._and()
        while self.accept("OR"):
            left = ("or", left, self._and())
        return left

    def _and(self):
        left = self._not()
        while self.accept("AND"):
            left = ("and", left, self._not())
        return left

    def _not(self):
        if self.accept("NOT"):
            return ("not", self._not())
        return self._predicate()

    def _predicate(self):
        if self.is_word("EXISTS", "("):
            self.at += 2
            query = self.select()
            self.expect(")")
            return ("exists", query)
        left = self._sum()
        negated = False
        if self.is_word("NOT") and self.ahead().upper in ("IN", "LIKE", "BETWEEN"):
            self.at += 1
            negated = True
        if self.token.upper in ("=", "<>", "!=", "<", ">", "<=", ">=", "!<", "!>"):
            op = {"!=": "<>", "!<": ">=", "!>": "<="}.get(self.token.upper, self.token.upper)
            self.at += 1
            return ("compare", op, left, self._sum())
        if self.accept("IS"):
            negated = self.accept("NOT")
            self.expect("NULL")
            return ("isnull", left, negated)
        if self.accept("IN"):
            self.expect("(")
            if self.is_word("SELECT"):
                out = ("inselect", left, self.select(), negated)
            else:
                items = [self.expression()]
                while self.accept(","):
                    items.append(self.expression())
                out = ("in", left, items, negated)
            self.expect(")")
            return out
        if self.accept("BETWEEN"):
            low = self._sum()
            self.expect("AND")
            return ("between", left, low, self._sum(), negated)
        if self.accept("LIKE"):
            pattern = self._sum()
            escape = self._sum() if self.accept("ESCAPE") else None
            return ("like", left, pattern, escape, negated)
        return left

    def _sum(self):
        left = self._product()
        while self.token.upper in ("+", "-", "&", "|", "^"):
            op = self.token.upper
            self.at += 1
            left = ("arith", op, left, self._product())
        return left

    def _product(self):
        left = self._unary()
        while self.token.upper in ("*", "/", "%"):
            op = self.token.upper
            self.at += 1
            left = ("arith", op, left, self._unary())
        return left

    def _unary(self):
        op = self.accept_any("-", "+", "~")
        if op == "+":
            return self._unary()
        if op:
            return ("unary", op, self._unary())
        out = self._primary()
        while self.accept("COLLATE"):
            out = ("collate", out, self.name())
        return out

    def _literal(self):
        t = self.token
        self.at += 1
        if t.kind == NUMBER:
            if "e" in t.text.lower():
                return ("lit", Type("float"), float(t.text))
            if t.text.isdigit() and int(t.text) < 1 << 31:
                return ("lit", Type("int"), int(t.text))
            digits = t.text.replace(".", "").lstrip("0") or "0"
            scale = len(t.text.partition(".")[2])
            if max(len(digits), scale) > 38:
                raise SyntaxFault(f"The number '{t.text}' is out of the range for numeric representation.", t.line, 1007)
            return ("lit", Type("numeric", precision=max(len(digits), scale, 1), scale=scale), Decimal(t.text))
        if t.kind == HEX:
            digits = t.text[2:]
            raw = bytes.fromhex("0" * (len(digits) % 2) + digits)
            return ("lit", Type("varbinary", max(1, len(raw)) if len(raw) <= 8000 else MAX), raw)
        wide = t.kind == WIDE_STRING
        size = len(t.text.encode("utf-16-le", "surrogatepass")) if wide else len(t.text)
        return ("lit", Type("nvarchar" if wide else "varchar", max(size, 2 if wide else 1) if size <= 8000 else MAX), t.text)

    def _primary(self):
        t = self.token
        if t.kind in (NUMBER, HEX, STRING, WIDE_STRING):
            return self._literal()
        if t.kind == VARIABLE:
            self.at += 1
            return ("var", t.text.lower())
        if self.accept("NULL"):
            return ("null",)
        if self.accept("CASE"):
            return self._case()
        if self.accept("("):
            out = ("sub", self.select()) if self.is_word("SELECT") else ("paren", self.expression())
            self.expect(")")
            return out
        if t.upper in ("CAST", "TRY_CAST") and self.ahead().upper == "(":
            self.at += 2
            value = self.expression()
            self.expect("AS")
            kind = self.type()
            self.expect(")")
            return ("cast", value, kind, None, t.upper[:3] == "TRY")
        if t.upper in ("CONVERT", "TRY_CONVERT") and self.ahead().upper == "(":
            self.at += 2
            kind = self.type()
            self.expect(",")
            value = self.expression()
            style = self.expression() if self.accept(",") else None
            self.expect(")")
            return ("cast", value, kind, style, t.upper[:3] == "TRY")
        if t.upper in ("LEFT", "RIGHT", "USER", "CURRENT_USER", "SYSTEM_USER", "SESSION_USER", "CURRENT_TIMESTAMP") and (
                self.ahead().upper == "(" or t.upper not in ("LEFT", "RIGHT")):
            self.at += 1
            return self._call([t.text]) if self.token.upper == "(" else ("call", [t.text.lower()], [], False, None)
        parts = self.qualified()
        if self.token.upper == "(":
            return self._call(parts)
        if self.accept("::"):
            parts.append(self.name())
            return self._call(parts)
        return ("col", parts)

    def _call(self, parts):
        self.expect("(")
        args, star = [], False
        if self.accept("*"):
            star = True
        elif self.token.upper != ")":
            distinct = self.accept("DISTINCT")
            args.append(self.expression())
            while self.accept(","):
                args.append(self.expression())
            if distinct:
                args = [("distinct", args[0])]
        self.expect(")")
        over = None
        if self.accept("WITHIN", "GROUP"):
            self.expect("(")
            self.expect("ORDER", "BY")
            over = ("within", self._order_items())
            self.expect(")")
        if self.accept("OVER"):
            self.expect("(")
            partition = []
            if self.accept("PARTITION", "BY"):
                partition = [self.expression()]
                while self.accept(","):
                    partition.append(self.expression())
            order = self._order_items() if self.accept("ORDER", "BY") else []
            self.expect(")")
            over = ("over", partition, order)
        return ("call", [p.lower() for p in parts], args, star, over)

    def _case(self):
        operand = None if self.is_word("WHEN") else self.expression()
        whens = []
        while self.accept("WHEN"):
            condition = self.expression()
            self.expect("THEN")
            whens.append((condition, self.expression()))
        if not whens:
            self.fault("WHEN")
        otherwise = self.expression() if self.accept("ELSE") else None
        self.expect("END")
        return ("case", operand, whens, otherwise)

    # ---- select ----

    def select(self):
        out = Select()
        if self.accept("WITH"):
            while True:
                name = self.name()
                columns = self.in_parentheses(self.name) if self.token.upper == "(" else None
                self.expect("AS", "(")
                out.ctes[name.lower()] = (columns, self.select())
                self.expect(")")
                if not self.accept(","):
                    break
        out.cores.append(self._core_or_nested())
        while True:
            op = self.accept_any("UNION", "EXCEPT", "INTERSECT")
            if not op:
                break
            if op == "UNION" and self.accept("ALL"):
                op = "UNION ALL"
            out.unions.append(op)
            out.cores.append(self._core_or_nested())
        if self.accept("ORDER", "BY"):
            out.order = self._order_items()
            if self.accept("OFFSET"):
                out.offset = self.expression()
                self.one_of("ROW", "ROWS")
                if self.accept("FETCH"):
                    self.one_of("NEXT", "FIRST")
                    out.fetch = self.expression()
                    self.one_of("ROW", "ROWS")
                    self.expect("ONLY")
        if self.accept("OPTION"):
            self.skip_parentheses()
        return out

    def _core_or_nested(self):
        if self.accept("("):
            nested = self.select()
            self.expect(")")
            return nested
        return self._core()

    def _order_items(self):
        items = []
        while True:
            e = self.expression()
            descending = self.accept("DESC")
            if not descending:
                self.accept("ASC")
            items.append((e, descending))
            if not self.accept(","):
                return items

    def _core(self):
        self.expect("SELECT")
        core = Core()
        core.distinct = self.accept("DISTINCT")
        if not core.distinct:
            self.accept("ALL")
        if self.accept("TOP"):
            if self.accept("("):
                core.top = self.expression()
                self.expect(")")
            else:
                core.top = self._literal()
            core.top_percent = self.accept("PERCENT")
            self.accept("WITH", "TIES")
        core.items = [self._item()]
        while self.accept(","):
            core.items.append(self._item())
        if self.accept("INTO"):
            core.into = self.qualified(3)
        if self.accept("FROM"):
            core.source = self._source()
        if self.accept("WHERE"):
            core.where = self.expression()
        if self.accept("GROUP", "BY"):
            core.group = [self.expression()]
            while self.accept(","):
                core.group.append(self.expression())
        if self.accept("HAVING"):
            core.having = self.expression()
        if self.accept("FOR", "XML"):
            self.fault("no FOR XML")
        return core

    def _item(self):
        """(name or None, expression); a star is ("star", qualifier); an assignment ("assign", variable, expression)."""
        t = self.token
        if self.accept("*"):
            return (None, ("star", None))
        if t.kind == VARIABLE and self.ahead().upper in ("=", "+="):
            self.at += 2
            return (None, ("assign", t.text.lower(), self.expression()))
        if t.kind in (WORD, NAME) and t.upper not in RESERVED:
            n = 1
            while self.ahead(n).upper == "." and self.ahead(n + 1).kind in (WORD, NAME):
                n += 2
            if self.ahead(n).upper == "." and self.ahead(n + 1).upper == "*":
                qualifier = [self.tokens[self.at + i].text for i in range(0, n, 2)]
                self.at += n + 2
                return (None, ("star", qualifier))
            if self.ahead().upper == "=":
                name = self.name()
                self.at += 1
                return (name, self.expression())
        e = self.expression()
        if self.accept("AS"):
            if self.token.kind in (STRING, WIDE_STRING):
                return (self.string(), e)
            return (self.name(), e)
        if self.token.kind == NAME or (self.token.kind == WORD and self.token.upper not in RESERVED and not self._begins_statement()):
            return (self.name(), e)
        return (e[1][-1] if e[0] == "col" else None, e)

    def _begins_statement(self):
        return self.token.upper in ("FETCH", "THROW", "FOR", "OFFSET", "GO", "ENABLE", "DISABLE", "WITHIN", "SEND")

    # ---- from ----

    def _source(self):
        left = self._joined()
        while self.accept(","):
            left = ("join", "CROSS", left, self._joined(), None)
        return left

    def _joined(self):
        left = self._table()
        while True:
            if self.accept("CROSS", "JOIN"):
                left = ("join", "CROSS", left, self._table(), None)
                continue
            if self.accept("CROSS", "APPLY"):
                left = ("apply", "CROSS", left, self._table())
                continue
            if self.accept("OUTER", "APPLY"):
                left = ("apply", "OUTER", left, self._table())
                continue
            kind = None
            if self.is_word("JOIN"):
                kind = "INNER"
            elif self.is_word("INNER", "JOIN"):
                kind = "INNER"
                self.at += 1
            elif self.token.upper in ("LEFT", "RIGHT", "FULL"):
                kind = self.token.upper
                self.at += 1
                self.accept("OUTER")
            if not kind:
                return left
            self.expect("JOIN")
            right = self._table()
            if self.token.upper in ("JOIN", "INNER", "LEFT") and not self.is_word("ON"):
                self.fault("ON")
            self.expect("ON")
            left = ("join", kind, left, right, self.expression())

    def _table(self):
        if self.accept("("):
            if self.is_word("SELECT") or self.is_word("WITH"):
                query = self.select()
                self.expect(")")
                alias, columns = self._alias(True)
                return ("derived", query, alias, columns)
            if self.accept("VALUES"):
                rows = [self.in_parentheses(self.expression)]
                while self.accept(","):
                    rows.append(self.in_parentheses(self.expression))
                self.expect(")")
                alias, columns = self._alias(True)
                return ("values", rows, alias, columns)
            inner = self._source()
            self.expect(")")
            return inner
        if self.token.kind == VARIABLE:
            name = [self.token.text.lower()]
            self.at += 1
        else:
            name = self.qualified(4)
        if self.token.upper == "(" and not self.ahead().upper == "NOLOCK":
            call = self._call(name)
            alias, columns = self._alias(False)
            return ("function", call, alias, columns)
        alias, _ = self._alias(False)
        hints = []
        if self.token.upper == "(" and self.ahead().upper == "NOLOCK" or self.is_word("WITH", "("):
            self.accept("WITH")
            hints = [h.upper() for h in self.in_parentheses(self.hint)]
        return ("table", name, alias or name[-1], hints)

    def hint(self):
        t = self.token
        if t.upper not in ("NOLOCK", "TABLOCK", "TABLOCKX", "HOLDLOCK", "UPDLOCK", "ROWLOCK", "PAGLOCK", "READPAST", "XLOCK", "SERIALIZABLE",
                           "READUNCOMMITTED", "READCOMMITTED", "REPEATABLEREAD", "SNAPSHOT", "NOWAIT", "KEEPIDENTITY", "FORCESEEK",
                           "READCOMMITTEDLOCK"):
            self.fault("a table hint")
        self.at += 1
        return t.text

    def _alias(self, required):
        alias = columns = None
        if self.accept("AS"):
            alias = self.name()
        elif self.token.kind == NAME or (self.token.kind == WORD and self.token.upper not in RESERVED and not self._begins_statement()):
            alias = self.name()
        elif required:
            self.fault("an alias")
        if alias and self.token.upper == "(" and required:
            columns = self.in_parentheses(self.name)
        return alias, columns

    def skip_parentheses(self):
        """A balanced pair whose inside does not matter here; gives its text."""
        start = self.token.start
        self.expect("(")
        depth = 1
        while depth:
            t = self.token
            if t.kind == END:
                self.fault(")")
            depth += (t.upper == "(") - (t.upper == ")")
            self.at += 1
        return self.sql[start:self.tokens[self.at - 1].end]
