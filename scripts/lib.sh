# What the two commands share. Sourced by bash, from the root of the repository.

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$0: $*"
    exit 1
}

# Runs as root: directly, or by sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

can_be_root() {
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null
}

# Prints those of these Debian packages that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
            printf '%s ' "$package"
    done
}

# Installs those of these Debian packages that are missing.
need_packages() {
    local missing
    command -v dpkg-query >/dev/null ||
        fail "this is not Debian; install what these packages hold, then try again: $*"
    missing=$(missing_packages "$@")
    [ -z "$missing" ] && return
    can_be_root || fail "these Debian packages are missing, and there is no sudo: $missing"
    say "installing $missing"
    # shellcheck disable=SC2086 # a list of words
    # Services that come with packages are not started: the tests start their own, on free ports.
    as_root env DEBIAN_FRONTEND=noninteractive bash -c '
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then
            trap "rm -f $policy" EXIT
            printf "#!/bin/sh\nexit 101\n" >$policy && chmod 755 $policy
        fi
        apt-get update -qq && apt-get install -qq --no-install-recommends "$@"' apt $missing \
        >/dev/null || fail "apt-get could not install $missing"
}

# A linker and compilers for the crates that hold C and C++ (ring, SQLite, OpenH264, jemalloc), and
# the assembler that makes OpenH264 three times as fast.
need_compilers() {
    if command -v cc >/dev/null && command -v c++ >/dev/null && command -v make >/dev/null &&
        command -v nasm >/dev/null; then
        return
    fi
    need_packages build-essential nasm
}

need_rust_and_node() {
    command -v cargo >/dev/null || fail "cargo is missing; install Rust from https://rustup.rs"
    command -v npm >/dev/null || fail "npm is missing; install Node.js 20.19 or later"
}

# Builds the dashboard, unless nothing has changed since it was built.
build_dashboard() (
    cd web || exit 1
    if [ ! -e node_modules/.package-lock.json ] ||
        [ package-lock.json -nt node_modules/.package-lock.json ]; then
        npm ci --no-progress || exit 1
    fi
    if [ -e dist/index.html ] &&
        [ -z "$(find . -path ./node_modules -prune -o -path ./dist -prune -o \
            -type f -newer dist/index.html -print -quit)" ]; then
        exit 0
    fi
    npm run build
)
