#!/bin/sh
# Runs an operation of a Provisioning Server from CI: submits it, shows its log while it runs, and
# exits as it ended. Needs a POSIX shell, the POSIX tools, and curl. `provisioning.sh help` tells more.
{ set +x; } 2>/dev/null # a trace would show the password
set -uf
umask 077
export LC_ALL=C # a log is bytes

usage() {
    cat <<'END'
Usage: provisioning.sh [OPTION]... COMMAND

  servers|taskservs|clusters create BODY    create one
  servers|taskservs|clusters delete ID      delete one
  workflows submit BODY                     run a workflow
  rerun ID                                  run an operation that has ended once more
  follow ID                                 go on where another one left off
  cancel ID                                 stop an operation and wait for its end
  show ID                                   print an operation as JSON

BODY is JSON, or @FILE, or - for standard input. The standard output and standard error of the
operation go to those of this program. At TERM and at INT (Ctrl-C) it cancels the operation and waits
for its end; a second Ctrl-C does not wait. At HUP it ends and leaves the operation alone.

Options
  --key KEY       send the request under this Idempotency-Key
  --outputs FILE  append operation_id=, status= and exit_code= (the CLI's own) to this file
  --json FILE     write the operation as it ended to this file
  --detach        print the id of the operation and do not wait for it

Environment
  PROVISIONING_URL               where the server is, as https://provisioning.example.com
  PROVISIONING_TOKEN             an access token, or
  PROVISIONING_USER              a name and
  PROVISIONING_PASSWORD          its password; _TOKEN_FILE and _PASSWORD_FILE name files instead
  PROVISIONING_CA_FILE           certificates to trust instead of the system's
  PROVISIONING_CERT_FILE         a client certificate, PROVISIONING_KEY_FILE its key
  PROVISIONING_IDEMPOTENCY_KEY   as --key; default: made of the CI job and the request, else random
  PROVISIONING_RETRY_SECONDS     how long an unreachable server is tried again (120)
  PROVISIONING_POLL_SECONDS      pause between two looks where the server cannot hold a request (1)

Exit codes
  0    completed                         64  the command line or a setting is wrong
  1    failed without a code of the CLI  65  the server refused the request
  N    failed, and the CLI exited with N 69  the server cannot be reached, or fails
  124  failed: ran out of its time       74  the output cannot be written
  125  failed: lost, or never started    77  login or permission refused
  130  cancelled                         129 hung up; the operation goes on
END
}

say() { printf 'provisioning: %s\n' "$*" >&2; }

# die CODE SENTENCE: end now; whoever reads it learns how to come back to an operation that goes on.
die() {
    say "$2"
    [ -z "$operation" ] || [ -n "$ended" ] ||
        say "Operation $operation may go on: \`provisioning.sh follow $operation\` comes back to it."
    exit "$1"
}

# --- JSON and settings ---------------------------------------------------------------------------

# flatten <JSON: lines `path<TAB>value` of all strings and scalars but null, `steps.0.status` being a
# path. Records end at quotes, so the next one is in turn outside and inside of a string.
flatten() {
    awk '
    function path(    i, p) {
        for (i = 1; i <= depth; i++) p = p (i > 1 ? "." : "") (is_list[i] ? place[i] : key[i])
        return p
    }
    function close_value() {
        if (depth < 4 && has_text) print path() "\t" plain(text)
        else if (depth < 4 && bare != "" && bare != "null") print path() "\t" bare
        has_text = 0; bare = ""
    }
    function plain(s) {
        gsub(/\\\\/, "\001", s); gsub(/\\"/, "\"", s); gsub(/\\\//, "/", s)
        gsub(/\\u[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F]/, "?", s); gsub(/\\[bfnrt]/, " ", s)
        gsub(/\001/, "\\", s)
        return s
    }
    BEGIN { RS = "\""; inside = 0; depth = 0 }
    inside {
        text = text $0
        if (match($0, /\\+$/) && RLENGTH % 2) text = text "\""
        else { inside = 0; has_text = 1 }
        next
    }
    {
        for (i = 1; i <= length($0); i++) {
            c = substr($0, i, 1)
            if (c == "{" || c == "[") { depth++; is_list[depth] = c == "["; place[depth] = 0 }
            else if (c == "}" || c == "]") { close_value(); depth-- }
            else if (c == ",") { close_value(); place[depth]++ }
            else if (c == ":") { key[depth] = text; has_text = 0 }
            else if (c !~ /[ \t\r\n]/) bare = bare c
        }
        inside = 1; text = ""
    }'
}

# field PATH: this value of the last answer; nothing for null and for what is not there.
field() { flatten <"$work/body" | awk -F '\t' -v path="$1" '$1 == path { print $2; exit }'; }

# header NAME: this header of the last answer.
header() {
    tr -d '\r' <"$work/head" | awk -F ': *' -v name="$1" 'tolower($1) == name { v = $2 } END { print v }'
}

# escaped TEXT: TEXT between the quotes of JSON or of a curl configuration.
escaped() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }

# secret VALUE FILE: the value, else the content of the file, if one is named.
secret() {
    if [ -n "$1" ] || [ -z "$2" ]; then
        printf '%s' "$1"
    else
        cat "$2" 2>/dev/null || die 64 "The file $2 cannot be read."
    fi
}

settings() {
    url=${PROVISIONING_URL-} user=${PROVISIONING_USER-}
    token=$(secret "${PROVISIONING_TOKEN-}" "${PROVISIONING_TOKEN_FILE-}") || exit
    password=$(secret "${PROVISIONING_PASSWORD-}" "${PROVISIONING_PASSWORD_FILE-}") || exit
    unset PROVISIONING_TOKEN PROVISIONING_PASSWORD # whatever is started from here does not see them
    url=${url%/}
    retry_seconds=${PROVISIONING_RETRY_SECONDS:-120} poll_seconds=${PROVISIONING_POLL_SECONDS:-1}
    key=${key:-${PROVISIONING_IDEMPOTENCY_KEY-}}
    case $url in
    http://?* | https://?*) ;;
    *) die 64 "PROVISIONING_URL must be set, and begin with http:// or https://." ;;
    esac
    case $token$user$password$url$key in
    *[[:cntrl:]]*) die 64 "URL, token, user, password and key must not hold control characters." ;;
    esac
    case $retry_seconds in
    *[!0-9]*) die 64 "PROVISIONING_RETRY_SECONDS must be a whole number of seconds." ;;
    esac
    case $poll_seconds in
    *[!0-9.]*) die 64 "PROVISIONING_POLL_SECONDS must be a number of seconds." ;;
    esac
    [ -n "$token" ] || { [ -n "$user" ] && [ -n "$password" ]; } ||
        die 64 "Set PROVISIONING_TOKEN, or PROVISIONING_USER and PROVISIONING_PASSWORD."
    command -v curl >/dev/null || die 64 "curl is not installed."
    work=${TMPDIR:-/tmp}/provisioning-$$-$(random)
    mkdir "$work" || { work='' && die 74 "No directory for temporary files can be made."; }
}

random() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# --- Signals -------------------------------------------------------------------------------------

# A signal often goes to every process of a job. So the work is done where signals are ignored, by
# curl and awk as well; the shell that was started only notes them in files, and waits.

# shellcheck disable=SC2317 # called by the traps, as cleanup is
note() {
    was_interrupted=yes
    case $1 in
    INT) [ ! -e "$work/stop" ] || : >"$work/leave" ;;
    HUP) : >"$work/hang-up" ;;
    esac
    : >"$work/stop"
    let_go
}

# let_go: end the request that the server holds. It ignores what was noted, as all do that work.
let_go() { [ ! -e "$work/held" ] || kill -USR1 "$(cat "$work/held")" 2>/dev/null || :; }

# await PID: its exit code, whatever is noted meanwhile.
await() {
    code=''
    while :; do
        was_interrupted=''
        wait "$1"
        last=$?
        [ -z "$code" ] || [ "$last" -ne 127 ] || return "$code" # it had ended, the time before
        code=$last
        [ -n "$was_interrupted" ] || return "$code"
    done
}

# obey: do what was noted.
obey() {
    kill -0 $$ 2>/dev/null || exit 129 # the shell that waits for us was killed
    [ ! -e "$work/hang-up" ] || die 129 "Hung up."
    [ ! -e "$work/leave" ] || die 130 "Not waited for."
    [ ! -e "$work/stop" ] || stopping=yes
}

# pause SECONDS: no longer than that, and less when the first signal comes.
pause() {
    pause_left=$1 was_stopping=$stopping
    while [ "${pause_left%.*}" -gt 1 ] 2>/dev/null; do
        sleep 1
        obey
        [ "$stopping" = "$was_stopping" ] || return 0
        pause_left=$((${pause_left%.*} - 1))
    done
    sleep "$pause_left"
    obey
}

# shellcheck disable=SC2317
cleanup() {
    [ -n "$work" ] || return
    if [ -n "$has_session" ]; then
        max_seconds=5
        send POST /v1/auth/logout
    fi
    rm -rf "$work"
}

# --- Requests ------------------------------------------------------------------------------------

# send METHOD PATH [FILE]: one request; sets `transport` (curl's exit code) and `http` (the status).
# Secrets reach curl in a file that only this user can read.
send() {
    {
        printf 'request = "%s"\nurl = "%s"\n' "$1" "$(escaped "$url$2")"
        printf 'header = "Expect:"\n' # a large body need not be announced
        [ -z "$token" ] || printf 'header = "Authorization: Bearer %s"\n' "$(escaped "$token")"
        [ -z "$launching" ] || printf 'header = "Idempotency-Key: %s"\n' "$(escaped "$launching")"
        [ -z "${3-}" ] || printf 'header = "Content-Type: application/json"\ndata-binary = "@%s"\n' "$3"
        [ -z "${PROVISIONING_CA_FILE-}" ] || printf 'cacert = "%s"\n' "$(escaped "$PROVISIONING_CA_FILE")"
        [ -z "${PROVISIONING_CERT_FILE-}" ] || printf 'cert = "%s"\n' "$(escaped "$PROVISIONING_CERT_FILE")"
        [ -z "${PROVISIONING_KEY_FILE-}" ] || printf 'key = "%s"\n' "$(escaped "$PROVISIONING_KEY_FILE")"
    } >"$work/config" || exit 74
    : >"$work/body"
    : >"$work/head"
    curl -q --silent --show-error --connect-timeout 10 --speed-time 60 --speed-limit 1 \
        ${max_seconds:+--max-time "$max_seconds"} --config "$work/config" --output "$work/body" \
        --dump-header "$work/head" --write-out '%{http_code}' \
        </dev/null >"$work/http" 2>"$work/error" &
    [ -z "$holding" ] || { echo $! >"$work/held" && { [ ! -e "$work/stop" ] || let_go; }; }
    wait $!
    transport=$?
    rm -f "$work/config" "$work/held"
    http=$(cat "$work/http")
}

# call METHOD PATH [FILE]: as `send`, and again while the server is away or busy, and with a new token
# when the old one is refused. The answer is in $work/body.
call() {
    deadline=$(($(date +%s) + retry_seconds)) delay=1 has_told='' is_fresh=''
    while :; do
        send "$@"
        obey
        wish=''
        case $transport:$http in
        0:401)
            [ -n "$token" ] && [ -n "$password" ] && [ -z "$is_fresh" ] || return
            log_in
            is_fresh=yes deadline=$(($(date +%s) + retry_seconds))
            continue
            ;;
        0:429 | 0:503) wish=$(header retry-after) trouble="answers $http" ;;
        0:502 | 0:504)
            trouble="answers $http"
            in_doubt
            ;;
        0:*) return ;;
        6:* | 5:*) trouble="cannot be found: its name is unknown" ;;
        7:*) trouble="refuses the connection" ;;
        # Nothing that time would mend: the URL, certificates, a file.
        1:* | 2:* | 3:* | 4:* | 26:* | 43:* | 51:* | 53:* | 54:* | 58:* | 59:* | 60:* | 66:* | 77:* | 8[0-3]:* | 9[01]:*)
            die 69 "The server at $url cannot be used: $(sed 's/^curl: //;q' "$work/error")"
            ;;
        *)
            trouble="does not answer ($(sed 's/^curl: ([0-9]*) //;q' "$work/error"))"
            in_doubt
            ;;
        esac
        [ -z "$stopping" ] || [ -n "$operation" ] || [ -n "$is_in_doubt" ] || die 130 "Nothing was launched."
        try_later "$@"
    done
}

# in_doubt: what was asked for may have been done, although no answer says so.
in_doubt() { [ -z "$launching" ] || is_in_doubt=yes; }

# try_later: wait until the next try, or die when that would be too late.
try_later() {
    case $wish in '' | *[!0-9]*) wish=$delay ;; esac
    left=$((deadline - $(date +%s)))
    if [ "$left" -lt "$wish" ] || [ "$left" -le 0 ]; then
        [ "$transport" != 0 ] || [ -z "$(field message)" ] || trouble="$trouble: $(field message)"
        [ -z "$is_in_doubt" ] || [ -n "$operation" ] ||
            say "Whether the request was carried out is not known; sent again with --key $launching it launches nothing twice."
        die 69 "The server at $url ${trouble%.}."
    fi
    [ -n "$has_told" ] || say "The server at $url $trouble; trying again for $left s."
    has_told=yes
    pause "$wish"
    [ "$delay" -ge 5 ] || delay=$((delay + 1))
}

# refused WHAT: die with the sentence of an answer that is not the one hoped for.
refused() {
    sentence=$(field message)
    sentence="$1: ${sentence:-the answer was $http}"
    case $http in
    401 | 403) die 77 "$sentence" ;;
    404) ended=yes ;;
    5??) die 69 "$sentence" ;;
    esac
    die 65 "$sentence"
}

# log_in: put a new token in the place of the old one.
log_in() {
    token='' was_launching=$launching launching=''
    printf '{"username": "%s", "password": "%s"}' "$(escaped "$user")" "$(escaped "$password")" >"$work/login"
    call POST /v1/auth/login "$work/login"
    rm -f "$work/login"
    [ "$http" = 200 ] || refused "Login as $user refused"
    token=$(field token) has_session=yes launching=$was_launching
}

# --- Operations ----------------------------------------------------------------------------------

# launch METHOD PATH [FILE]: the operation that this request makes, or made when it was sent before.
launch() {
    obey
    [ -z "$stopping" ] || die 130 "Nothing was launched."
    launching=${key:-$(key_of "$@")}
    call "$@"
    case $http in
    200 | 202) ;;
    *) refused "$2 refused" ;;
    esac
    operation=$(field id) kind=$(field kind)
    [ -n "$operation" ] || die 69 "The server at $url answered no operation: is it a Provisioning Server?"
    [ -z "$(header idempotent-replayed)" ] ||
        say "This request was sent before under the key $launching: nothing new was launched."
    launching=''
    say "Operation $operation"
    output operation_id "$operation"
}

# key_of METHOD PATH [FILE]: the same for the same request of the same CI job, else random.
key_of() {
    if [ -n "${GITHUB_RUN_ID-}" ]; then
        scope=github-$GITHUB_RUN_ID-${GITHUB_RUN_ATTEMPT-} job=${GITHUB_SERVER_URL-}${GITHUB_REPOSITORY-}
        job="$job ${GITHUB_JOB-} ${PROVISIONING_JOB_INDEX-} ${RUNNER_TRACKING_ID-} ${GITHUB_ACTION-}"
    elif [ -n "${GITLAB_CI-}" ] && [ -n "${CI_JOB_ID-}" ]; then
        scope=gitlab-$CI_JOB_ID job=${CI_SERVER_URL-}
    elif [ -n "${BUILD_URL-}" ]; then
        scope=jenkins-${BUILD_NUMBER-} job="$BUILD_URL ${STAGE_NAME-}"
    else
        random
        return
    fi
    sum=$({ printf '%s\n' "$job $1 $2" && cat "${3:-/dev/null}"; } | cksum | tr ' ' -)
    printf '%s' "$scope-$sum" | tr -c 'A-Za-z0-9._-' _
}

# output NAME VALUE: into the file of --outputs.
output() {
    [ -z "$outputs" ] || printf '%s=%s\n' "$1" "$2" >>"$outputs" || die 74 "$outputs cannot be written."
}

look() {
    call GET "/v1/operations/$operation"
    [ "$http" = 200 ] || refused "Operation $operation"
    status=$(field status) kind=$(field kind)
}

is_final() {
    case $status in
    completed | failed | cancelled) return 0 ;;
    *) return 1 ;;
    esac
}

# hold SECONDS [BYTES]: let the server hold a request until the operation ends, or its log has more than
# so many bytes. A pause where it holds none: not there, no place free, or stopping.
hold() {
    began=$(date +%s)
    if [ -z "$stopping" ]; then
        holding=yes
        send GET "/v1/operations/$operation/wait?timeout=$1${2:+&log=$2}"
        holding=''
        obey
        [ "$transport:$http" != 0:200 ] || return 0
        [ "$transport:$http" != 0:202 ] || [ "$(date +%s)" -le "$began" ] || return 0
    fi
    [ "$stopping:$is_cancelled" = yes: ] || pause "$poll_seconds" # a cancel does not wait
}

# cancel_if_stopped: once, after a signal.
cancel_if_stopped() {
    [ -n "$stopping" ] && [ -z "$is_cancelled" ] || return 0
    is_cancelled=yes
    say "Cancelling operation $operation."
    call POST "/v1/operations/$operation/cancel"
    case $http in
    200 | 202 | 409) ;; # 409: it ended meanwhile
    *) refused "Cancel refused" ;;
    esac
}

# copy ID STREAM OFFSET: write what the stream holds from there on; sets `offset` and `complete`. An
# answer that breaks off is asked for again: nothing of it was written.
copy() {
    offset=$3 got=$chunk complete=''
    # A page that cuts no character may be a little shorter than asked for.
    while [ "$complete" != true ] && [ "$got" -gt $((chunk / 2)) ]; do
        cancel_if_stopped
        call GET "/v1/operations/$1/log?stream=$2&offset=$offset&limit=$chunk"
        [ "$http" = 200 ] || refused "The log of operation $1"
        following=$(header x-next-offset) complete=$(header x-log-complete)
        case $following in '' | *[!0-9]*) die 69 "The log came without X-Next-Offset." ;; esac
        got=$((following - offset)) offset=$following
        if [ "$2" = stdout ]; then cat "$work/body"; else cat "$work/body" >&2; fi ||
            die 74 "The log cannot be written to standard output."
    done
}

# follow: show the log until it is complete.
follow() {
    out=0 err=0 shown=' '
    [ "$kind" != workflow ] || { follow_steps && return; }
    while :; do
        copy "$operation" stdout "$out"
        out=$offset is_complete=$complete
        copy "$operation" stderr "$err"
        err=$offset
        [ "$is_complete$complete" != truetrue ] || return 0
        cancel_if_stopped
        hold 30 $((out + err))
    done
}

# follow_steps: show the log of each step of a workflow when it has ended, in the order of their ends.
follow_steps() {
    while :; do
        cancel_if_stopped
        call GET "/v1/workflows/$operation"
        [ "$http" = 200 ] || refused "Workflow $operation"
        flatten <"$work/body" >"$work/workflow"
        awk -F '\t' '
            $1 ~ /^steps\.[0-9]+\./ { split($1, p, "."); n = p[2]; v[n, p[3]] = $2; if (n >= count) count = n + 1 }
            END {
                for (i = 0; i < count; i++)
                    if (v[i, "status"] ~ /^(completed|failed|cancelled)$/)
                        print v[i, "finished_at"], v[i, "operation"], v[i, "status"],
                            v[i, "started_at"] == "" ? "-" : "log", v[i, "step"]
            }' "$work/workflow" | sort >"$work/steps"
        while read -r _ id state has_log step <&3; do
            case $shown in *" $id "*) continue ;; esac
            shown="$shown$id "
            say "Step $step: $state, operation $id"
            [ "$has_log" = log ] || continue
            copy "$id" stdout 0
            copy "$id" stderr 0
        done 3<"$work/steps"
        status=$(awk -F '\t' '$1 == "status" { print $2 }' "$work/workflow")
        ! is_final || return 0
        hold 1
    done
}

# finish: tell how the operation ended, and exit likewise.
finish() {
    look
    is_final || die 69 "The log ended before its operation."
    ended=yes
    reason=$(field reason) error=$(field error) exit_code=$(field exit_code)
    say "Operation $operation: $status${reason:+ ($reason)}${error:+: $error}"
    output status "$status"
    output exit_code "$exit_code"
    [ -z "$json" ] || cat "$work/body" >"$json" || die 74 "$json cannot be written."
    case $status:$reason:$exit_code in
    completed:*) exit 0 ;;
    cancelled:*) exit 130 ;;
    *:timed_out:*) exit 124 ;;
    *:lost:* | *:spawn_failed:* | *:dependency_failed:*) exit 125 ;;
    *:[1-9] | *:[1-9][0-9] | *:1[0-9][0-9] | *:2[0-4][0-9] | *:25[0-5]) exit "$exit_code" ;;
    *) exit 1 ;;
    esac
}

# print, cancel, detach: in the place of following it.
print() {
    ended=yes
    cat "$work/body"
    echo
    exit 0
}

cancel() {
    is_cancelled=yes
    call POST "/v1/operations/$operation/cancel"
    case $http in
    200 | 202) ;;
    *) ended=yes && refused "Cancel refused" ;;
    esac
    while look && ! is_final; do
        [ -z "$stopping" ] || die 130 "Not waited for."
        hold 30
    done
    ended=yes
    say "Operation $operation: $status"
    exit 0
}

detach() {
    cancel_if_stopped
    ended=yes
    echo "$operation"
    exit 0
}

# --- Commands ------------------------------------------------------------------------------------

# read_body BODY: into $work/request, the same for every try.
read_body() {
    case $1 in
    -) cat ;;
    @*) cat "${1#@}" 2>/dev/null ;;
    *) printf '%s' "$1" ;;
    esac >"$work/request" || die 64 "The body cannot be read from ${1#@}."
}

wrong() { die 64 "$1 \`provisioning.sh help\` tells what there is."; }

chunk=1000000
operation='' ended='' max_seconds='' stopping='' is_cancelled='' is_in_doubt='' launching='' holding='' has_session='' work=''
key='' outputs='' json='' detach=''

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help | help) usage && exit 0 ;;
    --detach) detach=yes && shift ;;
    --key | --outputs | --json)
        [ $# -ge 2 ] || wrong "$1 needs a value."
        case $1 in --key) key=$2 ;; --outputs) outputs=$2 ;; --json) json=$2 ;; esac
        shift 2
        ;;
    -*) wrong "There is no option $1." ;;
    *) break ;;
    esac
done

case $#:${1-}:${2-} in
3:servers:create | 3:taskservs:create | 3:clusters:create | 3:workflows:submit) ;;
3:servers:delete | 3:taskservs:delete | 3:clusters:delete) ;;
2:rerun:?* | 2:follow:?* | 2:cancel:?* | 2:show:?*) ;;
*) wrong "The command is not complete, or not known." ;;
esac
case $1:$2:${3-} in
*:create:* | *:submit:*) ;;
*:delete:*[!A-Za-z0-9-]* | *:delete: | [rfc]*:*[!A-Za-z0-9-]*: | show:*[!A-Za-z0-9-]*:) wrong "The id is none." ;;
esac

# carry_out COMMAND...: all of it, deaf to signals.
carry_out() {
    trap '' INT TERM HUP
    trap cleanup EXIT
    [ -n "$token" ] || log_in
    case $1:$2 in
    rerun:*) launch POST "/v1/operations/$2/rerun" ;;
    follow:* | cancel:* | show:*) operation=$2 && look ;;
    *:delete) launch DELETE "/v1/$1/$3" ;;
    *) launch POST "/v1/$1/$2" "$work/request" ;;
    esac
    case $1:$detach in
    show:*) print ;;
    cancel:*) cancel ;;
    *:yes) detach ;;
    esac
    follow
    finish
}

trap cleanup EXIT
trap 'exit 130' INT TERM
settings
case $2 in create | submit) read_body "${3-}" ;; esac
trap 'note INT' INT
trap 'note TERM' TERM
trap 'note HUP' HUP
(carry_out "$@") &
await $!
exit
