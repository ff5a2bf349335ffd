#!/usr/bin/env python3
"""
Real shops' scripts through `nopsnap sql`, then snapshot, wreck, rollback: every row must be as it was. Needs a server (NOPSNAP_TEST_SQLSERVER) and a
folder of scripts as SQL Server Management Studio writes them (NOPSNAP_TEST_SQLSERVER_SCRIPTS); is skipped without either.

What such a script says of its database's files and options is left out: the test makes the database itself.
"""
import os
import re
import sys

from cli_support import Bench, Failed, main
import sqlserver_shop
from sqlserver_shop import LIVE

FOLDER = os.environ.get("NOPSNAP_TEST_SQLSERVER_SCRIPTS")


class Server(sqlserver_shop.SqlServer):
    """The shop of a script instead of the fixture's."""

    def make_database(self):
        self.batch(f"CREATE DATABASE [{self.database}]", "master")


def adapted(path):
    """The batches between the first USE of the shop's database and the last USE [master]."""
    with open(path, "rb") as f:
        raw = f.read()
    text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    use = re.search(r"^USE \[(?!master\])[^\]]+\]\s+GO\b", text, re.M)
    end = text.find("USE [master]", use.end())
    return text[use.end():end if end > 0 else len(text)]


def equal(before, after, what):
    if before != after:
        lacks, extra = [x for x in before if x not in set(after)], [x for x in after if x not in set(before)]
        raise Failed(f"{what}: lacks {len(lacks)}: {lacks[:3]}, has {len(extra)} more: {extra[:3]}")


def shop_of(path):
    def test():
        with Bench("sqlserver", files=20) as b:
            script = os.path.join(b.folder, "script.sql")
            with open(script, "w", encoding="utf-16", newline="") as f:
                f.write(adapted(path))
            b.run("init").expect(0)
            b.run("sql", "shop", script).expect(0, out="batches run")
            before = b.database_state()
            if len(before) < 5000:
                raise Failed(f"only {len(before)} rows")
            b.run("snapshot", "shop").expect(0)
            b.server.sql("DELETE FROM [LocaleStringResource] WHERE [Id] > 100; UPDATE [Setting] SET [Value] = N'x' WHERE [Id] < 50; DROP TABLE [ActivityLog]")
            b.run("rollback", "shop", "--yes").expect(0, out="is back at snapshot")
            equal(before, b.database_state(), "after the rollback")
            b.server.sql("INSERT INTO [Setting] ([Name], [Value], [StoreId]) VALUES (N'a', N'b', 0)")  # its number is free
    test.__name__ = "script__" + os.path.basename(path).split(".")[0]
    return test


if not LIVE or not FOLDER:
    print("skipped: NOPSNAP_TEST_SQLSERVER and NOPSNAP_TEST_SQLSERVER_SCRIPTS name no server and no scripts")
    sys.exit(77)
import cli_support  # noqa: E402
cli_support.ENGINES["sqlserver"] = Server
main([shop_of(os.path.join(FOLDER, n)) for n in sorted(os.listdir(FOLDER)) if n.endswith(".sql")])
