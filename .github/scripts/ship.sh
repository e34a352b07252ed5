#!/usr/bin/env bash
# Sends what a release needs to a host, and starts it there with deploy/release.sh. deploy.yml says what is in the
# environment; compose.lock.yml, with the digests of the images, is in the working directory.
set -euo pipefail

keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT
(
    umask 077
    printf '%s\n' "$DEPLOY_SSH_KEY" > "$keys/key"
    printf '%s\n' "$DEPLOY_KNOWN_HOSTS" > "$keys/known_hosts"
)

on_host() {
    ssh -i "$keys/key" -p "${DEPLOY_PORT:-22}" -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes \
        -o UserKnownHostsFile="$keys/known_hosts" -o GlobalKnownHostsFile=/dev/null -o ConnectTimeout=20 \
        -o ServerAliveInterval=15 "$DEPLOY_USER@$DEPLOY_HOST" "$@"
}

# A directory of its own for each attempt: nothing is changed under containers that run.
name=$RELEASE-$GITHUB_RUN_ID-$GITHUB_RUN_ATTEMPT
git archive --add-file=compose.lock.yml HEAD docker-compose.yml deploy params.yaml data |
    on_host "cd ${DEPLOY_DIRECTORY@Q} && mkdir -p releases/$name && tar -x -C releases/$name"
on_host "cd ${DEPLOY_DIRECTORY@Q} && sh releases/$name/deploy/release.sh $name"
