#!/usr/bin/env python3
"""A small stand-in for a nopCommerce shop: reads its connection string from App_Data as the application does, asks the database at
every request, and works inside its own folder.

    shop.py start SITE PORT STATE     in the background; STATE is a folder for the process id and the log
    shop.py stop STATE
"""
import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def connection():
    with open("App_Data/appsettings.json", encoding="utf-8-sig") as f:
        text = json.load(f)["ConnectionStrings"]["ConnectionString"]
    return dict(part.split("=", 1) for part in text.split(";") if part)


def ask(sql):
    c = connection()
    env = dict(os.environ, PGPASSWORD=c["Password"])
    done = subprocess.run(["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", c["Host"], "-U", c["Username"], "-d", c["Database"], "-c", sql],
                          env=env, capture_output=True, text=True, timeout=10)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[0])
    return done.stdout.strip()


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            with open("Nop.Web.dll", "rb") as f:
                f.read(1)
            products, orders = ask('select count(*) from "Product"'), ask('select count(*) from "Order" where not "Deleted"')
            status, text = 200, f"welcome: {products} products, {orders} orders"
        except Exception as e:
            status, text = 500, f"{type(e).__name__}: {e}"
        body = (text + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def serve(site, port, state):
    os.chdir(site)
    with open(os.path.join(state, "pid"), "w", encoding="utf-8") as f:
        f.write(str(os.getpid()))
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Page)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


def start(site, port, state):
    log = open(os.path.join(state, "log"), "ab")
    child = subprocess.Popen([sys.executable, os.path.abspath(__file__), "serve", site, port, state], stdin=subprocess.DEVNULL, stdout=log,
                             stderr=log, start_new_session=True)
    deadline = time.time() + 10
    while time.time() < deadline and child.poll() is None:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", int(port))) == 0:
                return 0
        time.sleep(0.05)
    return 1


def gone(pid):
    """Ended, whether or not anybody has asked for its status yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def stop(state):
    try:
        with open(os.path.join(state, "pid"), encoding="utf-8") as f:
            pid = int(f.read())
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return 0
    for _ in range(200):
        if gone(pid):
            return 0
        time.sleep(0.05)
    return 1


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:5])
    sys.exit(start(*sys.argv[2:5]) if sys.argv[1] == "start" else stop(sys.argv[2]))
