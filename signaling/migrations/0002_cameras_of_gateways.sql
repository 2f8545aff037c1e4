-- The id of a camera is unique within its gateway, and rights to cameras are rights to those of one
-- gateway.

CREATE TABLE new_cameras (
    gateway_id TEXT NOT NULL REFERENCES gateways (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The order in which gateways have got their cameras. Of several cameras with one id, the one
    -- with the lowest place is meant by the id alone.
    place INTEGER NOT NULL,
    PRIMARY KEY (gateway_id, id)
) STRICT, WITHOUT ROWID;

INSERT INTO new_cameras (gateway_id, id, name, place)
SELECT
    gateway_id,
    cameras.id,
    cameras.name,
    row_number() OVER (ORDER BY gateways.created_s, gateways.id, cameras.id)
FROM cameras JOIN gateways ON gateways.id = gateway_id;

CREATE TABLE new_token_cameras (
    token_id INTEGER NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    -- Need not exist yet.
    camera_id TEXT NOT NULL,
    -- NULL in a row from before, if no gateway had the camera: it stays without effect, since
    -- nobody knows whose camera was meant.
    gateway_id TEXT REFERENCES gateways (id) ON DELETE CASCADE,
    UNIQUE (token_id, camera_id, gateway_id)
) STRICT;

INSERT INTO new_token_cameras (token_id, camera_id, gateway_id)
SELECT token_id, camera_id, new_cameras.gateway_id
FROM token_cameras LEFT JOIN new_cameras ON new_cameras.id = camera_id;

DROP TABLE token_cameras;
DROP TABLE cameras;
ALTER TABLE new_cameras RENAME TO cameras;
ALTER TABLE new_token_cameras RENAME TO token_cameras;
