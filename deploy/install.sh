#!/bin/sh
# Installs Porthole, or replaces an older version, on Linux. Run it as root:
#
#   sh install.sh             install the program, its services and their configuration
#   sh install.sh --from URL  take the files from another place, such as one in your own network
#
# Nothing is installed unless the checksum of what was downloaded is in the list of this very
# release, and that list is signed with the key below. So it does not matter who serves the files.
# It needs curl or wget, sha256sum, tar, and ssh-keygen (Debian: openssh-client, Alpine:
# openssh-keygen) for the signature.
#
# scripts/release writes a version, a key and an address into its copy of this file.
set -eu

VERSION=''
KEY=''
FROM=''
# Where everything is installed below; for those who build images and packages.
ROOT=${DESTDIR:-}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

case $ROOT in
'' | /*) ;;
*) fail "DESTDIR must begin with /" ;;
esac
if [ -z "$ROOT" ] && [ -e /usr/bin/porthole ]; then
    fail 'the Debian package is installed: upgrade that, or remove it first'
fi

need() {
    command -v "$1" >/dev/null 2>&1 || fail "$1 is missing; install $2, then try again"
}

# Downloads a file of the release. It may be anything until it is verified.
download() {
    if command -v curl >/dev/null 2>&1; then
        curl --fail --silent --show-error --location --output "$1" "$FROM/$1"
    else
        wget -q -O "$1" "$FROM/$1"
    fi || fail "cannot download $FROM/$1; check the address and this machine's network"
}

# The list must be signed by the key of the project, as a list of a release and nothing else.
verify_list() {
    echo "porthole namespaces=\"porthole-release\" $KEY" >signers
    ssh-keygen -Y verify -f signers -I porthole -n porthole-release -s SHA256SUMS.sig \
        <SHA256SUMS >/dev/null 2>&1 ||
        fail "SHA256SUMS is not signed by the key of Porthole; nothing is installed"
}

# The archive must be the one of the list. Its name has this version: the list of an older release,
# which is signed too, does not have it.
verify_archive() {
    grep "^[0-9a-f]\{64\}  $1\$" SHA256SUMS >wanted ||
        fail "there is no $1 in this release; see the guide for other ways to install Porthole"
    sha256sum -c wanted >/dev/null 2>&1 ||
        fail "$1 is not what was released: its checksum is wrong; nothing is installed"
}

# Replaces the program in one step: one that runs goes on with its old file.
install_files() {
    mkdir -p "$ROOT/usr/local/bin" "$ROOT/etc/porthole" "$ROOT/etc/systemd/system"
    cp porthole "$ROOT/usr/local/bin/.porthole.new"
    chmod 755 "$ROOT/usr/local/bin/.porthole.new"
    mv "$ROOT/usr/local/bin/.porthole.new" "$ROOT/usr/local/bin/porthole"
    for unit in porthole.service porthole-gateway.service; do
        cp "$unit" "$ROOT/etc/systemd/system/$unit"
        chmod 644 "$ROOT/etc/systemd/system/$unit"
    done
    if [ ! -e "$ROOT/etc/porthole/porthole.toml" ]; then
        (umask 077 && cp porthole.example.toml "$ROOT/etc/porthole/porthole.toml")
    fi
}

say_what_next() {
    echo "Porthole $VERSION is installed. Next, one of:"
    if [ -z "$ROOT" ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        for unit in porthole porthole-gateway; do
            if systemctl --quiet is-active "$unit"; then
                echo "  systemctl restart $unit"
                return
            fi
        done
        echo "  porthole up --public --service    on a server"
        echo "  the command that *Gateways* in its dashboard shows, beside the cameras"
        echo "Their configuration is /etc/porthole/porthole.toml."
    else
        echo "  porthole up --public NAME                     on the server"
        echo "  porthole gateway --server URL --claim CODE    beside the cameras"
    fi
}

main() {
    while [ $# -gt 0 ]; do
        case $1 in
        --from)
            [ $# -ge 2 ] || fail "--from needs an address"
            FROM=${2%/}
            shift 2
            ;;
        *) fail "there is no option $1; try: install.sh --from URL" ;;
        esac
    done
    if [ -z "$VERSION" ] || [ -z "$KEY" ]; then
        fail "this copy belongs to no release: use the install.sh of one"
    fi
    [ -n "$FROM" ] || fail "say where the files of the release are: install.sh --from URL"
    [ "$(uname -s)" = Linux ] || fail "there is no Porthole for $(uname -s) yet"
    [ -n "$ROOT" ] || [ "$(id -u)" = 0 ] || fail "run it as root"
    command -v curl >/dev/null 2>&1 || need wget 'curl or wget'
    need ssh-keygen 'openssh-client (Alpine: openssh-keygen)'
    need sha256sum coreutils
    need tar tar
    umask 022
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    cd "$work"
    archive=porthole-$VERSION-$(uname -m)-linux.tar.gz
    download SHA256SUMS
    download SHA256SUMS.sig
    verify_list
    download "$archive"
    verify_archive "$archive"
    tar -xzf "$archive"
    install_files
    say_what_next
}

# All of it has arrived when this line has.
main "$@"
