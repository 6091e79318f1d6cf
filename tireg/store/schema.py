"""The statements of each migration. Plain columns, so that any SQLite tool is useful on it."""

from __future__ import annotations

CORE = (
    # One row per name. What is below "version" repeats the newest version that is not in the
    # trash (all null: every version is), so that listing reads one table.
    """CREATE TABLE embeddings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        token TEXT NOT NULL,
        kind TEXT,
        notes TEXT NOT NULL DEFAULT '',
        created TEXT NOT NULL,
        next_version INTEGER NOT NULL,
        version INTEGER,
        version_id INTEGER,
        record_sha TEXT,
        tensor_hash TEXT,
        encoders TEXT,
        base TEXT,
        base_fingerprint TEXT,
        family TEXT,
        license TEXT,
        vectors INTEGER,
        negative INTEGER,
        updated TEXT
    )""",
    """CREATE TABLE versions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        embedding_id INTEGER NOT NULL REFERENCES embeddings(id),
        version INTEGER NOT NULL,
        record_sha TEXT NOT NULL,
        tensor_hash TEXT NOT NULL,
        token TEXT NOT NULL,
        kind TEXT,
        class_noun TEXT,
        negative INTEGER NOT NULL,
        encoders TEXT NOT NULL,
        vectors INTEGER NOT NULL,
        base TEXT,
        base_revision TEXT,
        base_fingerprint TEXT,
        family TEXT,
        concept_sha TEXT,
        recipe_sha TEXT,
        method TEXT,
        init TEXT,
        steps INTEGER,
        seconds REAL,
        license TEXT,
        author TEXT,
        how TEXT NOT NULL,
        source TEXT,
        source_revision TEXT,
        source_sha TEXT,
        dialect TEXT,
        bytes INTEGER NOT NULL,
        created TEXT NOT NULL,
        added TEXT NOT NULL,
        trashed TEXT,
        tireg_version TEXT NOT NULL,
        UNIQUE (embedding_id, version),
        UNIQUE (embedding_id, record_sha)
    )""",
    """CREATE TABLE tensors (
        version_id INTEGER NOT NULL REFERENCES versions(id),
        encoder TEXT NOT NULL,
        vectors INTEGER NOT NULL,
        width INTEGER NOT NULL,
        dtype TEXT NOT NULL,
        PRIMARY KEY (version_id, encoder)
    ) WITHOUT ROWID""",
    """CREATE TABLE files (
        version_id INTEGER NOT NULL REFERENCES versions(id),
        position INTEGER NOT NULL,
        role TEXT NOT NULL,
        name TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        text TEXT,
        PRIMARY KEY (version_id, position)
    ) WITHOUT ROWID""",
    """CREATE TABLE hashes (
        value TEXT NOT NULL,
        form TEXT NOT NULL,
        version_id INTEGER NOT NULL REFERENCES versions(id),
        PRIMARY KEY (value, form, version_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE families (
        family TEXT NOT NULL,
        version_id INTEGER NOT NULL REFERENCES versions(id),
        PRIMARY KEY (family, version_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE aliases (
        embedding_id INTEGER NOT NULL REFERENCES embeddings(id),
        alias TEXT NOT NULL,
        version INTEGER NOT NULL,
        PRIMARY KEY (embedding_id, alias)
    ) WITHOUT ROWID""",
    """CREATE TABLE tags (
        tag TEXT NOT NULL,
        embedding_id INTEGER NOT NULL REFERENCES embeddings(id),
        PRIMARY KEY (tag, embedding_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE remotes (
        embedding_id INTEGER NOT NULL REFERENCES embeddings(id),
        repo TEXT NOT NULL,
        revision TEXT NOT NULL,
        record_sha TEXT NOT NULL,
        synced TEXT NOT NULL,
        PRIMARY KEY (embedding_id, repo)
    ) WITHOUT ROWID""",
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        who TEXT NOT NULL,
        verb TEXT NOT NULL,
        embedding_id INTEGER,
        name TEXT,
        version INTEGER,
        detail TEXT
    )""",
    """CREATE TABLE concepts (
        sha TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        class_noun TEXT NOT NULL,
        pictures INTEGER NOT NULL,
        templates TEXT NOT NULL
    )""",
    """CREATE TABLE pictures (
        concept_sha TEXT NOT NULL REFERENCES concepts(sha),
        position INTEGER NOT NULL,
        name TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        format TEXT NOT NULL,
        mode TEXT NOT NULL,
        caption TEXT,
        PRIMARY KEY (concept_sha, position)
    ) WITHOUT ROWID""",
    """CREATE TABLE bases (
        key TEXT PRIMARY KEY,
        id TEXT NOT NULL,
        revision TEXT,
        family TEXT NOT NULL,
        fingerprint_sha TEXT,
        fingerprint TEXT,
        license TEXT,
        path TEXT,
        added TEXT NOT NULL
    )""",
    """CREATE TABLE runs (
        run_id TEXT PRIMARY KEY,
        sha256 TEXT NOT NULL,
        record_sha TEXT NOT NULL,
        tensor_hash TEXT NOT NULL,
        token TEXT NOT NULL,
        class_noun TEXT NOT NULL,
        base TEXT NOT NULL,
        base_revision TEXT,
        base_fingerprint TEXT NOT NULL,
        suite TEXT NOT NULL,
        suite_version INTEGER NOT NULL,
        suite_sha TEXT NOT NULL,
        seeds INTEGER NOT NULL,
        sampler TEXT NOT NULL,
        steps INTEGER NOT NULL,
        guidance REAL NOT NULL,
        seconds REAL NOT NULL,
        created TEXT NOT NULL,
        tireg_version TEXT NOT NULL
    )""",
    """CREATE TABLE scores (
        run_id TEXT NOT NULL REFERENCES runs(run_id),
        position INTEGER NOT NULL,
        record_sha TEXT NOT NULL,
        base TEXT NOT NULL,
        metric TEXT NOT NULL,
        version INTEGER NOT NULL,
        encoder TEXT,
        value REAL,
        low REAL,
        high REAL,
        level REAL NOT NULL,
        n_prompts INTEGER NOT NULL,
        n_seeds INTEGER NOT NULL,
        baseline REAL,
        baseline_name TEXT NOT NULL,
        direction TEXT NOT NULL,
        unscored TEXT,
        PRIMARY KEY (run_id, position)
    ) WITHOUT ROWID""",
    """CREATE TABLE run_files (
        run_id TEXT NOT NULL REFERENCES runs(run_id),
        position INTEGER NOT NULL,
        role TEXT NOT NULL,
        name TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        text TEXT,
        PRIMARY KEY (run_id, position)
    ) WITHOUT ROWID""",
    # The score that stands for a version: of its newest run on its own base, else of its
    # newest run on any.
    """CREATE TABLE headlines (
        record_sha TEXT NOT NULL,
        metric TEXT NOT NULL,
        value REAL,
        direction TEXT NOT NULL,
        base TEXT NOT NULL,
        run_id TEXT NOT NULL REFERENCES runs(run_id),
        PRIMARY KEY (record_sha, metric)
    ) WITHOUT ROWID""",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO counters VALUES ('writes', 0)",
    "CREATE INDEX embeddings_updated ON embeddings (updated, id)",
    "CREATE INDEX embeddings_base ON embeddings (base, updated, id)",
    "CREATE INDEX embeddings_fingerprint ON embeddings (base_fingerprint, updated, id)",
    "CREATE INDEX embeddings_record ON embeddings (record_sha)",
    "CREATE INDEX embeddings_family ON embeddings (family, updated, id)",
    "CREATE INDEX embeddings_kind ON embeddings (kind, updated, id)",
    "CREATE INDEX embeddings_license ON embeddings (license, updated, id)",
    "CREATE INDEX versions_record ON versions (record_sha)",
    "CREATE INDEX versions_tensor_hash ON versions (tensor_hash)",
    "CREATE INDEX versions_concept ON versions (concept_sha) WHERE concept_sha IS NOT NULL",
    "CREATE INDEX versions_source ON versions (source_sha) WHERE source_sha IS NOT NULL",
    "CREATE INDEX versions_trashed ON versions (trashed) WHERE trashed IS NOT NULL",
    "CREATE INDEX files_sha256 ON files (sha256)",
    "CREATE INDEX hashes_version ON hashes (version_id)",
    "CREATE INDEX families_version ON families (version_id)",
    "CREATE INDEX tags_embedding ON tags (embedding_id)",
    "CREATE INDEX events_embedding ON events (embedding_id, id)",
    "CREATE INDEX pictures_sha256 ON pictures (sha256)",
    "CREATE INDEX bases_id ON bases (id)",
    "CREATE INDEX runs_record ON runs (record_sha, created)",
    "CREATE INDEX scores_record ON scores (record_sha, metric)",
    "CREATE INDEX run_files_sha256 ON run_files (sha256)",
    "CREATE INDEX headlines_metric ON headlines (metric, value)",
)

# One row of words per embedding outside the trash, under the embedding's id. It holds its own
# text: an index over another table would need triggers, and a database whose schema is not
# trusted may not touch FTS5 from a trigger.
SEARCH = (
    """CREATE VIRTUAL TABLE words USING fts5 (
        name, token, tags, notes, about, captions, prompts, prefix = '2 3',
        tokenize = "unicode61 remove_diacritics 2 categories 'L* M* N* Co So'"
    )""",
)

COMPATIBILITY = (
    # Between the fingerprints of two bases, encoder by encoder: what was trained on the first
    # finds on the target the same encoder (exact), nearly the same (near), or another one.
    """CREATE TABLE verdicts (
        target TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        encoder TEXT NOT NULL,
        verdict TEXT NOT NULL,
        cosine REAL,
        reason TEXT NOT NULL,
        decided TEXT NOT NULL,
        PRIMARY KEY (target, fingerprint, encoder)
    ) WITHOUT ROWID""",
    """CREATE VIEW library AS
        SELECT e.name, e.version, e.token, e.kind, e.base, e.family, e.license, e.vectors,
               e.updated AS created, e.notes,
               (SELECT group_concat(tag, ', ') FROM tags t WHERE t.embedding_id = e.id) AS tags,
               e.tensor_hash, e.record_sha
        FROM embeddings e WHERE e.version IS NOT NULL""",
    """CREATE VIEW lineage AS
        SELECT e.name, v.version, v.how, v.source, v.source_revision, v.dialect, v.init,
               v.base, v.base_revision, p.name AS picture, p.sha256 AS picture_sha256, p.caption
        FROM versions v JOIN embeddings e ON e.id = v.embedding_id
        LEFT JOIN pictures p ON p.concept_sha = v.concept_sha""",
    """CREATE VIEW score_table AS
        SELECT e.name, v.version, s.base, r.suite, r.suite_version, s.metric, s.value, s.low,
               s.high, s.baseline, s.baseline_name, s.direction, s.unscored, r.created, s.run_id
        FROM scores s JOIN runs r ON r.run_id = s.run_id
        JOIN versions v ON v.record_sha = s.record_sha
        JOIN embeddings e ON e.id = v.embedding_id""",
    """CREATE VIEW trash AS
        SELECT e.name, v.version, v.trashed, v.token, v.record_sha, v.bytes
        FROM versions v JOIN embeddings e ON e.id = v.embedding_id WHERE v.trashed IS NOT NULL""",
    """CREATE VIEW duplicates AS
        SELECT v.tensor_hash, count(*) AS versions,
               group_concat(e.name || '@' || v.version, ', ') AS members
        FROM versions v JOIN embeddings e ON e.id = v.embedding_id
        WHERE v.trashed IS NULL GROUP BY v.tensor_hash HAVING count(*) > 1""",
)

# Every index with values in no order costs a page of the disk per row once a registry is large,
# so that rows came in more slowly the more there were. These were more than any query asks for.
LEANER = (
    "DROP INDEX embeddings_record",
    "DROP INDEX embeddings_family",
    "DROP INDEX embeddings_kind",
    "DROP INDEX embeddings_license",
    "DROP INDEX embeddings_base",
    "DROP INDEX embeddings_fingerprint",
    "CREATE INDEX embeddings_kind ON embeddings (kind) WHERE kind IS NOT NULL",
    "CREATE INDEX embeddings_license ON embeddings (license) WHERE license IS NOT NULL",
    "CREATE INDEX embeddings_base ON embeddings (base, updated, id) WHERE base IS NOT NULL",
    """CREATE INDEX embeddings_fingerprint ON embeddings (base_fingerprint, updated, id)
        WHERE base_fingerprint IS NOT NULL""",
)

# The pictures of concepts are never looked for by their hashes. What runs on a base is found by
# its fingerprint and encoders together. Of negative ones there are few.
BY_ENCODERS = (
    "DROP INDEX pictures_sha256",
    "DROP INDEX embeddings_fingerprint",
    """CREATE INDEX embeddings_fingerprint ON embeddings (base_fingerprint, encoders, updated, id)
        WHERE base_fingerprint IS NOT NULL""",
    "CREATE INDEX embeddings_negative ON embeddings (updated, id) WHERE negative = 1",
)
