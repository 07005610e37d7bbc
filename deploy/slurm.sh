#!/usr/bin/env bash
# One command of enginebench over the machines of a Slurm job, from the folder of this repository:
#
#   sbatch deploy/slurm.sh run --model MODEL --target a30 --recipe int8_sq --scenario Offline
#
# deploy/README.md says what the machines need, and which variables change what.
#SBATCH --job-name=enginebench
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --exclusive
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@180
set -euo pipefail

if [[ -z ${SLURM_JOB_NODELIST:-} ]]; then
    echo "enginebench: This is no Slurm job; start it with \`sbatch deploy/slurm.sh ...\`." >&2
    exit 2
fi
# Slurm runs a copy of this file, from a folder of its own.
: "${ENGINEBENCH_DEPLOY:=${SLURM_SUBMIT_DIR:-$PWD}/deploy}"
if [[ ! -f $ENGINEBENCH_DEPLOY/cluster.sh ]]; then
    echo "enginebench: There is no $ENGINEBENCH_DEPLOY/cluster.sh; submit from the folder of the" \
        "repository, or set ENGINEBENCH_DEPLOY to its folder deploy/." >&2
    exit 2
fi
# shellcheck source=deploy/cluster.sh
source "$ENGINEBENCH_DEPLOY/cluster.sh"
read -r -a srun_words <<< "${ENGINEBENCH_SRUN:-}"

on() {
    exec ${limit:+timeout "$limit"} srun --nodes=1 --ntasks=1 --nodelist="$1" --overlap --cpu-bind=none \
        "${srun_words[@]}" bash -c "$(node_words "" "${@:2}")"
}

unreachable() { # MACHINE CODE
    echo "enginebench could not be started on $1 (exit code $2); install it where every machine of" \
        "the job finds it, or set ENGINEBENCH_PYTHON, or ENGINEBENCH_SRUN for a container."
}

(($#)) || die 2 "Give a command: sbatch deploy/slurm.sh run ..."
[[ -z ${ENGINEBENCH_IMAGE:-} ]] ||
    die 2 "Slurm starts no Docker images here; name one for its own plugin in ENGINEBENCH_SRUN."
mapfile -t machines < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
((${#machines[@]} > 1)) ||
    die 2 "The job has ${#machines[@]} machine; submit it with --nodes=2, or use \`enginebench run\`."
require_python
require_same_versions "${machines[@]}"
if [[ -z ${HEAD_ADDRESS:-} ]]; then
    # shellcheck disable=SC2034  # `on` reads it
    HEAD_ADDRESS=$(limit=$JOIN_S; on "${machines[1]}" address "${machines[0]}" < /dev/null) ||
        die 3 "${machines[1]} does not say the address of ${machines[0]}; set HEAD_ADDRESS."
fi
run_over "${machines[0]}" "$HEAD_ADDRESS" "${machines[@]:1}" -- "$@"
