//! Step 0: which partitions a request needs. Wallets are found in memory; those missing there, and the wallets behind
//! holds and transactions, are looked up in the journal, outside the locks.
//!
//! The invariant: nothing decided here is relied on later. A wallet's head names its partition, and a request whose
//! wallets turn out to live elsewhere is routed again.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_domain::{Command, HoldId, Partition, Rejection, Transaction, WalletId};

use super::look_up::{Found, look_up};
use super::outcome::Staged;
use super::request::{Reply, Request, Work};
use super::{Writer, statements};

/// How long a list of open partitions is trusted.
const OPEN_PARTITIONS_AGE: Duration = Duration::from_secs(5);

/// Where a request goes.
#[derive(Debug, Default)]
pub(super) struct Routed {
    /// To be locked.
    pub(super) partitions: Vec<Partition>,
    /// To be loaded: all wallets that the request touches.
    pub(super) wallets: Vec<WalletId>,
    /// Where the wallets that it creates go.
    homes: Vec<(WalletId, Partition)>,
}

impl Routed {
    /// The partition for a wallet that does not exist yet.
    pub(super) fn home(&self, wallet: WalletId) -> Option<Partition> {
        let home = self.homes.iter().find(|(id, _)| *id == wallet);
        home.map(|(_, partition)| *partition)
    }
}

/// All requests of a group with their routes, or with an outcome that needs no transaction.
pub(super) struct Routing {
    pub(super) requests: Vec<(usize, Result<Routed, Staged>)>,
    pub(super) transactions: HashMap<Uuid, Transaction>,
    /// Transactions that exist but that this build cannot read.
    pub(super) unreadable: HashSet<Uuid>,
}

/// What earlier commands of the batch will create.
#[derive(Default)]
struct Soon {
    wallets: HashMap<WalletId, Partition>,
    holds: HashMap<HoldId, WalletId>,
}

impl Writer {
    pub(super) async fn route(
        &mut self,
        db: &mut PgConnection,
        requests: &[Request],
        group: &[usize],
        taken: &HashSet<WalletId>,
    ) -> Result<Routing, sqlx::Error> {
        let commands = || {
            group
                .iter()
                .flat_map(|index| requests[*index].work.items())
                .map(|item| &item.command)
        };
        // A create is looked up only after its id turned out to be taken: most ids are new.
        let created: HashSet<WalletId> = commands()
            .filter_map(Command::creates)
            .map(|create| create.wallet_id)
            .collect();
        let mut missing: Vec<WalletId> = commands()
            .flat_map(Command::wallets)
            .filter(|id| self.routes.get(*id).is_none() && (!created.contains(id) || taken.contains(id)))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        let holds: Vec<HoldId> = commands().filter_map(Command::hold).collect();
        let transactions: Vec<Uuid> = commands().filter_map(Command::transaction).collect();
        let found = if missing.is_empty() && holds.is_empty() && transactions.is_empty() {
            Found::default()
        } else {
            look_up(db, &missing, &holds, &transactions).await?
        };
        self.routes.remember(found.partitions.iter().copied());

        // A batch of commands may need any partition, to store its answer.
        let has_batch = group
            .iter()
            .any(|index| matches!(requests[*index].work, Work::Batch { .. }));
        if self.open_is_old() && (has_batch || !created.is_empty()) {
            self.routes.set_open(statements::open_partitions(db).await?);
            self.open_since = Some(Instant::now());
        }

        Ok(Routing {
            requests: self.route_each(requests, group, &found),
            transactions: found.transactions,
            unreadable: found.unreadable.into_keys().collect(),
        })
    }

    pub(super) fn open_is_old(&self) -> bool {
        self.open_since
            .is_none_or(|since| since.elapsed() > OPEN_PARTITIONS_AGE)
    }

    /// The routes of a group's requests, or the outcomes of those that need no transaction.
    pub(super) fn route_each(
        &self,
        requests: &[Request],
        group: &[usize],
        found: &Found,
    ) -> Vec<(usize, Result<Routed, Staged>)> {
        let mut soon = Soon::default();
        let routed = group.iter();
        routed
            .map(|index| (*index, self.route_one(&requests[*index], found, &mut soon)))
            .collect()
    }

    fn route_one(&self, request: &Request, found: &Found, soon: &mut Soon) -> Result<Routed, Staged> {
        let mut routed = Routed::default();
        // A single command needs no lock to learn that its target does not exist.
        let alone = matches!(request.work, Work::One(_));
        for (index, item) in request.work.items().iter().enumerate() {
            let command = &item.command;
            if let Some(id) = command.creates().map(|create| create.wallet_id) {
                let known = self.routes.get(id).or(soon.wallets.get(&id).copied());
                let partition = known.or_else(|| self.home(request, index));
                let partition = partition.ok_or(Staged::Reply(Reply::Unavailable))?;
                soon.wallets.insert(id, partition);
                routed.homes.push((id, partition));
            }
            if let Command::PlaceHold(place) = command {
                soon.holds.insert(place.hold_id, place.wallet_id);
            }
            let touched = command.touched(
                |hold| found.holds.get(&hold).or(soon.holds.get(&hold)).copied(),
                |transaction| {
                    let read = found.transactions.get(&transaction).map(|read| &read.wallets);
                    let wallets = read.or_else(|| found.unreadable.get(&transaction))?;
                    Some(wallets.iter().copied())
                },
            );
            let wallets = match (touched, alone) {
                (Ok(wallets), _) => wallets,
                (Err(rejection), true) => return Err(self.not_found(command, &rejection)),
                // Existing wallets are loaded all the same: the rest may exist by the time the locks are held.
                (Err(_), false) => command.wallets().collect(),
            };
            for id in wallets {
                match self.routes.get(id).or(soon.wallets.get(&id).copied()) {
                    Some(partition) => routed.partitions.push(partition),
                    None if alone => return Err(self.not_found(command, &Rejection::WalletNotFound(id))),
                    None => {}
                }
                routed.wallets.push(id);
            }
        }
        if routed.partitions.is_empty() {
            // Only the answer has to be stored.
            let any = self
                .routes
                .first_open()
                .ok_or(Staged::Reply(Reply::Unavailable))?;
            routed.partitions.push(any);
        }
        Ok(routed)
    }

    fn not_found(&self, command: &Command, rejection: &Rejection) -> Staged {
        Staged::Reply(Reply::NotFound((self.render.one)(command, Err(rejection))))
    }

    fn home(&self, request: &Request, index: usize) -> Option<Partition> {
        let key = request.key.as_deref().unwrap_or_default();
        self.routes.for_new_wallet(&request.caller, key, index)
    }
}
