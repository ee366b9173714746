//! Due holds, as many as one batch ends: if half a million holds of one wallet are due in the same second, nobody else
//! must wait for one transaction that ends them all.
//!
//! The invariant: a wallet that is not marked crowded has no due holds besides the loaded ones.

use sqlx::PgConnection;
use wallex_domain::WalletId;
use wallex_postgres::column;

use super::rows::hold_from_row;
use crate::append::state::Loaded;

/// The most holds that one batch ends, apart from one per wallet. About 20 ms on a small machine.
const MAX_DUE: usize = 1_000;

/// Up to `$3` of each wallet, those due first; and the next one that is not due yet.
const LOAD_DUE_HOLDS: &str = "SELECT h.hold_id, h.wallet_id, h.amount, h.expires_at, h.status \
    FROM unnest($1::uuid[]) AS w (id) CROSS JOIN LATERAL ( \
        (SELECT hold_id, wallet_id, amount, expires_at, status FROM journal.hold \
         WHERE wallet_id = w.id AND status = 'open' AND expires_at <= $2 ORDER BY expires_at LIMIT $3) \
        UNION ALL \
        (SELECT hold_id, wallet_id, amount, expires_at, status FROM journal.hold \
         WHERE wallet_id = w.id AND status = 'open' AND expires_at > $2 ORDER BY expires_at LIMIT 1)) h";

/// Call after the heads are loaded.
pub(super) async fn load(db: &mut PgConnection, loaded: &mut Loaded) -> Result<(), sqlx::Error> {
    // Some may get their first hold.
    let free = loaded.heads.values().filter(|head| head.wallet.held == 0);
    let free = free.map(|head| (head.wallet.id, i64::MAX));
    loaded.not_due_before.extend(free);
    let holding = loaded.heads.values().filter(|head| head.wallet.held > 0);
    let mut wallets: Vec<WalletId> = holding.map(|head| head.wallet.id).collect();
    if wallets.is_empty() {
        return Ok(());
    }
    wallets.sort_unstable();
    // Every wallet gets the same share; then those for which it was not enough share what the others have left.
    let mut found = 0;
    for _ in 0..2 {
        let share = (MAX_DUE.saturating_sub(found) / wallets.len()).max(1);
        load_share(db, &wallets, share, loaded).await?;
        wallets.retain(|id| loaded.crowded.contains(id));
        if wallets.is_empty() {
            return Ok(());
        }
        let calm = loaded.due.iter().filter(|(id, _)| !loaded.crowded.contains(id));
        found = calm.map(|(_, due)| due.len()).sum();
    }
    Ok(())
}

async fn load_share(
    db: &mut PgConnection,
    wallets: &[WalletId],
    share: usize,
    loaded: &mut Loaded,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(LOAD_DUE_HOLDS)
        .bind(column(wallets, |id| id.0))
        .bind(loaded.clock)
        // One more than may be taken shows whether there are more.
        .bind(i64::try_from(share + 1).unwrap_or(i64::MAX))
        .fetch_all(db)
        .await?;
    let mut due = rows.iter().map(hold_from_row).collect::<Result<Vec<_>, _>>()?;
    due.sort_unstable_by_key(|hold| (hold.expires_at, hold.id));
    for id in wallets {
        loaded.due.remove(id);
        loaded.crowded.remove(id);
        loaded.not_due_before.insert(*id, i64::MAX);
    }
    for hold in due {
        if !hold.is_due(loaded.clock) {
            let expires_at = hold.expires_at.unwrap_or(i64::MAX);
            loaded.not_due_before.insert(hold.wallet_id, expires_at);
            continue;
        }
        let of_wallet = loaded.due.entry(hold.wallet_id).or_default();
        if of_wallet.len() >= share {
            loaded.crowded.insert(hold.wallet_id);
            loaded.not_due_before.remove(&hold.wallet_id);
            continue;
        }
        of_wallet.push(hold.id);
        loaded.holds.insert(hold.id, hold);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_has_a_share_however_many_there_are() {
        for wallets in [1, 3, MAX_DUE, 10 * MAX_DUE] {
            assert!((MAX_DUE / wallets).max(1) * wallets <= MAX_DUE.max(wallets));
        }
    }
}
