# Sourced by the other scripts, never run: finds a Python and keeps a virtual environment of this checkout up to date.
# POSIX sh only. Needs nothing but a Python of at least 3.10 with pip.

# find_python: prints the interpreter to use. $PYTHON wins; else the first that is new enough.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3 python3.11 python3.12 python3.13 python3.14 python3.10 python
    fi
    for candidate in "$@"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
    echo "addax needs Python 3.10 or newer, which ${PYTHON:-python3} is not. Name another one: PYTHON=/path/to/python $0" >&2
    return 1
}

# python_version INTERPRETER: prints its version as in 3.11.
python_version() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'
}

# create_venv INTERPRETER DIRECTORY: makes it, also where the distribution ships Python without ensurepip.
create_venv() {
    "$1" -m venv "$2" >/dev/null 2>&1 && return 0
    "$1" -m venv --clear --without-pip "$2"
    "$1" -m pip --python "$2/bin/python" install --quiet pip
}

# is_pure: whether plain Python was asked for, with ADDAX_PURE as addax reads it.
is_pure() {
    [ "${ADDAX_PURE:-0}" != 0 ]
}

# prepare_venv INTERPRETER DIRECTORY REQUIREMENT: afterwards DIRECTORY/bin/python can import what REQUIREMENT names, and
# the compiled modules are those of the sources as they are now. A stamp file makes the second run quick: nothing is
# installed again until pyproject.toml changes; compile_in_place.py has a note of its own.
prepare_venv() {
    stamp="$2/addax-installed"
    wanted="$3 $(cksum <pyproject.toml)"
    if ! "$2/bin/python" -c "" 2>/dev/null || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        echo "Preparing $2 with Python $(python_version "$1") (a minute or two the first time)" >&2
        "$2/bin/python" -m pip --version >/dev/null 2>&1 || create_venv "$1" "$2"
        # What a build needs is installed too, so that modules can be compiled again without pip.
        # shellcheck disable=SC2046  # one word for each requirement
        pip_install "$2" $(sed -n '/^\[build-system\]/,/^$/ s/^requires = //p' pyproject.toml | tr -d '[],"') >&2
        ADDAX_PURE=1 ADDAX_REQUIRE= pip_install "$2" --no-build-isolation --editable "$3" >&2
        echo "$wanted" >"$stamp"
    fi
    is_pure || "$2/bin/python" scripts/compile_in_place.py
}

# pip_install DIRECTORY ARGUMENTS: into that environment.
pip_install() {
    directory="$1"
    shift
    "$directory/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}
