#!/usr/bin/env bash
# Faults, kills, bit flips and power cuts with full counts; docs/torture.md says what came of them.
#
#   NOPSNAP_PROGRAM=... NOPSNAP_BUILD=... torture.sh [MINUTES [SEED]]
#
# MINUTES (60) are for faults and kills, the engines side by side: first every step of the journal, killed before and after, then
# kills at random moments (100 an engine and verb; NOPSNAP_KILLS), then every call that changes a disk with every error, in an order
# drawn by SEED, as far as the time goes: the report says how far. Bit flips and power cuts (200 a filesystem and verb;
# NOPSNAP_POWER_CUTS) come after that and take as long as they take.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
minutes=${1:-60}
seed=${2:-$(date +%s)}
report=${NOPSNAP_TORTURE_REPORT:-$root/docs/torture.md}
program=${NOPSNAP_PROGRAM:?the program to torture}
build=${NOPSNAP_BUILD:?the build folder that has faultlib.so}
failed=0

draft=$(mktemp)

version_of() {
    "$@" 2>/dev/null | head -1
}

{
    echo "# Torture"
    echo
    echo "What \`./dev torture $minutes $seed\` found. Files and database together: after each case the shop is exactly the old or exactly the"
    echo "new one (P1), \`recover\` and a further snapshot succeed, nothing of a transaction is left over, and \`verify --read-data\` finds the"
    echo "catalogue whole. Recovery itself is killed in a third of the cases. \"-9\" is a killed program."
    echo
    echo "$(date -u +%Y-%m-%d), $(version_of "$program" --version), $(version_of psql --version), $(version_of mariadbd --version), Linux $(uname -r)."
    echo
    echo "## Faults and kills"
} >"$draft"

# Engines, then filesystems, side by side: each mostly waits for its server or its disk.
parts=$(mktemp -d)
trap 'rm -rf "$draft" "$parts"' EXIT

crash() {
    python3 "$here/crash_test.py" --program "$program" --faultlib "$build/tests/fault/faultlib.so" --engine "$1" --steps -1 \
        --random "${NOPSNAP_KILLS:-100}" --budget $((minutes * 60)) --seed "$seed" --keep-going --report "$parts/$1" "${@:2}" || {
        [ $? -eq 77 ] || return 1
        echo "$1: skipped, no such server here." >>"$parts/$1"
    }
}

power() {
    python3 "$here/powerloss/powerloss_test.py" --program "$program" --recorder "$build/tests/fault/powerloss/powerloss_recorder.so" \
        --filesystem "$1" --points "${NOPSNAP_POWER_CUTS:-200}" --seed "$seed" --report "$parts/$1" || {
        [ $? -eq 77 ] || return 1
        echo "$1: skipped, see the test for what it needs." >>"$parts/$1"
    }
}

# side_by_side FUNCTION A B: both reports, one after the other
side_by_side() {
    "$1" "$2" &
    local other=$!
    "$1" "$3" || failed=1
    wait $other || failed=1
    cat "$parts/$2" "$parts/$3" >>"$draft"
}

# The model of SQL Server mostly waits too, and its batches fail as well.
crash sqlserver --statements -1 --verb rollback --verb recover &
model=$!
side_by_side crash postgresql mysql
wait $model || failed=1
cat "$parts/sqlserver" >>"$draft"
{
    echo
    echo "## Upgrades"
    echo
    echo "An upgrade, its recovery (again), its rollback in the trial (back) and confirm, in the same way."
} >>"$draft"
upgrades() {
    crash "$1" --upgrade
}
rm -f "$parts/postgresql" "$parts/mysql"
side_by_side upgrades postgresql mysql

{
    echo
    echo "## Bit flips"
    echo
} >>"$draft"
if NOPSNAP_FLIPS=2000 "$build/tests/fault/fault_flip_test" >"$parts/flips" 2>&1; then
    echo "2000 in packs and 2000 in \`catalog.sqlite\`: each harmless or reported, never wrong bytes." >>"$draft"
else
    echo "FAILED:" >>"$draft"
    grep -E 'FAILED|ERROR' "$parts/flips" | head -5 >>"$draft"
    failed=1
fi

{
    echo
    echo "## Power cuts"
    echo
    echo "${NOPSNAP_POWER_CUTS:-200} moments a filesystem and verb: what had been flushed by then, and a random part of what had not, is on the disk."
    echo
    echo "| filesystem | verb | the cut came | the shop is then | cases |"
    echo "|---|---|---|---|---|"
} >>"$draft"
side_by_side power ext4 xfs

# What ./dev test sees on one engine only.
again() {
    local name=$1
    shift
    if (cd "$root/tests/$1" && NOPSNAP_SOURCE_DIR=$root NOPSNAP_PROGRAM=$program python3 "${@:2}") >"$parts/again" 2>&1; then
        echo "| $name | passed |" >>"$draft"
    else
        [ $? -eq 77 ] && echo "| $name | skipped |" >>"$draft" && return
        echo "| $name | FAILED: $(grep -m1 -iE 'failed|error' "$parts/again") |" >>"$draft"
        failed=1
    fi
}
{
    echo
    echo "## The other engine"
    echo
    echo "| tests that \`./dev test\` runs on one engine only | |"
    echo "|---|---|"
} >>"$draft"
again "the stand-in for nopCommerce, MariaDB" fixture standin_test.py mysql
again "pictures without files, PostgreSQL" cli missing_pictures_test.py postgresql
again "pictures outside of the site, MariaDB" transaction pictures_test.py --program "$program" --engine mysql
again "rehearsals, MariaDB" cli rehearse_test.py mysql
again "upgrades, MariaDB" cli upgrade_test.py mysql __

[ $failed -eq 0 ] || echo >>"$draft" "
Something FAILED, see above."
cp "$draft" "$report"
echo "written: $report"
exit $failed
