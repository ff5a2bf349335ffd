#!/usr/bin/env python3
"""A shop on a real server: snapshot, wreck everything, roll back, equal; and the ways around that.

    round_test.py postgresql|mysql|sqlserver [PART OF A TEST'S NAME]

SQL Server is the model of tests/tds, or what NOPSNAP_TEST_SQLSERVER names.
"""
import contextlib
import os
import subprocess
import sys

import cli_support
import sqlserver_shop
from cli_support import Bench, CommandLines, Failed, main, same

ENGINE = sys.argv[1]
ORDERS = {"postgresql": '"OrderNote", "OrderItem", "Order"', "mysql": "`OrderNote`, `OrderItem`, `Order`", "sqlserver": "[OrderNote], [OrderItem], [Order]"}[ENGINE]
NAME = {"postgresql": '"Product" set "Name"', "mysql": "`Product` set `Name`", "sqlserver": "[Product] set [Name]"}[ENGINE]
# A server that is named by hand has a password of its own, and may keep names in lower case.
LIVE = ENGINE == "sqlserver" and sqlserver_shop.LIVE
PASSWORD = sqlserver_shop.live_parts()["password"] if LIVE else cli_support.PASSWORD
NOTE_TABLE = "ordernote" if LIVE else "OrderNote"
NOTES = {"postgresql": '"OrderNote"', "mysql": "`OrderNote`", "sqlserver": "[OrderNote]"}[ENGINE]


@contextlib.contextmanager
def fresh():
    """One server for all tests; each finds the shop as it was made."""
    SHOP.begin()
    yield SHOP


def sql(b, text):
    b.server.sql(text, "shop")


def drop_orders(b):
    if ENGINE == "mysql":
        sql(b, f"set foreign_key_checks=0; drop table {ORDERS}")
    elif ENGINE == "sqlserver":
        sql(b, f"drop view [PaidOrders]; drop table {ORDERS}")
    else:
        sql(b, f"drop table {ORDERS} cascade")


def drop_database(b):
    if ENGINE == "mysql":
        b.server.sql("drop database shop")
    elif ENGINE == "sqlserver":
        b.server.sql(f"DROP DATABASE [{b.server.database}]", "master")
    else:
        b.server.sql("drop database shop with (force)", "postgres")


def equal(b, state, what):
    files, database = b.state()
    same(what + ": files", files, state[0])
    same(what + ": database", database, state[1])


def rollback__brings_back_a_shop_whose_tree_and_tables_are_gone():
    with fresh() as b:
        b.run("init").expect(0)
        before = b.state()
        b.run("snapshot", "shop", "--tag", "good").expect(0, out=["snapshot ", "left out", "took"])
        b.remove_site()
        drop_orders(b)
        b.run("rollback", "shop", "--yes").expect(0, out="is back at snapshot")
        equal(b, before, "after the rollback")


def rollback__brings_back_a_database_that_was_dropped():
    with fresh() as b:
        b.run("init").expect(0)
        before = b.state()
        b.run("snapshot", "shop").expect(0)
        drop_database(b)
        b.put("new.txt", "came later")
        b.run("rollback", "shop", "--yes").expect(0)
        equal(b, before, "after the rollback")


def rollback__is_undone_by_the_next_one():
    with fresh() as b:
        b.run("init").expect(0)
        good = b.state()
        b.run("snapshot", "shop").expect(0)
        sql(b, f"update {NAME} = 'broken'")
        b.put("Views/new.cshtml", "came later")
        os.unlink(os.path.join(b.site, "Nop.Web.dll"))
        broken = b.state()
        b.run("rollback", "shop", "--yes").expect(0)
        equal(b, good, "back")
        b.run("rollback", "shop", "--yes").expect(0, out="what the last rollback took away")
        equal(b, broken, "undone")
        b.run("rollback", "shop", "--yes").expect(0)
        equal(b, good, "undone again")


def rollback_only__leaves_the_other_part_alone():
    with fresh() as b:
        b.run("init").expect(0)
        good = b.state()
        b.run("snapshot", "shop").expect(0)
        target = b.newest()
        sql(b, f"update {NAME} = 'broken'")
        b.put("new.txt", "came later")
        broken = b.state()
        b.run("rollback", "shop", "--only", "files", "--yes").expect(0, out="only the files")
        equal(b, (good[0], broken[1]), "only files")
        b.run("rollback", "shop", "--only", "database", "--to", target, "--yes").expect(0, out="only the database")
        equal(b, good, "then only the database")


def dry_run__tells_and_changes_nothing():
    with fresh() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.put("new.txt", "came later")
        before = b.state()
        plan = b.objects("rollback", "shop", "--dry-run")
        same("the plan's type", [o["type"] for o in plan], ["plan"])
        same("what goes", plan[0]["files_removed"], 1)
        if "- new.txt" not in plan[0]["changes"]:
            raise Failed(f"the plan does not name it: {plan}")
        equal(b, before, "after the dry run")
        b.run("rollback", "shop").expect(1, err="nothing was changed", hint="--yes")
        equal(b, before, "after nobody answered")


def diff__counts_what_differs():
    with fresh() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.run("diff", "latest").expect(0, out="equal")
        b.put("new.txt", "came later")
        sql(b, f"delete from {NOTES}")
        b.run("diff", "latest", "shop").expect(3, out=["+ new.txt", NOTE_TABLE, "the database differs"])
        b.run("snapshot", "shop").expect(0)
        ids = [o["id"] for o in b.objects("list", "shop")]
        b.run("diff", ids[1], ids[0]).expect(3, out=["+ new.txt", NOTE_TABLE])
        b.run("diff", ids[0], ids[0]).expect(0, out="equal")


def restore__loads_another_database_by_a_file():
    with fresh() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        before = b.database_state()
        if ENGINE == "postgresql":
            b.server.sql("create database other owner shop template template0", "postgres")
        elif ENGINE == "mysql":
            b.server.sql("create database shop_other character set utf8mb4")
        shop = b.server.database if ENGINE == "sqlserver" else "shop"
        if ENGINE == "sqlserver":
            b.server.sql(f"CREATE DATABASE [{shop}_other]", "master")
        other = "other" if ENGINE == "postgresql" else shop + "_other"
        file = os.path.join(b.folder, "other")
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as f:
            f.write(b.connection.replace("Database=" + shop, "Database=" + other) + "\n")
        target = os.path.join(b.folder, "copy")
        b.run("restore", "latest", "--target", target, "--database", file).expect(0, out=["written and read back", "rows, counted"],
                                                                                 err="still names")
        same("the live database", b.database_state(), before)
        b.run("restore", "latest", "--database", file).expect(1, err="not empty")
        b.run("diff", "latest", target).expect(0)


def settings(b, old, new):
    path = os.path.join(b.site, "App_Data", "appsettings.json")
    with open(path, encoding="utf-8-sig") as f:
        text = f.read()
    if old not in text:
        raise Failed(f"the settings do not hold {old}")
    b.put("App_Data/appsettings.json", text.replace(old, new))


def database__that_can_not_be_used_is_told_apart():
    with fresh() as b:
        b.run("init").expect(0)
        settings(b, PASSWORD, "another one")
        b.run("snapshot", "shop").expect(1, err="nopsnap: ", hint="")
        if "another one" in b.said:
            raise Failed("the wrong password was printed:\n" + b.said)
        settings(b, "another one", PASSWORD)
        settings(b, b.server.dir, "/nowhere/at/all")
        b.run("snapshot", "shop").expect(1, err="/nowhere/at/all", hint="--files-only")
        same("snapshots", b.objects("list"), [])
        b.run("snapshot", "shop", "--files-only").expect(0)
        settings(b, "/nowhere/at/all", b.server.dir)
        b.run("snapshot", "shop").expect(0)


def right__that_is_missing_ends_a_snapshot_that_does_not_exist_then():
    if ENGINE != "postgresql":
        return
    with fresh() as b:
        b.run("init").expect(0)
        sql(b, 'alter table "Setting" owner to nop; revoke all on "Setting" from shop')
        b.run("snapshot", "shop").expect(1, err=["nopsnap: ", "Setting"])
        same("snapshots", b.objects("list"), [])
        b.run("verify").expect(0)


def sharing__with_another_site_is_refused_without_a_flag():
    with fresh() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.put("new.txt", "came later")
        other = os.path.join(b.folder, "other")
        subprocess.run(["cp", "-a", b.site, other], check=True)
        with open(b.config, "a", encoding="utf-8") as f:
            f.write(f"[other]\npath = {other}\n")
        before = b.state()
        b.run("rollback", "shop", "--yes").expect(1, out="uses the same database", err="preflight says no")
        equal(b, before, "after the refusal")
        b.run("rollback", "shop", "--yes", "--shared").expect(0)


def settings__that_are_lost_never_make_a_whole_snapshot():
    with fresh() as b:
        b.run("init").expect(0)
        before = b.state()
        settings = os.path.join(b.site, "App_Data", "appsettings.json")
        os.rename(settings, os.path.join(b.folder, "settings"))
        b.run("snapshot", "shop").expect(3, err="App_Data/appsettings.json is missing or names no database: only the files")
        same("the first one's part", [o["part"] for o in b.objects("list")], ["files"])
        b.run("rollback", "shop", "--yes").expect(1)
        os.rename(os.path.join(b.folder, "settings"), settings)
        b.run("snapshot", "shop").expect(0)
        good = b.newest()
        for text in (None, '{ "Other": { "ConnectionString": "" } }'):
            os.unlink(settings)
            if text:
                b.put("App_Data/appsettings.json", text)
            b.run("snapshot", "shop").expect(1, err=["App_Data/appsettings.json", f"snapshot {good[:8]} holds one"], hint="--files-only")
            b.run("snapshot", "shop", "--mode", "stopped").expect(1, hint="--files-only")
            same("the newest", b.newest(), good)
            b.put("App_Data/appsettings.json", "{}")
        b.run("snapshot", "shop", "--files-only").expect(0)
        drop_orders(b)
        b.run("rollback", "shop", "--yes").expect(0, out=f"is back at snapshot {good[:8]}")
        equal(b, before, "after the rollback")


def secrets__are_nowhere():
    with fresh() as b:
        watch = CommandLines()
        watch.start()
        b.run("init").expect(0)
        b.run("-v", "snapshot", "shop").expect(0)
        b.put("new.txt", "came later")
        drop_orders(b)
        b.run("--json", "rollback", "shop", "--dry-run").expect(0)
        b.run("-v", "rollback", "shop", "--yes", "--export-lost", os.path.join(b.folder, "lost")).expect(0)
        for argv in (["snapshot", "shop"], ["-v", "show", "latest"], ["--json", "show", "latest"], ["history", "shop"], ["status"],
                     ["diff", "latest"], ["verify", "--read-data"]):
            b.run(*argv).expect(0)
        wrong = open(os.path.join(b.site, "App_Data", "appsettings.json"), encoding="utf-8-sig").read()
        b.put("App_Data/appsettings.json", wrong.replace(PASSWORD, PASSWORD + " no longer"))
        b.run("snapshot", "shop").expect(1)
        seen = watch.end()
        if seen or watch.samples < 20:
            raise Failed(f"the password was on a command line ({watch.samples} samples): {sorted(set(seen))}")
        if PASSWORD in b.said:
            raise Failed("the password was printed:\n" + b.said)
        # The pattern goes in by a pipe: the other engine's test may be watching all command lines at this moment.
        found = subprocess.run(["grep", "-rlaF", "-f", "-", b.catalog], input=PASSWORD, capture_output=True, text=True, check=False).stdout.split()
        packs = os.path.join(b.catalog, "packs") + "/"
        outside = [f for f in found if not f.startswith(packs)]
        same("files of the catalogue that hold the password, packs apart", outside, [])
        for folder, _, files in os.walk(b.catalog):
            for name in files:
                mode = os.lstat(os.path.join(folder, name)).st_mode & 0o777
                if mode & 0o077:
                    raise Failed(f"{name} in the catalogue has mode {mode:o}")

with Bench(ENGINE) as SHOP:
    SHOP.keep()
    tests = [rollback__brings_back_a_shop_whose_tree_and_tables_are_gone, rollback__brings_back_a_database_that_was_dropped,
          rollback__is_undone_by_the_next_one, rollback_only__leaves_the_other_part_alone, dry_run__tells_and_changes_nothing,
          diff__counts_what_differs, restore__loads_another_database_by_a_file, database__that_can_not_be_used_is_told_apart,
          right__that_is_missing_ends_a_snapshot_that_does_not_exist_then, sharing__with_another_site_is_refused_without_a_flag,
          settings__that_are_lost_never_make_a_whole_snapshot, secrets__are_nowhere]
    main([t for t in tests if len(sys.argv) < 3 or sys.argv[2] in t.__name__])
