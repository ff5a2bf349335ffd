#!/usr/bin/env python3
"""How long is a shop closed for an upgrade, and what of that is nopsnap's own?

    upgrade.py [--engine postgresql|mysql] [--files N] [--pictures N]... [--rows N] [--runs N]

A stand-in for nopCommerce is upgraded and taken back in the trial, for each number of pictures. From stop to start, of which the database's copy
(its dump and load, and `cp` of the server's data folder beside it) and the wait for the new shop (its migrations) are told apart; the rest is
nopsnap's own.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "fixture"))
import standin_release  # noqa: E402
from standin_bench import StandIn  # noqa: E402

PROGRAM = os.environ.get("NOPSNAP_PROGRAM") or os.path.join(HERE, "..", "build", "gcc", "cli", "nopsnap")
CLOSED_FROM, COPYING, WAITING = "stopping the shop", ("dumping the database", "loading the database", "counting its rows", "copying the database"), "waiting for the new shop"


def plant_pictures(shop, count):
    folder = shop.path("wwwroot/images")
    body = os.urandom(2000)
    for n in range(count):
        with open(os.path.join(folder, f"{9000000 + n:07d}_0.jpeg"), "wb") as f:
            f.write(b"\xff\xd8" + n.to_bytes(4, "little") + body)


def nopsnap(shop, config, *argv):
    out = subprocess.run([PROGRAM, "--config", config, "--json", *argv], env=shop.units.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if out.returncode not in (0, 3):
        sys.exit(f"{argv}: {out.returncode}\n{out.stdout}{out.stderr}")
    shop.pool.close()
    return [json.loads(line) for line in out.stdout.splitlines()]


def parts(steps):
    """(copy, own) in ms, of the time in which the shop is closed."""
    names = [s["name"] for s in steps]
    closed = steps[names.index(CLOSED_FROM):names.index(WAITING)]
    copy = sum(s["ms"] for s in closed if s["name"] in COPYING)
    return copy, sum(s["ms"] for s in closed) - copy


def data_folder_copy(shop):
    source = shop.server.dir
    target = shop.folder + "/datacopy"
    since = time.monotonic()
    subprocess.run(["sh", "-c", f"cp -a {source} {target} 2>/dev/null; sync -f {target}"], check=False)
    took = (time.monotonic() - since) * 1000
    subprocess.run(["rm", "-rf", target], check=True)
    return took


def grow(shop, rows):
    for _ in range(rows // 1000):
        shop.run('insert into "Log" ("LogLevelId", "ShortMessage", "FullMessage", "CreatedOnUtc") values ' + ", ".join(
            f"(20, 'row', '{os.urandom(250).hex()}', '2026-01-01')" for _ in range(1000)))


def measure(args, pictures):
    with StandIn(args.engine, "4.60.3", files=args.files) as shop:
        plant_pictures(shop, pictures)
        grow(shop, args.rows)
        config = os.path.join(shop.folder, "config")
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"[nopsnap]\ncatalog = {shop.folder}/catalog\n[shop]\npath = {shop.site}\nservice = nop.service\nurl = http://127.0.0.1:{shop.port}/\n")
        release = os.path.join(shop.folder, "release")
        standin_release.make_release(release, "4.70.2", files=args.files, archive=release + ".tar")
        nopsnap(shop, config, "init")
        shop.start()
        seen = {"copy": [], "own": [], "back": [], "cp": []}
        for _ in range(args.runs):
            nopsnap(shop, config, "snapshot", "shop")
            time.sleep(2.1)
            up = [o for o in nopsnap(shop, config, "upgrade", "shop", release + ".tar", "--yes") if o["type"] == "upgrade"][0]
            if args.verbose:
                for s in up["steps"]:
                    print(f"    {s['ms']:6d} {s['name']}")
            copy, own = parts(up["steps"])
            back = [o for o in nopsnap(shop, config, "rollback", "shop", "--yes") if o["type"] == "rollback"][0]
            for key, value in (("copy", copy), ("own", own), ("back", back["down_ms"]), ("cp", data_folder_copy(shop))):
                seen[key].append(value)
        m = {k: statistics.median(v) for k, v in seen.items()}
        print(f"| {args.engine} | {args.files} | {pictures} | {m['own'] / 1000:.2f} s | {m['copy'] / 1000:.2f} s, {m['copy'] / m['cp']:.2f} × cp | {m['back'] / 1000:.2f} s |", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--engine", default="postgresql")
    p.add_argument("--files", type=int, default=5000)
    p.add_argument("--pictures", type=int, action="append")
    p.add_argument("--rows", type=int, default=0, help="more rows in the table Log, each of half a KiB")
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--verbose", action="store_true")
    args = p.parse_args()
    print("| engine | files | pictures | closed by nopsnap itself | copy of the database | closed for a rollback in the trial |\n|---|---|---|---|---|---|")
    for pictures in args.pictures or [20000, 200000]:
        measure(args, pictures)


main()
