//! Which postings a list or an export contains.

use sqlx::PgConnection;
use uuid::Uuid;
use wallex_projections::ledger::read::{self, Place, PostingRow};

use super::ACCOUNT;
use super::account::Account;
use crate::cursor::Scope;
use crate::parameters::Parameters;

/// Whose postings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Of {
    Account(Account),
    Transaction(Uuid),
}

/// Which postings: whose, and in which period (microseconds; `from` inclusive, `to` exclusive).
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) of: Of,
    from: Option<i64>,
    to: Option<i64>,
}

impl Filter {
    /// `None` when neither an account nor a transaction is given.
    pub(super) fn read(parameters: &mut Parameters) -> Option<Self> {
        parameters.exactly_one("account", "transaction_id");
        let account = parameters.parsed("account", ACCOUNT, Account::parse);
        let transaction = parameters.uuid("transaction_id");
        let (from, to) = parameters.period();
        let of = account.map(Of::Account).or(transaction.map(Of::Transaction))?;
        Some(Self { of, from, to })
    }

    pub(super) fn scope(&self) -> Scope {
        let (account, transaction) = match &self.of {
            Of::Account(account) => (Some(account.to_string()), None),
            Of::Transaction(id) => (None, Some(id.as_bytes())),
        };
        Scope::of("postings")
            .with(account)
            .with(transaction)
            .with(self.from.map(i64::to_be_bytes))
            .with(self.to.map(i64::to_be_bytes))
    }

    /// Above every posting that passes the filter.
    pub(super) fn top(&self) -> Place {
        self.to.map_or(Place::END, Place::beginning_of)
    }

    /// At most `limit` postings below `below` (exclusive) that pass the filter, newest first.
    pub(super) async fn postings(
        &self,
        db: &mut PgConnection,
        below: Place,
        limit: i64,
    ) -> sqlx::Result<Vec<PostingRow>> {
        let from = self.from.unwrap_or(i64::MIN);
        match &self.of {
            Of::Account(account) => {
                read::account_postings(db, &account.to_string(), from, below, limit).await
            }
            Of::Transaction(id) => read::transaction_postings(db, *id, from, below, limit).await,
        }
    }
}
