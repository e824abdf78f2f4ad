#!/bin/bash
# A job for LSF. Fill in the lines down to DATASET, then: bsub < batch_lsf.sh
# or for several runs, each a job of its own: DATASET=exp=xpptut15:run=RUN bsub -J "parcorana[50-60]" < batch_lsf.sh
#BSUB -J parcorana
#BSUB -q psanaq
#BSUB -n 32
#BSUB -R "span[ptile=16]"
#BSUB -W 1:00
#BSUB -wa USR2 -wt 2
#BSUB -r
#BSUB -o parcorana-%J.log
CONFIG=${CONFIG:-myconfig.py}
ENVIRONMENT=${ENVIRONMENT:-$HOME/parcorana/bin/activate}  # of the Python environment that has parcorana
DATASET=${DATASET:-}  # of an array: RUN in it becomes the number of the run

set -euo pipefail
# shellcheck source=/dev/null
source "$ENVIRONMENT"
export PS_PARALLEL=none  # psana must not take the ranks for itself

options=("$@")
output=${OUTPUT:-}
[[ -z $output ]] || options+=(-o "$output")
if [[ ${LSB_JOBINDEX:-0} -gt 0 ]]; then
  output=run$LSB_JOBINDEX.h5
  options+=(-d "${DATASET//RUN/$LSB_JOBINDEX}" -o "$output")
fi
# two minutes before the time is up LSF sends USR2 to this script: what was read is published, the result complete so
# far. With OUTPUT, the name of the result, by a file that ranks on all hosts see; Open MPI kills ranks at a signal.
trap 'if [[ -n $output ]]; then parCorAnaDriver --stop "$output"; else kill -TERM $!; fi' USR2

# mpirun of Open MPI and MPICH ask LSF for the hosts; elsewhere LAUNCH="mpirun -n 32 -hostfile $LSB_DJOB_HOSTFILE"
LAUNCH=${LAUNCH:-mpirun}
# a job that was put back into the queue goes on from its last checkpoint (key checkpoint of the config), and begins
# anew if it came to none; a folder in progress is never overwritten, a result only if the config says overwrite
if [[ ${LSB_RESTART:-N} == Y ]] && $LAUNCH parCorAnaDriver -c "$CONFIG" "${options[@]}" --resume --check; then
  options+=(--resume)
else
  $LAUNCH parCorAnaDriver -c "$CONFIG" "${options[@]}" --check
fi
$LAUNCH parCorAnaDriver -c "$CONFIG" "${options[@]}" &
until wait $!; do
  status=$?
  kill -0 $! 2>/dev/null || exit $status  # it is over; else a signal came, and the run goes on to its end
done
