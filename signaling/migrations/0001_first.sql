-- Secrets are kept as hashes: SHA-256 of what is random, argon2id of what a person chose.
-- Times are seconds since 1970.

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    password TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'viewer')),
    created_s INTEGER NOT NULL
) STRICT;

CREATE TABLE browser_sessions (
    hash BLOB PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE setup_tokens (
    hash BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'viewer')),
    -- Whether only the cameras in token_cameras may be seen.
    limited INTEGER NOT NULL CHECK (limited IN (0, 1)),
    created_s INTEGER NOT NULL,
    expires_s INTEGER
) STRICT;

CREATE TABLE token_cameras (
    token_id INTEGER NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    -- Need not exist yet.
    camera_id TEXT NOT NULL,
    PRIMARY KEY (token_id, camera_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE gateways (
    id TEXT PRIMARY KEY,
    public_key BLOB NOT NULL,
    name TEXT NOT NULL,
    created_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cameras (
    id TEXT PRIMARY KEY,
    gateway_id TEXT NOT NULL REFERENCES gateways (id) ON DELETE CASCADE,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX cameras_of_gateway ON cameras (gateway_id);

CREATE TABLE claims (
    hash BLOB PRIMARY KEY,
    expires_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
