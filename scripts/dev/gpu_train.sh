#!/usr/bin/env bash
# Train the amodal stage of a config within a time limit, on one machine, with or without a GPU, without a network.
#
#   scripts/dev/gpu_train.sh pack FOLDER
#       Collect in FOLDER what the other machine lacks: wheels for its Python, and the worlds that need physics.
#   scripts/dev/gpu_train.sh run FOLDER OUT [CONFIG [MINUTES [--section.key VALUE ...]]]
#       Install and unpack FOLDER, make the worlds that need no physics, time a few steps, train as many as fit into
#       MINUTES (default 9; "all" for those of the config), and write OUT/model with fp16 weights and OUT/train.log.
#
# PYTHON names the interpreter (default: .venv/bin/python, else python3); WHEEL_PYTHON the version to pack for (3.12).
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || command -v python3)}
PHYSICS="long-train long-movi_d long-creatures long-movi_b"
PLACES="street room field"
# What training imports beside PyTorch, NumPy and SciPy.
PACKAGES="accelerate av decord diffusers einops huggingface_hub imageio jaxtyping jsonargparse pillow pycocotools
safetensors tensorboard tqdm transformers vector-quantize-pytorch torch-einops-utils typeshed-client importlib-resources
wadler-lindig pyyaml packaging protobuf absl-py einx frozendict loguru"
TIMED_STEPS=20

pack() {
    mkdir -p "$1/wheels"
    for package in $PACKAGES; do
        version=$("$PYTHON" -c "from importlib.metadata import version; print(version('$package'))" 2>/dev/null) || continue
        "$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --python-version "${WHEEL_PYTHON:-3.12}" \
            --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
            --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64 \
            -d "$1/wheels" "$package==$version"
    done
    tar -C data -cJf "$1/worlds.tar.xz" $PHYSICS
    du -sh "$1/wheels" "$1/worlds.tar.xz"
}

seconds_of() { # the seconds that a training of this many steps takes, beyond its start
    local began=$SECONDS
    train --output "$OUT/timing" --stages.amodal.steps "$1" > /dev/null || return  # bash ignores -e within $(...)
    rm -rf "$OUT/timing"
    echo $((SECONDS - began))
}

train() { "$PYTHON" -m vidamodal.cli train --config "$CONFIG" --device auto --precision "$PRECISION" \
    --workers "$WORKERS" --validation null "${SETTINGS[@]}" "$@"; }

run() {
    local folder=$1; OUT=$2; CONFIG=${3:-tiny/10-anchors}; local minutes=${4:-9}; SETTINGS=("${@:5}")
    local began=$SECONDS
    mkdir -p "$OUT" data
    if [ -d "$folder/wheels" ]; then
        "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --target "$OUT/site" "$folder"/wheels/*.whl
        export PYTHONPATH="$OUT/site:$PWD"
    fi
    export PYTHONPATH="${PYTHONPATH:-$PWD}" OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1
    [ -d data/long-train ] || tar -C data -xJf "$folder/worlds.tar.xz"
    for place in $PLACES; do
        [ -f "data/long-$place/worlds.jsonl" ] || "$PYTHON" -m dataset_gen --masks-only --preset "$place" \
            --out "data/long-$place" --scenes 500 --frames 96 --seed 600000 --workers "$(nproc)"
    done
    PRECISION=$("$PYTHON" -c "import torch; from vidamodal.inference.runtime import pick_device, pick_precision
print('bf16' if pick_precision(pick_device('auto')) == torch.bfloat16 else 'fp32')")
    WORKERS=$(($(nproc) > 2 ? $(nproc) - 1 : 1))
    echo "$CONFIG: $PRECISION, $WORKERS workers"
    local steps=()
    if [ "$minutes" != all ]; then
        local start few many
        few=$(seconds_of 1)
        many=$(seconds_of $((TIMED_STEPS + 1)))
        start=$((SECONDS - began))
        # A minute is kept for starting, saving and noise.
        local left=$((minutes * 60 - start - few - 60))
        local fit=$((left * TIMED_STEPS / (many > few ? many - few : 1)))
        [ "$fit" -gt 0 ] || { echo "no step fits: $start s are gone, and $TIMED_STEPS steps take $((many - few)) s" >&2; exit 1; }
        steps=(--stages.amodal.steps "$fit")
        echo "$fit steps fit into $left s"
    fi
    train --output "$OUT/run" "${steps[@]}" 2>&1 | tee "$OUT/train.log" | tr '\r' '\n' | tail -n 3
    rm -rf "$OUT/model"
    cp -r "$OUT/run/model" "$OUT/model"
    "$PYTHON" - "$OUT/model" <<'PY'
import sys
from pathlib import Path
from safetensors.torch import load_file, save_file
for path in Path(sys.argv[1]).rglob("*.safetensors"):
    weights = {name: value.half() if value.is_floating_point() else value for name, value in load_file(path).items()}
    save_file(weights, path)
PY
    rm -rf "$OUT/site" "$OUT/run"
    echo "$OUT/model after $((SECONDS - began)) s"
}

case "${1:-}" in
    pack) pack "$2" ;;
    run) run "${@:2}" ;;
    *) sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac
