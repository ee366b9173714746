//! State that the routes share; built once, cloned per request.

use std::sync::Arc;

use sqlx::PgPool;
use wallex_domain::{Currencies, Currency};

use crate::queue::Enqueue;
use crate::upkeep::Upkeep;

#[derive(Clone)]
pub struct CommandState {
    pub(crate) queue: Enqueue,
    pub(crate) currencies: Arc<Currencies>,
    pub(crate) upkeep: Upkeep,
}

impl CommandState {
    /// `journal` is a pool on the journal's database, for work that does not go through the queue.
    pub fn new(queue: Enqueue, currencies: Currencies, journal: PgPool) -> Self {
        Self {
            queue,
            currencies: currencies.into(),
            upkeep: Upkeep::new(journal),
        }
    }

    pub(crate) fn has_currency(&self, currency: Currency) -> bool {
        self.currencies.exponent(currency).is_some()
    }
}
