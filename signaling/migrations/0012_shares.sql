-- Shares: links with which anybody watches some cameras until an hour, without signing in.

CREATE TABLE shares (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    -- The hash of its password; NULL without one.
    password TEXT,
    kiosk INTEGER NOT NULL CHECK (kiosk IN (0, 1)),
    -- As in tokens.
    giver TEXT NOT NULL,
    created_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    seen_s INTEGER
) STRICT;

CREATE TABLE share_cameras (
    share_id INTEGER NOT NULL REFERENCES shares (id) ON DELETE CASCADE,
    gateway_id TEXT NOT NULL REFERENCES gateways (id) ON DELETE CASCADE,
    camera_id TEXT NOT NULL,
    listen INTEGER NOT NULL CHECK (listen IN (0, 1)),
    PRIMARY KEY (share_id, gateway_id, camera_id)
) STRICT, WITHOUT ROWID;

INSERT INTO last_ids (kind, id) VALUES ('share', 0);

CREATE TRIGGER share_revoked AFTER DELETE ON shares BEGIN
    INSERT OR IGNORE INTO revoked (credential) VALUES ('share:' || old.id);
END;
