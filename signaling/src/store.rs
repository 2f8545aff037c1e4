//! What has to survive a restart: people, tokens, gateways, cameras, claims; in SQLite.

mod gateways;
pub(crate) mod people;
mod tokens;

pub(crate) use gateways::Claimed;
pub(crate) use tokens::TokenLookup;

use sqlx::{
    SqlSafeStr as _, Sqlite, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The file in the data folder.
const FILE: &str = "signaling.sqlite3";
/// Readers at once. SQLite lets one write, beside them.
const READERS: u32 = 3;
/// How long a writer waits for another, such as the command line beside the server.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The steps from an empty file to the tables of today, in order; never changed, only added to.
/// Listed by hand, since the macro that reads the folder builds SQLite a second time.
const MIGRATIONS: [(&str, &str); 1] = [("first", include_str!("../migrations/0001_first.sql"))];

#[derive(Debug, Clone)]
pub(crate) struct Store {
    read: SqlitePool,
    write: SqlitePool,
}

fn migrator() -> Migrator {
    let migration = |(version, (name, sql)): (i64, (&'static str, &'static str))| {
        let kind = MigrationType::Simple;
        Migration::new(version, name.into(), kind, sql.into_sql_str(), false)
    };
    Migrator::with_migrations((1..).zip(MIGRATIONS).map(migration).collect())
}

/// What is written together. Unless committed, nothing of it is, and its connection is closed:
/// after a full disk nobody knows what state SQLite has left it in.
struct Write {
    connection: PoolConnection<Sqlite>,
    committed: bool,
}

/// Why something could not be looked up or written down.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, the folder cannot be written, or the disk is broken.
    #[error("the data folder cannot be written ({0}); make room or mend its permissions")]
    NotWritable(String),
    /// Another program holds the database.
    #[error("the database is busy; try again")]
    Busy,
    /// Anything else.
    #[error("the database failed: {0}")]
    Other(sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // https://www.sqlite.org/rescode.html; the low byte is the primary code.
        let primary = error
            .as_database_error()
            .and_then(|error| error.code())
            .and_then(|code| code.parse::<u32>().ok())
            .map(|code| code & 0xff);
        match primary {
            Some(5 | 6) => Self::Busy,
            Some(8 | 10 | 13 | 14) => Self::NotWritable(
                error.as_database_error().map_or(String::new(), |e| e.message().to_owned()),
            ),
            _ => Self::Other(error),
        }
    }
}

/// Why there is no database. Each sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is not there and cannot be made.
    #[error("the data folder {} cannot be made: {error}; choose another with --data",
        .data.display())]
    Folder {
        /// The data folder.
        data: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The folder is full or cannot be written.
    #[error("the data folder {} cannot be written: {error}; make room or choose another \
        with --data", .data.display())]
    NotWritable {
        /// The data folder.
        data: PathBuf,
        /// What SQLite says.
        error: String,
    },
    /// A newer program has written it.
    #[error("the data folder {} was written by a newer version of this program; install that",
        .data.display())]
    Newer {
        /// The data folder.
        data: PathBuf,
    },
    /// Anything else.
    #[error("the database in the data folder {} cannot be opened: {error}", .data.display())]
    Other {
        /// The data folder.
        data: PathBuf,
        /// What SQLite says.
        error: String,
    },
}

impl Store {
    /// Opens the database of this data folder, makes both if they are not there.
    pub(crate) async fn open(data: &Path) -> Result<Self, OpenError> {
        make_folder(data).map_err(|e| OpenError::Folder { data: data.to_owned(), error: e })?;
        let file = data.join(FILE);
        make_file(&file)
            .map_err(|e| OpenError::NotWritable { data: data.to_owned(), error: e.to_string() })?;
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        // The writer comes first: it makes the tables. A reader stays open for ever, so that a
        // writer can come back while the disk is full.
        let write = pool(1).connect_with(options.clone()).await;
        let write = write.map_err(|e| not_opened(data, e))?;
        migrator().run(&write).await.map_err(|e| not_migrated(data, e))?;
        let read = pool(READERS).min_connections(1).connect_with(options).await;
        let read = read.map_err(|e| not_opened(data, e))?;
        Ok(Self { read, write })
    }

    async fn begin(&self) -> Result<Write, StoreError> {
        let mut connection = self.write.acquire().await?;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        Ok(Write { connection, committed: false })
    }

    pub(crate) async fn close(&self) {
        self.write.close().await;
        self.read.close().await;
    }
}

impl Write {
    fn db(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::query("COMMIT").execute(self.db()).await?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if !self.committed {
            self.connection.close_on_drop();
        }
    }
}

fn pool(most: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(most)
        .acquire_timeout(BUSY_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
}

#[cfg(unix)]
fn make_folder(data: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data)
}

/// The folder may be there already and open to others; the file is not. SQLite gives the files
/// beside it the same mode.
#[cfg(unix)]
fn make_file(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(not(unix))]
fn make_file(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn make_folder(data: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(data)
}

fn not_opened(data: &Path, error: sqlx::Error) -> OpenError {
    let data = data.to_owned();
    match StoreError::from(error) {
        StoreError::NotWritable(why) => OpenError::NotWritable { data, error: why },
        StoreError::Busy => OpenError::Other { data, error: "another program holds it".to_owned() },
        StoreError::Other(error) => OpenError::Other { data, error: error.to_string() },
    }
}

fn not_migrated(data: &Path, error: MigrateError) -> OpenError {
    if matches!(error, MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..)) {
        return OpenError::Newer { data: data.to_owned() };
    }
    if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
        return not_opened(data, error);
    }
    OpenError::Other { data: data.to_owned(), error: error.to_string() }
}

/// Seconds since 1970.
pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// As SQLite keeps it.
fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn nobody_else_reads_the_database_whatever_its_folder_allows() {
        let data = tempfile::tempdir().unwrap();
        std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for start in ["first", "second"] {
            let store = Store::open(data.path()).await.unwrap();
            store.new_claim().await.unwrap();
            let mut found = 0;
            for entry in std::fs::read_dir(data.path()).unwrap() {
                let entry = entry.unwrap();
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{start} {entry:?}");
                found += 1;
            }
            assert_eq!(found, 3, "with -wal and -shm");
            store.close().await;
        }
    }
}
