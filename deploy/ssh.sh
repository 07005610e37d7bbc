#!/usr/bin/env bash
# One command of enginebench over this machine and others that ssh reaches:
#
#   deploy/ssh.sh WORKER... -- run --model MODEL --target a30 --recipe int8_sq --scenario Offline
#
# deploy/README.md says what the machines need, and which variables change what.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

here=$(uname -n)

on() {
    if [[ $1 == "$here" ]]; then
        exec ${limit:+timeout "$limit"} bash -c "$(node_words "--volume $(quoted "$PWD"):/work" "${@:2}")"
    fi
    exec ${limit:+timeout "$limit"} ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 \
        -o ServerAliveCountMax=4 "$1" "$(node_words "" "${@:2}")"
}

unreachable() { # MACHINE CODE
    if (($2 == 255)); then
        echo "$1 cannot be reached; see that \`ssh $1 true\` works without a question."
    else
        echo "enginebench could not be started on $1 (exit code $2); install it there at the same" \
            "place as here, or set ENGINEBENCH_PYTHON or ENGINEBENCH_IMAGE to what both have."
    fi
}

workers=()
while (($#)) && [[ $1 != -- ]]; do workers+=("$1") && shift; done
((${#workers[@]} && $# > 1)) ||
    die 2 "Give the other machines, then -- and a command: deploy/ssh.sh WORKER -- run ..."
shift
for machine in "${workers[@]}"; do
    [[ $machine != "$here" ]] || die 2 "$machine is this machine; name the others only."
done
require_python
require_same_versions "$here" "${workers[@]}"
if [[ -z ${HEAD_ADDRESS:-} ]]; then
    # shellcheck disable=SC2016  # the worker's own: where our connection to it comes from
    HEAD_ADDRESS=$(timeout "$JOIN_S" ssh -o BatchMode=yes -o ConnectTimeout=10 "${workers[0]}" \
        'echo "${SSH_CONNECTION%% *}"' < /dev/null) || HEAD_ADDRESS=
    [[ -n $HEAD_ADDRESS ]] || die 3 "${workers[0]} does not say where we come from; set \
HEAD_ADDRESS to this machine's address."
fi
run_over "$here" "$HEAD_ADDRESS" "${workers[@]}" -- "$@"
