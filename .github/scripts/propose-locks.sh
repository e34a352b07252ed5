#!/usr/bin/env bash
# Pushes changed locks to a branch, opens a pull request for them unless one is open, and starts CI on it.
set -euo pipefail

branch=updates/locks

if git diff --quiet -- requirements; then
    echo "Everything is up to date."
    exit 0
fi
# "numpy 2.1.0 → 2.2.0", once for all locks that have it.
changes=$(git diff --unified=0 -- requirements | awk '
    /^[-+][A-Za-z0-9]/ {
        split(substr($1, 2), pin, "==")
        if (/^-/) old[pin[1]] = pin[2]; else new[pin[1]] = pin[2]
    }
    END {
        for (name in old) if (!(name in new)) print "- " name " " old[name] " is gone"
        for (name in new) if (!(name in old)) print "- " name " " new[name] " is new"
            else if (old[name] != new[name]) print "- " name " " old[name] " → " new[name]
    }' | LC_ALL=C sort)
text="Recompiled from pyproject.toml with the newest versions that it allows and that are at least a week old.

$changes"

git config user.name "github-actions[bot]"
git config user.email "41898282+github-actions[bot]@users.noreply.github.com"
git switch --quiet --create "$branch"
git commit --quiet --message "Update the locked packages" --message "$text" -- requirements
gh auth setup-git
git push --quiet --force origin "$branch"
if [ "$(gh pr list --head "$branch" --state open --json number --jq length)" = 0 ]; then
    gh pr create --head "$branch" --title "Update the locked packages" --body "$text"
else
    gh pr edit "$branch" --body "$text"
fi
gh workflow run ci.yml --ref "$branch"
