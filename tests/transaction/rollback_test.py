#!/usr/bin/env python3
"""Rollbacks that go wrong, shops that write while they should not, and what must survive all of it: the real program on a real server.

    rollback_test.py --program nopsnap --engine postgresql|mysql [NAME...]
"""
import argparse
import fcntl
import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "fault"))
import harness  # noqa: E402


def check(condition, *words):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in words))


def is_state(shop, word):
    state = shop.state()
    check(state == word, "the shop is", state, "\n", shop.said)


def back(shop, *more):
    return shop.run("rollback", "shop", "--to", shop.target, "--yes", *more)


def configure(shop, **commands):
    with open(os.path.join(shop.folder, "config"), "w", encoding="utf-8") as f:
        f.write(f"[nopsnap]\ncatalog = {shop.catalog}\n[shop]\npath = {shop.site}\n")
        for key, value in commands.items():
            f.write(f"{key} = {value}\n")


def script(shop, name, text):
    path = os.path.join(shop.folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


def done(shop):
    """The next writing command clears up, and nothing is left."""
    code = shop.run("snapshot", "shop")
    check(code in (0, 3), "the next snapshot ended with", code, shop.said)
    check(not shop.leftovers(), "left over:", shop.leftovers(), shop.said)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def rewrite_in_place(path):
    """As an application does that opens a file and writes: the same inode, so every link to it changes."""
    with open(path, "r+b") as f:
        f.write(b"REWRITTEN")


def known_by_the_stat_cache(shop):
    """Only what the stat cache proves is linked, and a file must have held still for 2 s to be in it."""
    time.sleep(2.2)
    shop.must("snapshot", "shop")


def count(victim):
    """For a script: how many names the file has at that moment."""
    return f"stat -c %h {victim} >$(dirname $0)/names"


def was_linked(shop):
    """Where the filesystem has reflinks nothing is linked, and the question is moot."""
    names = int(read(os.path.join(shop.folder, "names")))
    check(names == 2 or reflinks(shop.folder), "the file had", names, "names: nothing was linked, so nothing was tested")


def reflinks(folder):
    a, b = os.path.join(folder, "reflink-a"), os.path.join(folder, "reflink-b")
    with open(a, "w", encoding="utf-8") as f:
        f.write("x" * 8192)
    return subprocess.run(["cp", "--reflink=always", a, b], capture_output=True, check=False).returncode == 0


def a_linked_file(shop):
    """One that the wrecking left alone, and that no rule says is rewritten by the shop."""
    return os.path.join(shop.site, "wwwroot", "css", sorted(os.listdir(os.path.join(shop.site, "wwwroot", "css")))[0])


# ---- tests ----

def recover__takes_the_command_that_the_owner_has_mended(shop):
    """Neither state starts: hands are needed. The command was wrong; with another one in the config `recover` goes on."""
    configure(shop, stop="true", start="false")
    code = back(shop)
    check(code == 5, "exit", code, shop.said)
    code = shop.run("recover", "shop")
    check(code == 5, "exit", code, shop.said)
    code = shop.run("snapshot", "shop")
    check(code == 5 and "recover" in shop.said, "exit", code, shop.said)
    configure(shop, stop="true", start="true")
    code = shop.run("recover", "shop")
    check(code in (0, 3), "exit", code, shop.said)
    is_state(shop, "old")
    done(shop)


def rollback__a_start_that_fails_once_is_undone(shop):
    """The new state does not start, the old one does: exit 4, everything as before."""
    mark = os.path.join(shop.folder, "tried")
    start = script(shop, "start", f"[ -e {mark} ] && exit 0; touch {mark}; exit 1\n")
    configure(shop, stop="true", start=start)
    code = back(shop)
    check(code == 4, "exit", code, shop.said)
    is_state(shop, "old")
    done(shop)
    is_state(shop, "old")
    safety = [line for line in shop.must("list").splitlines() if " safety " in line]
    check(len(safety) == 1, "what ran for a moment is a snapshot:", shop.said)


class Answers(http.server.BaseHTTPRequestHandler):
    """The shop's pages: well as often as `well` says, then as often as `unwell` says they lead to /install, then they are well again."""
    well = unwell = 0

    def do_GET(self):
        ill = Answers.well <= 0 < Answers.unwell
        if Answers.well > 0:
            Answers.well -= 1
        elif ill:
            Answers.unwell -= 1
        self.send_response(302 if ill else 200)
        self.send_header("Location", "/install")
        self.end_headers()

    def log_message(self, *_):
        pass


def object_of(shop, kind):
    return next(json.loads(line) for line in shop.said.splitlines() if line.startswith("{") and json.loads(line)["type"] == kind)


def rollback__an_old_shop_that_is_not_well_after_its_undo_is_told(shop):
    """The new shop is not well, so it is undone; then neither is the old one, or it is. Told, and nothing more: that it was undone stays true."""
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{web.server_port}/"
    try:
        configure(shop, stop="true", start="true", url=url)
        for unwell in (2, 1):
            Answers.well, Answers.unwell = 1, unwell  # it is asked before it is stopped
            code = shop.run("--json", "rollback", "shop", "--to", shop.target, "--yes")
            result = object_of(shop, "rollback")
            check(code == 4 and result["outcome"] == "undone", "exit", code, shop.said)
            check(("the shop that is back is not well: " in shop.said) == (unwell == 2), shop.said)
            check((unwell == 2) == ("leads to /install" in result.get("unwell", "")), result)
            is_state(shop, "old")
            done(shop)
        killed_at_the_start(shop, url=url)
        Answers.unwell = 1
        code = shop.run("--json", "recover", "shop")
        check(code == 3 and "leads to /install" in object_of(shop, "recover")["unwell"], "exit", code, shop.said)
        is_state(shop, "old")
    finally:
        web.shutdown()


def rollback__again_is_undone_and_done(shop):
    check(back(shop) in (0, 3), shop.said)
    is_state(shop, "new")
    # What was taken away is no good snapshot, however new it is, until somebody says so.
    shop.run("--json", "list")
    taken = next(row["id"] for row in map(json.loads, filter(lambda l: l.startswith("{"), shop.said.splitlines())) if row.get("kind") == "safety")
    check(shop.run("--json", "drill", "shop") in (0, 3) and object_of(shop, "drill")["snapshot"] != taken, shop.said)
    for good in (False, True):
        shop.run("--json", "status")
        check((object_of(shop, "site")["newest_whole"] == taken) == good, "good:", good, taken, shop.said)
        shop.run("forget", "shop", "--keep", "last 9", "--dry-run")
        check(any(taken[:8] in line and "the newest good one" in line for line in shop.said.splitlines()) == good, shop.said)
        check(shop.run("accept", taken) == 0, shop.said)
    check(shop.run("rollback", "shop", "--yes") in (0, 3), shop.said)
    is_state(shop, "old")
    check(shop.run("rollback", "shop", "--yes") in (0, 3), shop.said)
    is_state(shop, "new")
    done(shop)


def rollback__after_a_flagged_night_is_no_undo(shop):
    """Gone back once, then broken again, which a nightly run has noticed: going to the first breakage is not what is meant."""
    check(back(shop) in (0, 3), shop.said)
    sql = shop.server.sql if shop.server.name == "postgresql" else lambda text: shop.server.sql(text, "shop")
    sql('delete from "UrlRecord"' if shop.server.name == "postgresql" else "delete from UrlRecord")
    check(shop.run("run", "shop") == 3 and "flagged" in shop.said, shop.said)
    shop.run("--json", "list")
    rows = [row for row in map(json.loads, filter(lambda l: l.startswith("{"), shop.said.splitlines())) if "kind" in row]
    taken = next(r["id"] for r in rows if r["kind"] == "safety")
    flagged = next(r["id"] for r in rows if r["suspicious"])
    good = next(r["id"] for r in rows if r["kind"] != "safety" and not r["suspicious"])
    shop.run("rollback", "shop", "--dry-run")
    check(f"going back to snapshot {good[:8]}" in shop.said, good, shop.said)
    instead = next(line for line in shop.said.splitlines() if "instead of" in line)
    check(taken[:8] in instead and "what the last rollback took away" in instead and flagged[:8] in instead and "flagged" in instead, instead)
    code = shop.run("rollback", "shop", "--yes")
    check(code == 1 and "--to" in shop.said, "exit", code, shop.said)


ORDER = {
    "postgresql": 'insert into "Order" ("CustomOrderNumber", "BillingAddressId", "CustomerId", "OrderGuid", "StoreId", "OrderStatusId", '
                  '"PaymentStatusId", "OrderTotal", "Deleted", "CreatedOnUtc") values '
                  "('since', 7, 12, gen_random_uuid(), 1, 10, 10, 9.99, false, clock_timestamp() at time zone 'utc')",
    "mysql": "insert into `Order` (CustomOrderNumber, BillingAddressId, CustomerId, OrderGuid, StoreId, OrderStatusId, PaymentStatusId, OrderTotal, "
             "Deleted, CreatedOnUtc) values ('since', 7, 12, uuid(), 1, 10, 10, 9.99, 0, utc_timestamp(6))",
}


def rollback__undoing_it_counts_the_orders_taken_since(shop):
    """The shop that is back takes an order at once, before what it took the place of is dumped, under a number that was given before."""
    sql = shop.server.sql if shop.server.name == "postgresql" else lambda text: shop.server.sql(text, "shop")
    for _ in range(3):
        sql(ORDER[shop.server.name])
    statement = os.path.join(shop.folder, "order.sql")
    with open(statement, "w", encoding="utf-8") as f:
        f.write(ORDER[shop.server.name])
    client = f"psql -X -q -h {shop.server.dir} -U nop -d shop" if shop.server.name == "postgresql" else f"mariadb --no-defaults -S {shop.server.socket} -u root shop"
    configure(shop, stop="true", start=script(shop, "start8", f"{client} <{statement}\n"))
    check(back(shop) in (0, 3), shop.said)
    configure(shop, stop="true", start="true")
    shop.run("--json", "rollback", "shop", "--dry-run")
    plan = next(json.loads(line) for line in shop.said.splitlines() if '"type":"plan"' in line.replace(" ", ""))
    lost = {loss["table"]: loss["rows"] for loss in plan["losses"]}
    check(lost.get("Order") == 1, "lost:", lost)
    out = os.path.join(shop.folder, "lost")
    code = shop.run("rollback", "shop", "--yes", "--export-lost", out)
    check(code in (0, 3), "exit", code, shop.said)
    lines = read(os.path.join(out, "Order.csv")).split(b"\r\n")
    check(len(lines) == 3 and b",since," in lines[1], "exported:", lines)
    shutil.rmtree(out)


def rollback__two_at_once_are_one_and_a_refusal(shop):
    """The second was planned before the first went: what it showed no longer holds, and its session with the database is gone."""
    argv = [shop.program, "--config", os.path.join(shop.folder, "config"), "rollback", "shop", "--to", shop.target, "--yes"]
    both = [subprocess.Popen(argv, env=shop.environment(None), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    said = [p.communicate(timeout=120)[0].decode(errors="replace") for p in both]
    codes = sorted(p.returncode for p in both)
    # Where the one was over before the other looked, both are done.
    check(codes in ([0, 6], [3, 6], [0, 0]), "exit", codes, *said)
    is_state(shop, "new")
    done(shop)


def rollback__what_the_new_shop_rewrote_does_not_reach_the_old_tree(shop):
    """A linked file rewritten in place at the start, which then fails: the undo puts the snapshot's content back (T7)."""
    known_by_the_stat_cache(shop)
    victim = a_linked_file(shop)
    before = read(victim)
    mark = os.path.join(shop.folder, "tried2")
    start = script(shop, "start2", f"[ -e {mark} ] && exit 0; touch {mark}; {count(victim)}; printf REWRITTEN | dd of={victim} conv=notrunc status=none; exit 1\n")
    configure(shop, stop="true", start=start)
    code = back(shop)
    check(code == 4, "exit", code, shop.said)
    was_linked(shop)
    check(read(victim) == before, "the old tree's file was rewritten through the link")
    is_state(shop, "old")
    done(shop)
    newest_safety = [line.split()[0] for line in shop.must("list").splitlines() if " safety " in line][0]
    relative = os.path.relpath(victim, shop.site)
    shop.run("cat", f"{newest_safety}:{relative}")
    check(shop.said.startswith("REWRITTEN"), "what the new shop wrote is in the snapshot of it:", shop.said[:60])


def rollback__what_the_new_shop_rewrote_is_not_in_the_safety_snapshot(shop):
    """Committed; the new shop rewrites a file that the kept old tree shares: the safety snapshot has the old content (T7)."""
    known_by_the_stat_cache(shop)
    victim = a_linked_file(shop)
    before = read(victim)
    start = script(shop, "start3", f"{count(victim)}; printf REWRITTEN | dd of={victim} conv=notrunc status=none\n")
    configure(shop, stop="true", start=start)
    check(back(shop) in (0, 3), shop.said)
    check(read(victim).startswith(b"REWRITTEN"), "the new shop wrote")
    was_linked(shop)
    configure(shop, stop="true", start="true")
    check(shop.run("rollback", "shop", "--yes") in (0, 3), shop.said)
    check(read(victim) == before, "the state that was taken away comes back with its own content")
    is_state(shop, "old")


def rollback__a_file_rewritten_while_staging_is_not_linked(shop):
    """The old shop rewrites a file just before it stops: the new tree has the snapshot's content, the old one keeps the shop's."""
    known_by_the_stat_cache(shop)
    victim = a_linked_file(shop)
    stop = script(shop, "stop4", f"{count(victim)}; printf REWRITTEN | dd of={victim} conv=notrunc status=none\n")
    configure(shop, stop=stop, start="true")
    check(back(shop) in (0, 3), shop.said)
    is_state(shop, "new")
    was_linked(shop)
    configure(shop, stop="true", start="true")
    check(shop.run("rollback", "shop", "--yes") in (0, 3), shop.said)
    check(read(victim).startswith(b"REWRITTEN"), "what the old shop wrote last is in its safety snapshot")


def figures(shop, kind, *argv):
    """What a command says of itself in JSON."""
    code = shop.run("--json", *argv)
    check(code in (0, 3), argv, "ended with", code, shop.said)
    return next(json.loads(line) for line in shop.said.splitlines() if line.startswith("{") and json.loads(line)["type"] == kind)


def put_back_the_times(path):
    """For a script: rewritten in place, as long as before, under the time that it had. Only ctime tells."""
    return (f"python3 -c \"import os; p = '{path}'; s = os.stat(p); f = open(p, 'r+b'); f.write(b'REWRITTEN'); f.close(); "
            "os.utime(p, ns=(s.st_atime_ns, s.st_mtime_ns))\"\n")


# The stop takes longer than a file must have held still: so what was staged before it is old enough to be remembered.
OLD_ENOUGH = "sleep 2.3\n"


def renewal__the_next_snapshot_reads_only_what_has_changed(shop):
    """Files that were written, and files that lost a name with the tree that was taken away: the stat cache knows both."""
    known_by_the_stat_cache(shop)
    configure(shop, stop=script(shop, "stop20", OLD_ENOUGH + count(a_linked_file(shop))), start="true")
    done_ = figures(shop, "rollback", "rollback", "shop", "--to", shop.target, "--yes")
    was_linked(shop)
    check(done_["files_written"] > 0 and done_["files_linked"] > 0, done_)
    taken = figures(shop, "snapshot", "snapshot", "shop")
    check(taken["files_read"] == 0, "nothing has changed, and", taken["files_read"], "of", taken["files"], "files were read")
    with open(a_linked_file(shop), "ab") as f:
        f.write(b"changed")
    taken = figures(shop, "snapshot", "snapshot", "shop")
    check(taken["files_read"] == 1, "one has changed, and", taken["files_read"], "were read")


def renewal__a_second_rollback_links(shop):
    known_by_the_stat_cache(shop)
    configure(shop, stop=script(shop, "stop21", OLD_ENOUGH), start="true")
    first = figures(shop, "rollback", "rollback", "shop", "--to", shop.target, "--yes")
    second = figures(shop, "rollback", "rollback", "shop", "--yes")
    check(second["files_linked"] == first["files_linked"] > 0, "linked:", first["files_linked"], "then", second["files_linked"])
    is_state(shop, "old")
    third = figures(shop, "rollback", "rollback", "shop", "--yes")
    check(third["files_linked"] == first["files_linked"], "linked:", third["files_linked"], "then")
    is_state(shop, "new")
    taken = figures(shop, "snapshot", "snapshot", "shop")
    check(taken["files_read"] == 0, taken["files_read"], "of", taken["files"], "files were read")
    done(shop)


def renewal__what_the_shop_rewrote_before_the_names_went_is_read(shop):
    """In place, as long as before, under its old time, while the kept tree still shares it: our own unlink must not hide that."""
    known_by_the_stat_cache(shop)
    linked = a_linked_file(shop)
    written = os.path.join(shop.site, "App_Data", "plugins.json")
    configure(shop, stop=script(shop, "stop22", OLD_ENOUGH), start=script(shop, "start22", count(linked) + "\n" + put_back_the_times(linked) + put_back_the_times(written)))
    before = os.stat(linked)
    check(back(shop) in (0, 3), shop.said)
    was_linked(shop)
    check((os.stat(linked).st_mtime_ns, os.stat(linked).st_size) == (before.st_mtime_ns, before.st_size), "the rewrite shows")
    taken = figures(shop, "snapshot", "snapshot", "shop")
    check(taken["files_read"] == 2, taken["files_read"], "files were read")
    for path in (linked, written):
        shop.run("cat", f"{taken['id']}:{os.path.relpath(path, shop.site)}")
        check(shop.said.startswith("REWRITTEN"), path, "is in the snapshot as", shop.said[:60])


def renewal__an_undo_is_remembered_too(shop):
    """The links of a rollback that was undone moved the old tree's files: they are known all the same, and are linked the next time."""
    known_by_the_stat_cache(shop)
    configure(shop, stop=script(shop, "stop23", f"[ -e $0.tried ] && exit 0; touch $0.tried; {count(a_linked_file(shop))}; exit 1\n"), start="true")
    code = back(shop)
    check(code == 4, "exit", code, shop.said)
    was_linked(shop)
    is_state(shop, "old")
    check(not shop.leftovers(), "left over:", shop.leftovers())
    taken = figures(shop, "snapshot", "snapshot", "shop")
    check(taken["files_read"] == 0, taken["files_read"], "of", taken["files"], "files were read")
    again = figures(shop, "rollback", "rollback", "shop", "--to", shop.target, "--yes")
    check(again["files_linked"] > 0, again)
    is_state(shop, "new")


def renewal__a_new_tree_that_ran_for_a_moment(shop):
    """Started, failed, undone: the old tree is live, the new one was kept until it was a snapshot."""
    known_by_the_stat_cache(shop)
    linked = a_linked_file(shop)
    configure(shop, stop="true", start=script(shop, "start24", f"[ -e $0.tried ] && exit 0; touch $0.tried\n{put_back_the_times(linked)}exit 1\n"))
    content = read(linked)
    code = back(shop)
    check(code == 4, "exit", code, shop.said)
    check(read(linked) == content, "the old tree's file was rewritten through the link")
    shop.must("snapshot", "shop")  # the kept tree goes
    taken = figures(shop, "snapshot", "snapshot", "shop")
    check(taken["files_read"] <= 1, taken["files_read"], "of", taken["files"], "files were read")
    shop.run("cat", f"{taken['id']}:{os.path.relpath(linked, shop.site)}")
    check(shop.said.encode() == content, "the snapshot of the old tree has", shop.said[:60])


def rollback__what_snapshots_leave_out_crosses_and_comes_back(shop):
    thumb = os.path.join(shop.site, "wwwroot", "images", "thumbs", "made-since.jpg")
    with open(thumb, "w", encoding="utf-8") as f:
        f.write("thumb")
    backup = os.path.join(shop.site, "wwwroot", "db_backups", "mine.bak")
    with open(backup, "w", encoding="utf-8") as f:
        f.write("backup")
    inode = os.stat(backup).st_ino
    check(back(shop) in (0, 3), shop.said)
    check(os.path.exists(thumb) and os.stat(backup).st_ino == inode, "they crossed by rename")
    check(shop.run("rollback", "shop", "--yes") in (0, 3), shop.said)
    check(os.path.exists(thumb) and os.stat(backup).st_ino == inode, "and came back")
    done(shop)
    check(os.path.exists(backup), "they are still there")


def rollback__an_excluded_folder_is_never_lost(shop):
    """The target was taken with --exclude, today's command knows nothing of it (P8)."""
    own = os.path.join(shop.site, "wwwroot", "own")
    os.makedirs(own)
    with open(os.path.join(own, "x"), "w", encoding="utf-8") as f:
        f.write("the owner's")
    shop.must("snapshot", "shop", "--exclude", "/wwwroot/own")
    target = shop.list()[0]
    code = shop.run("rollback", "shop", "--to", target, "--yes")
    check(code in (0, 3), shop.said)
    check(os.path.exists(os.path.join(own, "x")), "it is where it was:", shop.said)
    done(shop)


def rollback__excluded_files_are_never_lost(shop):
    """Patterns for files, not folders: what came since and that day's --exclude names is no "delete" either."""
    exported = os.path.join(shop.site, "wwwroot", "files", "exportimport")
    os.makedirs(exported, exist_ok=True)
    own = [os.path.join(shop.site, "wwwroot", "mine.bak"), os.path.join(exported, "order.xlsx"), os.path.join(shop.site, "wwwroot", "since.bak")]
    for path in own[:2]:
        with open(path, "w", encoding="utf-8") as f:
            f.write("the owner's")
    shop.must("snapshot", "shop", "--exclude", "*.bak", "--exclude", "wwwroot/files/exportimport/**")
    target = shop.list()[0]
    with open(own[2], "w", encoding="utf-8") as f:
        f.write("made since")
    code = shop.run("rollback", "shop", "--to", target, "--yes")
    check(code in (0, 3), shop.said)
    for path in own:
        check(os.path.exists(path), path, "is where it was:", shop.said)
    done(shop)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def rollback__a_mount_in_the_tree_stays_where_it_is(shop):
    """With a name that is a pattern, too: its neighbour is no part of it."""
    data = os.path.join(shop.site, "wwwroot", "da*ta")
    os.makedirs(data)
    if subprocess.run(["mount", "-t", "tmpfs", "none", data], capture_output=True, check=False).returncode:
        print("no mounts here (not root?): not tested")
        return
    try:
        write(os.path.join(data, "d", "f"), "before")
        write(os.path.join(shop.site, "wwwroot", "da-ta", "g"), "before")
        shop.must("snapshot", "shop")
        target = shop.list()[0]
        write(os.path.join(data, "d", "f"), "after")
        write(os.path.join(data, "since"), "after")
        write(os.path.join(shop.site, "wwwroot", "da-ta", "g"), "after")
        stop = script(shop, "stop8", f"ls -A {data}/.nopsnap/tx-*/site/wwwroot >$(dirname $0)/staged; stat -c %a {data}/.nopsnap >>$(dirname $0)/staged\n")
        configure(shop, stop=stop, start="true")
        code = shop.run("rollback", "shop", "--to", target, "--yes")
        check(code in (0, 3), "exit", code, shop.said)
        check(read(os.path.join(shop.folder, "staged")).split() == [b"da*ta", b"700"], "staged:", read(os.path.join(shop.folder, "staged")))
        check(os.path.ismount(data) and os.listdir(data) == ["d"], os.listdir(data), shop.said)
        check(read(os.path.join(data, "d", "f")) == b"before", "what lies on it went back")
        check(read(os.path.join(shop.site, "wwwroot", "da-ta", "g")) == b"before", "and what lies beside it")
        safety = shop.list()[0]
        saved = shop.must("ls", f"{safety}:wwwroot/da*ta")
        check("since" in saved and ".nopsnap" not in saved, "the safety snapshot has", saved)
        done(shop)
    finally:
        subprocess.run(["umount", "-l", data], check=True)


def rollback__a_shop_that_is_in_its_folder_is_refused(shop):
    """No way to stop it is known: preflight says no, and nothing is changed."""
    configure(shop, url="http://127.0.0.1:1/")
    child = subprocess.Popen(["sleep", "60"], cwd=shop.site)
    try:
        code = back(shop)
    finally:
        child.kill()
        child.wait()
    check(code == 1, "exit", code, shop.said)
    is_state(shop, "old")
    check("running" in shop.said, shop.said)


def rollback__a_shop_that_does_not_stop_is_undone(shop):
    """`stop` lies: the proof of quiet finds the process (T5), and nothing is exchanged."""
    configure(shop, stop="true", start="true")
    child = subprocess.Popen(["sleep", "120"], cwd=os.path.join(shop.site, "wwwroot"))
    try:
        code = back(shop)
    finally:
        child.kill()
        child.wait()
    check(code == 4, "exit", code, shop.said)
    check("sleep" in shop.said, shop.said)
    is_state(shop, "old")
    done(shop)


def rollback__two_at_once_one_waits_or_is_told(shop):
    go = os.path.join(shop.folder, "go5")
    stop = script(shop, "stop5", f"for i in $(seq 1200); do [ -e {go} ] && break; sleep 0.1; done\n")
    configure(shop, stop=stop, start="true")
    argv = [shop.program, "--config", os.path.join(shop.folder, "config"), "rollback", "shop", "--to", shop.target, "--yes"]
    first = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    for _ in range(300):
        if os.path.exists(os.path.join(os.path.dirname(shop.site), ".nopsnap-shop", "journal")):
            break
        time.sleep(0.05)
    code = shop.run(*argv[3:])
    said = shop.said
    open(go, "w", encoding="utf-8").close()
    check(first.wait(120) in (0, 3), "the first one")
    check(code == 6, "exit", code, said)
    is_state(shop, "new")


def rollback__a_signal_undoes_it(shop):
    """One that comes while `stop` hangs. Another one while the undo starts the shop is too late to leave it down."""
    started = os.path.join(shop.folder, "started6")
    stop = script(shop, "stop6", "sleep 600\n")
    start = script(shop, "start6", "p=$PPID; while [ $(cat /proc/$p/comm) != nopsnap ]; do p=$(ps -o ppid= -p $p | tr -d ' '); done; "
                   f"kill -TERM $p; sleep 1; touch {started}\n")
    configure(shop, stop=stop, start=start)
    argv = [shop.program, "--config", os.path.join(shop.folder, "config"), "rollback", "shop", "--to", shop.target, "--yes"]
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    for _ in range(300):
        if os.path.exists(os.path.join(os.path.dirname(shop.site), ".nopsnap-shop", "fence")):
            break
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=60)
    check(child.returncode == 4, "exit", child.returncode, said.decode(errors="replace"))
    check(os.path.exists(started), "the start command was cut short")
    is_state(shop, "old")
    done(shop)


def rollback__a_second_signal_does_not_leave_the_database_half_loaded(shop):
    """In place, and the new state does not start. A signal that comes once the undo has begun, and another while it loads, are too late to end it."""
    may_make_databases(shop, False)
    try:
        configure(shop, stop=script(shop, "stop16", "sleep 0.3\n"), start=script(shop, "start16", "[ -e $0.tried ] && exit 0; touch $0.tried; exit 1\n"))
        argv = [shop.program, "--config", os.path.join(shop.folder, "config"), "rollback", "shop", "--to", shop.target, "--yes"]
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = ""
        for line in child.stderr:
            said += line
            if "undoing" in said and line.startswith(("undoing", "loading the database")):
                child.send_signal(signal.SIGTERM)
        check(child.wait(60) == 4 and said.splitlines().count("loading the database") == 2, "exit", child.returncode, said)
        is_state(shop, "old")
        done(shop)
    finally:
        may_make_databases(shop, True)


def rollback__a_site_that_is_gone_altogether_comes_back(shop):
    shutil.rmtree(shop.site)
    check(back(shop) in (0, 3), shop.said)
    is_state(shop, "new")
    done(shop)


def rollback__broken_settings_are_no_hindrance(shop):
    for name in ("dataSettings.json", "appsettings.json"):
        path = os.path.join(shop.site, "App_Data", name)
        if os.path.exists(path):
            with open(path, "w", encoding="utf-8") as f:
                f.write("{ broken")
    check(back(shop) in (0, 3), shop.said)
    is_state(shop, "new")


def killed_at_the_start(shop, **more):
    """Killed after the exchange."""
    start = script(shop, "start7", "p=$PPID; while [ $(cat /proc/$p/comm) != nopsnap ]; do p=$(ps -o ppid= -p $p | tr -d ' '); done; kill -9 $p; sleep 1\n")
    configure(shop, stop="true", start=start, **more)
    code = back(shop)
    check(code == -signal.SIGKILL, "exit", code, shop.said)
    script(shop, "start7", "true\n")


def recover__goes_by_the_rules_of_the_rollback(shop):
    """Its config is not today's: what crossed by `exclude` comes back all the same (P8)."""
    videos = os.path.join(shop.site, "wwwroot", "videos")
    os.makedirs(videos)
    with open(os.path.join(videos, "x"), "w", encoding="utf-8") as f:
        f.write("the only copy")
    killed_at_the_start(shop, exclude="/wwwroot/videos")
    check(os.path.exists(os.path.join(videos, "x")), "it crossed")
    configure(shop, stop="true", start="true")
    code = shop.run("recover", "shop")
    check(code in (0, 3), "exit", code, shop.said)
    check(os.path.exists(os.path.join(videos, "x")), "and came back:", shop.said)
    shutil.rmtree(videos)
    is_state(shop, "old")
    done(shop)


def recover__a_busy_catalogue_is_not_an_absent_one(shop):
    killed_at_the_start(shop)
    with open(os.path.join(shop.catalog, "locks", "catalog.lock"), "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code = shop.run("recover", "shop")
    check(code == 6, "exit", code, shop.said)
    code = shop.run("recover", "shop")
    check(code in (0, 3), "exit", code, shop.said)
    is_state(shop, "old")
    done(shop)


def recover__works_while_the_catalogue_is_out_of_reach(shop):
    """The catalogue's disk is gone: the way back needs only what is beside the site."""
    killed_at_the_start(shop)
    os.rename(shop.catalog, shop.catalog + ".away")
    code = shop.run("recover", "shop")
    check(code in (0, 3), "exit", code, shop.said)
    is_state(shop, "old")
    os.rename(shop.catalog + ".away", shop.catalog)
    done(shop)


def forget__keeps_what_a_pending_transaction_needs(shop):
    """Killed in the midst: nothing of this site is marked or forgotten before it is whole again."""
    start = script(shop, "start10", "p=$PPID; while [ $(cat /proc/$p/comm) != nopsnap ]; do p=$(ps -o ppid= -p $p | tr -d ' '); done; kill -9 $p; sleep 1\n")
    configure(shop, stop="true", start=start)
    check(back(shop) == -signal.SIGKILL, shop.said)
    for verb in ("forget", "hold", "release", "accept"):
        code = shop.run(verb, shop.target)
        check(code == 5 and "nopsnap recover" in shop.said, verb, "exit", code, shop.said)
    configure(shop, stop="true", start="true")
    check(shop.run("recover", "shop") in (0, 3), shop.said)
    check(shop.run("hold", shop.target) == 0, shop.said)


def kept__is_saved_once_more_where_its_snapshot_is_gone(shop):
    """Saved, and the kept database refuses to go: both snapshots that `kept` names stay; in another catalogue it is saved again."""
    if shop.server.name != "postgresql":
        return  # only there is a database that can't be dropped
    keep = "update pg_database set datistemplate = {} where datname like 'shop%nopsnap%'"
    client = f"psql -X -q -h {shop.server.dir} -U nop -d postgres"
    configure(shop, stop="true", start=script(shop, "start11", f"{client} -c \"{keep.format('true')}\"\n"))
    check(back(shop) == 3, "the kept database can't go:", shop.said)
    safety = shop.list()[0]
    configure(shop, stop="true", start="true")
    for needed in (safety, shop.target):
        code = shop.run("forget", needed)
        check(code == 1 and "is needed by" in shop.said, "exit", code, shop.said)
    shop.server.sql(keep.format("false"), "postgres")
    catalog = shop.catalog
    try:
        shop.catalog += ".other"
        configure(shop, stop="true", start="true")
        shop.must("init")
        code = shop.run("snapshot", "shop")
        check(code == 3 and "saved once more" in shop.said, "exit", code, shop.said)
        check(not shop.leftovers(), "left over:", shop.leftovers())
        ids = shop.list()
        check(len(ids) == 2, ids)
        check(shop.run("rollback", "shop", "--to", ids[1], "--yes") in (0, 3), shop.said)
        is_state(shop, "old")
    finally:
        shutil.rmtree(shop.catalog, ignore_errors=True)
        shop.catalog = catalog


def kept__goes_only_when_its_snapshot_was_read(shop):
    """A file that both trees share is damaged in the catalogue: the safety snapshot leans on it, and would be the only one that has it."""
    victim = os.path.join(shop.site, "wwwroot", "css", "own.bin")
    content = random.Random(7).randbytes(300000)  # does not compress: stored as it is
    with open(victim, "wb") as f:
        f.write(content)
    time.sleep(2.2)
    shop.must("snapshot", "shop")
    time.sleep(2.2)
    shop.must("snapshot", "shop")  # now the stat cache proves it, and it is linked
    target = shop.list()[0]
    flip_in_packs(shop, content[1000:1064])
    configure(shop, stop="true", start=script(shop, "start12", count(victim)))
    code = shop.run("rollback", "shop", "--to", target, "--yes")
    said = shop.said
    was_linked(shop)
    check(code == 3 and "it is taken once more" in said, "exit", code, said)
    shop.run("verify", "--read-data")
    check("what they held was stored again: nothing needs them" in shop.said, "what was damaged is stored anew:", shop.said)
    check(not shop.leftovers(), "left over:", shop.leftovers(), said)


def flip_in_packs(shop, piece):
    for folder, _, files in os.walk(os.path.join(shop.catalog, "packs")):
        for name in files:
            path = os.path.join(folder, name)
            at = read(path).find(piece)
            if at < 0:
                continue
            os.chmod(path, 0o600)
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(bytes([piece[0] ^ 1]))
            return
    raise AssertionError("the content is in no pack as it is")


def preflight__says_what_the_login_may_not_read(shop):
    """Before the shop is stopped: what can't be dumped can't be saved."""
    if shop.server.name != "postgresql":
        return  # MySQL does not show a login what it may not read
    shop.server.sql('create table "Plugin" (id int); revoke all on "Plugin" from public, shop')
    stopped = os.path.join(shop.folder, "stopped")
    configure(shop, stop=script(shop, "stop13", f"touch {stopped}\n"), start="true")
    for argv in (("rollback", "shop", "--to", shop.target, "--yes"), ("snapshot", "shop", "--mode", "stopped")):
        code = shop.run(*argv)
        check(code == 1 and "login shop may not read public.\"Plugin\"" in shop.said, "exit", code, shop.said)
        check(not os.path.exists(stopped), "the shop was stopped for nothing")


def snapshot_behind_a_lock(shop, meanwhile):
    """A snapshot that waits for the site's lock; what happens meanwhile; then its turn. Returns exit status and words."""
    locks = os.path.join(shop.catalog, "locks")
    path = next(os.path.join(locks, name) for name in sorted(os.listdir(locks)) if name.startswith("site-") and not name.endswith(".note"))
    with open(path, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        child = subprocess.Popen([shop.program, "--config", os.path.join(shop.folder, "config"), "snapshot", "shop"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        first = child.stdout.readline()  # it says where the catalogue is; what it asks before the lock is next
        time.sleep(1.5)
        meanwhile()
    said = (first + child.communicate(timeout=120)[0]).decode(errors="replace")
    return child.returncode, said


def lock__that_a_power_cut_took_is_no_sign_of_another(shop):
    """A folder of ours without the lock's file: to make that again is no change by somebody else."""
    folder = os.path.join(os.path.dirname(shop.site), ".nopsnap-shop")
    for verb in (("snapshot", "shop"), ("rollback", "shop", "--to", shop.target, "--yes")):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        lock = os.path.join(folder, "lock")
        if os.path.exists(lock):
            os.unlink(lock)
        check(shop.run(*verb) in (0, 3), verb, shop.said)


def snapshot__looks_again_once_it_has_the_lock(shop):
    """A rollback began while it waited, and was killed with the exchange half done; or went all the way."""
    folder = os.path.join(os.path.dirname(shop.site), ".nopsnap-shop")
    start = script(shop, "start9", "p=$PPID; while [ $(cat /proc/$p/comm) != nopsnap ]; do p=$(ps -o ppid= -p $p | tr -d ' '); done; kill -9 $p; sleep 1\n")
    configure(shop, stop="true", start=start)
    check(back(shop) == -signal.SIGKILL, shop.said)
    os.rename(folder, folder + ".away")
    code, said = snapshot_behind_a_lock(shop, lambda: os.rename(folder + ".away", folder))
    check(code == 5 and "nopsnap recover" in said, "exit", code, said)
    configure(shop, stop="true", start="true")
    check(shop.run("recover", "shop") in (0, 3), shop.said)
    done(shop)
    before = len(shop.list())
    code, said = snapshot_behind_a_lock(shop, lambda: os.utime(folder))
    check(code == 6 and "went first" in said, "exit", code, said)
    check(len(shop.list()) == before, "a snapshot was taken all the same")


def run_all(tests, shop):
    failed = 0
    for test in tests:
        began = time.monotonic()
        shop.reset()
        configure(shop, stop="true", start="true")
        try:
            test(shop)
            print(f"ok     {time.monotonic() - began:5.1f} s {test.__name__}", flush=True)
        except (AssertionError, RuntimeError) as e:
            failed += 1
            print("FAILED", test.__name__, e, flush=True)
    return 1 if failed else 0


IN_PLACE_START = "p=$PPID; while [ $(cat /proc/$p/comm) != nopsnap ]; do p=$(ps -o ppid= -p $p | tr -d ' '); done; kill -9 $p; sleep 1\n"


def may_make_databases(shop, may):
    """A login that may not has its database changed in place."""
    if shop.server.name == "postgresql":
        shop.server.sql(f"alter role shop {'' if may else 'no'}createdb", "postgres")
    elif may:
        shop.server.sql("revoke all on `shop`.* from shop@localhost; grant all on `shop%`.* to shop@localhost")
    else:
        shop.server.sql("revoke all on `shop%`.* from shop@localhost; grant all on `shop`.* to shop@localhost; grant all on `other`.* to shop@localhost")


def one_row(shop, name):
    """Another database of the shop's login, with a table of one row."""
    if shop.server.name == "postgresql":
        shop.server.sql(f"create database {name} owner shop", "postgres")
    else:
        shop.server.sql(f"create database {name}")
    shop.server.sql("create table precious (id int); insert into precious values (7)", name)
    if shop.server.name == "postgresql":
        shop.server.sql("alter table precious owner to shop", name)


def settings_name(shop, old, new):
    changed = 0
    for folder, _, files in os.walk(os.path.join(shop.site, "App_Data")):
        for name in files:
            path = os.path.join(folder, name)
            text = read(path)
            if f"Database={old}".encode() in text:
                with open(path, "wb") as f:
                    f.write(text.replace(f"Database={old}".encode(), f"Database={new}".encode()))
                changed += 1
    check(changed, "no settings name the database", old)


def recover__never_loads_into_a_database_that_today_s_settings_name(shop):
    """Changed in place and killed; the restored tree's settings are then pointed at another database, which stays as it is."""
    may_make_databases(shop, False)
    try:
        one_row(shop, "other")
        configure(shop, stop="true", start=script(shop, "start8", IN_PLACE_START))
        code = back(shop)
        check(code == -signal.SIGKILL, "exit", code, shop.said)
        script(shop, "start8", "true\n")
        settings_name(shop, "shop", "other")
        code = shop.run("recover", "shop")
        check(code in (0, 3), "exit", code, shop.said)
        check(shop.server.sql("select id from precious", "other").strip() == "7", "the other database was changed")
        is_state(shop, "old")
    finally:
        may_make_databases(shop, True)


def drop_statement(shop):
    """For a script: the shop's database goes, by another login's hand."""
    if shop.server.name == "postgresql":
        return f"psql -X -q -h {shop.server.dir} -U nop -d postgres -c 'drop database shop with (force)'"
    return f"mariadb --no-defaults -S {shop.server.socket} -u root -e 'drop database shop'"


def rollback__to_a_database_that_is_gone_and_can_not_be_made_is_a_problem(shop):
    """Nothing to change in place, and no right to make one: said before the shop is stopped."""
    if shop.server.name != "postgresql":
        return  # MySQL's rights are on names: who may change it in place may make it
    stopped = os.path.join(shop.folder, "stopped14")
    configure(shop, stop=script(shop, "stop14", f"touch {stopped}\n"), start="true")
    may_make_databases(shop, False)
    try:
        subprocess.run(drop_statement(shop), shell=True, check=True)
        code = back(shop)
        check(code == 1 and "there is no database shop, and login shop may not create databases" in shop.said, "exit", code, shop.said)
        check("database-admin" in shop.said and "made again whole" not in shop.said, shop.said)
        check(not os.path.exists(stopped), "the shop was stopped for nothing")
        shop.server.sql("create database shop owner shop", "postgres")
        check(back(shop) in (0, 3), "an empty one was not enough", shop.said)
        is_state(shop, "new")
    finally:
        may_make_databases(shop, True)


def rollback__in_place_is_undone_where_there_was_no_database(shop):
    """It went after the plan. PostgreSQL's can't be loaded then; MySQL's is made, and the shop does not start on it."""
    may_make_databases(shop, False)
    try:
        configure(shop, stop=script(shop, "stop15", f"[ -e $0.tried ] && exit 0; touch $0.tried\n{drop_statement(shop)}\n"),
                  start=script(shop, "start15", "[ -e $0.tried ] && exit 0; touch $0.tried; exit 1\n" if shop.server.name == "mysql" else "true\n"))
        before = harness.tree_digest(shop.site)
        code = back(shop)
        check(code == 4 and "there was no database to put back" in shop.said, "exit", code, shop.said)
        check(harness.tree_digest(shop.site) == before, "the files are not what they were")
        check(not os.path.exists(os.path.join(os.path.dirname(shop.site), ".nopsnap-shop", "journal")), "the transaction did not end", shop.said)
    finally:
        may_make_databases(shop, True)


def rollback__another_database_in_the_restored_settings_is_a_problem(shop):
    """The shop moved to another database since: what is in it must neither be lost sight of nor left out of the safety snapshot (P3)."""
    one_row(shop, "shop48")
    settings_name(shop, "shop", "shop48")
    code = back(shop)
    check(code == 1, "exit", code, shop.said)
    check(" shop on " in shop.said and " shop48 on " in shop.said and "--keep-connection" in shop.said, shop.said)
    check(shop.server.digest() == shop.old[1], "the database was changed")
    check(back(shop, "--keep-connection") in (0, 3), shop.said)
    check(shop.server.digest() == shop.old[1], "the database that the snapshot's settings name was changed")
    count = shop.server.sql("select count(*) from " + ('"Log"' if shop.server.name == "postgresql" else "`Log`"), "shop48")
    check(int(count) >= 0, "today's database did not go back")
    done(shop)


def rollback__a_load_that_can_not_begin_is_undone(shop):
    """The server has become too small for a row of the dump: what was not even made needs no hands."""
    if shop.server.name != "mysql":
        return
    shop.server.sql("create table big (b longblob); insert into big values (repeat('x', 3000000))", "shop")
    shop.must("snapshot", "shop")
    target = shop.list()[0]
    shop.server.sql("drop table big", "shop")
    before = shop.server.sql("select @@global.max_allowed_packet").strip()
    shop.server.sql("set global max_allowed_packet = 1048576")
    try:
        code = shop.run("rollback", "shop", "--to", target, "--yes")
    finally:
        shop.server.sql(f"set global max_allowed_packet = {before}")
    check(code == 4, "exit", code, shop.said)
    is_state(shop, "old")
    done(shop)


def rollback__a_disk_without_room_for_the_decision_is_no_hindrance_to_an_undo(shop):
    """No commit was tried: without a decision it is undone all the same, and the stage that fills the disk goes."""
    configure(shop, stop="false", start="true")
    decision = os.path.join(os.path.dirname(shop.site), ".nopsnap-shop", "decision")
    log = os.path.join(shop.folder, "fault.log")
    code = shop.run("rollback", "shop", "--to", shop.target, "--yes", fault=f"nth=1;errno=ENOSPC;paths={decision};log={log}")
    check(b"fault 1 " in read(log), "no fault was met:", read(log))
    check(code == 4 and "decision" in shop.said, "exit", code, shop.said)
    is_state(shop, "old")
    done(shop)


def rollback__a_server_that_restarts_meanwhile_is_waited_for(shop):
    """Its session is gone with the old server; the undo goes on with a new one, and the shop is not left stopped."""
    name = "postgres.sh" if shop.server.name == "postgresql" else "mariadb.sh"
    server = os.path.join(harness.FIXTURE, name)
    folder = shop.server.dir
    stop = script(shop, "stop9", f"[ -e $0.tried ] && exit 0; touch $0.tried\n{server} stop {folder}\n(sleep 2; {server} start {folder}) >/dev/null 2>&1 </dev/null &\nsleep 0.2; exit 1\n")
    configure(shop, stop=stop, start="true")
    code = back(shop)
    check(code == 4, "exit", code, shop.said)
    is_state(shop, "old")
    done(shop)


def session_of(shop, seconds):
    """One of the shop's own login, as its connection pool has them."""
    if shop.server.name == "postgresql":
        return f"PGPASSWORD='secret of shop' psql -X -h {shop.server.dir} -U shop -d shop -c 'select pg_sleep({seconds})'"
    return f"MYSQL_PWD='secret of shop' mariadb --no-defaults -S {shop.server.socket} -u shop shop -e 'select sleep({seconds})'"


def leaves_a_session(shop, name, seconds):
    return script(shop, name, f"[ -e $0.tried ] && exit 0; touch $0.tried\n({session_of(shop, seconds)}; touch $0.ended) >/dev/null 2>&1 </dev/null &\nsleep 1\n")


def rollback__in_place_waits_for_a_session_that_is_about_to_end(shop):
    may_make_databases(shop, False)
    try:
        configure(shop, stop=leaves_a_session(shop, "stop10", 4), start="true")
        code = back(shop)
        check(code in (0, 3), "exit", code, shop.said)
        is_state(shop, "new")
    finally:
        may_make_databases(shop, True)


def rollback__in_place_counts_what_was_loaded(shop):
    """Somebody writes into a table while it is loaded: not what was dumped, so it is undone (P9)."""
    if shop.server.name != "postgresql":
        return
    shop.server.sql("create table noise (id int); alter table noise owner to shop")
    shop.must("snapshot", "shop")
    target = shop.list()[0]
    before = shop.server.digest()
    may_make_databases(shop, False)
    noise = None
    try:
        # the second stop is the undo's: by then the noise is over
        configure(shop, stop=script(shop, "stop11", "[ -e $0.tried ] && sleep 2; touch $0.tried\n"), start="true")
        argv = [shop.program, "--config", os.path.join(shop.folder, "config"), "rollback", "shop", "--only", "database", "--to", target, "--yes"]
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = ""
        for line in child.stderr:
            said += line
            if line.startswith("loading the database") and not noise:
                noise = subprocess.Popen(["sh", "-c", f"while :; do echo 'insert into noise values (1);'; done | psql -X -q -h {shop.server.dir} -U nop -d shop"],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            if line.startswith("undoing") and noise:
                os.killpg(noise.pid, signal.SIGKILL)
        code = child.wait(60)
        check(code == 4 and "not the one that was dumped" in said, "exit", code, said)
        check(shop.server.digest() == before, "the database is not what it was", said)
    finally:
        if noise and noise.poll() is None:
            os.killpg(noise.pid, signal.SIGKILL)
        may_make_databases(shop, True)


def rollback__in_place_does_not_promise_what_it_can_not_do_about_mails(shop):
    """The rows that say what was sent are gone by the time that the restored ones are there."""
    now = "now() at time zone 'utc'" if shop.server.name == "postgresql" else "utc_timestamp()"
    table, column = ('"QueuedEmail"', '"SentOnUtc"') if shop.server.name == "postgresql" else ("`QueuedEmail`", "`SentOnUtc`")
    shop.server.sql(f"update {table} set {column} = {now}", "shop")
    check("will not be sent again" in shop.must("rollback", "shop", "--to", shop.target, "--dry-run"), shop.said)
    may_make_databases(shop, False)
    try:
        said = shop.must("rollback", "shop", "--to", shop.target, "--dry-run")
        check("may be sent again" in said and "will not be sent again" not in said, said)
    finally:
        may_make_databases(shop, True)


def snapshot__of_a_stopped_shop_waits_for_its_last_session(shop):
    """A session of the shop's login may still write; one of another login is only told."""
    configure(shop, stop=leaves_a_session(shop, "stop12", 8), start="true")
    other = (["psql", "-X", "-h", shop.server.dir, "-U", "nop", "-d", "shop", "-c", "select pg_sleep(60)"] if shop.server.name == "postgresql" else
             ["mariadb", "--no-defaults", "-S", shop.server.socket, "-u", "root", "shop", "-e", "select sleep(60)"])
    child = subprocess.Popen(other, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        code = shop.run("snapshot", "shop", "--mode", "stopped")
    finally:
        child.kill()
        child.wait()
    check(code in (0, 3), "exit", code, shop.said)
    check(os.path.exists(os.path.join(shop.folder, "stop12.ended")), "the shop's session was still there", shop.said)
    check("in the database all the while" in shop.said, shop.said)


def snapshot__of_a_stopped_shop_that_stays_in_its_database_is_refused(shop):
    configure(shop, stop=leaves_a_session(shop, "stop13", 60), start="true")
    code = shop.run("snapshot", "shop", "--mode", "stopped")
    check(code == 1 and "somebody is still in the database: user shop" in shop.said, "exit", code, shop.said)
    done(shop)


# What these attack has nothing to do with the engine: once is enough.
OF_FILES = ("rollback__what_the_new_shop_rewrote_does_not_reach_the_old_tree", "rollback__what_the_new_shop_rewrote_is_not_in_the_safety_snapshot",
            "rollback__a_file_rewritten_while_staging_is_not_linked", "renewal__the_next_snapshot_reads_only_what_has_changed",
            "renewal__a_second_rollback_links", "renewal__what_the_shop_rewrote_before_the_names_went_is_read", "renewal__an_undo_is_remembered_too",
            "renewal__a_new_tree_that_ran_for_a_moment", "rollback__what_snapshots_leave_out_crosses_and_comes_back",
            "rollback__an_excluded_folder_is_never_lost", "rollback__excluded_files_are_never_lost", "rollback__a_mount_in_the_tree_stays_where_it_is",
            "rollback__a_shop_that_is_in_its_folder_is_refused", "rollback__a_shop_that_does_not_stop_is_undone",
            "rollback__two_at_once_one_waits_or_is_told", "rollback__broken_settings_are_no_hindrance",
            "rollback__an_old_shop_that_is_not_well_after_its_undo_is_told", "recover__takes_the_command_that_the_owner_has_mended", "recover__a_busy_catalogue_is_not_an_absent_one",
            "recover__works_while_the_catalogue_is_out_of_reach", "lock__that_a_power_cut_took_is_no_sign_of_another",
            "snapshot__looks_again_once_it_has_the_lock", "rollback__after_a_flagged_night_is_no_undo")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--program", default=os.environ.get("NOPSNAP_PROGRAM"))
    p.add_argument("--faultlib", default=os.environ.get("NOPSNAP_FAULTLIB"))
    p.add_argument("--engine", default="postgresql")
    p.add_argument("names", nargs="*")
    args = p.parse_args()
    missing = harness.missing(args.engine)
    if missing:
        print(f"skipped: {missing}")
        return 77
    tests = [f for name, f in globals().items() if "__" in name and callable(f) and not name.startswith("_")]
    unknown = [n for n in OF_FILES if n not in globals()]
    if unknown:
        raise SystemExit(f"no such test: {unknown}")
    if args.engine != "postgresql":
        tests = [f for f in tests if f.__name__ not in OF_FILES]
    if args.names:
        tests = [f for f in tests if f.__name__ in args.names]
    folder = harness.scratch.folder("npr")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server goes too
    try:
        with harness.Shop(args.engine, args.program, folder, args.faultlib) as shop:
            return run_all(tests, shop)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
