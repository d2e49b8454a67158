#!/usr/bin/env bash
# Make an environment for each peer, with pinned versions: make_environments.sh FOLDER
set -uo pipefail
folder=${1:?usage: make_environments.sh FOLDER}
modern=(numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1)

make_environment() { # NAME PACKAGE...
  local name=$1
  shift
  if python3 -m venv "$folder/$name" && "$folder/$name/bin/pip" install -q "$@"; then
    echo "$name: made"
  else
    rm -rf "${folder:?}/$name"
    echo "$name: could not be installed"
  fi
}

make_environment omikuji omikuji==0.5.2 "${modern[@]}"
make_environment napkinxc napkinxc==0.7.2 "${modern[@]}"
# PECOS wants old numpy and scipy; of its other dependencies XR-Linear imports none.
make_environment pecos numpy==1.26.4 scipy==1.13.1 scikit-learn==1.7.2
if ! "$folder/pecos/bin/pip" install -q --no-deps libpecos==1.2.8; then
  rm -rf "${folder:?}/pecos"
  echo "pecos: could not be installed"
fi
