#!/usr/bin/env python3
"""Restore drills on a real server: one that is good, damage, rows that differ, a kill in the middle, a right that is missing, and runs that drill when it is due.

    drill_test.py postgresql|mysql
"""
import os
import signal
import subprocess
import sys
import time

from cli_support import PROGRAM, Bench, Failed, main, same

DAY = 86400
START = 1_780_000_000


def left(b):
    """What a drill makes: in the catalogue, in a folder of the owner's choice, on the server."""
    there = [n for n in os.listdir(b.catalog) if n.startswith("drill")]
    if os.path.isdir(b.scratch):
        there += os.listdir(b.scratch)
    return there + [n for n in b.server.others() if "nopsnap" in n]


def drills(b):
    return [o for o in b.objects("history", "shop") if o["what"] == "drill"]


def prove_a_good_one(b):
    before = b.state()
    b.run("drill", "shop").expect(0, out=["proved restorable: ", " files, ", " tables, ", " rows", f"snapshot {b.newest()[:8]}"])
    same("left", left(b), [])
    same("the shop", b.state(), before)


def drill__proves_or_tells():
    with Bench(sys.argv[1], files=60) as b:
        b.scratch = os.path.join(b.folder, "scratch")
        b.run("init").expect(0)
        b.run("drill", "shop").expect(1, err="no good snapshot", hint="nopsnap snapshot")
        b.run("snapshot", "shop").expect(0)
        prove_a_good_one(b)


if __name__ == "__main__":
    main([drill__proves_or_tells])
