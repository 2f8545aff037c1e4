//! The database (SQLite): users, tokens, gateways, cameras and claim codes.

mod added;
mod audit;
mod cameras;
mod copy;
mod credentials;
mod gateways;
mod identities;
mod invitations;
mod lock;
mod others;
mod passkeys;
mod people;
mod removals;
mod second_factors;
mod shares;
mod tokens;
pub(crate) mod users;
mod uses;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use porthole_metrics::TimeHistogram;
use porthole_signaling_core::Principal;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqlSafeStr as _, Sqlite, SqliteConnection, SqlitePool};
use tokio::sync::Semaphore;

pub use added::{Added, AddedOne};
pub(crate) use cameras::RightsEnd;
pub use credentials::Given;
pub(crate) use credentials::OfUsers;
pub(crate) use gateways::{CLAIM_LIFETIME, EnrollOutcome};
pub(crate) use identities::{Linking, Unlinking};
pub(crate) use invitations::{Acceptance, Entry};
pub(crate) use passkeys::{Addition, PasskeyUse};
pub use people::UserError;
pub(crate) use removals::Removal;
pub(crate) use second_factors::Code;
pub(crate) use shares::Share;
pub use shares::ShareError;
pub use tokens::TokenError;
pub(crate) use tokens::TokenLookup;
pub(crate) use users::Means;

/// Name of the database file in the data folder.
const FILE: &str = "signaling.sqlite3";
/// Connections that read. SQLite allows one more to write at the same time.
const READERS: u32 = 3;
/// Time a writer waits for another one, such as the command line while the server runs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The migrations from an empty file to the current tables, in order. Existing ones must never be
/// changed. They are listed by hand because the macro that reads the folder would build SQLite a
/// second time.
const MIGRATIONS: [(&str, &str); 18] = [
    ("first", include_str!("../migrations/0001_first.sql")),
    ("cameras of gateways", include_str!("../migrations/0002_cameras_of_gateways.sql")),
    ("gateways", include_str!("../migrations/0003_gateways.sql")),
    ("control", include_str!("../migrations/0004_control.sql")),
    ("listen", include_str!("../migrations/0005_listen.sql")),
    ("revocation", include_str!("../migrations/0006_revocation.sql")),
    ("former cameras", include_str!("../migrations/0007_former_cameras.sql")),
    ("audit", include_str!("../migrations/0008_audit.sql")),
    ("people", include_str!("../migrations/0009_people.sql")),
    ("invitations", include_str!("../migrations/0010_invitations.sql")),
    ("second factors", include_str!("../migrations/0011_second_factors.sql")),
    ("shares", include_str!("../migrations/0012_shares.sql")),
    ("passkeys", include_str!("../migrations/0013_passkeys.sql")),
    ("identities", include_str!("../migrations/0014_identities.sql")),
    ("scopes", include_str!("../migrations/0015_scopes.sql")),
    ("former accounts", include_str!("../migrations/0016_former_accounts.sql")),
    ("chains", include_str!("../migrations/0017_chains.sql")),
    ("caps", include_str!("../migrations/0018_caps.sql")),
];

#[derive(Debug, Clone)]
pub(crate) struct Store {
    read: SqlitePool,
    write: SqlitePool,
    /// The turn of whoever looks at a removal.
    looks: Arc<Semaphore>,
    uses: Arc<uses::Uses>,
    refusals: Arc<audit::Refusals>,
    times: Arc<Times>,
}

/// Upper bounds of the times of the database in milliseconds: a write waits for the disk.
const TIME_BOUNDS_MS: &[u64] = &[1, 2, 5, 10, 25, 50, 100, 250, 1_000, 5_000];

/// The times that the database has taken.
#[derive(Debug)]
pub(crate) struct Times {
    /// Times of write transactions, with the wait for their turn, up to their commit.
    writes: Mutex<TimeHistogram>,
    /// Times of one query, which the server makes twice a second.
    reads: Mutex<TimeHistogram>,
}

impl Default for Times {
    fn default() -> Self {
        let empty = || Mutex::new(TimeHistogram::new(TIME_BOUNDS_MS));
        Self { writes: empty(), reads: empty() }
    }
}

impl Times {
    /// Returns the times of writes and of reads.
    pub(crate) fn now(&self) -> (TimeHistogram, TimeHistogram) {
        let copy = |times: &Mutex<TimeHistogram>| {
            times.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        (copy(&self.writes), copy(&self.reads))
    }

    pub(crate) fn note_read(&self, since: Instant) {
        note(&self.reads, since);
    }
}

fn note(times: &Mutex<TimeHistogram>, since: Instant) {
    times.lock().unwrap_or_else(PoisonError::into_inner).record(since.elapsed());
}

/// Returns the migrator of the program that knows these migrations.
fn migrator(migrations: &[(&'static str, &'static str)]) -> Migrator {
    let migration = |(version, &(name, sql)): (i64, &(&'static str, &'static str))| {
        let kind = MigrationType::Simple;
        Migration::new(version, name.into(), kind, sql.into_sql_str(), false)
    };
    Migrator::with_migrations((1..).zip(migrations).map(migration).collect())
}

/// A write transaction. Unless it is committed, it is rolled back by closing its connection: after
/// a failure such as a full disk, the state of the connection is unknown.
struct Write {
    connection: PoolConnection<Sqlite>,
    committed: bool,
    times: Arc<Times>,
    began_at: Instant,
}

/// An error of a query or a write.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, the folder cannot be written, or the disk is broken.
    #[error("the data folder cannot be written ({0}); make room or correct its permissions")]
    NotWritable(String),
    /// Another process has locked the database.
    #[error("the database is busy; try again")]
    Busy,
    /// The credential of the request was revoked, or its rights have changed, while the request
    /// waited for the database.
    #[error("the access was revoked or changed meanwhile; sign in again")]
    Revoked,
    /// Any other failure.
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

/// An error when opening the database. Each sentence says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder does not exist and cannot be created.
    #[error("the data folder {} cannot be created: {error}; choose another with --data",
        .data.display())]
    Folder {
        /// The data folder.
        data: PathBuf,
        /// The error of the operating system.
        error: std::io::Error,
    },
    /// The disk is full, or the folder cannot be written.
    #[error("the data folder {} cannot be written: {error}; make room or choose another \
        with --data", .data.display())]
    NotWritable {
        /// The data folder.
        data: PathBuf,
        /// The message of SQLite or of the operating system.
        error: String,
    },
    /// A newer version of the program has written the folder.
    #[error("the data folder {} was written by a newer version of this program; install that",
        .data.display())]
    Newer {
        /// The data folder.
        data: PathBuf,
    },
    /// Another program has been opening or upgrading the database for too long.
    #[error("another program has been opening the data folder {} for 30 s; end it, or try again \
        when it is done", .data.display())]
    Locked {
        /// The data folder.
        data: PathBuf,
    },
    /// The copy that is made before an upgrade has failed. The database is unchanged.
    #[error("the database cannot be copied to {} before its tables are upgraded: {error}; make \
        room there and start again", .copy.display())]
    NotCopied {
        /// The file that the copy would have been.
        copy: PathBuf,
        /// The message of SQLite or of the operating system.
        error: String,
    },
    /// Any other failure.
    #[error("the database in the data folder {} cannot be opened: {error}", .data.display())]
    Other {
        /// The data folder.
        data: PathBuf,
        /// The message of SQLite or of the operating system.
        error: String,
    },
}

impl Store {
    /// Opens the database of a data folder. Creates both if they do not exist. Tables of an older
    /// version are upgraded, after a copy of the database was made, by one program at a time.
    pub(crate) async fn open(data: &Path) -> Result<Self, OpenError> {
        Self::open_as(data, &MIGRATIONS).await
    }

    /// Writes a copy of the database to a file, which is replaced if it exists.
    pub(crate) async fn copy_to(&self, to: &Path) -> Result<(), OpenError> {
        let written = copy::write_to(&self.read, to).await;
        written.map_err(|error| OpenError::NotCopied { copy: to.to_owned(), error })
    }

    /// Opens it as the program that knows these migrations.
    async fn open_as(
        data: &Path,
        migrations: &[(&'static str, &'static str)],
    ) -> Result<Self, OpenError> {
        create_folder(data).map_err(|e| OpenError::Folder { data: data.to_owned(), error: e })?;
        let _lock = lock::OpenLock::acquire(data).await?;
        let file = data.join(FILE);
        create_file(&file)
            .map_err(|e| OpenError::NotWritable { data: data.to_owned(), error: e.to_string() })?;
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        // The writer comes first because it creates the tables. One reader stays open for ever, so
        // that a writer can connect again while the disk is full.
        let write = pool(1).connect_with(options.clone()).await;
        let write = write.map_err(|e| not_opened(data, e))?;
        copy::before_upgrade(&write, data, migrations.len()).await?;
        migrator(migrations).run(&write).await.map_err(|e| not_migrated(data, e))?;
        let read = pool(READERS).min_connections(1).connect_with(options).await;
        let read = read.map_err(|e| not_opened(data, e))?;
        let (uses, refusals, times) = Default::default();
        Ok(Self { read, write, looks: Arc::new(Semaphore::new(1)), uses, refusals, times })
    }

    async fn begin(&self) -> Result<Write, StoreError> {
        let began_at = Instant::now();
        // Before it begins: whoever stops waiting for other writers closes the connection, which
        // would else be given back with a transaction that begins later.
        let connection = self.write.acquire().await?;
        let times = Arc::clone(&self.times);
        let mut write = Write { connection, committed: false, times, began_at };
        sqlx::query("BEGIN IMMEDIATE").execute(write.db()).await?;
        Ok(write)
    }

    /// Returns the times that the database has taken.
    pub(crate) fn times(&self) -> &Times {
        &self.times
    }

    /// Begins a write in the name of somebody, whose credential still counts.
    async fn begin_by(&self, actor: &Principal) -> Result<Write, StoreError> {
        let mut write = self.begin().await?;
        write.check_credential(actor).await?;
        Ok(write)
    }

    /// Checks that the database answers.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
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

    /// Returns an id for a user, a token or another object that none had before.
    async fn next_id(&mut self, kind: &str) -> Result<i64, StoreError> {
        let query = "UPDATE last_ids SET id = id + 1 WHERE kind = ? RETURNING id";
        Ok(sqlx::query(query).bind(kind).fetch_one(self.db()).await?.try_get("id")?)
    }

    /// Undoes everything, of which nobody else has seen anything.
    async fn roll_back(mut self) -> Result<(), StoreError> {
        sqlx::query("ROLLBACK").execute(self.db()).await?;
        // There is nothing left to undo, and the connection is as it was.
        self.committed = true;
        Ok(())
    }

    async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::query("COMMIT").execute(self.db()).await?;
        self.committed = true;
        note(&self.times.writes, self.began_at);
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

fn pool(max: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(max)
        .acquire_timeout(BUSY_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
}

#[cfg(unix)]
fn create_folder(data: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data)
}

/// Creates the database file readable by its owner only, since the folder may be open to others.
/// SQLite gives the files beside it the same mode.
#[cfg(unix)]
fn create_file(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(not(unix))]
fn create_file(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn create_folder(data: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(data)
}

fn not_opened(data: &Path, error: sqlx::Error) -> OpenError {
    let data = data.to_owned();
    match StoreError::from(error) {
        StoreError::NotWritable(why) => OpenError::NotWritable { data, error: why },
        StoreError::Busy => {
            OpenError::Other { data, error: "another program has locked it".to_owned() }
        }
        error @ (StoreError::Revoked | StoreError::Other(_)) => {
            OpenError::Other { data, error: error.to_string() }
        }
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

/// Returns the current time in seconds since 1970.
pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Converts seconds to the signed integer that SQLite stores.
fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
