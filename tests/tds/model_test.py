#!/usr/bin/env python3
"""The model as Debian's tsql and freebcp see it."""
from tds_support import Endpoint, Failed, main, same

TABLE = """CREATE TABLE [dbo].[t] ([Id] int IDENTITY(1, 1) NOT NULL, [n] nvarchar(100) NULL, [d] decimal(38, 10) NULL, [c] AS ([Id]*(2)) PERSISTED,
CONSTRAINT [PK_t] PRIMARY KEY CLUSTERED ([Id]))"""


def has(text, *wanted):
    for w in wanted:
        if w not in text:
            raise Failed(f"{w!r} is not in:\n{text}")


def rows__come_back_in_the_order_that_was_asked():
    with Endpoint(model=True) as e:
        _, out, err = e.tsql(TABLE, "INSERT INTO t (n, d) VALUES (N'h\u00e9', 1.5), (NULL, NULL)", "SELECT * FROM t ORDER BY Id DESC")
        has(out, "Id\tn\td\tc\n2\tNULL\tNULL\t4\n1\th\u00e9\t1.5000000000\t2\n")
        same("messages", err, "")


def catalog__tells_what_was_created():
    with Endpoint(model=True) as e:
        out = e.tsql(TABLE, "ALTER TABLE t ADD CONSTRAINT [DF_d] DEFAULT ((0)) FOR [d]",
                     "SELECT c.name, c.is_identity, c.is_computed, d.definition FROM sys.columns c JOIN sys.tables t ON t.object_id = c.object_id "
                     "LEFT JOIN sys.default_constraints d ON d.parent_object_id = c.object_id AND d.parent_column_id = c.column_id ORDER BY c.column_id")[1]
        has(out, "Id\t1\t0\tNULL\n", "d\t0\t0\t((0))\n", "c\t0\t1\tNULL\n")


def syntax__that_is_wrong_stops_the_whole_batch():
    with Endpoint(model=True) as e:
        _, out, err = e.tsql("CREATE TABLE x (a int)\nCREATE TABLE y (a int, )", "SELECT name FROM sys.tables")
        has(err, "Msg 102")
        if "\nx\n" in out:
            raise Failed("the statement before the faulty one ran")


def constraint__that_is_broken_is_an_error():
    with Endpoint(model=True) as e:
        err = e.tsql(TABLE, "SET IDENTITY_INSERT t ON\nINSERT t (Id) VALUES (1)\nINSERT t (Id) VALUES (1)")[2]
        has(err, "Msg 2627", "PK_t")


def bulk__rows_are_what_freebcp_sent():
    with Endpoint(model=True) as e:
        e.tsql("CREATE TABLE [dbo].[b] ([i] int NOT NULL, [v] varchar(20) NULL, [m] money NULL, [w] datetime NULL)")
        sent = b"1\tone\t1.5000\t2020-02-29 12:00:00.000\n2\t\t\t\n"
        status, _, words = e.freebcp("dbo.b", "in", "-c", data=sent)
        if status:
            raise Failed(words)
        has(e.tsql("SELECT i, v, m FROM b ORDER BY i")[1], "1\tone\t1.5000\n2\tNULL\tNULL\n")
        same("bulk loads", [x["rows"] for x in e.log("bulk")], [2])


def database__is_renamed_and_restricted():
    with Endpoint(model=True) as e:
        out = e.tsql("CREATE DATABASE a", "ALTER DATABASE a MODIFY NAME = b", "ALTER DATABASE b SET RESTRICTED_USER WITH ROLLBACK IMMEDIATE",
                     "SELECT name, user_access_desc FROM sys.databases WHERE name IN (N'a', N'b')")[1]
        has(out, "b\tRESTRICTED_USER\n")


def snapshot__is_gone_back_to_as_the_server_does():
    make = "CREATE DATABASE s ON (NAME = [shop], FILENAME = N'/d/s.ss') AS SNAPSHOT OF shop"
    with Endpoint(model=True) as e:
        e.tsql("CREATE TABLE t (a int)", "INSERT t VALUES (1)")
        has(e.tsql("CREATE DATABASE s ON (NAME = [shop_log], FILENAME = N'/d/s.ss') AS SNAPSHOT OF shop")[2], "Msg 5127")
        same("made", e.tsql(make)[2], "")
        has(e.tsql("INSERT t VALUES (2)", database="s")[2], "read-only")
        e.tsql("INSERT t VALUES (2)")
        has(e.tsql("SELECT COUNT(*) AS n FROM t", database="s")[1], "n\n1\n")
        has(e.tsql("DROP DATABASE shop", database="master")[2], "Msg 3709")
        has(e.tsql("RESTORE DATABASE shop FROM DATABASE_SNAPSHOT = 's'")[2], "Msg 5070")
        same("gone back", e.tsql("RESTORE DATABASE shop FROM DATABASE_SNAPSHOT = 's'", database="master")[2], "")
        has(e.tsql("SELECT COUNT(*) AS n FROM t", "SELECT size FROM sys.database_files WHERE type = 1")[1], "n\n1\n", "size\n64\n")
        e.tsql("CREATE DATABASE s2 ON (NAME = [shop], FILENAME = N'/d/s2.ss') AS SNAPSHOT OF shop")
        has(e.tsql("RESTORE DATABASE shop FROM DATABASE_SNAPSHOT = 's'", database="master")[2], "Msg 3137")
    with Endpoint(model=True, snapshots="no") as e:
        has(e.tsql(make)[2], "Msg 1844")


def transaction__rolled_back_leaves_nothing():
    with Endpoint(model=True) as e:
        out = e.tsql("CREATE TABLE r (a int)", "BEGIN TRAN\nINSERT r VALUES (1)\nROLLBACK", "SELECT COUNT(*) AS n FROM r")[1]
        has(out, "n\n0\n")


def fault__drops_the_connection_in_mid_row():
    with Endpoint(model=True) as e:
        e.tsql("CREATE TABLE r (a int, t varchar(20))", "INSERT r VALUES (1, 'one'), (2, 'two')")
        e.faults(match="from r", drop_after_rows=1)
        if "two" in e.tsql("SELECT a, t FROM r")[1]:
            raise Failed("the torn row is there")
        has(e.tsql("SELECT a, t FROM r")[1], "2\ttwo\n")


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if "__" in k and callable(v)])
