#!/bin/bash
# Runs the command that follows and ends as it does, but with 0 where it ends with 3: some trials failed for good, which
# is in the results and no reason to try the whole job again. A file, because an entrypoint passes through several shells.
"$@"
code=$?
[ "$code" -eq 3 ] && exit 0
exit "$code"
