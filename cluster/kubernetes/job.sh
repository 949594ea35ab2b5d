#!/bin/bash
# Runs the given command and returns its exit code, but 0 instead of 3. Code 3 means that some trials failed
# permanently: the results show them, and retrying the whole job would not help. This is a file because an entrypoint
# passes through several shells, which makes quoting unreliable.
"$@"
code=$?
[ "$code" -eq 3 ] && exit 0
exit "$code"
