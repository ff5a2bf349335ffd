#!/usr/bin/env python3
"""Upgrades of shops of 4.00 to 4.30 by nopCommerce's SQL scripts: the real program, a stand-in for the shop, the model of SQL Server of tests/tds.

    upgrade_scripts_test.py [PART OF A TEST'S NAME]
"""
import json
import os
import re
import shutil
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "fixture"))
sys.path.insert(0, HERE)
import standin_scripted  # noqa: E402
import upgrade_test  # noqa: E402
from harness import ENGINES, SqlServer, missing  # noqa: E402
from standin_bench import wait_until  # noqa: E402
from standin_scripted import pack_package, script, write_package  # noqa: E402
from upgrade_test import check, same  # noqa: E402

FROM = "4.00"
POINT, COPIED, IN_PLACE = "by the server's snapshot", "copied", "in place"  # how an upgrade leaves a way back to the database


class OldServer(SqlServer):
    """The fixture's tables as the version FROM had them."""

    def __init__(self, folder, way):
        self.snapshots = "yes" if way == POINT else "no"
        super().__init__(folder, way == IN_PLACE)

    def make_database(self):
        super().make_database()
        self.batch(standin_scripted.older(FROM), self.database)


class NoPool:
    """The shop's own program keeps no session."""

    def close(self):
        pass


class Shop(upgrade_test.Shop):
    def __init__(self, way):
        self.way = way
        ENGINES["old"] = lambda folder: OldServer(folder, way)
        super().__init__("old", FROM)

    def __enter__(self):
        try:
            self.server.start()
            string = self.server.make_shop()
            self.pool = NoPool()
            os.makedirs(os.path.dirname(self.site))
            standin_scripted.make_shop(self.site, FROM, string)
            self.units.install()
            self.units.add_shop("nop", self.site, self.port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def configure(self, **keys):
        systemctl = f"{self.units.folder}/bin/systemctl"
        super().configure(**{"service": None, "stop": f"{systemctl} stop nop.service", "start": f"{systemctl} start nop.service", **keys})

    def make_release(self, name, version="4.20", **knobs):
        root = os.path.join(self.folder, "release-" + name)
        standin_scripted.make_release(root, version, knobs=knobs, archive=root + ".zip")
        shutil.rmtree(root)
        return root + ".zip"

    def wait_listening(self):
        wait_until(lambda: self.get("/keepalive/index") is not None, "listening", self.said)

    def rows(self):
        return [line for line in self.server.digest() if line[0] != "Log" and not line[0].startswith("identity Log")]

    def applied(self):
        return []

    def begin(self):
        self.server.endpoint.faults()
        super().begin()
        self.since = len(self.server.endpoint.log())

    def said_to_server(self):
        """What the server was told since begin(), in its order: batches and rows that were loaded, by a word each."""
        words = ((r"CREATE DATABASE \[shop_nopsnap_point_\w+\] ON \(.*\) AS SNAPSHOT OF \[shop\]$", "make"), (r"CREATE DATABASE", "create"),
                 (r"USE \[master\]; RESTORE DATABASE \[shop\] FROM DATABASE_SNAPSHOT = 'shop_nopsnap_point_\w+'$", "back"), (r"RESTORE|BACKUP", "native"),
                 (r"DROP DATABASE \[shop_nopsnap_point_\w+\]$", "drop"), (r"DROP DATABASE", "other drop"), (r"ALTER DATABASE .* MODIFY NAME", "rename"),
                 (r"/\* nopsnap: clock \*/", "dump"))
        for e in self.server.endpoint.log()[self.since:]:
            if e["event"] == "bulk":
                yield "load"
            if e["event"] == "batch":
                yield from [w for pattern, w in words if re.match(pattern, e["sql"])][:1]

    def packages(self, *versions):
        """A fresh folder for packages, with those of these versions as folders."""
        folder = os.path.join(self.folder, "packages")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        for v in versions:
            write_package(os.path.join(folder, f"{v}-{standin_scripted.following(v)}"), v)
        return folder


SHOP = None


def is_old(s, before):
    upgrade_test.is_old(s, before)
    check("version " + FROM in s.get("/").body, "the old shop serves")


def upgrade__by_a_chain_of_scripts_and_back():
    """Packages are folders and an archive as published, which names the version that it leads to alone; one script has a transaction of its own."""
    s = SHOP
    before = upgrade_test.state(s)
    folder = s.packages("4.20")
    write_package(os.path.join(folder, "upgradescripts", "from 4.00 to 4.10"), "4.00", encoding="utf-16")
    pack_package(os.path.join(folder, "nopCommerce_4.20_UpgradeScripts.zip"), "4.10")
    done = s.upgrade(s.make_release("last", "4.30"), "--scripts", folder)
    done.expect(0, out=["script 4.00-4.10, upgradescripts/from 4.00 to 4.10/upgrade.sql: 3 batches", "script 4.10-4.20, nopCommerce_4.20_UpgradeScripts.zip/",
                        "its Readme.txt: 1. Note of the script from 4.10", "script 4.20-4.30, 4.20-4.30/upgrade.sql: 5 batches", "is nopCommerce 4.30 now"], err="a new column for the pictures")
    check("Backup your" not in done.out, done)
    check("version 4.30" in s.get("/").body, "the new shop serves")
    same(s.server.sql("SELECT COUNT(*) FROM [PictureBinary] WHERE [BinaryData] = 0xFFD8FFE0"), [["30"]], "the pictures have moved")
    s.nopsnap("-v", "history", "shop").expect(0, out=["running the script 4.00-4.10", "running the script 4.10-4.20"])
    others = s.server.others()
    check(len(others) == 1 and ("_nopsnap_point_" in others[0]) == (s.way == POINT), "what is kept", others)
    s.nopsnap("rollback", "shop", "--yes").expect(0, out="is back")
    is_old(s, before)
    same(s.server.others(), [], "no database is left")


def failure__in_a_batch_of_the_second_script_is_undone():
    s = SHOP
    before = upgrade_test.state(s)
    folder = s.packages("4.00")
    broken = script("4.10").replace("PRINT 'a new column for the pictures'", "PRINT 'about to fail'\nUPDATE [NoSuchTable] SET [Id] = 1")
    write_package(os.path.join(folder, "4.10-4.20"), "4.10", broken)
    line = 1 + broken[:broken.index("UPDATE [NoSuchTable]")].count("\n")
    s.upgrade(None, "--scripts", folder).expect(4, out="undone: ", err=["4.00-4.10/upgrade.sql: 3 batches run", f"4.10-4.20/upgrade.sql:{line}: ", "NoSuchTable", "batch 2"])
    is_old(s, before)
    same(s.kept(), [], "nothing is kept")
    same(s.server.others(), [], "no database is left")


def stages__each_with_its_scripts_and_its_start():
    s = SHOP
    before = upgrade_test.state(s)
    middle = s.make_release("middle", "4.10")
    s.nopsnap("upgrade", "shop", s.release, "--via", middle, "--dry-run", "--scripts", s.packages("4.00")).expect(1, out="no upgrade script for 4.10-4.20")
    # The second stage's script fails, when the first stage's shop has run.
    folder = s.packages("4.00")
    write_package(os.path.join(folder, "4.10-4.20"), "4.10", script("4.10") + "UPDATE [NoSuchTable] SET [Id] = 1\n")
    s.upgrade(None, "--via", middle, "--scripts", folder).expect(4, out="undone: ", err=["waiting for the new shop, 4.10", "NoSuchTable", "batch 4"])
    is_old(s, before)
    # A rehearsal tells that, too, and what goes well.
    s.configure(**{"rehearse-start": "env STANDIN_PORT={port} {dir}/Nop.Web"})
    s.nopsnap("rehearse", "shop", s.release, "--via", middle, "--scripts", folder).expect(
        1, out=["broken: nopCommerce 4.20: 4.10-4.20/upgrade.sql:", "NoSuchTable", "it does not work"], err="starting nopCommerce 4.10 on the copy")
    done = s.nopsnap("rehearse", "shop", s.release, "--via", middle, "--scripts", s.packages("4.00", "4.10")).expect(0, out=["it works", ", scripts and trees of later releases "])
    words = ["running the script 4.00-4.10", "starting nopCommerce 4.10 on", "from 4.10 to 4.20", "running the script 4.10-4.20", "starting nopCommerce 4.20 on"]
    check(sorted(words, key=done.err.index) == words, "the order", done)
    is_old(s, before)
    same(s.server.others(), [], "no database is left")
    # And without that it goes through.
    done = s.upgrade(None, "--via", middle, "--scripts", s.packages("4.00", "4.10"))
    done.expect(0, out=["from 4.00 to 4.10: release-middle.zip", "from 4.10 to 4.20"])
    words = ["running the script 4.00-4.10", "waiting for the new shop, 4.10", "from 4.10 to 4.20", "running the script 4.10-4.20", "waiting for the new shop, 4.20"]
    check(sorted(words, key=done.err.index) == words, "the order", done)
    check("version 4.20" in s.get("/").body, "the new shop serves")


def broken_chain(s):
    folder = s.packages("4.00")
    write_package(os.path.join(folder, "4.10-4.20"), "4.10", script("4.10").replace("IF NOT EXISTS (SELECT 1 FROM sys.columns", "IF EXISTS (SELECT 1 FROM sys.columns"))
    return folder


def plan__says_all_that_is_wrong_before_anything_is_changed():
    s = SHOP
    before = upgrade_test.state(s)

    def plan(folder, out, status=1, release=None):
        s.nopsnap("upgrade", "shop", release or s.release, "--dry-run", *(["--scripts", folder] if folder else [])).expect(status, out=out)

    plan(None, ["from 4.00 to 4.20 the database is brought forward by nopCommerce's SQL scripts", "here 4.00-4.10, 4.10-4.20", "--scripts"])
    folder = s.packages("4.00", "4.20")
    plan(folder, f"{folder} holds no upgrade script for 4.10-4.20")
    s.nopsnap("upgrade", "shop", s.release, "--scripts", folder + "/none", "--dry-run").expect(1, err=["--scripts", "none"])
    # What a script says of itself and where it lies must agree.
    write_package(os.path.join(folder, "4.10-4.20"), "4.00")
    plan(folder, ["4.10-4.20/upgrade.sql says that it goes from 4.00 to 4.10, which its name does not", "holds no upgrade script for 4.10-4.20"])
    folder = s.packages("4.00")
    write_package(os.path.join(folder, "4.10-4.20"), "4.10", script("4.10") + ":r other.sql\nGO\n")
    write_package(os.path.join(folder, "again"), "4.00", script("4.00") + "SELECT 1\n")
    plan(folder, ["4.10-4.20/upgrade.sql: line", ":r", "4.00-4.10/upgrade.sql and again/upgrade.sql both go from 4.00, and differ"])
    folder = s.packages("4.00")
    with open(os.path.join(write_package(os.path.join(folder, "4.10-4.20"), "4.10"), "upgrade.sql"), "ab") as f:
        f.write(b"PRINT 'caf\xe9'\r\n")
    plan(folder, ["4.10-4.20/upgrade.sql: line", "not UTF-8"])
    # The same script twice is one.
    folder = s.packages("4.00", "4.10")
    pack_package(os.path.join(folder, "again.tar.gz"), "4.00")
    plan(folder, "script 4.00-4.10, 4.00-4.10/upgrade.sql: 3 batches", status=0)
    lines = [json.loads(line) for line in s.nopsnap("--json", "upgrade", "shop", s.release, "--dry-run", "--scripts", folder).out.splitlines()]
    steps = [line for line in lines if line["type"] == "plan"][0]["stages"]
    same([(t["from"], t["to"], t["migrates"], [(x["from"], x["to"], x["batches"]) for x in t["scripts"]]) for t in steps],
         [("4.00", "4.20", False, [(400, 410, 3), (410, 420, 3)])])
    # A script that says it has done what it has not, and one whose work is there already.
    s.upgrade(None, "--scripts", broken_chain(s)).expect(4, err="4.10-4.20/upgrade.sql has run, but the database has no Picture.VirtualPath")
    is_old(s, before)
    s.server.sql("ALTER TABLE [Picture] ADD [VirtualPath] int NULL")
    middle = s.make_release("middle", "4.10")
    plan(folder, "script 4.00-4.10", status=0, release=middle)
    s.server.sql("CREATE TABLE [PictureBinary] ([BinaryData] int NULL)")
    plan(folder, "the database has PictureBinary.BinaryData already, which the script 4.00-4.10 makes", release=middle)
    s.server.sql("DROP TABLE [PictureBinary]; ALTER TABLE [Picture] DROP COLUMN [VirtualPath]; ALTER TABLE [CustomerRole] DROP COLUMN [OverrideTaxDisplayType]")
    plan(folder, "the database is not one of nopCommerce 4.00: it has no CustomerRole.OverrideTaxDisplayType")


def hostile__packages_and_windows_are_refused():
    s = SHOP
    before = upgrade_test.state(s)

    def plan(folder, out):
        s.nopsnap("upgrade", "shop", s.release, "--dry-run", "--scripts", folder).expect(1, out=out)

    folder = s.packages("4.00", "4.10")
    # Hostile packages.
    os.symlink("/etc/passwd", os.path.join(folder, "link.sql"))
    plan(folder, "link.sql is a symbolic link")
    folder = s.packages("4.00", "4.10")
    standin_scripted.standin_release.pack(folder, folder + ".zip", "../out", True)
    os.rename(folder + ".zip", os.path.join(folder, "evil.zip"))
    plan(folder, ["evil.zip: ", "leads out"])
    # 4.00 runs on Windows: nobody but the owner can stop and start it.
    s.configure(service="nop.service", stop=None, start=None)
    plan(s.packages("4.00", "4.10"), "nopCommerce 4.00 runs on Windows")
    s.configure()
    is_old(s, before)
    same(s.kept(), [])
    same([r for r in s.list() if r["type"] == "row"], [], "no snapshot")


LOOKED_AT = ("SELECT c.name, i.is_enabled, i.change_tracking_state_desc, t.name FROM sys.fulltext_catalogs c JOIN sys.fulltext_indexes i ON i.fulltext_catalog_id = "
             "c.fulltext_catalog_id JOIN sys.tables t ON t.object_id = i.object_id",
             "SELECT f.name, f.size, f.growth, f.is_percent_growth, f.max_size FROM sys.database_files f WHERE f.type = 1",
             "SELECT d.user_access_desc, d.state_desc, d.recovery_model_desc FROM sys.databases d WHERE d.database_id = DB_ID()")


def point__is_made_of_the_stopped_shop_and_gone_back_to():
    s = SHOP
    s.server.sql("CREATE FULLTEXT CATALOG [search] WITH ACCENT_SENSITIVITY = OFF AS DEFAULT; CREATE FULLTEXT INDEX ON [Product] ([Name] LANGUAGE 1033) KEY INDEX [PK_Product] "
                 "ON [search] WITH (CHANGE_TRACKING = MANUAL, STOPLIST = SYSTEM); ALTER DATABASE [shop] MODIFY FILE (NAME = [shop_log], SIZE = 81920KB, FILEGROWTH = 65536KB, MAXSIZE = 2048MB)")
    before, looks = upgrade_test.state(s), [s.server.sql(q) for q in LOOKED_AT]
    check(looks[0] and looks[1], looks)
    s.upgrade(None, "--dry-run", "--scripts", s.packages("4.00", "4.10")).expect(0, out="the server keeps a snapshot of it to go back by")
    s.configure(**{"sqlserver-upgrade": "copy"})
    s.upgrade(None, "--dry-run", "--scripts", s.packages("4.00", "4.10")).expect(0, out="the server keeps no snapshot of it, because sqlserver-upgrade = copy says so")
    admin = os.path.join(s.folder, "admin")
    with open(admin, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
        f.write(f"Server={s.server.dir};Database=shop;User ID=maker;Password=secret of maker{s.server.tail}\n")
    s.configure(**{"database-admin": admin})
    s.upgrade(None, "--dry-run", "--scripts", s.packages("4.00", "4.10")).expect(0, out="because this login may make one and not go back to it (server role dbcreator, or the database's owner)")
    s.configure(**{"sqlserver-upgrade": "perhaps"})
    s.upgrade(None, "--dry-run", "--scripts", s.packages("4.00", "4.10")).expect(2, err="only snapshot or copy will do for 'sqlserver-upgrade'")
    s.configure()
    same([w for w in s.said_to_server()], [], "a plan makes nothing")
    s.upgrade(None, "--scripts", s.packages("4.00", "4.10")).expect(0)
    # Tried while it is open, made when it is stopped; nothing is copied; the dump of it comes when the new shop runs.
    same([w for w in s.said_to_server()], ["dump", "make", "drop", "make", "dump"], "what the server was told")
    since = [e["sql"] for e in s.server.endpoint.log("batch")].index("/* nopsnap: point */ SELECT COUNT(*) FROM sys.objects")
    reads = {e["connection"] for e in s.server.endpoint.log("batch")[since:] if re.match(r"SELECT .* FROM \[dbo\]\.\[\w+\].* ORDER BY", e["sql"])}
    check(len(reads) >= 3, "tables of the point are read by several connections", reads)
    snapshot = [r for r in s.list() if r["type"] == "row"][0]
    same((snapshot["kind"], snapshot["part"], snapshot["held"]), ("before-upgrade", "whole", True), "the restore point")
    s.nopsnap("rollback", "shop", "--dry-run").expect(0, out=["goes back to the server's snapshot of it", "that breaks the chain of its log backups", "are queued in that again"])
    s.server.sql("INSERT INTO [OrderNote] ([OrderId], [Note], [CreatedOnUtc]) VALUES (1, N'of the new shop', GETUTCDATE())")
    s.server.endpoint.faults(kill=True, match="FROM DATABASE_SNAPSHOT", half=True)
    same(s.nopsnap("rollback", "shop", "--yes").status, -signal.SIGKILL, "it was killed")
    same(s.server.batch("SELECT state_desc FROM sys.databases WHERE name = N'shop'", "master"), [["RESTORING"]], "in its midst")
    s.nopsnap("recover", "shop").expect(0, err="a full backup is due")
    same([w for w in s.said_to_server()][5:], ["dump", "back", "back", "drop"], "what is new is saved, then the server goes back")
    is_old(s, before)
    same([s.server.sql(q) for q in LOOKED_AT], looks, "full-text, the log, and how the database is open")
    same(s.server.others(), [], "no database is left")


def point__leaves_a_snapshot_that_leads_back_when_it_has_gone():
    s = SHOP
    before = upgrade_test.state(s)
    s.upgrade(None, "--scripts", s.packages("4.00", "4.10")).expect(0)
    snapshot = [r for r in s.list() if r["type"] == "row"][0]["id"]
    s.nopsnap("rollback", "shop", "--to", snapshot, "--dry-run").expect(0, out="the upgrade's trial ends with this")
    s.server.batch(f"DROP DATABASE [{s.server.others()[0]}]", "master")
    s.nopsnap("rollback", "shop", "--yes").expect(1, out=["the server's snapshot of the database, which the upgrade took away, is gone", f"--to {snapshot[:8]}"])
    s.nopsnap("confirm", "shop").expect(0)
    same((s.kept(), s.server.others()), ([], []), "what is kept")
    s.nopsnap("rollback", "shop", "--to", snapshot, "--yes").expect(0)
    is_old(s, before)


def point__that_the_server_has_lost_is_made_up_for_by_a_dump():
    s = SHOP
    before = upgrade_test.state(s)
    folder = s.packages("4.00")
    write_package(os.path.join(folder, "4.10-4.20"), "4.10", script("4.10") + "UPDATE [NoSuchTable] SET [Id] = 1\n")
    first = None
    # In the midst of the scripts it goes, or its volume is full; and the load that makes up for it is killed, too.
    for suspect, again in ((False, False), (True, False), (False, True)):
        s.server.endpoint.faults(kill=True, match="UPDATE [NoSuchTable]", suspect=suspect)
        same(s.upgrade(None, "--scripts", folder).status, -signal.SIGKILL, "it was killed")
        s.server.endpoint.faults()
        name, first = [d for d in s.server.others() if "_point_" in d][0], s.list()
        if not suspect:
            s.server.batch(f"DROP DATABASE [{name}]", "master")
        if again:
            s.server.endpoint.faults(kill=True, match="CREATE TABLE [dbo]", skip=2)
            same(s.nopsnap("recover", "shop").status, -signal.SIGKILL, "it was killed in the load")
            s.server.endpoint.faults()
        done = s.nopsnap("recover", "shop")
        done.expect(3, err=["is lost" if again else "is suspect" if suspect else "is not on the server any more", "the database of before is loaded from snapshot",
                            "what came into it between then and the stop of the shop is not in that", "the database as it was found is snapshot"])
        found = re.search(r"as it was found is snapshot (\w+)", done.err).group(1)
        check([r for r in s.list() if r["type"] == "row" and r["id"].startswith(found)], "what was found is saved", first)
        is_old(s, before)
        same((s.kept(), s.server.others()), ([], []), "what is kept")


def point__that_is_suspect_in_the_trial_is_like_none():
    s = SHOP
    before = upgrade_test.state(s)
    s.upgrade(None, "--scripts", s.packages("4.00", "4.10")).expect(0)
    snapshot = [r for r in s.list() if r["type"] == "row"][0]["id"]
    s.server.endpoint.faults(match="suspect now", suspect=True)
    s.server.sql("SELECT 1 /* suspect now */")
    s.nopsnap("rollback", "shop", "--dry-run").expect(1, out=["the server's snapshot of the database, which the upgrade took away, is gone (the database snapshot", "is suspect", f"--to {snapshot[:8]}"])
    s.nopsnap("confirm", "shop").expect(0)
    same((s.kept(), s.server.others()), ([], []), "what is kept")
    s.nopsnap("rollback", "shop", "--to", snapshot, "--yes").expect(0)
    is_old(s, before)


def point__is_gone_back_to_when_what_others_wrote_is_saved():
    s = SHOP
    before = upgrade_test.state(s)
    s.upgrade(None, "--scripts", s.packages("4.00", "4.10")).expect(0)
    # The dump has been made, and the sessions of others are about to be ended for going back.
    since = len(s.server.endpoint.log("fault"))
    s.server.endpoint.faults(match="/* nopsnap: sessions to end */", skip=1, wait=15)
    child = s.popen("rollback", "shop", "--yes")
    wait_until(lambda: len(s.server.endpoint.log("fault")) > since, "the fault", s.said)
    s.server.sql("INSERT INTO [OrderNote] ([OrderId], [Note], [CreatedOnUtc]) VALUES (1, N'of the ERP', GETUTCDATE())")
    err = child.communicate(timeout=120)[1]
    same(child.returncode, 0, err)
    check("somebody has written into the database since it was saved" in err, err)
    same([w for w in s.said_to_server()][5:], ["dump", "dump", "back", "drop"], "it is saved again")
    is_old(s, before)


def point__of_somebody_else_is_in_the_way_and_stays():
    s = SHOP
    before = upgrade_test.state(s)
    theirs = "CREATE DATABASE [shop_other] ON (NAME = [shop], FILENAME = N'/data/other.ss') AS SNAPSHOT OF [shop]"
    s.server.batch(theirs, "master")
    s.upgrade(None, "--scripts", s.packages("4.00", "4.10")).expect(1, out="database snapshot shop_other of it")
    s.server.batch("DROP DATABASE [shop_other]", "master")
    s.upgrade(None, "--scripts", s.packages("4.00", "4.10")).expect(0)
    s.server.batch(theirs, "master")
    s.nopsnap("rollback", "shop", "--yes").expect(1, out=["there is a second database snapshot, shop_other", "DROP DATABASE [shop_other]"])
    check("version 4.20" in s.get("/").body, "the new shop serves")
    s.server.batch("DROP DATABASE [shop_other]", "master")
    s.nopsnap("rollback", "shop", "--yes").expect(0)
    is_old(s, before)
    same(s.server.others(), [], "no database is left")


def point__of_a_run_that_was_killed_is_removed_by_recover():
    s = SHOP
    before = upgrade_test.state(s)
    folder = s.packages("4.00")
    write_package(os.path.join(folder, "4.10-4.20"), "4.10", script("4.10") + "UPDATE [NoSuchTable] SET [Id] = 1\n")
    for fault in ({"match": "AS SNAPSHOT OF", "done": True}, {"match": "AS SNAPSHOT OF", "skip": 1, "done": True}, {"match": "FROM DATABASE_SNAPSHOT", "half": True},
                  {"match": "FROM DATABASE_SNAPSHOT", "done": True}, {"match": "DROP DATABASE", "skip": 1}):
        s.server.endpoint.faults(kill=True, **fault)
        same(s.upgrade(None, "--scripts", folder).status, -signal.SIGKILL, f"it was killed at {fault}")
        check([d for d in s.server.others() if "_point_" in d], "the snapshot is there", fault)
        s.nopsnap("recover", "shop").expect(0)
        same((s.kept(), s.server.others()), ([], []), f"what is kept after {fault}")
        is_old(s, before)


def point__that_can_not_be_made_or_dropped_is_told():
    s = SHOP
    before = upgrade_test.state(s)
    folder = s.packages("4.00", "4.10")
    s.server.endpoint.faults(match="AS SNAPSHOT OF", skip=1, error=5123, text="CREATE FILE encountered operating system error 112")
    s.upgrade(None, "--scripts", folder).expect(4, out="undone", err="operating system error 112")
    is_old(s, before)
    same(s.server.others(), [], "no database is left")
    s.server.endpoint.faults(match="DROP DATABASE [shop_nopsnap_point", count=9, error=3702, text="it is currently in use")
    done = s.upgrade(None, "--scripts", folder)
    name = s.server.others()[0]
    done.expect(5, err=[f"the database snapshot {name} may be left on the server", "currently in use"], hint=f"DROP DATABASE [{name}] clears it")
    s.server.endpoint.faults()
    s.nopsnap("recover", "shop").expect(0)
    is_old(s, before)
    same((s.kept(), s.server.others()), ([], []), "what is kept")


def main():
    global SHOP
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    lacking = missing("sqlserver")
    if lacking or os.geteuid() != 0:
        print("skipped:", lacking or "who is not root can't see that nobody is in the tree")
        sys.exit(77)
    tests = [f for name, f in globals().items() if "__" in name and not name.startswith("__") and callable(f) and part in name]
    # What depends on it is tried with every way back that there is.
    of_way = {POINT: tests, COPIED: [f for f in tests if f.__name__.startswith(("failure__", "upgrade__"))], IN_PLACE: [f for f in tests if f.__name__.startswith("failure__")]}
    for way in [w for w, of_it in of_way.items() if of_it]:
        with Shop(way) as SHOP:
            SHOP.prepare()
            for test in of_way[way]:
                since = time.monotonic()
                SHOP.begin()
                test()
                print(f"ok    {test.__name__} {way} ({time.monotonic() - since:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
