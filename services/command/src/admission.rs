//! Counts what is in hand, so that it stays bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Clones share the count.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    pub(crate) waiting: Arc<AtomicUsize>,
    capacity: usize,
}

/// Room for so many, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    waiting: Arc<AtomicUsize>,
    count: usize,
}

impl Admission {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            waiting: Arc::default(),
            capacity,
        }
    }

    /// `None` when it is full. What is empty accepts any number.
    pub(crate) fn enter(&self, count: usize) -> Option<Place> {
        let before = self.waiting.fetch_add(count, Ordering::Relaxed);
        let place = Place {
            waiting: self.waiting.clone(),
            count,
        };
        (before == 0 || before + count <= self.capacity).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.count, Ordering::Relaxed);
    }
}
