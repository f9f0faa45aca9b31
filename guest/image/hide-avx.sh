#!/usr/bin/env bash
# Keeps the programs below TREE from AVX registers, for MicroVMs on hosts whose KVM
# emulates ring 0.
#
# Usage: hide-avx.sh TREE
# Such a host runs ring 3 on the processor itself, so programs see all that it has,
# whatever the guest kernel was told; but a kernel there can neither XSAVE nor XRSTOR,
# and switches x87 and SSE registers alone. `memcpy` of two programs then shares the
# rest. Who wants AVX asks XGETBV first, as Intel's manual (volume 1, 14.3) has it:
# here the answer is 0. A program that a learner brings along is not reached.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
source "$here/../../scripts/lib.sh"

case ${1-} in
  -h | --help) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit ;;
  '' | -*) die "which tree?" "See --help." ;;
esac
tree=$1
ensure_commands objdump=binutils perl=perl-base

# The same three bytes may be a part of something else: only where each of them is the
# instruction is a file changed, and one with both is refused.
changed=0
while IFS= read -r -d '' file; do
  [[ $(head -c 4 "$file" | tail -c 3) == ELF ]] || continue
  asked=$(objdump -d "$file" | grep -cw xgetbv || true)
  ((asked)) || continue
  bytes=$(LC_ALL=C grep -oaP '\x0f\x01\xd0' "$file" | wc -l)
  ((asked == bytes)) || die "$file: $bytes times XGETBV's bytes, $asked instructions" \
    "Teach guest/image/hide-avx.sh to tell them apart."
  # xor %eax,%eax; nop
  perl -e 'open F, "+<:raw", $ARGV[0] or die $!; local $/; $_ = <F>;
    s/\x0f\x01\xd0/\x31\xc0\x90/g; seek F, 0, 0; print F $_; close F or die $!' "$file"
  changed=$((changed + 1))
done < <(LC_ALL=C grep -rlaZP '\x0f\x01\xd0' "$tree")
note "AVX hidden in $changed programs and libraries"
