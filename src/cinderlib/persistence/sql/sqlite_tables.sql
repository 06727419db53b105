-- The tables of a new SQLite database. A test compares them with those that the migrations create.

CREATE TABLE cinderlib_alembic (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT cinderlib_alembic_pkc PRIMARY KEY (version_num)
);
CREATE TABLE cinderlib_volume (
    id VARCHAR(255) NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    backend VARCHAR(255),
    name VARCHAR(255),
    document TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX cinderlib_volume_by_age ON cinderlib_volume (created_at, id);
CREATE INDEX cinderlib_volume_by_backend ON cinderlib_volume (backend, created_at, id);
CREATE INDEX cinderlib_volume_by_name ON cinderlib_volume (name, created_at, id);
CREATE INDEX cinderlib_volume_by_backend_name ON cinderlib_volume (backend, name, created_at, id);
CREATE TABLE cinderlib_snapshot (
    id VARCHAR(255) NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    backend VARCHAR(255),
    name VARCHAR(255),
    volume_id VARCHAR(255),
    document TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX cinderlib_snapshot_by_age ON cinderlib_snapshot (created_at, id);
CREATE INDEX cinderlib_snapshot_by_backend ON cinderlib_snapshot (backend, created_at, id);
CREATE INDEX cinderlib_snapshot_by_name ON cinderlib_snapshot (name, created_at, id);
CREATE INDEX cinderlib_snapshot_by_volume_id ON cinderlib_snapshot (volume_id, created_at, id);
CREATE INDEX cinderlib_snapshot_by_backend_name ON cinderlib_snapshot (backend, name, created_at, id);
CREATE TABLE cinderlib_connection (
    id VARCHAR(255) NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    backend VARCHAR(255),
    volume_id VARCHAR(255),
    attached_host VARCHAR(255),
    document TEXT NOT NULL,
    host_key VARCHAR(255),
    PRIMARY KEY (id)
);
CREATE INDEX cinderlib_connection_by_age ON cinderlib_connection (created_at, id);
CREATE INDEX cinderlib_connection_by_backend ON cinderlib_connection (backend, created_at, id);
CREATE INDEX cinderlib_connection_by_volume_id ON cinderlib_connection (volume_id, created_at, id);
CREATE INDEX cinderlib_connection_by_attached_host ON cinderlib_connection (attached_host, created_at, id);
CREATE INDEX cinderlib_connection_by_volume_id_attached_host ON cinderlib_connection (volume_id, attached_host, created_at, id);
CREATE TABLE cinderlib_key_value (
    id VARCHAR(255) NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX cinderlib_key_value_by_age ON cinderlib_key_value (created_at, id);
CREATE TABLE cinderlib_intent (
    id VARCHAR(255) NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    backend VARCHAR(255),
    resource_id VARCHAR(255),
    document TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX cinderlib_intent_by_resource_id ON cinderlib_intent (resource_id, created_at, id);
CREATE TABLE cinderlib_schema (
    id SMALLINT NOT NULL,
    version INTEGER NOT NULL,
    min_reader INTEGER NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX cinderlib_connection_by_volume_id_host_key ON cinderlib_connection (volume_id, host_key, created_at, id);
CREATE TABLE cinderlib_operation (
    id VARCHAR(255) NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (id)
) WITHOUT ROWID;
CREATE INDEX cinderlib_operation_by_age ON cinderlib_operation (created_at, id);
INSERT INTO cinderlib_alembic VALUES ('0003');
INSERT INTO cinderlib_schema VALUES (1, 3, 1);
