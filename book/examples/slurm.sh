#!/bin/bash
# The paper's profile on a Slurm cluster, in pieces: sbatch --export=ARCHIVE=/archive/mammography slurm.sh
# A job that ends, by its time limit or by a failure, is continued by submitting the same script again.
#SBATCH --job-name=mammogan
#SBATCH --nodes=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --mem=128G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --output=mammogan-%j.log
set -euo pipefail

source .venv/bin/activate
WORK=${WORK:-runs/cluster}

# Each command finds what the last job left: a store and a run continue where they were.
mammogan ingest "$ARCHIVE" --store "$WORK/store" --workers "$SLURM_CPUS_PER_TASK"
srun torchrun --standalone --nproc-per-node "$SLURM_GPUS_ON_NODE" -m mammogan train \
    --store "$WORK/store" --run "$WORK/run" --profile paper
[ -e "$WORK/synthetic/zarr.json" ] || mammogan sample "$WORK/run" --count 90000 --out "$WORK/synthetic" --format zarr

# The chapters on these images, each by its notebook.
for chapter in 03_artifact_inspection 04_moment_alignment; do
    papermill "notebooks/$chapter.ipynb" "$WORK/$chapter.ipynb" -k python3 \
        -p real "$WORK/store" -p synthetic "$WORK/synthetic" -p out "$WORK/$chapter"
done
