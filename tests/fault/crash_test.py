#!/usr/bin/env python3
"""Fail and kill nopsnap at every call that changes a disk, files and database together, and check P1 after each.

    crash_test.py --program nopsnap --faultlib faultlib.so [--engine postgresql|mysql|sqlserver] [--verb rollback] [--sample N] [--random N]
                  [--in-place] [--upgrade [--via]] [--steps N] [--statements N] [--budget SECONDS] [--seed S] [--report FILE]

Exit status 77 when the server that is asked for is not installed.

For each case: the wrecked shop and its good snapshot; one verb with one fault; after some of the kills the machine starts again (no
process is left, the server recovers, the shop starts where the fence lets it); then `recover`, itself killed in some cases and repeated; then the shop must be exactly the old state or exactly the new one, a further snapshot must succeed, nothing of a
transaction may be left, and `verify` must find the catalogue whole.
"""
import argparse
import os
import random
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

ERRORS = ("ENOSPC", "EIO", "EINTR", "SHORT", "KILL", "KILL;when=after")


class Failed(Exception):
    pass


def argv_of(shop, verb):
    return {"upgrade": shop.upgrade_argv(), "back": ("rollback", "shop", "--yes"), "confirm": ("confirm", "shop"),
            "rollback": ("rollback", "shop", "--to", shop.target, "--yes"), "snapshot": ("snapshot", "shop"),
            "prune": ("prune", "--max-unused", "0%"), "recover": ("recover", "shop"), "again": ("recover", "shop")}[verb]


def count_calls(shop, verb, paths):
    prepare(shop, verb, random.Random(1))
    log = os.path.join(shop.folder, "count.log")
    code = shop.run(*argv_of(shop, verb), fault=f"nth=0;log={log};paths={paths}")
    if code not in (0, 3):
        raise Failed(f"the clean run of {verb} ended with {code}: {shop.said}")
    with open(log, encoding="utf-8") as f:
        total = int([line for line in f if line.startswith("total")][-1].split()[1])
    os.unlink(log)
    return total


def notes(shop):
    """The files by which a transaction knows itself: journal, decision, kept, fence."""
    folder = os.path.join(os.path.dirname(shop.site), ".nopsnap-shop")
    return ":".join([folder + "/" + n for n in ("journal", "decision", "kept", "fence", ".nopsnap-draft")])


def prepare(shop, verb, rnd):
    shop.reset()
    if verb == "recover":  # something to recover from: a rollback killed somewhere
        shop.run(*argv_of(shop, "rollback"), fault=f"nth={rnd.randint(shop.rollback_calls // 3, shop.rollback_calls)};errno=KILL;paths={shop.folder}")
    if verb in ("back", "confirm"):  # an upgrade in its trial
        shop.must(*argv_of(shop, "upgrade"))
    if verb == "again":    # an upgrade that was killed somewhere
        shop.run(*argv_of(shop, "upgrade"), fault=f"nth={rnd.randint(shop.rollback_calls // 3, shop.rollback_calls)};errno=KILL;paths={shop.folder}")
    if verb == "prune":    # something to prune: a snapshot more, and forgotten
        shop.must("snapshot", "shop")
        shop.must("forget", shop.list()[0])


def perhaps_reboot(shop, rnd):
    """A third of the kills are of the whole machine. The model of SQL Server has no disk to come back from."""
    if rnd.random() < 0.33 and hasattr(shop.server, "crash"):
        shop.reboot()


def recover(shop, rnd, context):
    """Sometimes recovery is killed too; it may be run any number of times."""
    for _ in range(3):
        if rnd.random() < 0.3 and shop.run("recover", "shop", fault=f"nth={rnd.randint(1, 40)};errno=KILL;paths={shop.folder}") < 0:
            perhaps_reboot(shop, rnd)
    code = shop.run("recover", "shop")
    if code not in (0, 3):
        raise Failed(f"{context}: recover ended with {code}: {shop.said}")


def check(shop, verb, code, context, rnd):
    said = shop.said
    if code < 0:
        perhaps_reboot(shop, rnd)
    if code < 0 or code == 5 or verb in ("recover", "again") or code >= 128:
        recover(shop, rnd, context)
    state = shop.state()
    expected = {0: ("new",), 3: ("new",), 1: ("old",), 2: ("old",), 4: ("old",), 6: ("old",), 7: ("old",)}.get(code, ("old", "new"))
    if verb in ("snapshot", "prune"):
        expected = ("old",)
    if verb in ("recover", "again"):
        expected = ("old", "new")
    if verb == "back":  # it goes from the new one to the old one
        expected = {"old": ("new",), "new": ("old",)}[expected[0]] if len(expected) == 1 else expected
    if verb == "confirm":
        expected = ("new",)
    if state not in expected:
        raise Failed(f"{context}: exit {code}, then the shop is {state}\n{said}")
    code = shop.run("snapshot", "shop")
    if code == 7 and "rebuild" in shop.said:
        if shop.run("rebuild") not in (0, 3):
            raise Failed(f"{context}: rebuild: {shop.said}")
        code = shop.run("snapshot", "shop")
    if code not in (0, 3):
        raise Failed(f"{context}: the next snapshot ended with {code}: {shop.said}\nbefore: {said}")
    if shop.release and shop.run("confirm", "shop") not in (0, 1, 3):  # 1: there is no trial
        raise Failed(f"{context}: confirm ended with {code}: {shop.said}\nbefore: {said}")
    left = shop.leftovers()
    if left:
        raise Failed(f"{context}: left over: {left}\n{said}")
    if shop.run("verify", "--read-data") not in (0, 3):
        raise Failed(f"{context}: verify: {shop.said}")
    if shop.target not in shop.list():
        raise Failed(f"{context}: the snapshot {shop.target} is gone")
    return state


def count_outcome(shop, tally, verb, fault, code, state):
    key = (verb, fault + (", reboot" if shop.rebooted else ""), code, state)
    tally[key] = tally.get(key, 0) + 1


def one(shop, verb, fault, rnd, tally, paths=None):
    prepare(shop, verb, rnd)
    code = shop.run(*argv_of(shop, verb), fault=f"{fault};paths={paths or shop.folder}")
    state = check(shop, verb, code, f"{verb} with {fault}" + (" on the journal" if paths else ""), rnd)
    count_outcome(shop, tally, verb, ("journal " if paths else "") + fault.split("errno=")[-1].replace(";when=", " "), code, state)


def one_step(shop, verb, fault, rnd, tally):
    one(shop, verb, fault, rnd, tally, notes(shop))


def one_kill(shop, verb, delay, rnd, tally):
    prepare(shop, verb, rnd)
    code = shop.run(*argv_of(shop, verb), kill_after=delay)
    state = check(shop, verb, code, f"{verb} killed after {delay:.3f} s", rnd)
    count_outcome(shop, tally, verb, "KILL at random", code, state)


STATEMENT_FAULTS = ({"drop": True}, {"drop": True, "done": True}, {"kill": True}, {"kill": True, "done": True}, {"error": 1205, "severity": 13})


def one_statement(shop, verb, what, rnd, tally):
    """A batch of the rollback fails at the server: before it did anything, or after it did all and before anybody heard of it."""
    nth, fault = what
    prepare(shop, verb, rnd)
    shop.server.endpoint.faults(match="", skip=nth, **fault)
    code = shop.run(*argv_of(shop, verb))
    shop.server.endpoint.faults()
    state = check(shop, verb, code, f"{verb} with {fault} at batch {nth}", rnd)
    count_outcome(shop, tally, verb, "batch " + " ".join(k for k in fault if k != "severity"), code, state)


def count_statements(shop, verb):
    prepare(shop, verb, random.Random(1))
    before = len(shop.server.endpoint.log("batch"))
    if shop.run(*argv_of(shop, verb)) not in (0, 3):
        raise Failed(f"the clean run of {verb} failed: {shop.said}")
    return len(shop.server.endpoint.log("batch")) - before


# Of the time that is left, when it is bounded: a rollback has the most steps, and the most to lose.
SHARES = {"rollback": 9, "recover": 6, "snapshot": 3, "prune": 2, "upgrade": 9, "back": 6, "again": 6, "confirm": 3}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--program", required=True)
    p.add_argument("--faultlib", required=True)
    p.add_argument("--engine", default="postgresql")
    p.add_argument("--in-place", action="store_true", help="the shop's login may make no other database")
    p.add_argument("--upgrade", action="store_true", help="verbs upgrade, again (its recovery), back (its rollback in the trial), confirm")
    p.add_argument("--via", action="store_true", help="with --upgrade: by way of another release")
    p.add_argument("--verb", action="append")
    p.add_argument("--sample", type=int, default=0, help="cases a verb, drawn by seed; 0: every call with every error")
    p.add_argument("--random", type=int, default=0, help="kills at random moments, a verb")
    p.add_argument("--steps", type=int, default=0, help="kills before and after calls on the journal and its like, a verb; -1: all of them")
    p.add_argument("--statements", type=int, default=0, help="of SQL Server's model: batches that fail, a verb; -1: all of them")
    p.add_argument("--budget", type=float, default=0, help="seconds after which no further case is begun; the order is drawn by seed")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--keep-going", action="store_true")
    p.add_argument("--report")
    args = p.parse_args()
    missing = harness.missing(args.engine)
    if missing:
        print(f"skipped: {missing}")
        return 77
    folder = harness.scratch.folder("npc")
    tally, failures = {}, []
    begun = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server goes too
    try:
        with harness.Shop(args.engine, args.program, folder, args.faultlib, in_place=args.in_place, upgrade=args.upgrade, via=args.via) as shop:
            shop.rollback_calls = count_calls(shop, "upgrade" if args.upgrade else "rollback", folder)
            verbs = args.verb or (("upgrade", "again", "back", "confirm") if args.upgrade else ("rollback", "recover", "snapshot", "prune"))
            for n, verb in enumerate(verbs):
                now = time.monotonic()
                share = SHARES[verb] / sum(SHARES[v] for v in verbs[n:])
                run_verb(shop, verb, args, now + (begun + args.budget - now) * share if args.budget else None, tally, failures)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for key in sorted(tally, key=str):
        print(*key, tally[key])
    if args.report:
        report(args, tally, failures)
    return 1 if failures else 0


def plan_of(shop, verb, args, rnd):
    """The cases in the order of their worth: steps of the journal, kills at random, then every call with every error, drawn by seed."""
    steps = []
    if args.steps and verb in ("rollback", "recover", "upgrade", "again", "back", "confirm"):
        calls = count_calls(shop, verb, notes(shop))
        steps = [(one_step, f"nth={n};errno={e}") for n in range(1, calls + 1) for e in ("KILL", "KILL;when=after")]
        rnd.shuffle(steps)
        if args.steps > 0:
            steps = steps[:args.steps]
    if args.statements and verb in ("rollback", "recover"):
        batches = count_statements(shop, verb)
        more = [(one_statement, (n, f)) for n in range(batches) for f in STATEMENT_FAULTS]
        rnd.shuffle(more)
        steps += more[:args.statements] if args.statements > 0 else more
    total = count_calls(shop, verb, shop.folder)
    every = [(one, f"nth={n};errno={e}") for n in range(1, total + 1) for e in ERRORS]
    rnd.shuffle(every)
    if args.sample:
        every = every[:args.sample]
    kills = [(one_kill, rnd.random() * 1.5) for _ in range(args.random)]
    print(f"{args.engine} {verb}: {total} calls, {len(steps)} steps of the journal and batches, {len(kills)} kills at random, "
          f"{len(every)} faults; seed {args.seed}", flush=True)
    return steps + kills + every


def run_verb(shop, verb, args, until, tally, failures):
    rnd = random.Random(f"{args.seed} {args.engine} {verb}")
    work = plan_of(shop, verb, args, rnd)
    done = 0
    for act, what in work:
        if until and time.monotonic() > until:
            break
        done += 1
        try:
            act(shop, verb, what, rnd, tally)
        except Failed as e:
            failures.append(str(e))
            print(f"FAILED {e}", flush=True)
            if not args.keep_going:
                raise SystemExit(1) from None
    print(f"{args.engine} {verb}: {done} of {len(work)} cases", flush=True)
    tally[(verb, "cases", "of", len(work))] = done


def report(args, tally, failures):
    with open(args.report, "a", encoding="utf-8") as f:
        for key in sorted((k for k in tally if k[1] == "cases"), key=str):
            f.write(f"\n{args.engine}, `{key[0]}`: {tally[key]} cases of {key[3]}, seed {args.seed}.\n")
        f.write("\n| engine | verb | fault | exit status | the shop is then | cases |\n|---|---|---|---|---|---|\n")
        for key in sorted((k for k in tally if k[1] != "cases"), key=str):
            f.write(f"| {args.engine} | {' | '.join(str(k) for k in key)} | {tally[key]} |\n")
        for failure in failures:
            f.write("\nFAILED: " + failure.splitlines()[0] + "\n")


if __name__ == "__main__":
    sys.exit(main())
