#!/usr/bin/env bash
# Embeds proteins on this machine: makes .venv, installs what is pinned, runs the pipeline.
#
#   ./run_local.sh                      the example proteins with the demo model, into ./out
#   ./run_local.sh --input … --output … the pipeline with your options (--help tells of them)
#   ./run_local.sh test [options]       the tests; options go to pytest
#
# Needs Python 3.11, 3.12 or 3.13; PYTHON=/path/to/python chooses one.
# TORCH_INDEX_URL=… takes torch from another package index, e.g. the one that pytorch.org names
# for a small CPU build or for an older CUDA driver.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)

die() { echo "error: $*" >&2; exit 2; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  die "Python 3.11, 3.12 or 3.13 is needed and none was found. Install one, or name it: PYTHON=/path/to/python $0"
}

# Installs once for each version of what is to be installed; an interrupted install is done again.
install() {
  local extras=$1 index python wanted
  # Where TORCH_INDEX_URL is not set, that of the last time stays; set to nothing, it is PyPI again.
  index=${TORCH_INDEX_URL-$(sed -n 2p "$here/.venv/installed" 2>/dev/null || true)}
  wanted="$extras
$index
$(cat "$here"/constraints.txt "$here"/pyproject.toml | cksum)"
  [ "$(cat "$here/.venv/installed" 2>/dev/null)" = "$wanted" ] && return
  python=$(find_python)
  echo "Setting up .venv with $("$python" --version); this is done once." >&2
  [ -x "$here/.venv/bin/python" ] || "$python" -m venv "$here/.venv" || die "'$python -m venv' failed (on Debian and Ubuntu: apt install python3-venv)"
  # First, and by name: PyPI's torch for Linux runs on NVIDIA GPUs and on CPUs, that for macOS on both of its own.
  echo "Installing PyTorch, some minutes without a word …" >&2
  pip install -c "$here/constraints.txt" torch ${index:+--index-url "$index"}
  echo "Installing the other packages …" >&2
  pip install -c "$here/constraints.txt" -e "$here$extras"
  check_gpu
  echo "$wanted" >"$here/.venv/installed"
}

pip() {
  "$here/.venv/bin/python" -m pip --quiet --disable-pip-version-check "$@" ||
    die "'pip $*' failed; its message is above. Is there a network?"
}

check_gpu() {
  command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1 || return 0
  "$here/.venv/bin/python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
    echo "warning: this machine has an NVIDIA GPU that the installed torch cannot use, most often because its driver is old. Set TORCH_INDEX_URL to the index that pytorch.org names for your CUDA version, remove .venv and run this again." >&2
}

# The test packages stay once they are there.
installed_extras() { grep -o '^\[dev\]' "$here/.venv/installed" 2>/dev/null || true; }

case "${1:-}" in
  test)
    shift
    install "[dev]"
    cd "$here"
    exec .venv/bin/python -m pytest "$@"
    ;;
  "")
    install "$(installed_extras)"
    exec "$here/.venv/bin/fastesm-beam" --input "$here/examples/well_known.fasta" --output out --model demo
    ;;
  --help | -h)
    awk 'NR > 1 && !/^#/ {exit} NR > 1 {sub(/^# ?/, ""); print}' "${BASH_SOURCE[0]}"
    [ -e "$here/.venv/installed" ] || { echo; echo "Nothing is installed yet: ./run_local.sh does it, and then tells the options too."; exit; }
    echo
    exec "$here/.venv/bin/fastesm-beam" "$@"
    ;;
  *)
    install "$(installed_extras)"
    exec "$here/.venv/bin/fastesm-beam" "$@"
    ;;
esac
