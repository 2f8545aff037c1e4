-- Credentials can be listed and revoked: who gave them, and when they were used last.

ALTER TABLE users ADD COLUMN seen_s INTEGER;

-- The user or token that gave it, such as 'user:1', or 'operator'; NULL if it is from before.
ALTER TABLE tokens ADD COLUMN giver TEXT;
ALTER TABLE tokens ADD COLUMN seen_s INTEGER;

ALTER TABLE claims ADD COLUMN giver TEXT;
ALTER TABLE claims ADD COLUMN created_s INTEGER;

ALTER TABLE browser_sessions ADD COLUMN created_s INTEGER;
ALTER TABLE browser_sessions ADD COLUMN seen_s INTEGER;
-- From where it was started, and how the browser names itself.
ALTER TABLE browser_sessions ADD COLUMN address TEXT;
ALTER TABLE browser_sessions ADD COLUMN browser TEXT;

-- The last id of each kind, so that no id is given again: sessions and gifts name their owners by it.
CREATE TABLE last_ids (
    kind TEXT PRIMARY KEY,
    id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO last_ids (kind, id) VALUES
    ('user', COALESCE((SELECT MAX(id) FROM users), 0)),
    ('token', COALESCE((SELECT MAX(id) FROM tokens), 0));

-- The credentials that were revoked, by whatever program, until the running server has ended what
-- was started with them.
CREATE TABLE revoked (
    credential TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TRIGGER token_revoked AFTER DELETE ON tokens BEGIN
    INSERT OR IGNORE INTO revoked (credential) VALUES ('token:' || old.id);
END;

CREATE TRIGGER cookie_revoked AFTER DELETE ON browser_sessions BEGIN
    INSERT OR IGNORE INTO revoked (credential)
    VALUES ('cookie:' || lower(hex(substr(old.hash, 1, 8))));
END;

CREATE TRIGGER gateway_revoked AFTER DELETE ON gateways BEGIN
    INSERT OR IGNORE INTO revoked (credential) VALUES ('gateway:' || old.id);
END;
