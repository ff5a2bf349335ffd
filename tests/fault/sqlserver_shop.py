"""
A shop on a TDS server for the tests of the program: the model of tests/tds, or the server that NOPSNAP_TEST_SQLSERVER (a connection string of a
login that may make databases) names. The tests look at it with Debian's tsql, never with nopsnap.
"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURE = os.path.join(HERE, "..", "fixture")
sys.path.insert(0, os.path.join(HERE, "..", "tds"))
from tds_support import Endpoint  # noqa: E402

MODEL_PASSWORD = "secret of sa"
MOMENTS = ("datetime", "datetime2", "smalldatetime", "date", "time", "datetimeoffset")
LIVE = os.environ.get("NOPSNAP_TEST_SQLSERVER")
# What the digest sees of the schema: each query gives texts.
SCHEMA = (
    "SELECT 'column ' + t.name + '.' + c.name + ' ' + TYPE_NAME(c.user_type_id) + ' ' + CAST(c.max_length AS varchar(10)) + ' ' + CAST(c.is_nullable AS varchar(1))"
    " + ' ' + CAST(c.is_identity AS varchar(1)) FROM sys.tables t JOIN sys.columns c ON c.object_id = t.object_id",
    "SELECT 'index ' + t.name + '.' + i.name + ' ' + CAST(i.is_unique AS varchar(1)) FROM sys.tables t JOIN sys.indexes i ON i.object_id = t.object_id WHERE i.name IS NOT NULL",
    "SELECT 'foreign key ' + f.name FROM sys.foreign_keys f",
    "SELECT 'identity ' + t.name + ' ' + CAST(IDENT_CURRENT('[dbo].[' + t.name + ']') AS varchar(20)) FROM sys.tables t WHERE IDENT_CURRENT('[dbo].[' + t.name + ']') IS NOT NULL",
    "SELECT 'module ' + o.name FROM sys.objects o WHERE o.type IN ('V', 'P')",
)


def live_parts():
    """The pairs of the connection string by their keys, in lower case without blanks."""
    return {k.strip().lower().replace(" ", ""): v for k, _, v in (p.partition("=") for p in LIVE.split(";") if p)}


class SqlServer:
    name = "sqlserver"

    snapshots = "yes"  # of databases: has the model's edition them?

    def __init__(self, folder, in_place=False):
        self.folder, self.endpoint, self.database, self.in_place = folder, None, "shop", in_place
        self.wrecked = self.frozen = False
        self.user, self.password, self.host, self.port = "sa", MODEL_PASSWORD, "127.0.0.1", 0
        self.tail = ";TrustServerCertificate=True;Encrypt=" + ("True" if LIVE else "False")

    def start(self):
        os.makedirs(self.folder, exist_ok=True)
        if not LIVE:
            self.endpoint = Endpoint(model=True, clean=False, accounts={"sa": MODEL_PASSWORD, "shop": "secret of shop", "maker": "secret of maker"}, creator="maker", files=[f for f in os.environ.get("NOPSNAP_MODEL_FILES", "").split(",") if f],
                                     snapshots=self.snapshots, **{"owner" if self.in_place else "admin": "shop"}).__enter__()
            self.port = self.endpoint.port
        else:
            parts = live_parts()
            self.host, _, port = (parts.get("server") or parts["datasource"]).removeprefix("tcp:").partition(",")
            self.port, self.user, self.password = int(port or 1433), parts["userid"], parts["password"]
            self.database = f"nopsnap_round_{os.getpid()}"
        self.dir = f"{self.host},{self.port}"
        self.conf = os.path.join(self.folder, "freetds.conf")
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(f"[test]\nhost = {self.host}\nport = {self.port}\ntds version = 7.4\nclient charset = UTF-8\ntext size = 100000000\n")

    def stop(self):
        if self.endpoint:
            self.endpoint.__exit__(None)
        elif self.dir:
            for d in self.others() + [self.database]:
                self.batch(f"DROP DATABASE [{d}]", "master", False)

    def batch(self, text, database, must=True):
        """Rows as lists of texts."""
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="", dir=self.folder) as f:
            f.write(text + "\nGO\nexit\n")
            f.flush()
            with open(f.name, encoding="utf-8") as source:
                run = subprocess.run(["tsql", "-S", "test", "-U", self.user, "-P", self.password, "-D", database, "-o", "hq"], stdin=source,
                                     env={**os.environ, "FREETDSCONF": self.conf, "LC_ALL": "C.UTF-8"}, capture_output=True, timeout=300, check=False)
        words = run.stderr.decode(errors="replace")
        if must and ("Msg " in words or run.returncode):
            raise RuntimeError(words)
        return [line.split("\t") for line in run.stdout.decode(errors="surrogateescape").split("\n") if line]

    def sql(self, text, database=None):
        return self.batch(text, "master" if database == "master" else self.database)

    def make_database(self):
        self.batch(f"IF DB_ID(N'{self.database}') IS NULL CREATE DATABASE [{self.database}]", "master")
        script = subprocess.run([sys.executable, os.path.join(FIXTURE, "shop_sqlserver.py")], check=True, capture_output=True, text=True).stdout
        if LIVE:  # Babelfish forgets the text of a procedure when its database is renamed
            script = script[:script.index("CREATE PROCEDURE")]
        self.batch(script.removesuffix("\nGO\n"), self.database)

    def make_shop(self):
        self.make_database()
        login = f"User ID={self.user};Password={self.password}" if LIVE else "User ID=shop;Password=secret of shop"
        return f"Server={self.dir};Database={self.database};{login}{self.tail}"

    def wreck(self):
        self.wrecked = True
        self.sql("DELETE FROM [OrderNote]; UPDATE [Product] SET [Name] = N'broken'; DROP TABLE [Log]; CREATE TABLE [Half] ([id] int NOT NULL); "
                 "INSERT INTO [Half] VALUES (1)")

    def freeze(self):
        self.frozen = self.wrecked

    def others(self):
        return [r[0] for r in self.batch("SELECT name FROM sys.databases", "master") if r[0].startswith(self.database + "_nopsnap") or r[0] == self.database + "_other"]

    def thaw(self):
        for d in self.others() + [self.database]:
            self.batch(f"IF DB_ID(N'{d}') IS NOT NULL DROP DATABASE [{d}]", "master")
        self.make_database()
        if self.frozen:
            self.wreck()

    def columns_of(self):
        found = {}
        for table, column, kind in self.sql("SELECT t.name, c.name, TYPE_NAME(c.user_type_id) FROM sys.tables t JOIN sys.columns c ON c.object_id = t.object_id "
                                            "ORDER BY t.name, c.column_id"):
            found.setdefault(table, []).append((column, kind))
        return found

    def digest(self):
        if not self.batch(f"SELECT name FROM sys.databases WHERE name = N'{self.database}'", "master"):
            return [("database", "gone")]
        lines = []
        for table, columns in self.columns_of().items():
            shown = ", ".join(f"CONVERT(varchar(40), [{c}], 121)" if k in MOMENTS else f"[{c}]" for c, k in columns)
            lines += [(table, *row) for row in sorted(self.sql(f"SELECT {shown} FROM [dbo].[{table}]"))]
        # Babelfish gives indexes names of its own making, and says 1 of every identity whose rows were loaded in bulk.
        for query in [q for q in SCHEMA if not (LIVE and ("'index '" in q or "'identity '" in q))]:
            lines += sorted(tuple(row) for row in self.sql(query))
        return lines
