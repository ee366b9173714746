//! State that the routes share; built once, a reference per request.

use std::sync::Arc;

use sqlx::PgPool;
use wallex_domain::{Currencies, Currency};

use crate::queue::Enqueue;
use crate::upkeep::Upkeep;

#[derive(Clone)]
pub struct CommandState {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) queue: Enqueue,
    pub(crate) currencies: Currencies,
    pub(crate) upkeep: Upkeep,
}

impl CommandState {
    /// `journal` is a pool on the journal's database, for work that does not go through the queue.
    pub fn new(queue: Enqueue, currencies: Currencies, journal: PgPool) -> Self {
        let shared = Shared {
            queue,
            currencies,
            upkeep: Upkeep::new(journal),
        };
        Self {
            shared: shared.into(),
        }
    }

    pub(crate) fn has_currency(&self, currency: Currency) -> bool {
        self.shared.currencies.exponent(currency).is_some()
    }
}
