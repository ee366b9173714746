//! Wallets and partitions whose transactions fail while others succeed. Each is set aside for a while, so that one
//! wallet does not slow down all others. In memory only: each replica finds out by itself.
//!
//! The invariant: nothing is set aside because of trouble with the server as a whole. It takes a commit of others after
//! the first failure; until then a failing request is only tried separately.

use std::time::{Duration, Instant};

use wallex_domain::{Partition, WalletId};

use super::request::Reply;
use super::route::Routed;

/// The most entries kept; beyond it, those whose pause ends first are forgotten.
const CAPACITY: usize = 128;
/// A try at something set aside costs everybody its duration. A pause of 20 times that keeps the cost at a twentieth.
const SHARE: u32 = 20;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// An entry that has not failed for this long after its pause is forgotten.
const FORGET: Duration = Duration::from_secs(60);
/// When this many fail in a row, each alone and with no success in between, the server is to blame.
const SERVER: usize = 8;

/// Whose requests fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// Requests that touch all of these, sorted.
    Wallets(Vec<WalletId>),
    /// Requests that need this partition.
    Partition(Partition),
}

impl Scope {
    pub(super) fn of(routed: &Routed) -> Self {
        let mut wallets = routed.wallets.clone();
        wallets.sort_unstable();
        wallets.dedup();
        Self::Wallets(wallets)
    }

    fn covers(&self, routed: &Routed) -> bool {
        match self {
            Self::Wallets(wallets) => wallets.iter().all(|id| routed.wallets.contains(id)),
            Self::Partition(partition) => routed.partitions.contains(partition),
        }
    }
}

#[derive(Debug)]
struct Entry {
    scope: Scope,
    /// The first of the failures that no commit of others has followed yet.
    failed_at: Instant,
    /// Requests are refused until then; afterwards one request may try, alone.
    until: Instant,
    pause: Duration,
    reply: Reply,
    /// A request is trying in this call of the writer.
    trying: bool,
}

/// What to do with a request before it is tried.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Go,
    /// Try it in a transaction of its own.
    Alone,
    /// Another request tries first.
    Wait,
    Refuse(Reply),
}

/// What a failure in a transaction of its own means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Others succeed: it is set aside.
    Culprit,
    /// Nobody has succeeded since: try again.
    Suspect,
    /// Nobody succeeds: the server is in trouble.
    Server,
}

#[derive(Debug, Default)]
pub(super) struct Aside {
    entries: Vec<Entry>,
    last_commit: Option<Instant>,
}

impl Aside {
    /// Starts a new call of the writer.
    pub(super) fn start_call(&mut self) {
        let now = Instant::now();
        self.entries.retain(|entry| now < entry.until + FORGET);
        self.entries.iter_mut().for_each(|entry| entry.trying = false);
    }

    pub(super) fn judge(&mut self, routed: &Routed) -> Verdict {
        let now = Instant::now();
        let mut verdict = Verdict::Go;
        for entry in self.entries.iter().filter(|entry| entry.scope.covers(routed)) {
            if now < entry.until {
                return Verdict::Refuse(entry.reply.clone());
            }
            if entry.trying {
                verdict = Verdict::Wait;
            } else if verdict == Verdict::Go {
                verdict = Verdict::Alone;
            }
        }
        if verdict == Verdict::Alone {
            let covering = self.entries.iter_mut().filter(|entry| entry.scope.covers(routed));
            covering.for_each(|entry| entry.trying = true);
        }
        verdict
    }

    /// A transaction was committed.
    pub(super) fn committed(&mut self) {
        self.last_commit = Some(Instant::now());
    }

    /// A request that was tried alone succeeded.
    pub(super) fn cleared(&mut self, routed: &Routed) {
        self.entries.retain(|entry| !entry.scope.covers(routed));
    }

    /// A transaction of this scope alone failed after `took`. `since` is when its trouble began.
    pub(super) fn failed(&mut self, scope: Scope, reply: Reply, since: Instant, took: Duration) -> Finding {
        let now = Instant::now();
        let at = self.entries.iter().position(|entry| entry.scope == scope);
        let entry = at.map(|at| self.entries.swap_remove(at));
        let failed_at = entry.as_ref().map_or(since, |entry| entry.failed_at.min(since));
        let paused = entry.as_ref().map_or(Duration::ZERO, |entry| entry.pause);
        let others_go = self.last_commit.is_some_and(|commit| commit > failed_at);
        let pause = if others_go {
            (2 * paused).max(SHARE * took).clamp(SHORTEST, LONGEST)
        } else {
            paused
        };
        if self.entries.len() >= CAPACITY
            && let Some((first, _)) = self
                .entries
                .iter()
                .enumerate()
                .min_by_key(|(_, entry)| entry.until)
        {
            self.entries.swap_remove(first);
        }
        self.entries.push(Entry {
            scope,
            failed_at: if others_go { now } else { failed_at },
            until: if others_go { now + pause } else { now },
            pause,
            reply,
            trying: false,
        });
        if others_go {
            return Finding::Culprit;
        }
        let last_commit = self.last_commit;
        let nobody_since = |entry: &Entry| last_commit.is_none_or(|commit| commit < entry.failed_at);
        if self.entries.iter().filter(|entry| nobody_since(entry)).count() < SERVER {
            return Finding::Suspect;
        }
        self.entries.retain(|entry| !nobody_since(entry));
        Finding::Server
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn on(wallets: &[u128]) -> Routed {
        let mut routed = Routed::default();
        routed.partitions.push(Partition(3));
        routed
            .wallets
            .extend(wallets.iter().map(|n| WalletId(Uuid::from_u128(*n))));
        routed
    }

    fn fail(aside: &mut Aside, wallets: &[u128]) -> Finding {
        let since = Instant::now();
        aside.failed(Scope::of(&on(wallets)), Reply::Failed, since, Duration::ZERO)
    }

    #[test]
    fn a_wallet_is_refused_only_after_others_have_gone_through() {
        let mut aside = Aside::default();
        assert_eq!(fail(&mut aside, &[1]), Finding::Suspect);
        assert_eq!(aside.judge(&on(&[1])), Verdict::Alone);
        assert_eq!(
            aside.judge(&on(&[1])),
            Verdict::Wait,
            "one tries, the others wait for it"
        );
        aside.committed();
        assert_eq!(fail(&mut aside, &[1]), Finding::Culprit);
        assert_eq!(aside.judge(&on(&[2, 1])), Verdict::Refuse(Reply::Failed));
        assert_eq!(aside.judge(&on(&[2])), Verdict::Go);
        // A pair of wallets that fails says nothing about either of the two.
        aside.cleared(&on(&[1]));
        fail(&mut aside, &[1, 2]);
        assert_eq!(aside.judge(&on(&[1])), Verdict::Go);
    }

    #[test]
    fn when_nobody_goes_through_nobody_is_to_blame() {
        let mut aside = Aside::default();
        for n in 1..SERVER {
            assert_eq!(fail(&mut aside, &[n as u128]), Finding::Suspect);
        }
        assert_eq!(fail(&mut aside, &[99]), Finding::Server);
        assert_eq!(aside.judge(&on(&[1])), Verdict::Go);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut aside = Aside::default();
        for n in 0..10 * CAPACITY {
            let since = Instant::now();
            aside.committed();
            aside.failed(Scope::of(&on(&[n as u128])), Reply::Failed, since, Duration::ZERO);
        }
        assert_eq!(aside.entries.len(), CAPACITY);
    }
}
