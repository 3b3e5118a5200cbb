#!/bin/sh
# Runs every fuzz target (or those named) for a minute each, or SECONDS_EACH; stops at the first finding.
# Needs `cargo install cargo-fuzz`. The sanitizer's flags are unstable, so a stable compiler is told to allow them.
set -eu
cd "$(dirname "$0")/.."
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/fuzz/target}"
for target in ${*:-$(cargo fuzz list)}; do
    log=$(mktemp)
    echo "== $target"
    if ! cargo fuzz run "$target" -- -max_total_time="${SECONDS_EACH:-60}" -max_len=2048 -dict=fuzz/http.dict \
        -print_final_stats=1 >"$log" 2>&1; then
        tail -n 60 "$log"
        rm -f "$log"
        exit 1
    fi
    grep -E '^stat::(number_of_executed_units|peak_rss_mb)|cov:' "$log" | tail -n 3
    rm -f "$log"
done
