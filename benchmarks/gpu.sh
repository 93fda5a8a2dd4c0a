#!/usr/bin/env bash
# Use a GPU that is at hand for a few minutes: time the steps of every level, then train on from where the last call ended.
#
#   STORE=store OUT=out [RUN=out-of-the-last-call] [MINUTES=8.5] [DEVICE=cuda] [LEVELS="0 1 2 3 4 5 6 7 8"] \
#       [STEPS="--paper"] [SETTINGS="levels=9 ..."] [PYTHON=python3] bash benchmarks/gpu.sh
#
# STORE is a store of real images, or a tar of one. The first call measures float32, TF32, bfloat16 and a compiled
# generator (benchmarks/training.py): step times, memory, share of the peak; with RUN this is left out. The training ends
# by SIGTERM when the time is up. OUT/run.tar.00, .01 ... are its folder in files below 16 MB; a call with RUN=OUT joins
# them and continues. OUT/steps.md and .json are the measurements, OUT/train.log what the training said.
set -euo pipefail
: "${STORE:?is the store of real images}" "${OUT:?is the folder to write}"
: "${RUN:=}" "${MINUTES:=8.5}" "${STEPS:=--paper}" "${DEVICE:=cuda}" "${LEVELS:=0 1 2 3 4 5 6 7 8}" "${PYTHON:=python3}"
: "${SETTINGS:=batches=32 resampling=bilinear noise=true clip=true edge_levels=3 precision=bfloat16,tf32 channels_last=true}"
deadline=$($PYTHON -c "import time; print(int(time.time() + 60 * $MINUTES))")
here=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$OUT"
rm -rf "$OUT/.new"  # of a call that was cut off
if [ -n "$RUN" ] && [ ! -f "$RUN/run.tar.00" ]; then
    echo "$RUN holds no run of an earlier call (run.tar.00); give its OUT as RUN, or no RUN." >&2
    exit 2
fi

if [ -f "$STORE" ]; then
    mkdir "$work/store"
    tar -xf "$STORE" -C "$work/store" --strip-components 1
    STORE=$work/store
fi
if [ -n "$RUN" ]; then
    cat "$RUN"/run.tar.* | tar -xf - -C "$work"
    for file in steps.md steps.json; do
        if [ -f "$RUN/$file" ] && [ ! "$RUN/$file" -ef "$OUT/$file" ]; then cp "$RUN/$file" "$OUT/"; fi
    done
else
    # A third of the time at most: a variant that is too slow must not leave nothing for the training.
    results=$here/benchmarks/results/gpu-steps
    timeout "$($PYTHON -c "print(20 * $MINUTES)")" $PYTHON "$here/benchmarks/training.py" --device "$DEVICE" $STEPS \
        --levels $LEVELS --rounds 1 --repeats 3 --name gpu-steps || echo "the steps were not all measured"
    for kind in md json; do
        if [ -f "$results.$kind" ]; then mv "$results.$kind" "$OUT/steps.$kind"; fi
    done
fi

settings=()
for setting in $SETTINGS; do settings+=(--set "$setting"); done
seconds=$((deadline - $(date +%s) - 30))  # the rest packs what was trained
status=0
timeout --signal TERM "$((seconds > 20 ? seconds : 20))" $PYTHON -m mammogan train --store "$STORE" --out "$work/run" \
    --device "$DEVICE" "${settings[@]}" >"$OUT/train.log" 2>&1 || status=$?
tail -n 2 "$OUT/train.log"
# 124 is the end of the time, 143 the training's own code for SIGTERM; the checkpoint is written in both cases.
if [ "$status" != 0 ] && [ "$status" != 124 ] && [ "$status" != 143 ]; then exit "$status"; fi
# Only the newest checkpoint travels.
find "$work/run/checkpoints" -name '*.safetensors' | sort | head -n -1 | xargs -r rm
# The files of the last call go only when the new ones are whole: RUN may be OUT.
mkdir "$OUT/.new"
tar -cf - -C "$work" run | split --bytes 15M --numeric-suffixes --suffix-length 2 - "$OUT/.new/run.tar."
rm -f "$OUT"/run.tar.*
mv "$OUT"/.new/run.tar.* "$OUT/"
rmdir "$OUT/.new"
ls -l "$OUT"
