-- Passkeys: keys on the devices of a user, with which it signs in without a password.

-- By this an authenticator knows its user: random, so that it says nothing about anybody.
ALTER TABLE users ADD COLUMN passkey_handle BLOB;

CREATE TABLE passkeys (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The id that the authenticator has given it.
    credential BLOB NOT NULL UNIQUE,
    -- As the authenticator wrote it (COSE).
    public_key BLOB NOT NULL,
    -- The number of uses, as far as the authenticator counts.
    counter INTEGER NOT NULL,
    -- Whether it may be copied to other devices.
    synced INTEGER NOT NULL CHECK (synced IN (0, 1)),
    name TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    seen_s INTEGER
) STRICT;

CREATE INDEX passkeys_of_users ON passkeys (user_id);

-- The passkey that a browser has signed in with; with it, the sign-in ends.
ALTER TABLE browser_sessions ADD COLUMN passkey_id INTEGER
    REFERENCES passkeys (id) ON DELETE CASCADE;

CREATE INDEX sign_ins_of_passkeys ON browser_sessions (passkey_id);

INSERT INTO last_ids (kind, id) VALUES ('passkey', 0);
