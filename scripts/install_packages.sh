#!/bin/sh
# Installs the Debian packages that are missing. Usage: scripts/install_packages.sh [TAG...] with tags test, fuzz,
# benchmark, train, arm (build packages are always included). Says what it needs when the user lacks the rights.
set -eu
folder=$(dirname "$0")

missing=""
while read -r name tag; do
  case "$name" in ''|'#'*) continue ;; esac
  if [ -n "${tag:-}" ]; then
    case " $* " in *" $tag "*) ;; *) continue ;; esac
  fi
  status=$(dpkg-query -W -f='${Status}' "$name" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing="$missing $name"
done <"$folder/packages.txt"
[ -n "$missing" ] || exit 0

case "$missing" in
  *libboost1.81-dev*)
    if dpkg-query -W -f='${Status}' libboost1.74-dev 2>/dev/null | grep -q 'install ok installed'; then
      echo "Note: libboost1.81-dev replaces the headers of libboost1.74-dev on this machine." >&2
    fi ;;
esac

if [ "$(id -u)" = 0 ]; then
  run=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  run="sudo"
else
  echo "These Debian packages are missing and installing them needs root rights:$missing" >&2
  echo "Ask an administrator to run: apt-get install$missing" >&2
  exit 1
fi
echo "Installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$run apt-get update -qq
# shellcheck disable=SC2086 # the list is meant to be split
$run apt-get install -y -qq --no-install-recommends $missing >/dev/null
