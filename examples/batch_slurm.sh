#!/bin/bash
# A job for Slurm. Fill in the lines down to CONFIG, then: sbatch batch_slurm.sh
#SBATCH --job-name=parcorana
#SBATCH --partition=milano
#SBATCH --account=lcls:EXPERIMENT
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=16
#SBATCH --cpus-per-task=4
#SBATCH --time=01:00:00
#SBATCH --output=parcorana-%j.log
CONFIG=${CONFIG:-myconfig.py}
ENVIRONMENT=${ENVIRONMENT:-$HOME/parcorana/bin/activate}  # of the Python environment that has parcorana

set -euo pipefail
source "$ENVIRONMENT"
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
export PS_PARALLEL=none  # psana must not take the ranks for itself

# servers go to different nodes, the first rank is the viewer; each worker gets the cores of its task
# srun speaks to most MPI libraries by PMIx or PMI2 (srun --mpi=list); LAUNCH=mpirun asks the MPI itself
LAUNCH=${LAUNCH:-srun}
$LAUNCH parCorAnaDriver -c "$CONFIG" --check
$LAUNCH parCorAnaDriver -c "$CONFIG" "$@"
