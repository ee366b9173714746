//! Which command processes are alive, by the database's clock: rows of `journal.writer`, which each process renews.
//!
//! The invariant: nothing but speed depends on what is read here. The journal's locks and comparisons decide, whoever
//! writes.

use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;
use wallex_domain::Hash;

/// How often a process reports, and after which time without a report it no longer counts.
pub const BEAT: Duration = Duration::from_millis(250);
pub const EXPIRY: Duration = Duration::from_secs(1);

/// A process that takes commands from others.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveWriter {
    pub id: Uuid,
    /// Host and port, as others reach it.
    pub address: String,
    /// What it expects to be told by whoever connects. Secret.
    pub token: [u8; 32],
    /// Of the messages between processes, and the build.
    pub protocol: i32,
    pub version: String,
}

/// Without the token.
impl std::fmt::Debug for LiveWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} ({})", self.id, self.address, self.version)
    }
}

/// Who is alive.
#[derive(Debug)]
pub struct Live {
    /// Those that have been alive longest come first: the order is the same for all who look, and changes little.
    pub writers: Vec<LiveWriter>,
    /// The database's clock, in microseconds since 1970.
    pub clock: i64,
}

/// One process's place among the writers.
pub struct Registration {
    journal: PgPool,
    own: LiveWriter,
}

// A process that was away for too long goes to the end, so that the others need not change twice. In one statement, what
// was there before is seen, so its own row comes from the first part.
const BEAT_AND_LOOK: &str = "
WITH own AS (
    INSERT INTO journal.writer AS w (writer_id, address, token, protocol, version, since, expires_at)
    VALUES ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp() + make_interval(secs => $6))
    ON CONFLICT (writer_id) DO UPDATE SET
        since = CASE WHEN w.expires_at > excluded.since THEN w.since ELSE excluded.since END,
        expires_at = excluded.expires_at
    RETURNING writer_id, address, token, protocol, version, since),
live AS (
    SELECT * FROM own
    UNION ALL
    SELECT writer_id, address, token, protocol, version, since FROM journal.writer
     WHERE writer_id <> $1 AND expires_at > clock_timestamp())
SELECT writer_id, address, token, protocol, version, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
  FROM live ORDER BY since, writer_id";

const LOOK: &str = "
SELECT writer_id, address, token, protocol, version, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
  FROM journal.writer WHERE writer_id <> $1 AND expires_at > clock_timestamp() ORDER BY since, writer_id";

const FORGET_DEAD: &str =
    "DELETE FROM journal.writer WHERE expires_at < clock_timestamp() - interval '1 minute'";

const LEAVE: &str = "DELETE FROM journal.writer WHERE writer_id = $1";

type Row = (Uuid, String, Vec<u8>, i32, String, i64);

impl Registration {
    pub fn new(journal: PgPool, own: LiveWriter) -> Self {
        Self { journal, own }
    }

    pub fn id(&self) -> Uuid {
        self.own.id
    }

    /// Reports that this process takes commands, and returns who else does.
    pub async fn beat(&self) -> sqlx::Result<Live> {
        let rows: Vec<Row> = sqlx::query_as(BEAT_AND_LOOK)
            .bind(self.own.id)
            .bind(&self.own.address)
            .bind(&self.own.token[..])
            .bind(self.own.protocol)
            .bind(&self.own.version)
            .bind(EXPIRY.as_secs_f64())
            .fetch_all(&self.journal)
            .await?;
        live(rows)
    }

    /// Returns who takes commands, without this process. `None` if nobody does.
    pub async fn look(&self) -> sqlx::Result<Option<Live>> {
        let rows: Vec<Row> = sqlx::query_as(LOOK)
            .bind(self.own.id)
            .fetch_all(&self.journal)
            .await?;
        (!rows.is_empty()).then(|| live(rows)).transpose()
    }

    /// Removes what processes have left that ended without saying so.
    pub async fn forget_dead(&self) -> sqlx::Result<()> {
        sqlx::query(FORGET_DEAD).execute(&self.journal).await?;
        Ok(())
    }

    /// This process no longer takes commands.
    pub async fn leave(&self) -> sqlx::Result<()> {
        sqlx::query(LEAVE)
            .bind(self.own.id)
            .execute(&self.journal)
            .await?;
        Ok(())
    }
}

fn live(rows: Vec<Row>) -> sqlx::Result<Live> {
    let clock = rows.first().map_or(0, |row| row.5);
    let writers = rows
        .into_iter()
        .map(|(id, address, token, protocol, version, _)| {
            let token =
                Hash::try_from(token.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok(LiveWriter {
                id,
                address,
                token: token.0,
                protocol,
                version,
            })
        })
        .collect::<sqlx::Result<_>>()?;
    Ok(Live { writers, clock })
}
