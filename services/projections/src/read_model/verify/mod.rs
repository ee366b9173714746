//! Checks the read model of one partition by walking over the events that it has applied.

mod entries;
mod erasures;
pub(crate) mod strays;
mod wallets;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;
use wallex_domain::{Hash, Partition, Wallet, WalletId};
use wallex_journal::read;
use wallex_journal::verify::{CHUNK, Report, SNAPSHOT};

use crate::projection::Projected;
use crate::registry::Name;
use crate::verify::cursors::{self, Compared, Reach, Sides};

/// Names of the rows in a report.
mod kind {
    use wallex_journal::verify::Kind;

    pub(super) const WALLET: Kind = Kind::Rows("the read model's wallets");
    pub(super) const ENTRY: Kind = Kind::Rows("entries");
    pub(super) const HOLD: Kind = Kind::Rows("the read model's holds");
    pub(super) const PERSONAL_DATA: Kind = Kind::Rows("the read model's personal data");
}

/// How often a walk continues to a cursor that has moved meanwhile before it takes the rest inside the snapshot.
const ROUNDS: usize = 10;

/// The expected row of a wallet.
struct Folded {
    wallet: Wallet,
    /// Seq of its last event.
    seq: i64,
    updated_at: i64,
    created_at: i64,
    /// The events that set its owner, description and metadata.
    said: [Option<Arc<Said>>; 3],
}

/// An event with personal data beside it that the wallet's row repeats.
struct Said {
    event_id: Uuid,
    seq: i64,
    digest: Option<Hash>,
}

/// The fold of the events up to the cursor.
#[derive(Default)]
struct Fold {
    wallets: HashMap<WalletId, Folded>,
    holds: wallets::Holds,
    /// Wallets whose events do not follow from each other: the journal's own check reports them.
    broken: HashSet<WalletId>,
}

/// An applied event, and its wallet's held money after it.
struct Applied {
    projected: Projected,
    held_after: i64,
}

pub(crate) async fn partition(
    sides: &mut Sides,
    partition: Partition,
    compared: &mut Compared,
    report: &mut Report,
) -> sqlx::Result<()> {
    let mut reach = cursors::reach(Name::ReadModel, sides, partition, compared, report).await?;
    let mut fold = Fold::default();
    let mut seq = 0;
    for _ in 0..ROUNDS {
        let Sides { journal, read } = &mut *sides;
        walk(journal, read, partition, (&mut seq, &reach), &mut fold, report).await?;
        let moved = cursors::seq(Name::ReadModel, read, partition).await?;
        if moved.is_none_or(|moved| moved - seq <= CHUNK) {
            break;
        }
        reach.seq = moved.unwrap_or(seq);
    }
    let Sides { journal, read } = sides;
    let mut snapshot = read.begin_with(SNAPSHOT).await?;
    if let Some(cursor) = cursors::seq(Name::ReadModel, &mut snapshot, partition).await? {
        let events = read::partitions(&mut *journal).await?;
        let last_seq = events.iter().find(|head| head.id == partition);
        // A cursor ahead of the journal has already been reported.
        reach.seq = cursor.min(last_seq.map_or(0, |head| head.mark.seq));
        walk(
            journal,
            &mut snapshot,
            partition,
            (&mut seq, &reach),
            &mut fold,
            report,
        )
        .await?;
    }
    wallets::compare(journal, &mut snapshot, partition, fold, report).await?;
    snapshot.commit().await
}

/// Continues from `seq` to where the projection has got to.
async fn walk(
    journal: &mut PgConnection,
    read: &mut PgConnection,
    partition: Partition,
    (seq, reach): (&mut i64, &Reach),
    fold: &mut Fold,
    report: &mut Report,
) -> sqlx::Result<()> {
    while *seq < reach.seq {
        let (events, to) = reach.next(&mut *journal, partition, *seq).await?;
        let events = events.into_iter();
        let mut applied: Vec<Applied> = events.filter_map(|event| fold.apply(event)).collect();
        entries::compare(journal, read, applied.as_mut_slice(), report).await?;
        wallets::compare_created(read, &applied, report).await?;
        erasures::compare(read, &applied, report).await?;
        let ended = fold.holds.take_ended();
        wallets::compare_holds(read, ended.iter(), report).await?;
        *seq = to;
        report.progress(format_args!(
            "the read model at {partition}:{seq} of {}",
            reach.seq
        ));
    }
    Ok(())
}

impl Fold {
    fn apply(&mut self, projected: Projected) -> Option<Applied> {
        let Projected { event, data, .. } = &projected;
        if self.broken.contains(&event.wallet_id) {
            return None;
        }
        let before = self.wallets.remove(&event.wallet_id);
        let created_at = before
            .as_ref()
            .map_or(event.recorded_at, |folded| folded.created_at);
        let mut said = before
            .as_ref()
            .map_or_else(Default::default, |folded| folded.said.clone());
        let details = data.effect().details;
        let here = Arc::new(Said {
            event_id: event.event_id,
            seq: event.seq,
            digest: data.personal(),
        });
        let is_said = [details.owner, details.description, details.metadata];
        for (said, _) in said.iter_mut().zip(is_said).filter(|(_, is_said)| *is_said) {
            *said = Some(here.clone());
        }
        let before = before.map(|folded| folded.wallet);
        let Some(wallet) = Wallet::evolve(before, event.wallet_id, data) else {
            self.broken.insert(event.wallet_id);
            return None;
        };
        self.holds.apply(event, data);
        let held_after = wallet.held;
        let folded = Folded {
            wallet,
            seq: event.seq,
            updated_at: event.recorded_at,
            created_at,
            said,
        };
        self.wallets.insert(event.wallet_id, folded);
        Some(Applied {
            projected,
            held_after,
        })
    }
}
