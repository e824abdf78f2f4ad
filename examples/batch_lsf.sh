#!/bin/bash
# A job for LSF. Fill in the lines down to CONFIG, then: bsub < batch_lsf.sh
#BSUB -J parcorana
#BSUB -q psanaq
#BSUB -n 32
#BSUB -R "span[ptile=16]"
#BSUB -W 1:00
#BSUB -o parcorana-%J.log
CONFIG=${CONFIG:-myconfig.py}
ENVIRONMENT=${ENVIRONMENT:-$HOME/parcorana/bin/activate}  # of the Python environment that has parcorana

set -euo pipefail
source "$ENVIRONMENT"
export PS_PARALLEL=none  # psana must not take the ranks for itself

# mpirun of Open MPI and MPICH ask LSF for the hosts; elsewhere LAUNCH="mpirun -n 32 -hostfile $LSB_DJOB_HOSTFILE"
LAUNCH=${LAUNCH:-mpirun}
$LAUNCH parCorAnaDriver -c "$CONFIG" --check
$LAUNCH parCorAnaDriver -c "$CONFIG" "$@"
