# What every script under hack/ shares; sourced, not run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${DROVEWAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/droveway}
bin=$cache/bin
mkdir -p "$bin"
export PATH=$bin:$PATH

say() { printf '== %s (%ss)\n' "$*" "$SECONDS"; }
die() { printf '!! %s\n' "$@" >&2; exit 1; }
have() { command -v "$1" > /dev/null; }

# fingerprint PATH...: one hash over the files below the paths, wherever the checkout lies.
fingerprint() { find "$@" -type f -print0 | sort -z | xargs -0 sha256sum | sed "s:  $root/:  :" | sha256sum; }

# fresh STEP FINGERPRINT: was the step last done with this fingerprint?
fresh() { [ -f "$cache/$1.done" ] && [ "$(cat "$cache/$1.done")" = "$2" ]; }
done_with() { echo "$2" > "$cache/$1.done"; }

# packages NAME...: Debian's packages, installed if they are not (root, apt).
packages() {
  if dpkg -s "$@" > /dev/null 2>&1; then return; fi
  local log=$cache/apt.log
  say "installing $*"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "$@"; } > "$log" 2>&1 ||
    die "$(tail -5 "$log")" "Debian's packages could not be installed; the whole log is in $log."
}
