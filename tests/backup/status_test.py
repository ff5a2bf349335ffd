#!/usr/bin/env python3
"""`nopsnap status`: the figures of a made history, what counts as a problem and when, exit statuses, stable objects."""
import os
import subprocess
import sys

from overview_support import Bench, DAY, NOW, Failed, Planted, main, same

TYPES = {"path": str, "name": str, "version": str, "state": str, "here": bool, "now_ns": int, "snapshots": int, "stored_bytes": int,
         "stored_bytes_week": int, "stored_bytes_month": int, "newest_ns": int, "newest_whole_ns": int, "newest_whole": str, "files": int, "bytes": int,
         "dump_bytes": int, "tables": int, "rows": int, "scheduled": bool, "expect_ms": int, "next_run_ns": int, "last_run_ns": int,
         "last_run_status": int, "last_drill_ns": int, "last_drill_status": int, "last_good_drill_ns": int, "last_good_drill_ms": int, "problems": list}


def site_of(b, status=0):
    found = [o for o in b.objects("status", status=status) if o["type"] == "site"]
    same("sites", len(found), 1)
    return found[0]


def codes(o):
    return [p["code"] for p in o["problems"]]


def status__tells_the_figures_of_what_there_is():
    with Planted() as b:
        o = site_of(b)
        for key, kind in TYPES.items():
            if type(o.get(key)) is not kind:
                raise Failed(f"{key} is {o.get(key)!r}")
        newest = (NOW - 3600) * 10**9
        same("state", (o["state"], o["name"], o["version"], codes(o)), ("well", "shop", "4.70.2", []))
        same("moments", (o["newest_ns"], o["newest_whole_ns"]), (newest, newest))
        same("no schedule", (o["scheduled"], o["next_run_ns"], o["next_is_expected"]), (False, 0, False))
        same("figures", (o["snapshots"], o["files"], o["bytes"], o["dump_bytes"]), (60, 8, 40000000 + 60 * 90000, 20000))
        same("rows", (o["tables"], o["rows"]), (3, 1000 + 180 + 5000 + 660 + 60))
        stored = [20000 + age % 7 * 4000 for age in range(60)]
        same("added", (o["stored_bytes"], o["stored_bytes_week"], o["stored_bytes_month"]), (sum(stored), sum(stored[:7]), sum(stored[:30])))
        same("a night may be two hours late", o["expect_ms"], 26 * 3600 * 1000)
        same("the last drill", o["last_good_drill_ns"], newest + (999 - DAY) * 10**9)
        for argv in (["status"], ["status", "shop"]):
            lines = b.run(*argv).expect(0).out.splitlines()
            same("too wide", [line for line in lines[:2] if len(line) > 80], [])
            if not lines[1].startswith("shop ") or not lines[1].endswith(" well") or "1 h" not in lines[1]:
                raise Failed(lines[1])
        b.run("-v", "status").expect(0, out=["6900 rows in 3 tables", "last proved restorable: ", "day, 20", ", 4 min 12 s"])


def late__is_judged_by_the_rhythm_or_by_what_is_expected():
    with Planted() as b:
        b.at(25 * 3600 - 1)
        same("in time", codes(site_of(b)), [])
        b.at(25 * 3600 + 1)
        o = site_of(b, status=3)
        same("too late", (codes(o), o["state"]), (["late"], "warning"))
        b.run("status").expect(3, out=["! the last good snapshot is", "nopsnap history shop"])
        b.more = "expect-every = 7d\n"
        b.write_config()
        same("weekly", codes(site_of(b)), [])
        o = site_of(b)
        same("expected", (o["scheduled"], o["next_run_ns"], o["next_is_expected"]), (True, (NOW - 3600 + 7 * DAY) * 10**9, True))
        b.run("status").expect(0, out=" ~5 d  well")
        b.more = "expect-every = 1h\n"
        b.write_config()
        b.at(0)
        same("half an hour more", codes(site_of(b)), [])
        b.at(1801)
        same("hourly", codes(site_of(b, status=3)), ["late"])
        b.at(-4 * DAY)
        same("a clock that was set back", codes(site_of(b, status=3)), ["clock"])
        b.more = "expect-every = often\n"
        b.write_config()
        b.run("status").expect(2, err=["expect-every", "line 7"])
    with Planted(every=3600) as b:
        same("an hourly rhythm", site_of(b)["expect_ms"], 5400 * 1000)
    with Planted(snapshots=1) as b:
        b.at(40 * 3600)
        same("one by hand is none", (codes(site_of(b)), site_of(b)["expect_ms"]), ([], 0))


def good__is_nothing_of_the_future():
    with Planted() as b:
        b.at(-80 * DAY)
        o = site_of(b, status=3)
        same("only such", (codes(o), o["newest_whole_ns"], o["next_run_ns"]), (["clock", "none-good"], 0, 0))


def rules__that_are_given_stand_for_keep_alone():
    with Planted() as b:
        b.more = "keep = daily 7\nkeep-before-upgrade = last 4\n"
        b.write_config()
        told = [o for o in b.objects("forget", "shop", "--keep", "last 1", "--dry-run") if o["type"] == "retention" and o["keep"]]
        same("kept", sorted(o["kind"] for o in told), ["before-upgrade"] * 4 + ["scheduled"])


def plan__of_a_run_is_one_object():
    with Planted(snapshots=3) as b:
        b.more = "keep = daily 7\ndrill = weekly\nafter-run = true\n"
        b.write_config()
        plan = {"type": "run_plan", "site": b.site, "forgets": True, "verify_budget": "10m", "verify_within": "30d", "drill": "weekly", "after_run": True}
        same("plan", [o for o in b.objects("run", "shop", "--dry-run") if o["type"] != "note"], [plan])


def never__is_said_where_there_is_nothing():
    with Planted(snapshots=0) as b:
        o = site_of(b, status=3)
        same("none", (codes(o), o["newest_ns"], o["expect_ms"], o["next_run_ns"]), (["none"], 0, 0, 0))
        b.run("status").expect(3, out=["never", "there is no snapshot yet", "nopsnap snapshot shop"])
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n")
        b.run("status").expect(0, out="no site is known")
        b.run("status", b.site).expect(3, out="there is no snapshot yet")


def damage__is_status_7_and_old_unread_data_is_told():
    with Planted(snapshots=3) as b:
        b.at(70 * DAY)
        b.run("status").expect(3, err="was not read for", out="old; expected")
        b.at(0)
        packs = subprocess.run(["find", os.path.join(b.catalog, "packs"), "-type", "f", "-size", "+8k"], capture_output=True, text=True, check=True)
        with open(packs.stdout.split()[0], "r+b") as f:
            f.seek(3000)
            f.write(b"\0" * 64)
        b.run("verify", "--read-data").expect(7)
        b.run("status").expect(7, err="damage", hint="nopsnap verify")


def damage__of_a_record_is_told_alike_and_ends_as_the_hint_says():
    """Of a snapshot that the rules then take out of the catalogue: no snapshot stores its record again."""
    with Bench(files=5) as b:
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\nstop = true\nstart = true\nkeep = last 1\n")
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        packs = os.path.join(b.catalog, "packs")
        record = min((os.path.join(folder, name) for folder, _, names in os.walk(packs) for name in names), key=os.path.getsize)
        b.run("snapshot", "shop").expect(0)  # what the run's is compared with
        with open(record, "rb") as f:
            whole = f.read()
        with open(record, "r+b") as f:
            f.seek(200)
            f.write(b"damaged")
        helps = "or move it away and run: nopsnap rebuild"
        b.run("run", "shop").expect(7, err="a pack of records", hint=helps)
        b.run("status").expect(7, err="has damage")
        b.run("verify").expect(7, err="1 place, no file touched", hint=helps)
        with open(record, "r+b") as f:
            f.write(whole)
        b.run("verify").expect(0)
        b.run("prune", "--dry-run").expect(0)
        with open(record, "r+b") as f:
            f.seek(200)
            f.write(b"damaged")
        b.run("prune").expect(7, hint=helps)
        b.run("status").expect(7)
        os.rename(record, os.path.join(b.folder, "aside"))
        b.run("rebuild").expect(3, err="is gone, and the snapshot")
        b.run("run", "shop").expect(0)
        b.run("status").expect(0)


def weekly_runs__read_all_in_time_and_blame_nothing():
    """One large old pack, and small ones that each week brings: all is read in thirty days and a week, and nobody is told of a budget that suffices."""
    with Bench(files=5) as b:
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\nstop = true\nstart = true\nkeep = last 3, weekly 5\n")
        b.clock(NOW)
        b.run("init").expect(0)
        read = []
        for week in range(12):
            b.clock(NOW + week * 7 * DAY)
            with open(os.path.join(b.site, f"picture{week}"), "wb") as f:
                f.write(os.urandom(200000 if week else 3400000))
            read += [o["verified_bytes"] for o in b.objects("run", "shop") if o["type"] == "run"]
            unread = [o["oldest_unread_ns"] for o in b.objects("status") if o["type"] == "catalog_status"][0]
            if unread < (NOW + (week * 7 - 30) * DAY) * 10**9:
                raise Failed(f"in week {week} something was unread since {unread}")
        same("weeks in which the large one was read", [week for week, n in enumerate(read) if n > 3400000], [4, 8])


def metrics__are_what_a_parser_reads():
    sys.path.append("/usr/lib/python3/dist-packages")  # where Debian puts it, whatever python3 this is
    from prometheus_client.parser import text_string_to_metric_families
    odd = 'sh"o\\p\n<b>'
    with Planted(snapshots=12, name=odd) as b:
        file = os.path.join(b.folder, "nopsnap.prom")
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n")
        os.umask(0o077)
        b.run("status", "--metrics", file).expect(0)
        same("mode", oct(os.stat(file).st_mode & 0o777), "0o644")
        with open(file, encoding="utf-8") as f:
            families = {f.name: f for f in text_string_to_metric_families(f.read())}
        for family in families.values():
            if family.type != "gauge" or not family.documentation or not family.name.startswith("nopsnap_"):
                raise Failed(f"{family}")
            same(f"path of {family.name}", [s.labels["path"] for s in family.samples if s.labels],
                 [b.site.replace("\n", "\\n")] * len([s for s in family.samples if s.labels]))
        value = {name: f.samples[0].value for name, f in families.items() if f.samples}
        same("the newest", value["nopsnap_site_last_good_snapshot_timestamp_seconds"], NOW - 3600)
        same("written", value["nopsnap_written_timestamp_seconds"], NOW)
        same("bytes", value["nopsnap_site_files_bytes"], 40000000 + 12 * 90000)
        same("may be", value["nopsnap_site_expected_age_seconds"], 26 * 3600)
        same("the last proof took", value["nopsnap_site_last_good_drill_duration_seconds"], 252.25)
        same("no trial", "nopsnap_site_trial_end_timestamp_seconds" in value, False)
        same("left over", [n for n in os.listdir(b.folder) if n.startswith(".")], [])
        b.run("status", "--metrics", "/nowhere/x.prom").expect(1, err="/nowhere")
        b.run("status", b.site, "--metrics", file).expect(2)
        served = os.path.join(b.folder, "copy", "wwwroot")
        os.makedirs(served)
        os.makedirs(os.path.join(b.folder, "copy", "App_Data"))
        b.run("status", "--metrics", os.path.join(served, "x.prom")).expect(1, err="visitors could read it", hint="elsewhere")
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\nmetrics-file = {served}/x.prom\n")
        b.run("status").expect(3, out="STATE", err=f"{served}/x.prom is inside a site")
        same("written", os.listdir(served), [])
        os.remove(file)
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\nmetrics-file = {file}\n")
        b.run("-q", "--json", "status").expect(0)
        same("by the config", os.path.exists(file), True)


main([value for name, value in list(globals().items()) if "__" in name and not name.startswith("__")])
