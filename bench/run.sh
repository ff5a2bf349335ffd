#!/usr/bin/env bash
# The benchmark with what this machine can make by itself: a generated shop, many small files, a database, one big file.
# Real trees are added by hand: bench/run.sh --tree published=/path --tree source=/path
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${NOPSNAP_PROGRAM:-$here/../build/gcc/cli/nopsnap}
work=${NOPSNAP_BENCH_WORK:-$(mktemp -d "${TMPDIR:-/tmp}/nopsnap-bench.XXXXXX")}
[ -x "$program" ] || { echo "bench: no program at $program; ./dev build makes it" >&2; exit 1; }
[ -d "$work/shop" ] || python3 "$here/../tests/fixture/make_site.py" "$work/shop" --files 5000 --weight 4 >/dev/null
exec python3 "$here/bench.py" --program "$program" --work "$work" --tree "generated=$work/shop" \
    --small "${NOPSNAP_BENCH_SMALL:-100000}" --database "${NOPSNAP_BENCH_DATABASE:-1000}" --big "${NOPSNAP_BENCH_BIG:-8}" "$@"
