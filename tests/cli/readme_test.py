#!/usr/bin/env python3
"""The README's transcript is what really happens: every ```console block is run, in order, on a shop with a PostgreSQL database.

    readme_test.py            compare; ids, moments, sizes and durations may differ
    readme_test.py --write    put what was seen into the README

Runs as root only (exit 77 otherwise): an ordinary user can't look at every process, and the plan says so.
"""
import os
import re
import subprocess
import sys
import time

from cli_support import HERE, PROGRAM, Bench

README = os.path.join(HERE, "..", "..", "README.md")
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)


def commands(block):
    return [line[2:] for line in block.splitlines() if line.startswith("$ ")]


def wrappers(b):
    """nopsnap with the config of the README, psql with the right to everything."""
    folder = os.path.join(b.folder, "bin")
    os.mkdir(folder)
    for name, text in {"nopsnap": f'exec "{os.path.abspath(PROGRAM)}" --config "{b.config}" "$@"',
                       "psql": f'exec /usr/bin/psql -X -q -h "{b.server.dir}" -U nop "$@"'}.items():
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\n{text}\n")
        os.chmod(path, 0o700)
    return folder


def run(b, folder, command):
    places = {"/var/www/shop": b.site, "/backup/nopsnap": b.catalog, "/root/": b.folder + "/"}
    for shown, real in places.items():
        command = command.replace(shown, real)
    env = b.environment()
    env["PATH"] = folder + ":" + env["PATH"]
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL, check=False, timeout=120)
    talk = [line for line in done.stderr.splitlines() if line.startswith(("nopsnap: ", "hint: ", "warning: ", "note: "))]
    text = "\n".join(talk + done.stdout.splitlines())
    for shown, real in places.items():
        text = text.replace(real, shown)
    return text + "\n" if text else ""


def normal(text):
    text = re.sub(r"\b[0-9a-f]{8}\b", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "MOMENT", text)
    text = re.sub(r"\b\d+(\.\d+)? (B|KiB|MiB)\b", "SIZE", text)
    text = re.sub(r"\b\d+(\.\d+)? (ms|s|min)\b( \d+ s)?", "TIME", text)
    text = re.sub(r"\b\d+ chunks", "N chunks", text)
    return re.sub(r"[ ]+", " ", text)


def main():
    if os.geteuid() != 0:
        print("not root: skipped")
        sys.exit(77)
    with open(README, encoding="utf-8") as f:
        readme = f.read()
    blocks = BLOCK.findall(readme)
    seen = []
    folder = f"/tmp/{os.getpid()}"  # short, as /var/www/shop is: tables cut long paths
    os.mkdir(folder)
    with Bench("postgresql", folder=folder) as b:
        b.server.sql('delete from "Picture" where "Id" > 8')  # the site has the files of so many
        time.sleep(2.1)  # what changed this very moment is read again by the next command
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\n")
        folder = wrappers(b)
        for block in blocks:
            seen.append("".join(f"$ {c}\n{run(b, folder, c)}" for c in commands(block)))
    if "--write" in sys.argv:
        written = iter(seen)
        with open(README, "w", encoding="utf-8") as f:
            f.write(BLOCK.sub(lambda _: f"```console\n{next(written)}```", readme))
        return
    wrong = [(a, b) for a, b in zip(blocks, seen) if normal(a) != normal(b)]
    for told, saw in wrong:
        print(f"the README says\n{told}\nand what happens is\n{saw}")
    print(f"{len(blocks)} blocks, {sum(len(commands(b)) for b in blocks)} commands")
    sys.exit(1 if wrong or not blocks else 0)


main()
