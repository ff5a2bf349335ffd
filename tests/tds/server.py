#!/usr/bin/env python3
"""
A TDS endpoint for the tests: enough of the protocol of SQL Server 2019 for FreeTDS, and what a test wants to go wrong. It is no SQL
Server: that a statement is accepted here proves that it parses and fits the model, not what the real server says.

    server.py --port 0 --port-file F --scenario FILE     expected batches and their replies; ends with 1 if anything else came
    server.py --port 0 --port-file F --model             a small server in memory

It listens on 127.0.0.1, or another loopback address, only and ends on SIGTERM, or when its standard input is a pipe whose other end closes (--until-eof).
"""
import argparse
import os
import signal
import sys
import tempfile
import threading

import tds_server
from tds_scenario import Scenario


def arguments():
    p = argparse.ArgumentParser(description="TDS endpoint for tests", allow_abbrev=False)
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--host", default="127.0.0.1", help="an address of this machine's own (127.x.y.z)")
    p.add_argument("--port-file", required=True)
    mode = p.add_mutually_exclusive_group(required=True)
    mode.add_argument("--scenario")
    mode.add_argument("--model", action="store_true")
    p.add_argument("--tls", choices=["off", "login", "require", "downgrade"], default="off")
    p.add_argument("--tls-host", default="127.0.0.1", help="the name in the certificate")
    p.add_argument("--ca-file", help="where the certificate of the test CA is written")
    p.add_argument("--accounts", help="a file of lines user:password; default sa:secret of sa")
    p.add_argument("--admin", action="append", default=[], help="a login of the model that may do everything, beside sa")
    p.add_argument("--owner", action="append", default=[], help="a login that may do everything in the databases, and nothing at the server")
    p.add_argument("--creator", action="append", default=[], help="a login that may make databases, and does not own one")
    p.add_argument("--database", action="append", default=[], help="a database that is there from the start")
    p.add_argument("--files", action="append", default=[], help="a folder of the model for backups, as SERVER=HERE")
    p.add_argument("--snapshots", choices=["yes", "no"], default="yes", help="has the edition database snapshots?")
    p.add_argument("--faults", help="a file of JSON, read before every batch of the model; see tds_faults.py")
    p.add_argument("--log", help="what happened, a line of JSON each")
    p.add_argument("--until-eof", action="store_true")
    return p.parse_args()


def make_answerer(options):
    databases = options.database or ["shop"]
    if options.scenario:
        return Scenario(options.scenario, ["master", *databases])
    from tds_model import Model
    return Model(databases, options.faults, options.files, options.admin, options.owner, options.snapshots == "yes", options.creator)


def main():
    options = arguments()
    ended = threading.Event()
    answerer = make_answerer(options)
    accounts = {"sa": "secret of sa"}
    if options.accounts:  # a file, so that no password is on a command line
        with open(options.accounts, encoding="utf-8") as f:
            accounts = dict(line.rstrip("\n").split(":", 1) for line in f)
    with tempfile.TemporaryDirectory(prefix="tds-") as folder:
        certificate = None
        if options.tls != "off":
            *certificate, ca = tds_server.make_certificate(folder, options.tls_host)
            if options.ca_file:
                with open(ca, "rb") as source, open(options.ca_file, "wb") as to:
                    to.write(source.read())
        # The log lives as long as the server does.
        log = open(options.log, "w", encoding="ascii") if options.log else None  # pylint: disable=consider-using-with
        server = tds_server.Server(answerer, accounts, options.tls, certificate, log)
        answerer.server = server
        tds_server.write_port_file(options.port_file, server.listen(options.port, options.host))
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        threading.Thread(target=server.serve, daemon=True).start()
        if options.until_eof:
            threading.Thread(target=lambda: (os.read(0, 1), ended.set()), daemon=True).start()
        ended.wait()
    unmet = answerer.unmet()
    for what in unmet:
        print(f"tds: never came: {what}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(1 if server.complaints or unmet else 0)


if __name__ == "__main__":
    main()
