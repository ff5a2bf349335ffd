#!/usr/bin/env python3
"""The README's transcripts are what really happens: every ```console block is run, in order, on a shop with a PostgreSQL database, and every
```console upgrade block on a stand-in for nopCommerce that migrates. Every ```ini block is a config that is taken.

    readme_test.py            compare; ids, moments, sizes and durations may differ
    readme_test.py --write    put what was seen into the README

Runs as root only (exit 77 otherwise): an ordinary user can't look at every process, and the plan says so.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

from cli_support import FIXTURE, HERE, PROGRAM, Bench

sys.path.insert(0, FIXTURE)
import standin_release  # noqa: E402
from standin_bench import StandIn  # noqa: E402

README = os.path.join(HERE, "..", "..", "README.md")
BLOCK = re.compile(r"^```(console|console upgrade)\n(.*?)^```$", re.M | re.S)
RELEASE = "nopCommerce_4.70.2_NoSource_linux_x64.zip"


def commands(block):
    return [line[2:] for line in block.splitlines() if line.startswith("$ ")]


def wrappers(folder, config, server):
    """nopsnap with the config of the README, psql with the right to everything."""
    folder = os.path.join(folder, "bin")
    os.mkdir(folder)
    for name, text in {"nopsnap": f'exec "{os.path.abspath(PROGRAM)}" --config "{config}" "$@"',
                       "psql": f'exec /usr/bin/psql -X -q -h "{server.dir}" -U nop "$@"'}.items():
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\n{text}\n")
        os.chmod(path, 0o700)
    return folder


def run(places, env, folder, command):
    for shown, real in places.items():
        command = command.replace(shown, real)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=env, cwd=folder, stdin=subprocess.DEVNULL, check=False, timeout=300)
    talk = [line for line in done.stderr.splitlines() if line.startswith(("nopsnap: ", "hint: ", "warning: ", "note: "))]
    text = "\n".join(talk + done.stdout.splitlines())
    for shown, real in places.items():
        text = text.replace(real, shown)
    return text + "\n" if text else ""


def transcripts(blocks, places, env, folder):
    return ["".join(f"$ {c}\n{run(places, env, folder, c)}" for c in commands(block)) for block in blocks]


def of_a_shop(blocks):
    folder = f"/tmp/{os.getpid()}"  # short, as /var/www/shop is: tables cut long paths
    os.mkdir(folder)
    with Bench("postgresql", folder=folder) as b:
        b.server.sql('delete from "Picture" where "Id" > 8')  # the site has the files of so many
        time.sleep(2.1)  # what changed this very moment is read again by the next command
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\n")
        env = b.environment()
        env["PATH"] = wrappers(b.folder, b.config, b.server) + ":" + env["PATH"]
        return transcripts(blocks, {"/var/www/shop": b.site, "/backup/nopsnap": b.catalog, "/root/": b.folder + "/"}, env, folder)


def of_an_upgrade(blocks):
    with StandIn("postgresql", "4.60.3", files=120) as s:
        catalog, config = os.path.join(s.folder, "catalog"), os.path.join(s.folder, "config")
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"[nopsnap]\ncatalog = {catalog}\n[shop]\npath = {s.site}\nservice = nop.service\nurl = http://127.0.0.1:{s.port}/\n")
        os.chmod(config, 0o600)
        standin_release.make_release(os.path.join(s.folder, "release"), "4.70.2", files=120, archive=os.path.join(s.folder, RELEASE))
        s.start()
        s.get("/")
        env = s.units.environment()
        env["PATH"] = wrappers(s.folder, config, s.server) + ":" + env["PATH"]
        subprocess.run(["nopsnap", "init"], env=env, check=True, stdout=subprocess.DEVNULL)
        places = {"/var/www": os.path.dirname(s.site), "/backup/nopsnap": catalog}
        return transcripts(blocks, places, env, s.folder)


def refused(readme):
    """What nopsnap says against a config of the README: nothing, it should be."""
    said = ""
    for config in re.findall(r"^```ini\n(.*?)^```$", readme, re.M | re.S):
        with tempfile.TemporaryDirectory(prefix="npr") as folder:
            path = os.path.join(folder, "config")
            catalog = "" if "catalog = " in config else f"[nopsnap]\ncatalog = {folder}/backup/nopsnap\n"
            for file, text in (("config", catalog + re.sub(r"(= )(/(?:etc|backup|root)/)", rf"\1{folder}\2", config)), ("etc/nopsnap/webhook", "https://chat.example/hook\n"),
                               ("etc/nopsnap/mail", "user\nsecret\n")):
                os.makedirs(os.path.dirname(os.path.join(folder, file)), exist_ok=True)
                with open(os.path.join(folder, file), "w", encoding="utf-8") as f:
                    f.write(text)
                os.chmod(os.path.join(folder, file), 0o600)
            os.makedirs(os.path.join(folder, "backup"))
            for verb, wanted in (("init", 0), ("status", 3)):
                done = subprocess.run([PROGRAM, "--config", path, verb], capture_output=True, text=True, check=False)
                if done.returncode != wanted:
                    said += f"{config}{verb}: {done.returncode} {done.stderr}"
    return said


def normal(text):
    text = re.sub(r"\b[0-9a-f]{8}\b", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "MOMENT", text)
    text = re.sub(r"\b\d+(\.\d+)? (B|KiB|MiB)\b", "SIZE", text)
    text = re.sub(r"\b\d+(\.\d+)? (ms|s|min)\b( \d+ s)?", "TIME", text)
    text = re.sub(r"\b\d+ chunks", "N chunks", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "SUM", text)
    return re.sub(r"[ ]+", " ", text)


def main():
    if os.geteuid() != 0:
        print("not root: skipped")
        sys.exit(77)
    with open(README, encoding="utf-8") as f:
        readme = f.read()
    kinds = [kind for kind, _ in BLOCK.findall(readme)]
    blocks = [text for _, text in BLOCK.findall(readme)]
    ways = {"console": of_a_shop, "console upgrade": of_an_upgrade}
    of_kind = {kind: iter(way([b for k, b in zip(kinds, blocks) if k == kind])) for kind, way in ways.items()}
    seen = [next(of_kind[kind]) for kind in kinds]
    if "--write" in sys.argv:
        written = iter(seen)
        with open(README, "w", encoding="utf-8") as f:
            f.write(BLOCK.sub(lambda m: f"```{m.group(1)}\n{next(written)}```", readme))
        return
    wrong = [(a, b) for a, b in zip(blocks, seen) if normal(a) != normal(b)]
    for told, saw in wrong:
        print(f"the README says\n{told}\nand what happens is\n{saw}")
    against = refused(readme)
    print(against, end="")
    print(f"{len(blocks)} blocks, {sum(len(commands(b)) for b in blocks)} commands")
    sys.exit(1 if wrong or against or not blocks else 0)


main()
