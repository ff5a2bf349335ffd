#!/usr/bin/env python3
"""Rollbacks of a shop whose pictures lie outside its folder: the real program on a real server.

    pictures_test.py --program nopsnap --engine postgresql|mysql [NAME...]
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import rollback_test  # noqa: E402
from rollback_test import OLD_ENOUGH, back, check, configure, done, figures, harness, is_state, script  # noqa: E402

UPLOADED = "9000001_0.jpeg"  # after the snapshot
LOST = "0000001_0.jpeg"  # since the snapshot


def tagged_undone(shop):
    return [s for s in shop.list() if "undone" in shop.must("show", s).split()]


def pictures_in(shop, snapshot):
    """Names in the snapshot's root of pictures."""
    target = tempfile.mkdtemp(prefix="out", dir=shop.folder)
    shop.must("restore", snapshot, "--target", os.path.join(target, "r"))
    names = os.listdir(os.path.join(target, "r", "pictures"))
    shutil.rmtree(target)
    return names


# ---- tests ----

def rollback__takes_the_pictures_along_and_back(shop):
    shop.must("rollback", "shop", "--to", shop.target, "--dry-run")
    check(f"{shop.pictures} lies outside the site" in shop.said, shop.said)
    check(back(shop) in (0, 3), shop.said)
    is_state(shop, "new")
    safety = shop.list()[0]
    check(UPLOADED in pictures_in(shop, safety), "what was taken away is saved")
    done(shop)
    check(shop.run("rollback", "shop", "--yes", "--to", safety) in (0, 3), shop.said)
    is_state(shop, "old")
    done(shop)


def renewal__the_next_snapshot_reads_no_picture(shop):
    """What a rollback wrote is known, outside the site too; what was uploaded since is not."""
    configure(shop, stop=script(shop, "stop20", OLD_ENOUGH), start=f"touch {shop.pictures}/8000000_0.jpeg")
    check(back(shop) in (0, 3), shop.said)
    configure(shop, stop="true", start="true")
    taken = figures(shop, "snapshot", "snapshot", "shop")
    check(taken["files_read"] == 1, taken["files_read"], "of", taken["files"], "files were read")


def rollback__only_the_files_saves_the_pictures_too(shop):
    """Without a dump only the journal knows where they are."""
    code = back(shop, "--only", "files")
    check(code in (0, 3), code, shop.said)
    check(os.path.exists(os.path.join(shop.pictures, LOST)) and not os.path.exists(os.path.join(shop.pictures, UPLOADED)), "they went back")
    check(UPLOADED in pictures_in(shop, shop.list()[0]), "what was taken away is saved")
    done(shop)


def rollback__undone_after_the_start_saves_its_own_pictures(shop):
    """What the new shop wrote is in the snapshot tagged undone, not the old shop's pictures."""
    mark = os.path.join(shop.folder, "tried")
    if os.path.exists(mark):
        os.unlink(mark)
    start = script(shop, "start", f"[ -e {mark} ] && exit 0; touch {mark}; echo new >{shop.pictures}/5000000_0.jpeg; exit 1\n")
    configure(shop, stop="true", start=start)
    code = back(shop)
    check(code == 4, "exit", code, shop.said)
    is_state(shop, "old")
    done(shop)
    undone = tagged_undone(shop)
    check(len(undone) == 1, "what ran for a moment is a snapshot:", shop.said)
    names = pictures_in(shop, undone[0])
    check("5000000_0.jpeg" in names and LOST in names and UPLOADED not in names, names)


def rollback__brings_back_pictures_that_are_gone_altogether(shop):
    shutil.rmtree(shop.pictures)
    check(back(shop) in (0, 3), shop.said)
    is_state(shop, "new")
    done(shop)


def rollback__pictures_on_a_mount_are_refused_before_the_stop(shop):
    """At the folder an exchange fails, below it the mount would go away with it."""
    stopped = os.path.join(shop.folder, "stopped")
    configure(shop, stop=f"touch {stopped}", start="true")
    below = os.path.join(shop.pictures, "below")
    os.mkdir(below)
    for place in (shop.pictures, below):
        if subprocess.run(["mount", "-t", "tmpfs", "none", place], capture_output=True, check=False).returncode:
            print("no mounts here (not root?): not tested")
            return
        try:
            code = back(shop)
        finally:
            subprocess.run(["umount", place], check=True)
        check(code == 1 and "mount point" in shop.said, "exit", code, shop.said)
        check(not os.path.exists(stopped), "the shop was stopped")


def rollback__pictures_that_another_site_uses_are_refused(shop):
    """Known by that site's newest snapshot."""
    other = os.path.join(shop.folder, "www", "other")
    subprocess.run(["cp", "-a", shop.site, other], check=True)
    shop.must("snapshot", other)
    code = back(shop)
    check(code == 1 and "the same pictures" in shop.said, "exit", code, shop.said)
    code = back(shop, "--shared")
    check(code in (0, 3), "exit", code, shop.said)
    is_state(shop, "new")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--program", default=os.environ.get("NOPSNAP_PROGRAM"))
    p.add_argument("--engine", default="postgresql")
    p.add_argument("names", nargs="*")
    args = p.parse_args()
    missing = harness.missing(args.engine)
    if missing:
        print(f"skipped: {missing}")
        return 77
    tests = [f for name, f in globals().items() if "__" in name and callable(f) and not name.startswith("_")]
    if args.names:
        tests = [f for f in tests if f.__name__ in args.names]
    folder = harness.scratch.folder("npp")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server goes too
    try:
        with harness.Shop(args.engine, args.program, folder, pictures=os.path.join(folder, "media", "pictures")) as shop:
            return rollback_test.run_all(tests, shop)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
