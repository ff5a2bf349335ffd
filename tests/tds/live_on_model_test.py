#!/usr/bin/env python3
"""The live tests of the engine (tests/database/sqlserver_live_test.c), given as its argument, on the model: every type to the byte, staging, large values."""
import os
import subprocess
import sys

from tds_support import Endpoint

with Endpoint(model=True, clean=False, accounts={"sa": "secret of sa"}) as e:
    where = f"Data Source=127.0.0.1,{e.port};Initial Catalog=master;User ID=sa;Password=secret of sa;Encrypt=False"
    done = subprocess.run([sys.argv[1]], env={**os.environ, "NOPSNAP_TEST_SQLSERVER": where, "NOPSNAP_TEST_SQLSERVER_RUNS_NO_BODIES": "1"}, check=False, timeout=600)
sys.exit(done.returncode)
