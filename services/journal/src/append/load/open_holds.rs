//! The number of open holds of wallets on which a batch places one. Counted once and then cached with the wallet's
//! version: whatever changes a hold raises the version, so a count is right as long as the version is the same.
//!
//! The invariant: counting reads a bounded number of rows under the locks. A hold whose wallet cannot be counted in
//! this batch is placed in a later one.

use quick_cache::unsync::Cache;
use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::WalletId;
use wallex_postgres::column;

use crate::append::request::Request;
use crate::append::route::Routed;
use crate::append::state::Loaded;

/// The most wallets cached.
const CAPACITY: usize = 100_000;
/// Most wallets have fewer, so all wallets of a batch are counted up to here.
const FEW: i64 = 100;
/// Rows that a batch reads to count wallets with more, unless a single wallet takes more.
const ROWS: i64 = 20_000;
/// Stands for more than may be counted; so large that no batch brings it below any limit.
const MANY: i64 = i64::MAX / 2;

/// Each up to `$2`.
const COUNT_OPEN_HOLDS: &str = "SELECT w.id, (SELECT count(*) FROM ( \
        SELECT 1 FROM journal.hold h WHERE h.wallet_id = w.id AND h.status = 'open' LIMIT $2) few) \
    FROM unnest($1::uuid[]) AS w (id)";

#[derive(Debug)]
pub(in crate::append) struct OpenHolds {
    limit: i64,
    /// Version and count.
    known: Cache<WalletId, (i64, i64)>,
}

impl OpenHolds {
    pub(in crate::append) fn new(limit: i64) -> Self {
        Self {
            limit,
            known: Cache::new(CAPACITY),
        }
    }

    /// The number of a wallet's open holds, as far as it is known.
    pub(in crate::append) fn count(&self, id: WalletId, loaded: &Loaded) -> Option<i64> {
        match loaded.heads.get(&id).map(|head| &head.wallet) {
            // About to be created, or nothing is held.
            None => Some(0),
            Some(wallet) if wallet.held == 0 => Some(0),
            Some(wallet) => {
                let known = self.known.get(&id);
                let known = known.filter(|(version, _)| *version == wallet.version);
                known.map(|(_, count)| *count)
            }
        }
    }

    /// Call after a commit.
    pub(in crate::append) fn remember(&mut self, loaded: &Loaded) {
        for (id, count) in &loaded.open_holds {
            if let Some(head) = loaded.heads.get(id)
                && *count < MANY / 2
            {
                self.known.insert(*id, (head.wallet.version, *count));
            }
        }
    }
}

/// Call after the heads are loaded.
pub(super) async fn load(
    db: &mut PgConnection,
    memory: &OpenHolds,
    requests: &[(&Request, &Routed)],
    loaded: &mut Loaded,
) -> Result<(), sqlx::Error> {
    loaded.max_open_holds = memory.limit;
    let items = requests.iter().flat_map(|(request, _)| request.work.items());
    let mut unknown = Vec::new();
    for item in items {
        let Some((_, id)) = item.command.places() else {
            continue;
        };
        match memory.count(id, loaded) {
            Some(count) => {
                loaded.open_holds.insert(id, count);
            }
            None => unknown.push(id),
        }
    }
    unknown.sort_unstable();
    unknown.dedup();
    let many = count(db, unknown, FEW.min(memory.limit), loaded).await?;
    let wallets = usize::try_from(ROWS / memory.limit.max(1)).unwrap_or(0).max(1);
    let (now, later) = many.split_at(wallets.min(many.len()));
    loaded.uncounted.extend(later);
    for id in count(db, now.to_vec(), memory.limit, loaded).await? {
        loaded.open_holds.insert(id, MANY);
    }
    Ok(())
}

/// Returns the wallets that have more than `limit`.
async fn count(
    db: &mut PgConnection,
    wallets: Vec<WalletId>,
    limit: i64,
    loaded: &mut Loaded,
) -> Result<Vec<WalletId>, sqlx::Error> {
    if wallets.is_empty() {
        return Ok(Vec::new());
    }
    let counts: Vec<(Uuid, i64)> = sqlx::query_as(COUNT_OPEN_HOLDS)
        .bind(column(&wallets, |id| id.0))
        .bind(limit.saturating_add(1))
        .fetch_all(db)
        .await?;
    let mut more = Vec::new();
    for (id, count) in counts {
        if count > limit {
            more.push(WalletId(id));
        } else {
            loaded.open_holds.insert(WalletId(id), count);
        }
    }
    Ok(more)
}
