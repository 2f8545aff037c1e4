-- Accounts at a provider of OpenID Connect that were linked to a user. Whoever was removed does not
-- join again with one of them by themselves; `id` tells which is the oldest.

CREATE TABLE former_accounts (
    id INTEGER PRIMARY KEY,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- The user, who may be gone. No other gets the same number.
    user_id INTEGER NOT NULL,
    UNIQUE (issuer, subject)
) STRICT;

-- However the link ends: it is removed, the user is, or its password is reset.
CREATE TRIGGER identity_ended AFTER DELETE ON identities BEGIN
    DELETE FROM former_accounts WHERE issuer = OLD.issuer AND subject = OLD.subject;
    INSERT INTO former_accounts (issuer, subject, user_id)
        VALUES (OLD.issuer, OLD.subject, OLD.user_id);
    DELETE FROM former_accounts WHERE id <= (
        SELECT id FROM former_accounts ORDER BY id DESC LIMIT 1 OFFSET 1024
    );
END;

-- Whoever links an account, or accepts an invitation with it, is known again.
CREATE TRIGGER identity_linked AFTER INSERT ON identities BEGIN
    DELETE FROM former_accounts WHERE issuer = NEW.issuer AND subject = NEW.subject;
END;
