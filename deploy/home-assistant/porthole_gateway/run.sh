#!/bin/sh
# Starts the gateway with the options that were chosen in Home Assistant. They become a file that
# its user alone reads: the address of a camera may have a password, and flags are seen by others.
set -eu
umask 077

OPTIONS=/data/options.json
CONFIG=/data/porthole.toml

# A text in JSON is one in TOML.
TO_TOML='
    "# Written from the options of the add-on at each start.",
    "data = \"/data/porthole\"",
    "[gateway]",
    "server = \(.server | tojson)",
    (.claim // "" | select(. != "") | "claim = \(tojson)"),
    (.cameras // [] | .[] |
        "[camera.\(.id | tojson)]",
        "source = \(.source | tojson)",
        (.name // "" | select(. != "") | "name = \(tojson)"))
'

if [ -z "$(jq --raw-output '.server // ""' "$OPTIONS")" ]; then
    echo 'Enter the address of the Porthole server in the configuration of this add-on.' >&2
    exit 1
fi
jq --raw-output "$TO_TOML" "$OPTIONS" >"$CONFIG.part"
mv "$CONFIG.part" "$CONFIG"
exec porthole gateway --config "$CONFIG"
