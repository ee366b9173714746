//! The bodies of the ledger's answers, built from rows. The invariant: no total is ever rounded or cut.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use wallex_domain::Positions;
use wallex_projections::ledger::read::{PostingRow, SumRow, TotalRow};

use crate::answer::{Unreadable, position, rfc3339, unreadable};

/// i128 holds any possible sum: 2^63 postings of the largest amount are below 10^35.
fn total(column: &'static str, text: &str) -> Result<i128, Unreadable> {
    text.parse().map_err(|_| unreadable(column, &text))
}

/// What left and what came, in minor units, as decimal strings: they may be larger than any integer type.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Totals {
    /// What left.
    #[schema(pattern = "^[0-9]+$", example = "120000")]
    debits: String,
    /// What came.
    #[schema(pattern = "^[0-9]+$", example = "150000")]
    credits: String,
    /// credits - debits; negative when more left than came.
    #[schema(pattern = "^-?[0-9]+$", example = "30000")]
    balance: String,
}

impl Totals {
    fn of(debits: i128, credits: i128) -> Self {
        Self {
            debits: debits.to_string(),
            credits: credits.to_string(),
            balance: (credits - debits).to_string(),
        }
    }
}

/// An account's totals in one currency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerBalance)]
pub(crate) struct BalanceBody {
    #[schema(example = "EUR")]
    currency: String,
    #[serde(flatten)]
    totals: Totals,
}

/// An account of the ledger.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerAccount)]
pub(crate) struct AccountBody {
    #[schema(example = "external:EUR")]
    account: String,
    balances: Vec<BalanceBody>,
    /// Present and true when an event of the account's wallet could not be posted, or the ledger is being filled again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl AccountBody {
    pub(super) fn new(account: String, rows: Vec<TotalRow>, stale: bool) -> Result<Self, Unreadable> {
        let balances = rows.into_iter().map(|row| {
            Ok(BalanceBody {
                totals: Totals::of(total("debits", &row.debits)?, total("credits", &row.credits)?),
                currency: row.currency,
            })
        });
        Ok(Self {
            account,
            balances: balances.collect::<Result<_, Unreadable>>()?,
            stale,
        })
    }
}

/// Money that went from one account to another.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Posting)]
pub(crate) struct PostingBody {
    pub(super) transaction_id: Uuid,
    /// The event that the posting comes from, PARTITION:SEQ.
    #[schema(example = "3:1042")]
    pub(super) position: String,
    /// 1, or 2 for what a captured hold gives back to its wallet.
    pub(super) line: i16,
    /// The account that the money left.
    #[schema(example = "external:EUR")]
    pub(super) source: String,
    /// The account that it came to.
    #[schema(example = "wallet:0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f")]
    pub(super) destination: String,
    /// Minor units.
    #[schema(minimum = 1)]
    pub(super) amount: i64,
    #[schema(example = "EUR")]
    pub(super) currency: String,
    #[schema(format = DateTime, example = "2026-01-31T12:00:00.000000Z")]
    pub(super) recorded_at: String,
}

impl TryFrom<PostingRow> for PostingBody {
    type Error = Unreadable;

    fn try_from(row: PostingRow) -> Result<Self, Unreadable> {
        Ok(Self {
            transaction_id: row.transaction_id,
            position: position(row.partition, row.seq),
            line: row.line,
            source: row.source,
            destination: row.destination,
            amount: row.amount,
            currency: row.currency,
            recorded_at: rfc3339("recorded_at", row.recorded_at)?,
        })
    }
}

/// A page of postings, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PostingPage)]
pub(crate) struct PostingPageBody {
    pub(super) items: Vec<PostingBody>,
    /// Pass it as `cursor` to read on; null on the last page. Opaque: its form may change.
    #[schema(required = true)]
    pub(super) next_cursor: Option<String>,
    /// Present and true when an event of the account's wallet could not be posted, or the ledger is being filled again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) stale: bool,
}

/// What an account is of. wallet: what can be spent; hold: what is set aside; external: the world outside.
#[derive(ToSchema)]
#[schema(as = LedgerAccountKind, rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the column account_kind")]
enum AccountKind {
    Wallet,
    Hold,
    External,
}

/// All accounts of one kind, summed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerKindTotals)]
pub(crate) struct KindBody {
    #[schema(value_type = AccountKind)]
    kind: String,
    #[serde(flatten)]
    totals: Totals,
}

/// All accounts of one currency, summed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerCurrencyTotals)]
pub(crate) struct CurrencyBody {
    #[schema(example = "EUR")]
    currency: String,
    /// Decimal string, in minor units.
    debits: String,
    /// Decimal string, in minor units.
    credits: String,
    /// Whether both are equal, as they must be.
    balanced: bool,
    kinds: Vec<KindBody>,
}

/// All accounts of the ledger, summed, as of one snapshot.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrialBalance)]
pub(crate) struct TrialBalanceBody {
    /// Whether every currency is, and the ledger is complete.
    balanced: bool,
    /// Whether the ledger has all events that the journal had when it was asked. False while it is behind or being filled
    /// again: ask later.
    complete: bool,
    currencies: Vec<CurrencyBody>,
    /// Up to where each partition was posted; fits Wallex-Min-Position.
    #[schema(example = "0:512,1:498")]
    positions: String,
    /// Present and true when there are events that could not be posted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl TrialBalanceBody {
    /// `rows` ordered by currency.
    pub(super) fn new(
        rows: Vec<SumRow>,
        positions: &Positions,
        stale: bool,
        complete: bool,
    ) -> Result<Self, Unreadable> {
        let mut currencies: Vec<CurrencyBody> = Vec::new();
        let mut sum = (0, 0);
        for row in rows {
            if currencies.last().is_none_or(|last| last.currency != row.currency) {
                sum = (0, 0);
                currencies.push(CurrencyBody {
                    currency: row.currency,
                    debits: String::new(),
                    credits: String::new(),
                    balanced: true,
                    kinds: Vec::new(),
                });
            }
            let (debits, credits) = (total("debits", &row.debits)?, total("credits", &row.credits)?);
            sum = (sum.0 + debits, sum.1 + credits);
            if let Some(currency) = currencies.last_mut() {
                currency.debits = sum.0.to_string();
                currency.credits = sum.1.to_string();
                currency.balanced = sum.0 == sum.1;
                currency.kinds.push(KindBody {
                    kind: row.kind,
                    totals: Totals::of(debits, credits),
                });
            }
        }
        Ok(Self {
            balanced: complete && currencies.iter().all(|currency| currency.balanced),
            complete,
            currencies,
            positions: positions.to_string(),
            stale,
        })
    }
}
