-- Accounts at a provider of OpenID Connect, with which a user signs in. A user who has joined with
-- one has the empty password, which matches none.

CREATE TABLE identities (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    issuer TEXT NOT NULL,
    -- The id of the account at the issuer.
    subject TEXT NOT NULL,
    -- The name of the account when it was used last.
    name TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    seen_s INTEGER,
    UNIQUE (issuer, subject)
) STRICT;

CREATE INDEX identities_of_users ON identities (user_id);

-- The account that a browser has signed in with; with it, the sign-in ends.
ALTER TABLE browser_sessions ADD COLUMN identity_id INTEGER
    REFERENCES identities (id) ON DELETE CASCADE;

CREATE INDEX sign_ins_of_identities ON browser_sessions (identity_id);

INSERT INTO last_ids (kind, id) VALUES ('identity', 0);
