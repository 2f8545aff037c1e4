-- Who has got access, who has tried to, and who has changed it: the newest of each kind.

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    -- Whoever has caused it, such as 'user:1', or the network of a client without a credential.
    source TEXT NOT NULL,
    -- The first and the last of several that stand in one row.
    first_s INTEGER NOT NULL,
    last_s INTEGER NOT NULL,
    count INTEGER NOT NULL,
    -- The name of the user or token that has done it; 'operator' on the host.
    actor TEXT,
    object TEXT,
    address TEXT
) STRICT;

CREATE INDEX audit_of_kind ON audit (kind, source, id);
