#!/usr/bin/env bash
# The whole story on a live shop: a snapshot, an upgrade by hand that goes wrong, one command, and the proof.
#
# Everything is made in a folder of its own, which goes at the end: a PostgreSQL server on a socket, a site tree as nopCommerce
# has it, and a small program that serves the shop from both. Runs as root and as an ordinary user.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fixture=$here/../fixture
program=${NOPSNAP_PROGRAM:?names the program; ./dev demo sets it}
for tool in psql python3; do
    command -v $tool >/dev/null || { echo "demo: needs $tool; ./dev setup installs it" >&2; exit 1; }
done

# Short, since a socket's path has to be.
dir=$(mktemp -d /tmp/nopsnap-demo.XXXXXX)
chmod 755 "$dir"
site=$dir/shop
state=$dir/state
mkdir "$state"

finish() {
    local status=$?
    trap - EXIT
    python3 "$here/shop.py" stop "$state" || true
    bash "$fixture/postgres.sh" stop "$dir/pg" >/dev/null 2>&1 || true
    rm -rf "$dir"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
chapter() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
shown() { printf '%s$ %s%s\n' "$bold" "${*//$dir/}" "$plain"; }

nopsnap() {
    local status=0
    shown nopsnap "$@"
    "$program" --config "$dir/nopsnap.conf" "$@" 2>&1 | sed "s|$dir||g; s|$here/||g" || status=${PIPESTATUS[0]}
    return "$status"
}
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$dir/pg" -U nop -d shop -c "$1"; }

visit() {
    shown "curl http://127.0.0.1:$port/"
    python3 - "$port" <<'PYTHON'
import sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/", timeout=10) as answer:
        print(answer.status, answer.read().decode(), end="")
except urllib.error.HTTPError as e:
    print(e.code, e.read().decode(), end="")
except OSError as e:
    print("no answer:", e)
PYTHON
}

# Logs are what a running shop writes and a snapshot leaves out; the rest has to be the same.
tree_digest() {
    (cd "$site" && find . \( -path ./logs -o -path ./Logs -o -path ./wwwroot/bundles -o -path ./wwwroot/images/thumbs -o -path ./wwwroot/sitemaps \
        -o -path ./App_Data/TempUploads \) -prune -o \( -type f -o -type l \) -printf '%p %m %U:%G %T@ %s\n' | LC_ALL=C sort &&
        find . \( -path ./logs -o -path ./Logs -o -path ./wwwroot/bundles -o -path ./wwwroot/images/thumbs -o -path ./wwwroot/sitemaps \
        -o -path ./App_Data/TempUploads \) -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-16
}
tables_digest() {
    local table
    sql "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname not in ('pg_catalog', 'information_schema') order by 1" |
        while read -r table; do
            printf '%s ' "$table"
            sql "select count(*), md5(coalesce(string_agg(md5(t::text), '' order by md5(t::text)), '')) from $table t"
        done | sha256sum | cut -c1-16
}
proof() {
    printf 'files  %s\ntables %s\n' "$(tree_digest)" "$(tables_digest)"
}

chapter "A shop: a PostgreSQL database, a site tree, a program that serves both"
bash "$fixture/postgres.sh" start "$dir/pg" >/dev/null
(umask 077 && bash "$fixture/postgres.sh" shop "$dir/pg" shop >"$dir/connection" 2>"$dir/load.log") || { cat "$dir/load.log" >&2; exit 1; }
python3 "$fixture/make_site.py" "$site" --version 4.60 --files 1500 --weight 0.3 --connection "$dir/connection"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
(umask 077 && cat >"$dir/nopsnap.conf" <<CONFIG
[nopsnap]
catalog = $dir/catalog
[shop]
path = $site
stop = python3 $here/shop.py stop $state
start = python3 $here/shop.py start $site $port $state
url = http://127.0.0.1:$port/
CONFIG
)
python3 "$here/shop.py" start "$site" "$port" "$state"
visit
before=$(proof)
printf '%s\n' "$before"

chapter "Before touching anything: a snapshot, while customers shop"
nopsnap init
nopsnap snapshot shop || [ $? = 3 ]

chapter "A customer orders; then an upgrade by hand, files over files and a script for the database"
sql 'insert into "Order" select * from (select (jsonb_populate_record(o, jsonb_build_object('"'Id'"', (select max("Id") from "Order") + 1, '"'CreatedOnUtc'"', now() at time zone '"'utc'"'))).* from "Order" o order by "Id" limit 1) n' \
    2>"$dir/order.log" || { cat "$dir/order.log" >&2; exit 1; }
python3 "$here/shop.py" stop "$state"
python3 "$fixture/make_site.py" "$dir/release" --version 4.70 --files 1500 --weight 0.3 --seed 2 --connection "$dir/connection"
cp -a "$dir/release/." "$site/"
rm -rf "$site/Plugins" "$dir/release"
sql 'alter table "Product" rename to "Product_old"; delete from "Setting"; update "Customer" set "Email" = null'
python3 "$here/shop.py" start "$site" "$port" "$state"
visit

chapter "What going back would do"
nopsnap rollback shop --dry-run || [ $? = 3 ]

chapter "One command"
nopsnap rollback shop --yes --export-lost "$dir/lost" || [ $? = 3 ]
visit

chapter "Proof: the same files, the same rows"
after=$(proof)
printf '%s\n' "$after"
[ "$before" = "$after" ] || { echo "demo: the shop is NOT what it was" >&2; exit 1; }
echo "equal"
shown "head -2 lost/Order.csv"
head -2 "$dir/lost/Order.csv" | cut -c1-76

chapter "What was taken away is a snapshot too: one more rollback would undo this one"
nopsnap list
nopsnap history shop
