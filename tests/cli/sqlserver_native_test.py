#!/usr/bin/env python3
"""SQL Server's own BACKUP and RESTORE, where its files can be reached and where they can't: on the model of tests/tds."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

FOLDER = tempfile.mkdtemp(prefix="nopsnap-native-")
DATA, SHARE, ELSEWHERE = (os.path.join(FOLDER, n) for n in ("data", "share", "elsewhere"))
for folder in (DATA, SHARE, ELSEWHERE):
    os.mkdir(folder)
os.environ["NOPSNAP_MODEL_FILES"] = f"{DATA}={DATA},/remote/backups={SHARE}"  # read when the model is started

from cli_support import PROGRAM, Bench, Failed, Result, main, same  # noqa: E402


@contextlib.contextmanager
def fresh(extra=""):
    SHOP.begin()
    SHOP.server.endpoint.faults()
    SHOP.write_config(f"[nopsnap]\ncatalog = {SHOP.catalog}\n[shop]\npath = {SHOP.site}\nstop = true\nstart = true\n{extra}")
    SHOP.run("init").expect(0)
    yield SHOP


def wreck(b):
    b.server.sql("UPDATE [Product] SET [Name] = N'broken'; DELETE FROM [OrderNote]")
    return b.database_state()


def nothing_left(b):
    """Neither files nor half restored databases."""
    b.server.endpoint.faults()
    same("files left over", [n for f in (DATA, SHARE, ELSEWHERE) for n in os.listdir(f)], [])
    same("databases left over", b.server.others(), [])


def sent(b, since=0):
    return [e["sql"] for e in b.server.endpoint.log("batch")[since:]]





def native__goes_there_and_back():
    with fresh() as b:
        before = b.database_state()
        done = b.run("snapshot", "shop").expect(0, err="dumped by the server's own BACKUP, in folder " + DATA)
        nothing_left(b)
        backup = [s for s in sent(b) if s.startswith("BACKUP DATABASE [shop]")][-1]
        for word in ("COPY_ONLY", "CHECKSUM", "NO_COMPRESSION", "FORMAT", "INIT", "STATS"):
            if word not in backup:
                raise Failed(f"{done}\n{backup} does not say {word}")
        verified = [i for i, s in enumerate(sent(b)) if s.startswith("RESTORE VERIFYONLY")]
        if not verified:
            raise Failed("it was not verified")
        wreck(b)
        b.run("rollback", "shop", "--dry-run").expect(0)
        since = len(b.server.endpoint.log("batch"))
        b.run("rollback", "shop", "--yes").expect(0)
        same("the database", b.database_state(), before)
        same("files left over", os.listdir(DATA), [])
        restored = [s for s in sent(b, since) if s.startswith("RESTORE DATABASE")]
        same("restores", len(restored), 1)
        if "REPLACE" in restored[0] or "MOVE" not in restored[0] or DATA not in restored[0]:
            raise Failed(restored[0])


def native__by_a_share_that_has_two_names():
    with fresh(f"sqlserver-backup-path = /remote/backups\nsqlserver-backup-local = {SHARE}\n") as b:
        before = b.database_state()
        b.run("snapshot", "shop", "--sqlserver-mode", "native").expect(0, err="in folder " + SHARE)
        if not any(s.startswith("BACKUP DATABASE [shop] TO DISK = N'/remote/backups/nopsnap_") for s in sent(b)):
            raise Failed(str(sent(b)))
        nothing_left(b)
        wreck(b)
        b.run("rollback", "shop", "--yes").expect(0)
        same("the database", b.database_state(), before)
        same("files left over", os.listdir(SHARE), [])


def logical__where_the_folder_is_another_one_here():
    with fresh(f"sqlserver-backup-path = /remote/backups\nsqlserver-backup-local = {ELSEWHERE}\n") as b:
        before = b.database_state()
        b.run("snapshot", "shop").expect(0, err=["dumped row by row, not by BACKUP: ", "Cannot open backup device"])
        nothing_left(b)
        if any("BACKUP DATABASE" in s for s in sent(b)[-60:]):
            raise Failed("a backup was written where nobody can remove it")
        b.run("snapshot", "shop", "--sqlserver-mode", "native").expect(1, err="no native dump to be had", hint="sqlserver-backup-path")
        nothing_left(b)
        wreck(b)
        b.run("rollback", "shop", "--yes").expect(0)
        same("the database", b.database_state(), before)


def logical__when_it_is_asked_for():
    with fresh() as b:
        since = len(b.server.endpoint.log("batch"))
        b.run("snapshot", "shop", "--sqlserver-mode", "logical").expect(0)
        same("backups", [s for s in sent(b, since) if s.startswith(("BACKUP", "RESTORE"))], [])
        b.run("snapshot", "shop", "--sqlserver-mode", "other").expect(2, err="auto, native or logical")


def backup__that_fails_is_said_and_leaves_nothing():
    with fresh() as b:
        b.server.endpoint.faults(match="BACKUP DATABASE [shop]", half=True)
        b.run("snapshot", "shop", "--sqlserver-mode", "native").expect(1, err=["not enough space on the disk", "3202"])
        nothing_left(b)
        same("snapshots", b.objects("list"), [])
        b.server.endpoint.faults(match="BACKUP DATABASE [shop]", half=True)
        b.run("snapshot", "shop").expect(0, err=["dumped row by row", "not enough space on the disk"])
        nothing_left(b)
        b.server.endpoint.faults(match="BACKUP DATABASE [model]", error=3201, severity=16, text="Operating system error 5(Access is denied.)")
        b.run("snapshot", "shop").expect(0, err=["dumped row by row", "a trial backup failed: Operating system error 5"])
        nothing_left(b)


def restore__that_fails_is_undone():
    with fresh() as b:
        b.run("snapshot", "shop").expect(0)
        state = wreck(b)
        for fault, words in (({"match": "RESTORE DATABASE", "half": True, "number": 3257, "text": "insufficient free space on disk volume"}, "insufficient free space"),
                             ({"match": "RESTORE HEADERONLY", "skip": 2, "header": {"major": 16}}, "was made by SQL Server 16"),
                             ({"match": "RESTORE HEADERONLY", "skip": 2, "header": {"database": "other"}}, "is of database other"),
                             ({"match": "RESTORE DATABASE", "drop": True}, "nopsnap: ")):
            b.server.endpoint.faults(**fault)
            b.run("rollback", "shop", "--yes").expect(4, out="undone", err=words)
            nothing_left(b)
            same("the database", b.database_state(), state)
        b.run("rollback", "shop", "--yes").expect(0)


def interrupted(b, fault, *argv):
    before = len(b.server.endpoint.log("fault"))
    b.server.endpoint.faults(**fault)
    child = subprocess.Popen([PROGRAM, "--config", b.config, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=b.environment())
    until = time.monotonic() + 30
    while len(b.server.endpoint.log("fault")) <= before:
        if time.monotonic() > until:
            raise Failed("the statement never came")
        time.sleep(0.05)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    return Result(["nopsnap", *argv], child.returncode, out, err)


def interrupted__in_their_midst_they_leave_nothing():
    with fresh() as b:
        interrupted(b, {"match": "BACKUP DATABASE [shop]", "half": True, "wait": 40}, "snapshot", "shop").expect(130)
        nothing_left(b)
        same("snapshots", b.objects("list"), [])
        b.run("snapshot", "shop").expect(0)
        state = wreck(b)
        done = interrupted(b, {"match": "RESTORE DATABASE", "half": True, "wait": 40}, "rollback", "shop", "--yes")
        if done.status not in (4, 130):
            raise Failed(str(done))
        nothing_left(b)
        same("the database", b.database_state(), state)


def killed__in_the_midst_of_a_restore_is_recovered():
    with fresh() as b:
        b.run("snapshot", "shop").expect(0)
        state = wreck(b)
        b.server.endpoint.faults(match="RESTORE DATABASE", half=True, kill=True)
        same("it was killed", b.run("rollback", "shop", "--yes").status, -signal.SIGKILL)
        b.server.endpoint.faults()
        same("half restored", b.server.batch("SELECT COUNT(*) FROM sys.databases WHERE state_desc = N'RESTORING'", "master"), [["1"]])
        b.run("recover", "shop").expect(0)
        same("the database", b.database_state(), state)
        left, = os.listdir(DATA)
        b.run("rollback", "shop", "--dry-run").expect(0)
        nothing_left(b)
        check_name(left)


def check_name(name):
    if not re.fullmatch(r"nopsnap_[0-9a-f]{32}\.bak", name):
        raise Failed(name)


def killed__in_the_midst_of_a_backup_its_file_goes_and_no_other():
    with fresh() as b:
        b.server.endpoint.faults(match="BACKUP DATABASE [shop]", half=True, kill=True)
        same("it was killed", b.run("snapshot", "shop").status, -signal.SIGKILL)
        b.server.endpoint.faults()
        left, = os.listdir(DATA)
        check_name(left)
        host, boot, process, fresh_part = (left[8 + 8 * i:16 + 8 * i] for i in range(4))
        other = "%08x" % (int(host, 16) ^ 1)
        earlier = "%08x" % (int(boot, 16) ^ 1)
        stay = ["shop.bak", "nopsnap_0123456789abcdef.bak", f"nopsnap_{other}{boot}{process}{fresh_part}.bak", f"nopsnap_{host}{boot}{os.getpid():08x}{fresh_part}.bak",
                f"nopsnap_{host}{earlier}{process}{fresh_part}.bak", f"nopsnap_{host}{boot}{process}{fresh_part}.bak.old"]
        old = f"nopsnap_{host}{earlier}{process}{fresh_part[::-1]}.bak"
        for name in [*stay, old]:
            with open(os.path.join(DATA, name), "w", encoding="ascii") as f:
                f.write(name)
        for name in (old, stay[2], stay[3]):
            os.utime(os.path.join(DATA, name), (time.time() - 90000,) * 2)
        b.run("snapshot", "shop").expect(0, err=[f"{left}, which a run that was killed had left, is removed", old])
        same("what stays", sorted(os.listdir(DATA)), sorted(stay))
        for name in stay:
            os.remove(os.path.join(DATA, name))
        nothing_left(b)


def restore__joins_users_to_logins_of_their_names():
    with fresh() as b:
        logins = ("editor", "leaver", "plain")
        for name in logins:
            b.server.batch(f"CREATE LOGIN [{name}] WITH PASSWORD = N'of the test alone'", "master")
        b.server.sql("CREATE USER [writes] FOR LOGIN [editor]; CREATE USER [leaver] FOR LOGIN [leaver]; CREATE USER [plain] FOR LOGIN [plain]; CREATE USER [nobody] WITHOUT LOGIN")
        b.run("snapshot", "shop").expect(0)
        b.server.batch("DROP LOGIN [editor]; DROP LOGIN [leaver]; CREATE LOGIN [editor] WITH PASSWORD = N'of the test alone'", "master")
        done = b.run("rollback", "shop", "--yes").expect(3, err=["user writes of the database had another login editor", "user leaver of the database has no login here",
                                                                 "ALTER USER [leaver] WITH LOGIN = [leaver]"])
        for name in ("plain", "nobody"):
            if f"user {name} " in done.err:
                raise Failed(str(done))
        same("whose users are", b.server.sql("SELECT p.name, SUSER_SNAME(p.sid) FROM sys.database_principals p WHERE p.type = 'S' AND p.principal_id > 4 ORDER BY p.name"),
             [["leaver", "NULL"], ["nobody", "NULL"], ["plain", "plain"], ["writes", "editor"]])
        b.server.batch("DROP LOGIN [editor]; DROP LOGIN [plain]", "master")


def restore__into_another_database():
    with fresh() as b:
        before = b.database_state()
        b.run("snapshot", "shop").expect(0)
        path = os.path.join(b.folder, "to")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as f:
            f.write(b.connection.replace("Database=shop;", "Database=shop_other;"))
        b.server.batch("CREATE DATABASE [shop_other]", "master")
        b.run("restore", b.newest(), "--database", path).expect(0, out="rows, counted")
        same("rows", b.server.sql("SELECT COUNT(*) FROM [Product]"), b.server.batch("SELECT COUNT(*) FROM [Product]", "shop_other"))
        b.run("restore", b.newest(), "--database", path).expect(1, err="shop_other is not empty")
        b.server.batch("DROP DATABASE [shop_other]", "master")
        b.server.batch("CREATE DATABASE [shop_other]", "master")
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\nsqlserver-backup-path = /remote/backups\nsqlserver-backup-local = {ELSEWHERE}\n")
        b.run("restore", b.newest(), "--database", path).expect(1, err="which can't be loaded", hint="on its machine")
        b.run("rollback", "shop", "--yes").expect(1, out="which can't be loaded")
        b.server.batch("DROP DATABASE [shop_other]", "master")
        nothing_left(b)
        same("the database", b.database_state(), before)


try:
    with Bench("sqlserver") as SHOP:
        SHOP.keep()
        tests = [native__goes_there_and_back, native__by_a_share_that_has_two_names, logical__where_the_folder_is_another_one_here, logical__when_it_is_asked_for,
                 backup__that_fails_is_said_and_leaves_nothing, restore__that_fails_is_undone, interrupted__in_their_midst_they_leave_nothing,
                 killed__in_the_midst_of_a_restore_is_recovered, killed__in_the_midst_of_a_backup_its_file_goes_and_no_other,
                 restore__joins_users_to_logins_of_their_names, restore__into_another_database]
        main([t for t in tests if len(sys.argv) < 2 or sys.argv[1] in t.__name__])
finally:
    shutil.rmtree(FOLDER)
