#!/usr/bin/env python3
"""The logical dump of a SQL Server beside a plain FreeTDS fetch loop over the same rows, in the same run.

    sqlserver.py --program nopsnap [--rows 100000] [--runs 5]

The server is the model of tests/tds, or the one that NOPSNAP_TEST_SQLSERVER names. The model is slow: beside the ratio of wall times, which
it mostly makes, stands that of the processor times of the two clients, which it does not touch.
"""
import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "fault"))
import harness  # noqa: E402

TABLE = "Bench"
BATCH = 5000


def measured(argv, **options):
    """Wall time, processor time, peak memory in MiB, output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    since = time.monotonic()
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    out, err = child.communicate()
    if child.returncode not in (0, 3):
        raise SystemExit(f"{argv}: {child.returncode}\n{out}{err}")
    wall = time.monotonic() - since
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, out


def peak_of(argv):
    """GNU time's word for the one process, since RUSAGE_CHILDREN has the largest of all that ever were."""
    run = subprocess.run(["/usr/bin/env", "time", "-f", "%M", *argv], capture_output=True, text=True, check=True)
    return int(run.stderr.split()[-1]) / 1024


def fill(server, folder, rows):
    server.sql(f"CREATE TABLE {TABLE} (Id int NOT NULL, Name nvarchar(200) NOT NULL, Price decimal(18, 4) NOT NULL, Seen datetime2(7) NULL, Note nvarchar(max) NULL,"
               f" CONSTRAINT PK_{TABLE} PRIMARY KEY (Id))")
    path = os.path.join(folder, "rows")
    with open(path, "w", encoding="utf-8") as f:
        for i in range(rows):
            f.write(f"{i}\tA product by the name of {i * 7919 % rows}\t{i % 900}.25\t2026-01-{1 + i % 28:02d} 10:11:12.1234567\t{'It has a text of some length. ' * (i % 5)}\n")
    with open(os.path.join(folder, "password"), "w", encoding="utf-8") as f:
        f.write(server.password)
    subprocess.run(["freebcp", f"{server.database}.dbo.{TABLE}", "in", path, "-c", "-S", "test", "-U", server.user, "-P", server.password, "-b", str(BATCH)],
                   env={**os.environ, "FREETDSCONF": server.conf}, check=True, stdout=subprocess.DEVNULL)
    found = int(server.sql(f"SELECT COUNT(*) FROM {TABLE}")[0][0])
    if found != rows:
        raise SystemExit(f"{found} of {rows} rows were loaded")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--program", default=os.environ.get("NOPSNAP_PROGRAM"))
    p.add_argument("--rows", type=int, default=100000)
    p.add_argument("--runs", type=int, default=5)
    args = p.parse_args()
    folder = tempfile.mkdtemp(prefix="npb", dir="/tmp")
    loop = os.path.join(folder, "fetch_loop")
    subprocess.run(["cc", "-O2", "-o", loop, os.path.join(HERE, "fetch_loop.c"), "-lsybdb"], check=True)
    try:
        with harness.Shop("sqlserver", args.program, folder) as shop:
            server = shop.server
            fill(server, folder, args.rows)
            tables = [row[0] for row in server.sql("SELECT name FROM sys.tables WHERE schema_id = SCHEMA_ID('dbo')")]
            plain = [loop, "test", server.user, os.path.join(folder, "password"), server.database, *tables]
            dump = [args.program, "--config", os.path.join(folder, "config"), "-q", "snapshot", "shop", "--database-only"]
            walls, times = ([], []), ([], [])
            for run in range(args.runs):
                for n, (argv, env) in enumerate(((plain, {**os.environ, "FREETDSCONF": server.conf}), (dump, None))):
                    wall, processor, out = measured(argv, env=env)
                    walls[n].append(wall)
                    times[n].append(processor)
                    if n == 0 and run == 0:
                        print(f"{args.rows} rows of {TABLE}; of all tables {out.split()[0]} rows, {int(out.split()[1]) / 1e6:.1f} MB")
            wall, processor = [statistics.median(w) for w in walls], [statistics.median(t) for t in times]
            print(f"wall       loop {wall[0]:.2f} s, nopsnap {wall[1]:.2f} s: {wall[0] / wall[1]:.2f} of the loop's throughput")
            print(f"processor  loop {processor[0]:.2f} s, nopsnap {processor[1]:.2f} s")
            print(f"memory     nopsnap {peak_of(dump):.0f} MiB")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
