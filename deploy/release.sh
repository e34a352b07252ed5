#!/bin/sh
# Starts a release on this host, and the one before it again if it does not come up. Run where these are:
#
#     host/                what belongs to the host: .env, secrets/; takes the place of what a release has by that name
#     releases/<name>/     docker-compose.yml, compose.lock.yml with the digests of the images, and what they refer to
#     current              a link to the release in service
#
#     sh releases/<name>/deploy/release.sh <name>
set -eu

name=$1
patience=${RELEASE_SECONDS:-900} # a host that has no model yet trains one before it is ready
kept=5

compose() {
    release=$1
    shift
    (cd "releases/$release" && docker compose --file docker-compose.yml --file compose.lock.yml "$@")
}

start() {
    compose "$1" up --detach --no-build --remove-orphans --wait --wait-timeout "$patience" &&
        compose "$1" exec -T gateway python - http://proxy:8000 <"releases/$1/deploy/smoke.py"
}

[ -d "releases/$name" ] || {
    echo "There is no releases/$name in $(pwd)." >&2
    exit 2
}
# A runner that goes away must not leave the host in between: there is always somebody who takes what this says.
if [ -z "${RELEASE_LOG:-}" ]; then
    export RELEASE_LOG="releases/$name/release.log"
    trap '' HUP PIPE
    {
        code=0
        sh "$0" "$name" 2>&1 || code=$?
        echo "$code" >"$RELEASE_LOG.code"
    } | tee "$RELEASE_LOG" || true
    exit "$(cat "$RELEASE_LOG.code")"
fi

for own in host/.[!.]* host/*; do
    [ -e "$own" ] || continue
    rm -rf "releases/$name/${own#host/}"
    ln -s "../../$own" "releases/$name/${own#host/}"
done
previous=$(readlink current 2>/dev/null || true)
previous=${previous#releases/}

echo "Pulling the images of $name"
compose "$name" pull --quiet || {
    echo "The images of $name cannot be pulled. Nothing was changed." >&2
    exit 1
}

echo "Starting $name"
if start "$name"; then
    ln -sfn "releases/$name" current
    echo "$name is in service."
    # shellcheck disable=SC2012 # the names are ours
    ls -1t releases | tail -n +$((kept + 1)) | while read -r old; do
        [ "$old" = "$name" ] || [ "$old" = "$previous" ] || rm -rf "releases/$old"
    done
    exit 0
fi

echo "$name did not come up:" >&2
compose "$name" ps --all >&2 || true
compose "$name" logs --no-color --tail 40 >&2 || true
if [ -z "$previous" ] || [ "$previous" = "$name" ]; then
    echo "There is no release to go back to." >&2
elif start "$previous"; then
    echo "Back to $previous, which is in service." >&2
else
    echo "$previous did not come up again either. The host needs a person." >&2
fi
exit 1
