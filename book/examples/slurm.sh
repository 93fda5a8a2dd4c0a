#!/bin/bash
# The paper's profile on a Slurm cluster, command by command: sbatch --export=ARCHIVE=/archive/mammography slurm.sh
# To continue a job that reached its time limit or failed, submit the same script again. Two minutes before its end, or
# when it is preempted, the training receives SIGTERM and writes a checkpoint.
#SBATCH --job-name=mammogan
#SBATCH --nodes=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --mem=128G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --output=mammogan-%j.log
set -euo pipefail

source .venv/bin/activate
WORK=${WORK:-runs/cluster}

# Each command continues the store and the run of the last job.
mammogan ingest "$ARCHIVE" --store "$WORK/store" --workers "$SLURM_CPUS_PER_TASK"
srun torchrun --standalone --nproc-per-node "$SLURM_GPUS_ON_NODE" -m mammogan train \
    --store "$WORK/store" --out "$WORK/run" --profile paper
[ -e "$WORK/synthetic/zarr.json" ] || mammogan sample "$WORK/run" --count 90000 --out "$WORK/synthetic" --format zarr

# Run the notebooks of the chapters on these images.
for chapter in 03_artifact_inspection 04_moment_alignment; do
    papermill "notebooks/$chapter.ipynb" "$WORK/$chapter.ipynb" -k python3 \
        -p real "$WORK/store" -p synthetic "$WORK/synthetic" -p out "$WORK/$chapter"
done
