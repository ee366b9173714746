//! Folds the events of one partition. Pure.
//!
//! The invariant: a wallet whose events do not follow from each other is reported once and then left out, so that one
//! fault does not produce a line for every later event.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;
use wallex_domain::{EventData, Wallet, WalletId};

use super::holds::{EndedHold, Holds};
use super::report::{Kind, Report};
use crate::Event;

#[derive(Default)]
pub(super) struct Fold {
    pub(super) wallets: HashMap<WalletId, Folded>,
    pub(super) broken: HashSet<WalletId>,
    pub(super) holds: Holds,
    /// What has been taken back of each transaction, by the events that count.
    pub(super) reversed: HashMap<Uuid, i64>,
}

pub(super) struct Folded {
    pub(super) wallet: Wallet,
    /// Rows of personal data beside the wallet's events.
    pub(super) personal_rows: i64,
    /// Versions of the events that set its owner, description and metadata.
    pub(super) details: [i64; 3],
}

impl Fold {
    /// Applies the next event. If it follows from what came before, returns its content and the hold that it ends.
    pub(super) fn apply(
        &mut self,
        event: &Event,
        report: &mut Report,
    ) -> Option<(EventData, Option<EndedHold>)> {
        let at = event.position();
        if self.broken.contains(&event.wallet_id) {
            return None;
        }
        let before = self.wallets.remove(&event.wallet_id);
        let personal_rows = before.as_ref().map_or(0, |folded| folded.personal_rows);
        let mut details = before.as_ref().map_or([1; 3], |folded| folded.details);
        let before = before.map(|folded| folded.wallet);
        if event.version != before.as_ref().map_or(0, |wallet| wallet.version) + 1 {
            report.add(Kind::Wallet, || {
                format!("{at} is version {} of its wallet out of turn", event.version)
            });
            self.broken.insert(event.wallet_id);
            return None;
        }
        let data = match event.decode() {
            Ok(data) => data,
            Err(error) => {
                report.add(Kind::Chain, || format!("{at}: {error}"));
                self.broken.insert(event.wallet_id);
                return None;
            }
        };
        let after = Wallet::evolve(before, event.wallet_id, &data)
            .filter(|after| after.balance == data.balance() && after.currency == data.currency());
        let Some(wallet) = after else {
            report.add(Kind::Wallet, || {
                format!("{at} does not follow from the wallet's earlier events")
            });
            self.broken.insert(event.wallet_id);
            return None;
        };
        // What no decision would allow was not decided.
        if data.amount() < 0 || wallet.available() < -wallet.overdraft_limit {
            report.add(Kind::Wallet, || {
                format!("{at} takes more than its wallet may spend")
            });
        }
        let said = data.effect().details;
        for (at, is_said) in details
            .iter_mut()
            .zip([said.owner, said.description, said.metadata])
        {
            if is_said {
                *at = event.version;
            }
        }
        self.wallets.insert(
            event.wallet_id,
            Folded {
                wallet,
                personal_rows,
                details,
            },
        );
        let ended = match self.holds.apply(event.wallet_id, &data) {
            Ok(ended) => ended,
            Err(()) => {
                report.add(Kind::Hold, || {
                    format!("{at} does not follow from the hold's earlier events")
                });
                None
            }
        };
        if let Some((transaction_id, amount)) = data.effect().takes_back() {
            let sum = self.reversed.entry(transaction_id).or_default();
            *sum = sum.saturating_add(amount);
        }
        Some((data, ended))
    }
}
