//! The append protocol in memory, as far as decisions see it.

use std::collections::BTreeMap;

use uuid::Uuid;
use wallex_domain::*;

/// The journal in memory: all wallets in one partition.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) wallets: BTreeMap<WalletId, Wallet>,
    pub(crate) events: BTreeMap<WalletId, Vec<EventData>>,
    pub(crate) last_seq: i64,
    pub(crate) now: i64,
    pub(crate) holds: BTreeMap<HoldId, Hold>,
    /// Keyed by the number of the command that made it.
    pub(crate) transactions: BTreeMap<Uuid, Transaction>,
    pub(crate) reversed: BTreeMap<Uuid, i64>,
}

/// Few enough for the histories to reach the limit.
const MAX_OPEN_HOLDS: i64 = 3;

impl State for Journal {
    fn now(&self) -> i64 {
        self.now
    }

    fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(&id)
    }

    fn transaction(&self, id: Uuid) -> Option<&Transaction> {
        self.transactions.get(&id)
    }

    fn reversed(&self, transaction_id: Uuid) -> i64 {
        self.reversed.get(&transaction_id).copied().unwrap_or(0)
    }

    fn wallet(&self, id: WalletId) -> Option<&Wallet> {
        self.wallets.get(&id)
    }

    fn external_id_holder(&self, external_id: &str) -> Option<WalletId> {
        self.events.iter().find_map(|(id, events)| match events.first()? {
            EventData::WalletCreated(created) => {
                (created.external_id.as_deref() == Some(external_id)).then_some(*id)
            }
            _ => None,
        })
    }

    fn open_holds(&self, id: WalletId) -> i64 {
        let open = |hold: &&Hold| hold.wallet_id == id && hold.status == HoldStatus::Open;
        self.holds.values().filter(open).count() as i64
    }

    fn max_open_holds(&self) -> i64 {
        MAX_OPEN_HOLDS
    }

    fn next_positions(&self, _: WalletId, _: WalletId) -> (Position, Position) {
        let at = |seq| Position::at(0, seq);
        (at(self.last_seq + 1), at(self.last_seq + 2))
    }
}

impl Journal {
    pub(crate) fn run(&mut self, command: &Command) -> Result<Vec<Decided>, Rejection> {
        self.now += 1;
        self.expire();
        let decided = decide(self, command)?;
        self.record(&decided);
        Ok(decided)
    }

    /// What the append protocol does before each command, here for all wallets.
    fn expire(&mut self) {
        let due: Vec<Hold> = self
            .holds
            .values()
            .filter(|hold| hold.is_due(self.now))
            .cloned()
            .collect();
        for hold in due {
            let expired = expire(&self.wallets[&hold.wallet_id], &hold);
            self.record(&[expired]);
        }
    }

    fn record(&mut self, decided: &[Decided]) {
        let transaction_id = Uuid::from_u128(self.transactions.len() as u128);
        let mut events = Vec::new();
        for Decided { wallet_id, event } in decided {
            let after = Wallet::evolve(self.wallets.remove(wallet_id), *wallet_id, event);
            let after = after.unwrap();
            assert_eq!(
                after.balance,
                event.balance(),
                "an event states the balance after it"
            );
            self.wallets.insert(*wallet_id, after);
            self.events.entry(*wallet_id).or_default().push(event.clone());
            self.last_seq += 1;
            events.push((*wallet_id, event.clone()));
            if let Some(change) = event.effect().hold {
                let before = self.holds.remove(&change.id);
                let hold = Hold::evolve(before, *wallet_id, event).unwrap();
                self.holds.insert(change.id, hold);
            }
        }
        if let Some(reversed) = events.first().and_then(|(_, event)| event.effect().reverses) {
            *self.reversed.entry(reversed).or_default() += events[0].1.amount();
        }
        if let Some(transaction) = Transaction::of(transaction_id, &events) {
            self.transactions.insert(transaction_id, transaction);
        }
    }

    pub(crate) fn total(&self) -> i128 {
        self.wallets
            .values()
            .map(|wallet| i128::from(wallet.balance))
            .sum()
    }
}
