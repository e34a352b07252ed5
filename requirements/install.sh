#!/bin/sh
# Brings .venv in step with a lock: requirements/install.sh stack|dev|bench
#
# Says nothing and takes milliseconds when it already is. The stamp holds a checksum of everything the
# environment was made from, its own place included, because an editable install remembers where it is.
set -eu

extra=$1
cd "$(dirname "$0")/.."
venv=.venv
python=$venv/bin/python
bootstrap=requirements/bootstrap.txt
lock=requirements/$extra.txt

# There from the first moment of a new environment to its first stamp: what Ctrl-C left of one is not built upon.
incomplete=$venv/incomplete

stamp_of() {
    { pwd; cat "$bootstrap" "requirements/$1.txt" pyproject.toml shared/kernel/*.[ch] shared/kernel/build.py; } | cksum
}

in_step() {
    [ -x "$python" ] && [ -f "$venv/$1.stamp" ] && [ "$(cat "$venv/$1.stamp")" = "$(stamp_of "$1")" ]
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
        # An interpreter that was asked for by name is used or refused, never replaced.
        [ -z "${PYTHON:-}" ] || break
    done
    found=$("${PYTHON:-python3}" --version 2>&1) || found="no ${PYTHON:-python3} on the PATH"
    echo "Tasador needs Python 3.11 or newer, and found: $found." >&2
    echo "Install one, or name it: make up PYTHON=/path/to/python3.12" >&2
    exit 1
}

create_venv() {
    chosen=$(find_python)
    echo "Creating $venv with $("$chosen" --version 2>&1)"
    rm -rf "$venv"
    mkdir "$venv"
    : >"$incomplete"
    "$chosen" -m venv "$venv" || {
        echo "Python could not create $venv (on Debian and Ubuntu: apt install python3-venv)." >&2
        exit 1
    }
}

pip_install() {
    "$python" -m pip install --quiet --disable-pip-version-check "$@"
}

# uv is many times faster; pip is there for machines whose package mirror only pip has been told about.
install_lock() {
    if "$python" -m uv pip install --python "$python" --require-hashes -r "$lock"; then
        return
    fi
    echo "uv could not install $lock; trying pip, which takes a few minutes."
    "$python" -m pip install --disable-pip-version-check --require-hashes -r "$lock"
}

install_project() {
    "$python" -m uv pip install --quiet --offline --python "$python" --no-deps --no-build-isolation -e . ||
        pip_install --no-deps --no-build-isolation -e .
}

# Where there is no C compiler it says so, and what that means: everything works all the same.
compile_kernel() {
    "$python" -m shared.kernel.build >/dev/null || true
}

in_step "$extra" && exit 0
if [ -e "$incomplete" ] || ! [ -x "$python" ] || ! is_new_enough "$python"; then
    create_venv
fi
rm -f "$venv"/*.stamp
echo "Installing $lock (the first time takes a minute or two)"
pip_install --require-hashes -r "$bootstrap"
install_lock
install_project
compile_kernel
stamp_of "$extra" >"$venv/$extra.stamp"
rm -f "$incomplete"
# Each lock holds everything that the one before it does: stack, dev, bench.
case $extra in dev | bench) stamp_of stack >"$venv/stack.stamp" ;; esac
case $extra in bench) stamp_of dev >"$venv/dev.stamp" ;; esac
