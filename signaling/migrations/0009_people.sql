-- People: owners, and the cameras that each viewer may use.

-- An owner is an admin who also decides who owns the server. There is always one.
ALTER TABLE users ADD COLUMN owner INTEGER NOT NULL DEFAULT 0 CHECK (owner IN (0, 1));

UPDATE users SET owner = 1 WHERE id = (
    SELECT id FROM users WHERE role = 'admin' ORDER BY created_s, id LIMIT 1
);

-- Of a viewer: whether only the cameras in user_cameras may be seen, and what else may be done with
-- all cameras if they may all be seen. Those that exist go on seeing and hearing all.
ALTER TABLE users ADD COLUMN limited INTEGER NOT NULL DEFAULT 0 CHECK (limited IN (0, 1));
ALTER TABLE users ADD COLUMN listen INTEGER NOT NULL DEFAULT 1 CHECK (listen IN (0, 1));
ALTER TABLE users ADD COLUMN control INTEGER NOT NULL DEFAULT 0 CHECK (control IN (0, 1));

CREATE TABLE user_cameras (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    gateway_id TEXT NOT NULL REFERENCES gateways (id) ON DELETE CASCADE,
    -- Need not exist yet.
    camera_id TEXT NOT NULL,
    listen INTEGER NOT NULL CHECK (listen IN (0, 1)),
    control INTEGER NOT NULL CHECK (control IN (0, 1)),
    PRIMARY KEY (user_id, gateway_id, camera_id)
) STRICT, WITHOUT ROWID;

-- The number of times that the rights behind a cookie have changed. It is part of the name of the
-- credential, so that what was started with former rights can be ended, and the cookie goes on.
ALTER TABLE browser_sessions ADD COLUMN rights_version INTEGER NOT NULL DEFAULT 0;

DROP TRIGGER cookie_revoked;

CREATE TRIGGER cookie_revoked AFTER DELETE ON browser_sessions BEGIN
    INSERT OR IGNORE INTO revoked (credential)
    VALUES ('cookie:' || lower(hex(substr(old.hash, 1, 8))) || '.' || old.rights_version);
END;

CREATE TRIGGER cookie_changed AFTER UPDATE OF rights_version ON browser_sessions BEGIN
    INSERT OR IGNORE INTO revoked (credential)
    VALUES ('changed:cookie:' || lower(hex(substr(old.hash, 1, 8))) || '.' || old.rights_version);
END;

CREATE TRIGGER rights_changed AFTER UPDATE OF role, owner, limited, listen, control ON users BEGIN
    UPDATE browser_sessions SET rights_version = rights_version + 1 WHERE user_id = old.id;
END;
