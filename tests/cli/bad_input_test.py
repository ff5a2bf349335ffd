#!/usr/bin/env python3
"""What bad input gets: the exit status, one line of what and where, a hint, and nothing lost. Without a database server."""
import os
import re
import shutil
import subprocess
import sys
import time

from cli_support import PROGRAM, Bench, Failed, main, same


def script(b, name, text):
    path = os.path.join(b.folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o700)
    return path


def shop(**options):
    return Bench(files=40, **options)


def unshare(b, before):
    """Words that run a command in a mount namespace of its own, or None where the system does not allow that."""
    words = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Ur", "-m"]
    words += ["sh", "-c", before + ' && exec "$0" "$@"']
    return words if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0 else None


def site__that_does_not_exist():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "/nowhere/shop").expect(1, err="nopsnap: /nowhere/shop is no site", hint="known are: shop")
        b.run("snapshot", os.path.join(b.site, "Nop.Core.dll")).expect(1, err="Nop.Core.dll")
        b.run("rollback", "/nowhere/shop", "--yes").expect(1, err="nopsnap: ")
        same("the list", b.objects("list"), [])
        b.run("snapshot", "shop").expect(0)
        os.rename(b.site, b.site + ".away")
        b.run("snapshot", "shop").expect(1, err="does not exist", hint="nopsnap rollback")


def site__that_nobody_knows_is_said():
    with shop() as b:
        b.run("init").expect(0)
        for verb in ("status", "list", "history", "recover", "snapshot", "rollback", "confirm", "drill", "run", "diff latest"):
            b.run(*verb.split(), "shpo").expect(1, err="nopsnap: shpo is no site", hint="known are: shop", not_out="no")
        for words in (["upgrade", "shpo", "x.zip"], ["rehearse", "shpo", "x.zip"], ["schedule", "shpo", "--remove"], ["forget", os.path.join(b.folder, "shpo"), "--keep", "last 1"],
                      ["run", "shpo", "--dry-run"]):
            b.run(*words).expect(1, err="shpo is no site", hint="known are: shop", not_out="no")
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n")
        b.run("status", "shpo").expect(1, hint="nopsnap snapshot SITE")
        b.run("snapshot", b.site).expect(0)
        b.run("list", "shpo").expect(1, hint="known are: " + b.site)
        b.remove_site()
        for verb in ("status", "list", "history", "recover"):
            b.run(verb, b.site).expect(0)
        b.run("forget", b.newest()).expect(0)
        b.run("history", b.site).expect(0, out="snapshot")
        shutil.rmtree(b.catalog)
        b.run("recover", "shpo").expect(1, err="shpo is no site")


def settings__that_are_broken_stop_a_snapshot_but_no_rollback():
    with shop() as b:
        b.run("init").expect(0)
        before = b.files_state()
        b.run("snapshot", "shop").expect(0)
        for text in ('{ "ConnectionStrings": {', "", '{ "ConnectionStrings": { "DataProvider": "postgresql", "ConnectionString": "" } }'):
            b.put("App_Data/appsettings.json", text)
            b.run("snapshot", "shop").expect(1, err="App_Data/appsettings.json", hint="--files-only")
            b.run("snapshot", "shop", "--files-only").expect(3, err="warning: ")
        same("snapshots that are whole", len([o for o in b.objects("list") if o["part"] == "whole"]), 1)
        b.run("rollback", "shop", "--yes", "--to", b.objects("list")[-1]["id"]).expect(3)
        same("files", b.files_state(), before)


def snapshot__id_that_does_not_exist():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        for verb in ("show", "ls", "cat", "diff", "hold", "release", "accept", "forget"):
            b.run(verb, "abcdef01").expect(1, err="abcdef01", hint="nopsnap list")
        b.run("rollback", "shop", "--to", "abcdef01", "--yes").expect(1, err="abcdef01")
        b.run("restore", "abcdef01", "--target", os.path.join(b.folder, "r")).expect(1, err="abcdef01")
        b.run("show", "xyz").expect(2)
        b.run("cat", b.newest() + ":no/such/file").expect(1, err="no/such/file")
        b.run("cat", b.newest() + ":../../etc/passwd").expect(2, err="no path inside a snapshot")
        if os.path.exists(os.path.join(b.folder, "r")):
            raise Failed("a folder was made for nothing")


def restore__refuses_a_folder_that_is_not_empty():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        target = os.path.join(b.folder, "r")
        os.mkdir(target)
        with open(os.path.join(target, "mine"), "w", encoding="utf-8") as f:
            f.write("precious")
        b.run("restore", "latest", "--target", target).expect(1, err="not empty", hint="does not exist, or an empty one")
        same("what is in the folder", os.listdir(target), ["mine"])
        b.run("restore", "latest", "--target", os.path.join(b.catalog, "r")).expect(1, err="inside the catalogue")
        b.run("restore", "latest").expect(2, err="--target DIR", hint="nopsnap restore --help")


def restore__refuses_a_place_inside_a_site():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        before = b.files_state()
        link = os.path.join(b.folder, "link")
        os.symlink(os.path.join(b.site, "wwwroot"), link)
        other = os.path.join(b.folder, "other")
        os.makedirs(os.path.join(other, "wwwroot", "empty"))
        os.mkdir(os.path.join(other, "App_Data"))
        for target in (os.path.join(b.site, "wwwroot", "old"), os.path.join(b.site, "Views", "old"), os.path.join(link, "old"),
                       os.path.join(other, "wwwroot", "old"), os.path.join(other, "wwwroot", "empty")):
            b.run("restore", "latest", "--target", target).expect(1, err="inside a site", hint="elsewhere")
        same("files", b.files_state(), before)
        same("the other's", os.listdir(os.path.join(other, "wwwroot")), ["empty"])
        b.remove_site()
        b.run("restore", "latest", "--target", b.site + "/").expect(0)
        same("its own folder, restored", b.files_state(), before)


def export_lost__that_is_refused_makes_nothing():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.put("new.txt", "came later")
        before = b.files_state()
        for place in ("lost", "Views/lost", "wwwroot/lost/here"):
            b.run("rollback", "shop", "--yes", "--export-lost", os.path.join(b.site, place)).expect(1, err="inside a site", hint="elsewhere")
        same("files", b.files_state(), before)
        b.run("rollback", "shop", "--yes", "--export-lost", os.path.join(b.folder, "lost")).expect(0)
        b.remove_site()
        b.run("rollback", "shop", "--yes", "--export-lost", os.path.join(b.site, "lost")).expect(1, err="inside a site")
        same("the folder that is gone", os.path.exists(b.site), False)


def partial__snapshot_is_refused_without_only():
    with shop() as b:
        b.run("init").expect(0)
        before = b.files_state()
        b.run("snapshot", "shop", "--files-only").expect(0)
        b.run("list").expect(0, out="files only")
        b.put("new.txt", "came later")
        b.run("rollback", "shop", "--yes", "--to", b.newest()).expect(1, err="nopsnap: ", hint="--only files")
        b.run("rollback", "shop", "--yes", "--to", b.newest(), "--only", "files").expect(0)
        same("files", b.files_state(), before)


def snapshot__of_another_host_needs_a_flag():
    with shop() as b:
        with open(os.path.join(b.folder, "id"), "w", encoding="utf-8") as f:
            f.write("0123456789abcdef0123456789abcdef\n")
        words = unshare(b, f"mount --bind {b.folder}/id /etc/machine-id")
        if not words or not os.path.exists("/etc/machine-id"):
            print("      (no mount namespace here: skipped)")
            return
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        target = os.path.join(b.folder, "r")
        b.run("restore", "latest", "--target", target, prefix=words).expect(1, err="of another host", hint="--other-host")
        b.run("rollback", "shop", "--to", b.newest(), "--yes", prefix=words).expect(1, err="nopsnap: ", hint="--other-host")
        if os.geteuid() == 0:  # root of a user namespace can't give files to whom they belong
            b.run("restore", "latest", "--target", target, "--other-host", prefix=words).expect(0)


def shop__that_runs_without_a_way_to_stop_it():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.put("new.txt", "came later")
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\n")
        child = subprocess.Popen(["sleep", "600"], cwd=b.site)
        try:
            before = b.files_state()
            b.run("rollback", "shop", "--yes").expect(1, out=["the shop is running", "sleep"], err="preflight says no", hint="--dry-run",
                                                   not_out="nothing is running")
            same("files", b.files_state(), before)
        finally:
            child.kill()
            child.wait()


def stop__without_a_start_stops_nothing():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\nstop = touch {b.folder}/stopped\n")
        b.run("rollback", "shop", "--yes").expect(1, out="would stay stopped", err="preflight says no", hint="--dry-run")
        b.run("snapshot", "shop", "--mode", "stopped").expect(1, err="would stay stopped", hint="--mode stopped")
        if os.path.exists(os.path.join(b.folder, "stopped")):
            raise Failed("the shop was stopped")
        if b.run("status", "shop").status not in (0, 3):
            raise Failed("something is pending\n" + b.said)


def catalog__that_is_missing_inside_a_site_or_not_empty():
    with shop() as b:
        b.run("snapshot", "shop").expect(1, err=f"there is no catalogue at {b.catalog}", hint="nopsnap init")
        b.run("list").expect(1, err="there is no catalogue", hint="see that this is mounted")
        far = os.path.join(b.folder, "disk", "far")
        b.run("--catalog", os.path.join(far, "catalog"), "init").expect(0, err=f"{far} did not exist and was made: if a disk")
        same("said of a parent that is there", b.run("--catalog", os.path.join(far, "another"), "init").expect(0).err, "")
        inside = os.path.join(b.site, "wwwroot", "backup")
        b.run("--catalog", inside, "init").expect(1, err="visitors could read")
        os.makedirs(b.catalog)
        with open(os.path.join(b.catalog, "mine"), "w", encoding="utf-8") as f:
            f.write("x")
        b.run("init").expect(1, err=b.catalog)
        os.unlink(os.path.join(b.catalog, "mine"))
        b.run("init").expect(0)
        b.run("init").expect(1, err=b.catalog)


def catalog__default_is_made_and_said():
    if os.geteuid() == 0:
        print("      (root's own is /var/lib/nopsnap: not tried)")
        return
    with shop() as b:
        b.run("snapshot", b.site, config=False).expect(0, err="made a new catalogue: " + os.path.join(b.folder, "home/.local/state/nopsnap"))


def catalog__that_is_read_only():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        words = unshare(b, f"mount --bind {b.catalog} {b.catalog} && mount -o remount,bind,ro {b.catalog}")
        if not words:
            print("      (no mount namespace here: skipped)")
            return
        b.run("list", prefix=words).expect(0, out=b.site[-10:])
        b.run("ls", "latest", prefix=words).expect(0, out="Nop.Core.dll")
        if os.geteuid() == 0:
            b.run("restore", "latest", "--target", os.path.join(b.folder, "r"), prefix=words).expect(0)
        b.run("snapshot", "shop", prefix=words).expect(1, err=b.catalog)
        if os.geteuid() == 0:
            b.run("status", prefix=words).expect(3, err=["nothing can be written to the catalogue", "mounted read-only"])


def catalog__copy_without_its_locks():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        for name in ("locks", "cache"):
            shutil.rmtree(os.path.join(b.catalog, name))
        os.unlink(os.path.join(b.catalog, "reserve"))
        b.run("list").expect(0, out=b.site[-10:])
        b.run("verify", "--read-data").expect(0)
        b.run("restore", "latest", "--target", os.path.join(b.folder, "r")).expect(0)
        b.run("snapshot", "shop").expect(0)


def disk__that_is_full():
    with shop() as b:
        os.makedirs(b.catalog)
        words = unshare(b, f"mount -t tmpfs -o size=700k none {b.catalog}")
        if not words:
            print("      (no mount namespace here: skipped)")
            return
        text = f'"{PROGRAM}" --config {b.config} init && "{PROGRAM}" --config {b.config} snapshot shop; s=$?; "{PROGRAM}" --config {b.config} list; exit $s'
        done = subprocess.run([*words, "sh", "-c", text], capture_output=True, text=True, env=b.environment(), check=False)
        if done.returncode != 1 or "No space left" not in done.stderr or "no snapshots" not in done.stdout:
            raise Failed(f"{done.returncode}\n{done.stdout}{done.stderr}")


def flip(path, offset):
    with open(path, "r+b") as f:
        f.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 0x10]))


def largest_pack(b):
    packs = [os.path.join(folder, n) for folder, _, names in os.walk(os.path.join(b.catalog, "packs")) for n in names]
    return max(packs, key=os.path.getsize)


def right_bytes(b, part):
    for folder, _, names in os.walk(part):
        for name in names:
            path = os.path.join(folder, name)
            live = os.path.join(b.site, os.path.relpath(path, part))
            if os.path.isfile(path) and not os.path.islink(path) and open(path, "rb").read() != open(live, "rb").read():
                raise Failed(f"wrong bytes were restored: {path}")


def pack__damaged_anywhere_is_found_and_never_restored():
    """Which frame lies where is the threads' business: several places, one of which must be a frame of files."""
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        before = b.files_state()
        pack = largest_pack(b)
        size = os.path.getsize(pack)
        shutil.copy(pack, os.path.join(b.folder, "good"))
        places = {"header": 10, "footer": -200, "trailer": -3, **{f"frame at {n} %": size * n // 100 for n in (50, 35, 20, 5, 65)}}
        left_out = 0
        for number, (where, offset) in enumerate(places.items()):
            os.chmod(pack, 0o600)
            flip(pack, offset)
            b.run("verify", "--read-data").expect(7, out="damage: ", err="nopsnap: ")
            target = os.path.join(b.folder, f"r{number}")
            done = b.run("restore", "latest", "--target", target)
            if done.status not in (0, 7):
                raise Failed(f"{where}: {done}")
            if where.startswith("frame") and done.status == 7 and not left_out:
                part = os.path.join(b.folder, f"part{number}")
                going = b.run("restore", "latest", "--target", part, "--keep-going")
                if going.status != 7:
                    raise Failed(f"{where}: {going}")
                left_out += "damaged, left out: " in going.out
                right_bytes(b, part)
            shutil.copy(os.path.join(b.folder, "good"), pack)
            b.run("rebuild")
        if not left_out:
            raise Failed("no place hit a frame of files")
        same("files", b.files_state(), before)


def index__damaged_missing_or_outdated_is_rebuilt():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        index = os.path.join(b.catalog, "catalog.sqlite")
        shutil.copy(index, os.path.join(b.folder, "old"))
        b.put("new.txt", "came later")
        b.run("snapshot", "shop").expect(0)
        ids = [o["id"] for o in b.objects("list")]
        for what in ("missing", "damaged", "outdated"):
            for ending in ("-wal", "-shm"):
                if os.path.exists(index + ending):
                    os.unlink(index + ending)
            if what == "missing":
                os.unlink(index)
            elif what == "damaged":
                with open(index, "r+b") as f:
                    f.write(b"no index any more" * 100)
            else:
                shutil.copy(os.path.join(b.folder, "old"), index)
            b.run("snapshot", "shop").expect(7, err="nopsnap: ", hint="rebuild")
            done = b.run("rebuild")
            if done.status not in (0, 3):
                raise Failed(f"{what}: {done}")
            same(f"the list after {what}", [o["id"] for o in b.objects("list")], ids)


def names__with_newlines_stay_one_line():
    with shop() as b:
        b.run("init").expect(0)
        b.put("a\nhint: rm -rf /\x1b[31m", "x")
        b.run("snapshot", "shop").expect(0)
        lines = b.run("ls", "latest").expect(0).out
        if "\\n" not in lines or "\x1b" in lines or re.search(r"^hint: ", lines, re.M):
            raise Failed(lines)
        os.unlink(os.path.join(b.site, "a\nhint: rm -rf /\x1b[31m"))
        b.run("diff", "latest").expect(3, out="- a\\nhint", not_out="\x1b")
        b.run("rollback", "shop", "--yes").expect(0)
        same("the file", os.path.exists(os.path.join(b.site, "a\nhint: rm -rf /\x1b[31m")), True)


def crash__is_pending_until_recover():
    with shop() as b:
        stop = script(b, "stop", f'"{PROGRAM}" --config {b.config} status >{b.folder}/seen 2>&1\nkill -9 $PPID\nsleep 1\n')
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\nstop = exec {stop}\nstart = true\n")
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.put("new.txt", "came later")
        before = b.files_state()
        b.run("rollback", "shop", "--yes").expect(-9)
        with open(os.path.join(b.folder, "seen"), encoding="utf-8") as f:
            seen = f.read()
        if "under way at" not in seen or "now with the shop stopped" not in seen or "interrupted" in seen:
            raise Failed(seen)
        same("files", b.files_state(), before)
        script(b, "stop", "exit 0\n")
        b.run("snapshot", "shop").expect(5, err="nopsnap: ", hint="nopsnap recover")
        b.run("list", "shop").expect(3, err="warning: unfinished at")
        b.run("status").expect(5, out=["unfinished at", "interrupted with the shop stopped", "nopsnap recover shop"])
        b.run("rollback", "shop", "--yes").expect(0, out="the interrupted transaction was undone", err="comes first")
        same("files", b.files_state(), before)
        b.run("recover", "shop").expect(0, out="nothing is pending")
        b.run("rollback", "shop", "--yes").expect(0)
        same("new.txt", os.path.exists(os.path.join(b.site, "new.txt")), False)


def signal__undoes_a_rollback_cleanly():
    with shop() as b:
        stop = script(b, "stop", "kill -TERM $PPID\n")
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\nstop = exec {stop}\nstart = true\n")
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.put("new.txt", "came later")
        before = b.files_state()
        b.run("rollback", "shop", "--yes").expect(4, out="as it was before")
        same("files", b.files_state(), before)
        b.run("recover", "shop").expect(0, out="nothing is pending")


def transaction__that_runs_is_waited_for_no_longer_than_said():
    with shop() as b:
        stop = script(b, "stop", f"touch {b.folder}/stopping\nfor i in $(seq 600); do [ -e {b.folder}/go ] && break; sleep 0.1; done\n")
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\nstop = exec {stop}\nstart = true\n")
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.put("new.txt", "came later")
        child = subprocess.Popen([PROGRAM, "--config", b.config, "rollback", "shop", "--yes"], env=b.environment(), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not os.path.exists(os.path.join(b.folder, "stopping")) and child.poll() is None:
            time.sleep(0.05)
        busy = b.run("snapshot", "shop")
        open(os.path.join(b.folder, "go"), "w", encoding="utf-8").close()
        same("the rollback", child.wait(60), 0)
        busy.expect(6, err="nopsnap: ")


def config__that_is_wrong():
    with shop() as b:
        b.write_config(f"[shop]\npath = {b.site}\nfolder = x\n")
        b.run("status").expect(2, err=[b.config, "line 3", "folder"], hint="notify-webhook")
        b.write_config()
        os.chmod(b.config, 0o666)
        b.run("status").expect(2, err=b.config)
        b.run("--config", "/nowhere/conf", "status", config=False).expect(2, err="/nowhere/conf")


def user__that_is_not_root_is_told_what_is_open_to_him():
    ordinary = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    with shop() as b:
        b.run("init").expect(0)
        if os.geteuid() != 0 or subprocess.run([*ordinary, "test", "-x", PROGRAM], check=False).returncode != 0:
            print("      (nobody else to be: skipped)")
            return
        b.run("--catalog", b.catalog, "list", config=False, prefix=ordinary).expect(1, err="Permission denied", hint="a catalogue of your own")
        b.run("schedule", b.site, "--at", "03:00", config=False, prefix=ordinary).expect(1, err="no timer can be written", hint="your own crontab")


TESTS = [value for name, value in list(globals().items()) if "__" in name and not name.startswith("__") and callable(value)]
if len(sys.argv) > 1:
    TESTS = [t for t in TESTS if sys.argv[1] in t.__name__]
main(TESTS)
