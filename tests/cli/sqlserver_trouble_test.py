#!/usr/bin/env python3
"""A SQL Server that breaks off, refuses, is slow; Ctrl-C; and scripts by `nopsnap sql`: on the model of tests/tds."""
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time

from cli_support import PROGRAM, Bench, Failed, Result, main, same


@contextlib.contextmanager
def fresh():
    SHOP.begin()
    SHOP.server.endpoint.faults()
    yield SHOP


def faults(b, **what):
    b.server.endpoint.faults(**what)


def clean(b, state):
    """Nothing of nopsnap's is left at the server, its database lets everybody in, and the shop is as it was."""
    faults(b)
    same("databases left over", b.server.others(), [])
    same("who may come in", b.server.batch("SELECT user_access_desc FROM sys.databases WHERE name = N'shop'", "master"), [["MULTI_USER"]])
    same("the database", b.database_state(), state)


def begin(b, *argv):
    return subprocess.Popen([PROGRAM, "--config", b.config, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=b.environment())


def end(child, argv, within):
    begun = time.monotonic()
    out, err = child.communicate(timeout=60)
    if time.monotonic() - begun > within:
        raise Failed(f"{argv} took {time.monotonic() - begun:.1f} s to end\n{out}{err}")
    return Result(["nopsnap", *argv], child.returncode, out, err)


def wait_for_fault(b, before):
    until = time.monotonic() + 30
    while len(b.server.endpoint.log("fault")) <= before:
        if time.monotonic() > until:
            raise Failed("the statement never came")
        time.sleep(0.05)


def interrupted(b, match, *argv, wait=40, skip=0):
    """SIGINT while the server takes its time over a statement."""
    before = len(b.server.endpoint.log("fault"))
    faults(b, match=match, wait=wait, skip=skip)
    child = begin(b, *argv)
    wait_for_fault(b, before)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    return end(child, argv, 8)


def dump__that_is_interrupted_is_no_snapshot():
    with fresh() as b:
        b.run("init").expect(0)
        state = b.database_state()
        interrupted(b, "FROM [dbo].[Product]", "snapshot", "shop").expect(130, err="signal 2")
        same("snapshots", b.objects("list"), [])
        clean(b, state)
        b.run("snapshot", "shop").expect(0)


def rollback__that_is_interrupted_is_undone():
    for match in ("CREATE TABLE [dbo].[OrderItem]", "bulk data", "FROM [dbo].[Product]", "CHECKIDENT"):
        with fresh() as b:
            b.run("init").expect(0)
            b.run("snapshot", "shop").expect(0)
            b.server.sql("UPDATE [Product] SET [Name] = N'broken'")
            state = b.database_state()
            done = interrupted(b, match, "rollback", "shop", "--yes")
            if done.status not in (4, 130):
                raise Failed(f"{match}: exit status {done.status}\n{done}")
            clean(b, state)
            b.run("rollback", "shop", "--yes").expect(0)


def rollback__that_is_interrupted_in_its_undo_or_at_its_end_goes_on():
    """What must finish: the databases' exchange back when the shop did not start, and the last word when it did."""
    with fresh() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.server.sql("UPDATE [Product] SET [Name] = N'broken'")
        state = b.database_state()
        target = b.objects("list")[0]["id"]
        once = os.path.join(b.folder, "tried")
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\nstop = true\nstart = [ -e {once} ] || {{ touch {once}; exit 1; }}\n")
        interrupted(b, "MODIFY NAME", "rollback", "shop", "--yes", wait=1.5, skip=2).expect(4, out="undone: ")
        faults(b)
        b.run("snapshot", "shop").expect(0)  # what was taken away becomes a snapshot
        clean(b, state)
        interrupted(b, "DROP TABLE [dbo].[nopsnap", "rollback", "shop", "--to", target, "--yes", wait=1.5).expect(3, out="is back at snapshot", err="signal 2")
        faults(b)
        b.run("snapshot", "shop").expect(0)
        same("databases left over", b.server.others(), [])
        if b.database_state() == state:
            raise Failed("the database did not go back")


def dump__that_breaks_off_is_no_snapshot():
    with fresh() as b:
        b.run("init").expect(0)
        state = b.database_state()
        for fault in ({"drop_after_rows": 3}, {"drop": True}, {"reset": True}, {"error": 601, "severity": 12, "text": "could not continue scan"}, {"error": 824, "severity": 24},
                      {"error": 1205, "severity": 13}):
            faults(b, match="[FullDescription]", **fault)  # the reading, not the lock
            b.run("snapshot", "shop").expect(1, err=["nopsnap: ", "roduct"])
            same(f"snapshots after {fault}", b.objects("list"), [])
            clean(b, state)
        b.run("verify").expect(0)
        b.run("snapshot", "shop").expect(0)


def load__that_breaks_off_is_undone():
    with fresh() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.server.sql("UPDATE [Product] SET [Name] = N'broken'")
        state = b.database_state()
        for fault in ({"match": "bulk data", "drop": True}, {"match": "bulk data", "error": 2627, "severity": 14, "text": "duplicate key"},
                      {"match": "INSERT BULK [dbo].[Product]", "reset": True}, {"match": "ADD CONSTRAINT [PK_Product]", "error": 9002, "severity": 17, "text": "log full"}):
            faults(b, **fault)
            b.run("rollback", "shop", "--yes").expect(4, out="undone", err="nopsnap: ")
            clean(b, state)
        b.run("rollback", "shop", "--yes").expect(0)


def bulk__says_the_one_hint_that_the_library_can_send():
    with fresh() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        before = len(b.server.endpoint.log("bulk"))
        b.run("rollback", "shop", "--yes").expect(0)
        seen = b.server.endpoint.log("bulk")[before:]
        if len(seen) < 14:
            raise Failed(f"{len(seen)} bulk loads")
        same("hints", {str(x["hints"]).upper() for x in seen}, {"['TABLOCK']"})


def recover__gets_the_seat_from_whoever_took_it():
    """nopsnap is killed while the database is closed; a site that connects at that moment has the one seat."""
    with fresh() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.server.sql("UPDATE [Product] SET [Name] = N'broken'")
        state = b.database_state()
        faults(b, match="MODIFY NAME", kill=True)
        if b.run("rollback", "shop", "--yes").status != -signal.SIGKILL:
            raise Failed("it was not killed")
        faults(b)
        same("the door", b.server.batch("SELECT user_access_desc FROM sys.databases WHERE name = N'shop'", "master"), [["SINGLE_USER"]])
        argv = ["tsql", "-S", "test", "-U", b.server.user, "-P", b.server.password, "-D", "shop"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env={**os.environ, "FREETDSCONF": b.server.conf}) as site:
            until = time.monotonic() + 20
            while not b.server.batch("SELECT 1 FROM sys.dm_exec_sessions WHERE database_id = DB_ID(N'shop')", "master"):
                if time.monotonic() > until:
                    raise Failed("nobody took the seat")
                time.sleep(0.1)
            b.run("recover", "shop").expect(0)
            site.kill()
        clean(b, state)


def login__that_is_refused_is_not_tried_twice():
    """A server that locks logins counts."""
    with fresh() as b:
        b.run("init").expect(0)
        path = os.path.join(b.site, "App_Data", "appsettings.json")
        with open(path, encoding="utf-8-sig") as f:
            text = f.read()
        for wrong, words in ((text.replace("Password=secret of shop", "Password=wrong"), "refuses the login"), (text.replace("User ID=shop", "User ID=nobody"), "refuses the login"),
                             (text.replace(f",{b.server.port};", ",1;"), "can't be reached")):
            if wrong == text:
                raise Failed(f"the settings are not as this test knows them: {text}")
            b.put("App_Data/appsettings.json", wrong)
            before = len(b.server.endpoint.log("login"))
            b.run("snapshot", "shop").expect(1, err=words)
            same(f"logins ({words})", len(b.server.endpoint.log("login")) - before, 1 if "login" in words else 0)


def rollback__is_refused_by_what_keeps_the_database_from_being_exchanged():
    statistics = "AUTO_UPDATE_STATISTICS_ASYNC is ON"
    picture = "database snapshot shop_other of it"
    on_server = {statistics: ("ALTER DATABASE [shop] SET AUTO_UPDATE_STATISTICS_ASYNC ON", "ALTER DATABASE [shop] SET AUTO_UPDATE_STATISTICS_ASYNC OFF"),
                 picture: ("CREATE DATABASE [shop_other] ON (NAME = N'shop', FILENAME = N'/var/opt/mssql/data/shop.ss') AS SNAPSHOT OF [shop]", "DROP DATABASE [shop_other]")}
    with fresh() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.server.sql("UPDATE [Product] SET [Name] = N'broken'")
        state = b.state()
        for obstacles in ([statistics], [picture], [statistics, picture]):
            for o in obstacles:
                b.server.batch(on_server[o][0], "master")
            before = len(b.server.endpoint.log("batch"))
            done = b.run("rollback", "shop", "--yes").expect(1)
            for o in obstacles:
                if o not in done.out + done.err:
                    raise Failed(f"{done}\nit does not say: {o}")
            same("statements that change a database", [e["sql"] for e in b.server.endpoint.log("batch")[before:]
                                                       if any(w in e["sql"] for w in ("CREATE DATABASE", "ALTER DATABASE", "CREATE TABLE", "DROP TABLE"))], [])
            for o in obstacles:
                b.server.batch(on_server[o][1], "master")
            same(f"the shop after {obstacles}", b.state(), state)
        b.run("rollback", "shop", "--yes").expect(0)


def script(b, text, encoding="utf-8"):
    path = os.path.join(b.folder, "script.sql")
    with open(path, "w", encoding=encoding, newline="") as f:
        f.write(text)
    return path


@contextlib.contextmanager
def fresh_with_catalog():
    with fresh() as b:
        b.run("init").expect(0)
        yield b


def shows(done, *lines):
    """stdout holds these lines, one behind the other."""
    if "\n".join(lines) + "\n" not in done.out:
        raise Failed(f"{done}\nstdout does not hold {lines}")


def sql__runs_batches_and_tells_what_the_server_says():
    with fresh_with_catalog() as b:
        text = "PRINT N'h\u00e9llo'\r\nGO\r\nINSERT INTO [Log] ([ShortMessage], [LogLevelId], [CreatedOnUtc]) VALUES (N'\U0001f6d2', 40, '2026-01-01')\r\ngo 3 -- three of them\r\n"
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            before = len(b.server.sql("SELECT Id FROM [Log]"))
            b.run("sql", "shop", script(b, text, encoding)).expect(0, out=["h\u00e9llo", "2 batches run"])
            same("rows that came", len(b.server.sql("SELECT Id FROM [Log]")) - before, 3)
        same("their text", {r[0] for r in b.server.sql("SELECT [ShortMessage] FROM [Log] WHERE [CreatedOnUtc] = '2026-01-01'")}, {"\U0001f6d2"})
        same("as objects", [o["type"] for o in b.objects("sql", "shop", script(b, "PRINT 'a'\nGO\nPRINT 'b'"))], ["message", "message", "sql"])
        same("in the history", [(o["what"], o["status"]) for o in b.objects("history", "shop")][:4], [("sql", 0)] * 4)


def sql__stops_at_the_first_error_with_its_line():
    with fresh_with_catalog() as b:
        text = "PRINT 'one'\nGO\n-- a comment\n/* and\nanother */\nPRINT 'two'\nSELECT * FROM nowhere\nPRINT 'never'\nGO\nDELETE FROM [Log]\n"
        before = b.database_state()
        for ends in ("\n", "\r\n"):
            done = b.run("sql", "shop", script(b, text.replace("\n", ends))).expect(1, err="script.sql:7: ", hint="1 of its batches was run")
            if "batch 2" not in done.err or "never" in done.out or "severity" not in done.err:
                raise Failed(str(done))
        same("the database", b.database_state(), before)
        same("in the history", [(o["what"], o["status"]) for o in b.objects("history", "shop")][0], ("sql", 1))


def sql__hears_a_failed_batch_to_its_end():
    """RAISERROR ends no batch: what stands behind it is run, and has errors of its own."""
    with fresh_with_catalog() as b:
        text = ("GO\nPRINT 'one'\nGO\n\nRAISERROR('first', 16, 1)\nSELECT [Id] FROM [Product]\nRAISERROR('second', 11, 1)\nPRINT 'between'\n"
                "INSERT INTO [Log] ([ShortMessage], [LogLevelId], [CreatedOnUtc]) VALUES (N'run', 40, '2026-01-02')\nSELECT * FROM nowhere\nGO 3\nPRINT 'never'\n")
        path = script(b, text)
        done = b.run("sql", "shop", path).expect(1, err=["script.sql:5: first (error 50000, severity 16, batch 2); 2 more errors in that batch"], not_out="never")
        shows(done, "one", "script.sql:5: first (error 50000, severity 16, batch 2)", "script.sql:7: second (error 50000, severity 11, batch 2)", "between",
              "script.sql:10: Invalid object name 'nowhere'. (error 208, severity 16, batch 2)")
        same("rows that came", b.server.sql("SELECT COUNT(*) FROM [Log] WHERE [CreatedOnUtc] = '2026-01-02'"), [["1"]])
        same("as objects", [(o["batch"], o.get("line"), o.get("number")) for o in b.objects("sql", "shop", path, status=1) if o["type"] == "message"],
             [(1, None, None), (2, 5, 50000), (2, 7, 50000), (2, None, None), (2, 10, 208)])


def sql__says_in_which_batch_the_connection_was_lost():
    with fresh_with_catalog() as b:
        for fault in ({"drop": True}, {"reset": True}):
            faults(b, match="'second'", **fault)
            b.run("sql", "shop", script(b, "PRINT 'first'\nGO\nPRINT 'second'\nGO\nPRINT 'third'\n")).expect(1, err="script.sql:3: batch 2", hint="1 of its batches", not_out="third")
        faults(b)


def sql__refuses_before_it_runs_anything():
    with fresh_with_catalog() as b:
        before = b.database_state()
        for text, words in (("DELETE FROM [Log]\nGO\n:r other.sql\n", "script.sql: line 3: a command of sqlcmd, :r"), ("DELETE FROM [Log]\nGO now\n", "line 2: something behind GO"),
                            ("DELETE FROM [Log]\rGO;\r", "script.sql: line 2: something behind GO"), ("DELETE FROM [Log]\nGO\nPRINT 'x\n", "line 3: a text that does not end"),
                            ("DELETE FROM [Log]\nGO\nUSE [$(db)]\n", "line 3: a variable of sqlcmd, $(db)")):
            b.run("sql", "shop", script(b, text)).expect(1, err=words)
        b.run("sql", "shop", os.path.join(b.folder, "nothing.sql")).expect(1, err="nothing.sql")
        same("the database", b.database_state(), before)


def sql__undoes_a_transaction_that_is_left_open():
    with fresh_with_catalog() as b:
        before = b.database_state()
        b.run("sql", "shop", script(b, "BEGIN TRANSACTION\nDELETE FROM [OrderNote]\nGO\n")).expect(1, err="leaves a transaction open", hint="COMMIT")
        same("the database", b.database_state(), before)


def sql__tells_that_the_end_was_not_executed():
    with fresh_with_catalog() as b:
        before = b.database_state()
        for setting in ("NOEXEC", "PARSEONLY", "FMTONLY"):
            text = f"PRINT 'run'\nGO\nSET {setting} ON\nGO\nDELETE FROM [OrderNote]\nGO\nPRINT 'never'\n"
            b.run("sql", "shop", script(b, text)).expect(1, out="run\n", err=f"script.sql: the script ends with SET {setting} ON", hint=f"SET {setting} OFF", not_out="never")
            same(f"the database after {setting}", b.database_state(), before)
            b.run("sql", "shop", script(b, text + f"GO\nSET {setting} OFF\nGO\nPRINT 'again'\n")).expect(0, out="again")
        b.run("sql", "shop", script(b, "BEGIN TRANSACTION\nDELETE FROM [OrderNote]\nGO\nSET NOEXEC ON\nGO\nCOMMIT\n")).expect(1, err="SET NOEXEC ON: what stands behind that was not executed, and an open transaction")
        same("the database", b.database_state(), before)


def sql__shows_long_and_hostile_messages_as_lines():
    with fresh_with_catalog() as b:
        long = "x" * 3990 + "\u20ac"
        text = f"PRINT 'one' + CHAR(13) + CHAR(10) + 'two' + CHAR(10) + CHAR(10) + 'three' + CHAR(9) + CHAR(27) + '[31m' + CHAR(7) + NCHAR(8238) + CHAR(10)\nPRINT ''\nPRINT N'{long}'\nPRINT 'end'\n"
        shows(b.run("sql", "shop", script(b, text)).expect(0), "one", "    two", "    ", "    three    \\x1b[31m\\x07\\xe2\\x80\\xae", "", long, "end")
        done = b.run("sql", "shop", script(b, "DECLARE @t nvarchar(100) = N'a' + CHAR(10) + N'b' + CHAR(27)\nRAISERROR(@t, 16, 1)\n")).expect(1, err="script.sql:2: a\\nb\\x1b (error")
        shows(done, "script.sql:2: a", "    b\\x1b (error 50000, severity 16, batch 1)")


def sql__tells_messages_as_they_come():
    with fresh_with_catalog() as b:
        faults(b, match="'second'", wait=300)
        child = begin(b, "sql", "shop", script(b, "PRINT 'first'\nGO\nPRINT 'second'\n"))
        same("the first line", child.stdout.readline(), "first\n")
        child.send_signal(signal.SIGINT)
        end(child, ("sql",), 20).expect(130)


def sql__within_a_batch_tells_what_comes_with_nowait():
    """Its end comes only when the test lets it: a signal."""
    with fresh_with_catalog() as b:
        child = begin(b, "sql", "shop", script(b, "RAISERROR('sooner', 0, 1) WITH NOWAIT\nWAITFOR DELAY '00:05:00'\nPRINT 'later'\n"))
        same("the first line", child.stdout.readline(), "sooner\n")
        child.send_signal(signal.SIGINT)
        end(child, ("sql",), 20).expect(130, err="script.sql:1: batch 1 of 1 was interrupted", hint="what this batch did until then stays", not_out="later")


def sql__that_is_interrupted_says_which_batch_and_what_stays():
    with fresh_with_catalog() as b:
        seen = len(b.server.endpoint.log("attention"))
        put = "INSERT INTO [Log] ([ShortMessage], [LogLevelId], [CreatedOnUtc]) VALUES (N'run', 40, '2026-01-03')"
        path = script(b, f"{put}\nGO\n\nBEGIN TRANSACTION\n{put}\nGO\nPRINT 'wait'\nGO\nPRINT 'never'\n")
        interrupted(b, "'wait'", "sql", "shop", path).expect(130, err="script.sql:7: batch 3 of 4 was interrupted: stopped by signal 2", hint="2 of its batches were run", not_out="never")
        same("attentions", len(b.server.endpoint.log("attention")) - seen, 1)
        same("rows that stay", b.server.sql("SELECT COUNT(*) FROM [Log] WHERE [CreatedOnUtc] = '2026-01-03'"), [["1"]])
        same("in the history", [(o["what"], o["status"]) for o in b.objects("history", "shop")][0], ("sql", 130))


def sql__waits_for_no_rollback_that_was_killed():
    with fresh_with_catalog() as b:
        b.run("snapshot", "shop").expect(0)
        faults(b, match="MODIFY NAME", kill=True)
        if b.run("rollback", "shop", "--yes").status != -signal.SIGKILL:
            raise Failed("it was not killed")
        faults(b)
        before = len(b.server.endpoint.log("login"))
        b.run("sql", "shop", script(b, "DELETE FROM [Log]\n")).expect(5, err="an unfinished transaction", hint="nopsnap recover")
        same("logins", len(b.server.endpoint.log("login")), before)
        b.run("recover", "shop").expect(0)


def sql__has_the_site_for_itself():
    """A snapshot waits for a script, and a script for a snapshot, by the site's lock."""
    with fresh_with_catalog() as b:
        before = len(b.server.endpoint.log("fault"))
        faults(b, match="'wait'", wait=40)
        child = begin(b, "sql", "shop", script(b, "PRINT 'wait'\n"))
        wait_for_fault(b, before)
        if not lock_is_held(b):
            raise Failed("the script runs without the site's lock")
        child.send_signal(signal.SIGINT)
        end(child, ("sql",), 20).expect(130)
        if lock_is_held(b):
            raise Failed("the site's lock stays")


def lock_is_held(b):
    """Would a snapshot, which shares it with others of its kind, get the site's lock?"""
    locks = os.path.join(b.catalog, "locks")
    for name in [n for n in os.listdir(locks) if n.startswith("site")]:
        with open(os.path.join(locks, name), "rb") as f:
            try:
                fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


with Bench("sqlserver") as SHOP:
    SHOP.keep()
    tests = [dump__that_is_interrupted_is_no_snapshot, rollback__that_is_interrupted_is_undone, rollback__that_is_interrupted_in_its_undo_or_at_its_end_goes_on, dump__that_breaks_off_is_no_snapshot, load__that_breaks_off_is_undone,
          recover__gets_the_seat_from_whoever_took_it, login__that_is_refused_is_not_tried_twice,
          rollback__is_refused_by_what_keeps_the_database_from_being_exchanged,
          bulk__says_the_one_hint_that_the_library_can_send, sql__runs_batches_and_tells_what_the_server_says, sql__stops_at_the_first_error_with_its_line,
          sql__hears_a_failed_batch_to_its_end, sql__says_in_which_batch_the_connection_was_lost, sql__refuses_before_it_runs_anything,
          sql__undoes_a_transaction_that_is_left_open, sql__tells_that_the_end_was_not_executed, sql__shows_long_and_hostile_messages_as_lines,
          sql__tells_messages_as_they_come, sql__within_a_batch_tells_what_comes_with_nowait, sql__that_is_interrupted_says_which_batch_and_what_stays,
          sql__waits_for_no_rollback_that_was_killed, sql__has_the_site_for_itself]
    main([t for t in tests if len(sys.argv) < 2 or sys.argv[1] in t.__name__])
