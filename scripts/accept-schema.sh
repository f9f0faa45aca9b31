#!/usr/bin/env bash
# Records the schema of now as what clients may rely on from here on.
#
# Way: proto/**.proto -> proto/baseline.binpb, which scripts/test.sh holds every
# later change against. A change that breaks the present baseline is refused: a
# new field, message, call or package is how a schema changes.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ensure_buf
cd "$TOP/proto"
if [[ -e baseline.binpb ]]; then
  "$BUF" breaking --against baseline.binpb ||
    die "This would break clients of the schema that was accepted before." \
      "Keep what is there and add beside it."
fi
"$BUF" build --exclude-source-info -o baseline.binpb
step "proto/baseline.binpb is the schema of now: commit it with the change"
