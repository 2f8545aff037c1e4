-- Invitations: links with which a person becomes a user, or sets a new password, once.

CREATE TABLE invitations (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    -- For whom it is: the name that is proposed to a new user.
    name TEXT NOT NULL,
    -- The user whose password it resets; NULL if it is for a new user.
    user_id INTEGER REFERENCES users (id) ON DELETE CASCADE,
    -- As in tokens.
    giver TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    -- What the new user gets, as in users. Of a reset: what the user had.
    role TEXT NOT NULL CHECK (role IN ('admin', 'viewer')),
    owner INTEGER NOT NULL CHECK (owner IN (0, 1)),
    limited INTEGER NOT NULL CHECK (limited IN (0, 1)),
    listen INTEGER NOT NULL CHECK (listen IN (0, 1)),
    control INTEGER NOT NULL CHECK (control IN (0, 1))
) STRICT;

-- As user_cameras.
CREATE TABLE invitation_cameras (
    invitation_id INTEGER NOT NULL REFERENCES invitations (id) ON DELETE CASCADE,
    gateway_id TEXT NOT NULL REFERENCES gateways (id) ON DELETE CASCADE,
    camera_id TEXT NOT NULL,
    listen INTEGER NOT NULL CHECK (listen IN (0, 1)),
    control INTEGER NOT NULL CHECK (control IN (0, 1)),
    PRIMARY KEY (invitation_id, gateway_id, camera_id)
) STRICT, WITHOUT ROWID;

INSERT INTO last_ids (kind, id) VALUES ('invitation', 0);
