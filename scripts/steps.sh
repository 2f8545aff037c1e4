# The steps of ./check, a function each: `step_NAME`. Sourced by bash, from the root of the
# repository. A step succeeds or fails by its exit status, and says on a line that begins with
# "NOT RUN" what it had to leave out.

step_packages() {
    can_be_root ||
        fail "the tests make network namespaces: run this as root, or install sudo"
    need_compilers
    need_packages buildah ca-certificates chromium clang coturn curl ethtool ffmpeg firefox-esr \
        git haproxy iproute2 linux-libc-dev llvm miniupnpd-nftables mmdebstrap nftables nginx \
        openssh-client pebble procps prometheus shellcheck \
        gir1.2-gst-plugins-bad-1.0 gir1.2-gst-rtsp-server-1.0 gstreamer1.0-libav \
        gstreamer1.0-nice gstreamer1.0-plugins-bad gstreamer1.0-plugins-base \
        gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly gstreamer1.0-tools \
        python3 python3-gi python3-venv python3-zeroconf systemd tayga unbound
}

step_dashboard() {
    build_dashboard
}

step_web_lint() (
    need_node_modules
    cd web && npm run --silent format:check && npm run --silent check
)

step_web_test() (
    need_node_modules
    cd web && NO_COLOR=1 npm run --silent test
)

need_node_modules() {
    [ -e web/node_modules/.package-lock.json ] ||
        fail "the dashboard's npm packages are missing: run ./check dashboard once"
}

step_format() {
    cargo fmt --all --check
}

step_lint() {
    cargo clippy --locked --workspace --all-targets --quiet -- --deny warnings
}

step_docs() {
    RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace --no-deps --quiet
}

# Uses the cargo-deny that is there, or builds our own: quickly, since it runs for seconds.
step_licences() {
    local tools
    tools=${CARGO_TARGET_DIR:-target}/tools
    mkdir -p "$tools"
    tools=$(realpath "$tools")
    PATH=$tools/bin:$PATH
    if ! command -v cargo-deny >/dev/null; then
        CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-deny --locked --debug --root "$tools" ||
            return 1
    fi
    cargo deny --workspace --locked check bans licenses sources || return 1
    if timeout 60 cargo deny fetch db >/dev/null 2>&1; then
        cargo deny --workspace --locked check advisories || return 1
    else
        echo "NOT RUN: cargo deny check advisories: the advisory database is out of reach"
    fi
}

step_build() {
    cargo build --locked --workspace --all-targets
}

# The program as it is installed elsewhere, but built quickly.
step_package() {
    build_dashboard && PORTHOLE_PROFILE=quick scripts/package program
}

step_unit() {
    cargo test --locked --workspace --lib --bins --no-fail-fast
}

# The tests that make network namespaces need root; the compiler does not.
step_test() (
    can_be_root || fail "the tests make network namespaces: run this as root, or install sudo"
    if [ "$(id -u)" != 0 ]; then
        host=$(rustc --print host-tuple | tr a-z- A-Z_)
        export "CARGO_TARGET_${host}_RUNNER=sudo --preserve-env env PATH=$PATH"
    fi
    # Tests start the program, the native viewer and the examples, and install packages.
    step_build && step_package || return 1
    # Tests wait for most of their time: for cameras, browsers, the end of a lifetime.
    export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 2))}
    # The documentation has no examples to run, and looking for them costs a process a crate.
    PORTHOLE_REQUIRE_ALL=1 cargo test --locked --workspace --lib --bins --tests --no-fail-fast
)
