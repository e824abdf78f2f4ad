#!/bin/bash
# A job for Slurm. Fill in the lines down to DATASET, then: sbatch batch_slurm.sh
# or for several runs, each a job of its own: DATASET=exp=xpptut15:run=RUN sbatch --array=50-60 batch_slurm.sh
#SBATCH --job-name=parcorana
#SBATCH --partition=milano
#SBATCH --account=lcls:EXPERIMENT
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=16
#SBATCH --cpus-per-task=4
#SBATCH --time=01:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=parcorana-%j.log
CONFIG=${CONFIG:-myconfig.py}
ENVIRONMENT=${ENVIRONMENT:-$HOME/parcorana/bin/activate}  # of the Python environment that has parcorana
DATASET=${DATASET:-}  # of an array: RUN in it becomes the number of the run

set -euo pipefail
# shellcheck source=/dev/null
source "$ENVIRONMENT"
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
export PS_PARALLEL=none  # psana must not take the ranks for itself

options=("$@")
if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
  options+=(-d "${DATASET//RUN/$SLURM_ARRAY_TASK_ID}" -o "run$SLURM_ARRAY_TASK_ID.h5")
fi

# servers go to different nodes, the first rank is the viewer; each worker gets the cores of its task
# srun speaks to most MPI libraries by PMIx or PMI2 (srun --mpi=list); LAUNCH=mpirun asks the MPI itself
LAUNCH=${LAUNCH:-srun}
# a job that was put back into the queue goes on from its last checkpoint (key checkpoint of the config), and begins
# anew if it came to none; a folder in progress is never overwritten, a result only if the config says overwrite
if [[ ${SLURM_RESTART_COUNT:-0} -gt 0 ]] && $LAUNCH parCorAnaDriver -c "$CONFIG" "${options[@]}" --resume --check; then
  options+=(--resume)
else
  $LAUNCH parCorAnaDriver -c "$CONFIG" "${options[@]}" --check
fi
# two minutes before the time is up Slurm sends USR1: what was read is published, and the result is complete so far
$LAUNCH parCorAnaDriver -c "$CONFIG" --stop-signal USR1 "${options[@]}"
