#!/bin/sh
# Runs a command for an operation, detached from whoever started it, and writes down how it ended.
#   launcher.sh DIRECTORY COMMAND [ARGUMENT...]
# `started` is made exclusively: of two launchers for one operation exactly one runs the command.
directory=$1
shift
set -C
read -r stat </proc/$$/stat
{ printf '%s\n' "$stat" >"$directory/started"; } 2>/dev/null || exit 125
set +C
# A handler, not `trap ''`: the command must get the default action, the launcher must outlive it.
trap : TERM INT HUP
"$@"
code=$?
# One write; who reads it counts on the newline. A rename would be one more program to start.
printf '%s\n' "$code" >"$directory/exit_code"
exit "$code"
