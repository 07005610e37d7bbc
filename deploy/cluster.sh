# shellcheck shell=bash
# What deploy/ssh.sh and deploy/slurm.sh have in common: a Ray node on each machine for one command
# of enginebench, and none of them left behind. They define `on MACHINE WORD...`, which becomes the
# program that does `python -m harness.cli.node WORD...` there, for at most `limit` seconds if set.

: "${RAY_PORT:=6379}"
: "${JOIN_S:=120}"   # seconds for every machine to join
: "${END_S:=120}"    # and to be gone afterwards

names=() pids=() inputs=() told=()
token=${RAY_AUTH_TOKEN:-}
hf_token=${HF_TOKEN:-}
export -n RAY_AUTH_TOKEN HF_TOKEN 2> /dev/null || true

die() { # CODE SENTENCE
    echo "enginebench: $2" >&2
    exit "$1"
}

for name in JOIN_S END_S; do
    [[ ${!name} =~ ^[0-9]+$ ]] || die 2 "$name is ${!name}; give whole seconds."
done

# The shell's words for a node, natively or in the image, on whichever machine they are given to.
node_words() { # MOUNTS WORD...
    local words=${1:+ $1}
    shift
    if [[ -n ${ENGINEBENCH_IMAGE:-} ]]; then
        # The user is the one of the machine that it runs on; so its store stays the user's.
        # shellcheck disable=SC2016
        printf '%s' 'exec docker run --rm --interactive --init --pull never --network host' \
            ' --ipc host --user "$(id -u):$(id -g)" --volume enginebench-store:/store' \
            " --volume enginebench-models:/models$words" \
            " ${ENGINEBENCH_DOCKER---gpus all --ulimit memlock=-1 --ulimit stack=67108864}" \
            " --entrypoint python $(quoted "$ENGINEBENCH_IMAGE")"
    else
        printf 'exec %s' "$(quoted "$ENGINEBENCH_PYTHON")"
    fi
    printf ' -m harness.cli.node'
    local word
    for word; do printf ' %s' "$(quoted "$word")"; done
}

quoted() { # as one word of any POSIX shell
    printf "'%s'" "${1//\'/\'\\\'\'}"
}

require_python() { # natively, every machine has the environment at the same place
    [[ -n ${ENGINEBENCH_IMAGE:-} || -n ${ENGINEBENCH_PYTHON:-} ]] && return
    local program line
    program=$(command -v enginebench) || die 3 "There is no \`enginebench\` on PATH; activate its \
environment, or set ENGINEBENCH_PYTHON to its python, or ENGINEBENCH_IMAGE to an image."
    program=$(readlink -f "$program") # pipx and uv link to it from elsewhere
    IFS= read -r line < "$program" || true
    if [[ $line =~ ^\#!(/.*/python[0-9.]*)$ ]]; then
        ENGINEBENCH_PYTHON=${BASH_REMATCH[1]}
    else # a path that is too long for that line
        ENGINEBENCH_PYTHON=$(dirname "$program")/python
    fi
    [[ -x $ENGINEBENCH_PYTHON ]] || die 3 "There is no Python for $program at $ENGINEBENCH_PYTHON; \
set ENGINEBENCH_PYTHON to that of enginebench's environment."
}

require_same_versions() { # HEAD WORKER...
    # shellcheck disable=SC2034  # `on` reads it
    local machine ours theirs code limit=$JOIN_S how=${ENGINEBENCH_IMAGE:+in $ENGINEBENCH_IMAGE}
    ours=$(on "$1" versions < /dev/null) || die 3 "enginebench could not be asked for its \
versions on $1 ${how:-by ENGINEBENCH_PYTHON=$ENGINEBENCH_PYTHON}; the reason stands above."
    for machine in "${@:2}"; do
        code=0
        theirs=$(on "$machine" versions < /dev/null) || code=$?
        ((code == 0)) || die 3 "$(unreachable "$machine" "$code")"
        [[ $theirs == "$ours" ]] || die 3 "$machine has $theirs, and $1 has $ours; install the \
same versions on every machine."
    done
}

open_node() { # NAME HF_TOKEN WORD...: a node, whose standard input is ours to hold
    local pipe=$scratch/$1 fd
    mkfifo -m 600 "$pipe"
    (
        for fd in "${inputs[@]}"; do exec {fd}>&-; done # only we hold those of the others
        on "$1" "${@:3}"
    ) < "$pipe" &
    pids+=($!) names+=("$1") told+=("")
    exec {fd}> "$pipe"
    rm "$pipe"
    inputs+=("$fd")
    { printf '%s\n%s\n' "$token" "$2" >&"$fd"; } 2> /dev/null || true # it may have ended at once
}

gone() { # NUMBER
    ! kill -0 "${pids[$1]}" 2> /dev/null
}

tell_of_lost_workers() {
    local number
    for number in "${!pids[@]}"; do
        if ((number > 0)) && [[ -z ${told[number]} ]] && gone "$number"; then
            told[number]=yes
            echo "enginebench: The Ray node on ${names[number]} ended." >&2
            { echo lost >&"${inputs[0]}"; } 2> /dev/null || true # the head may be gone, too
        fi
    done
}

close_nodes() { # on every way out: each ends when its input does, the head first
    local code=$? number fd end
    trap '' INT TERM HUP PIPE
    for number in "${!pids[@]}"; do
        end=$((SECONDS + END_S)) # for each: a worker begins to end when the head has
        fd=${inputs[number]}
        exec {fd}>&-
        while ! gone "$number"; do
            if ((SECONDS > end)); then
                kill -KILL "${pids[number]}" 2> /dev/null
                echo "enginebench: ${names[number]} did not say that it ended; look there for" \
                    "\`harness.cli.node\`, and end it." >&2
            fi
            sleep 0.2
        done
    done
    rm -rf "$scratch"
    exit "$code"
}

run_over() { # HEAD ADDRESS WORKER... -- COMMAND...
    local head=$1 address=$2 workers=() machine code=0
    shift 2
    [[ $address != *:* || $address == \[*\] ]] || address="[$address]" # of IPv6
    address+=:$RAY_PORT
    while [[ $1 != -- ]]; do workers+=("$1") && shift; done
    shift
    [[ -n $token ]] || token=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    scratch=$(mktemp -d)
    trap close_nodes EXIT
    trap 'exit 130' INT TERM HUP
    trap '' PIPE
    open_node "$head" "$hf_token" head "$address" $((${#workers[@]} + 1)) "$JOIN_S" "$@"
    for machine in "${workers[@]}"; do
        open_node "$machine" "" worker "$address" "$JOIN_S"
    done
    while ! gone 0; do
        tell_of_lost_workers
        sleep 0.5
    done
    wait "${pids[0]}" || code=$?
    exit "$code"
}
