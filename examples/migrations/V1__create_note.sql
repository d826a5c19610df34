CREATE TABLE migrate_note (
    id INTEGER PRIMARY KEY,
    title VARCHAR(100) NOT NULL
);
