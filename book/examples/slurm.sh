#!/bin/bash
# From an archive to the book of the paper's profile, on a Slurm cluster:
#     sbatch --export=ARCHIVE=/archive/mammography slurm.sh
# To continue a job that reached its time limit or failed, submit the same script again. Two minutes before its end, or
# when it is preempted, the training receives SIGTERM and writes a checkpoint. The number of processes, nodes times GPUs
# of each, must divide every minibatch; the smallest ones of the paper's profile have 4 images.
#SBATCH --job-name=mammogan
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --mem=128G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --output=mammogan-%j.log
set -euo pipefail

source .venv/bin/activate
BUILD=(--profile "${PROFILE:-paper}" --data "$ARCHIVE")

# Each command continues what the last job left. The first one makes the store: chapter 1.
mammogan run "${BUILD[@]}" --only 01
srun torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "$SLURM_GPUS_ON_NODE" --rdzv-backend c10d \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "$(hostname)" -m mammogan train "${BUILD[@]}"
# The other chapters, of this training, and the book.
mammogan run "${BUILD[@]}"
