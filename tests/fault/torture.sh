#!/usr/bin/env bash
# Faults, kills, bit flips and power cuts with full counts; docs/torture.md says what came of them.
#
#   NOPSNAP_PROGRAM=... NOPSNAP_BUILD=... torture.sh [MINUTES [SEED]]
#
# MINUTES (60) are for faults and kills, shared by the two engines: first every step of the journal, killed before and after, then
# kills at random moments (100 an engine and verb), then every call that changes a disk with every error, in an order drawn by SEED,
# as far as the time goes: the report says how far. Bit flips and power cuts come after that and take as long as they take.
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
trap 'rm -f "$draft"' EXIT

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

for engine in postgresql mysql; do
    python3 "$here/crash_test.py" --program "$program" --faultlib "$build/tests/fault/faultlib.so" --engine "$engine" --steps -1 \
        --random 100 --budget $((minutes * 60 / 2)) --seed "$seed" --keep-going --report "$draft" || {
        [ $? -eq 77 ] && echo "$engine: skipped, no such server here." >>"$draft" || failed=1
    }
done

{
    echo
    echo "## Bit flips"
    echo
} >>"$draft"
if NOPSNAP_FLIPS=2000 "$build/tests/fault/fault_flip_test" >"$draft.flips" 2>&1; then
    echo "2000 in packs and 2000 in \`catalog.sqlite\`: each harmless or reported, never wrong bytes." >>"$draft"
else
    echo "FAILED:" >>"$draft"
    grep -E 'FAILED|ERROR' "$draft.flips" | head -5 >>"$draft"
    failed=1
fi
rm -f "$draft.flips"

if [ -f "$build/tests/fault/powerloss/powerloss_recorder.so" ]; then
    {
        echo
        echo "## Power cuts"
        echo
    } >>"$draft"
    for filesystem in ext4 xfs; do
        python3 "$here/powerloss/powerloss_test.py" --program "$program" --recorder "$build/tests/fault/powerloss/powerloss_recorder.so" \
            --filesystem "$filesystem" --points "${NOPSNAP_POWER_CUTS:-200}" --seed "$seed" --report "$draft" || {
            [ $? -eq 77 ] && echo "$filesystem: skipped, see the test for what it needs." >>"$draft" || failed=1
        }
    done
fi

[ $failed -eq 0 ] || echo >>"$draft" "
Something FAILED, see above."
cp "$draft" "$report"
echo "written: $report"
exit $failed
