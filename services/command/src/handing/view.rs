//! Which process writes what, as this process knows it.
//!
//! The invariant: knowledge that is older than a process lives without reporting is not used; then everything is written
//! here.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use uuid::Uuid;
use wallex_domain::{Partition, Positions};
use wallex_journal::append::{Answer, Request, Work};
use wallex_journal::route::Routes;
use wallex_journal::writers::{EXPIRY, Live};

use super::peer::Peer;
use super::wire::{PROTOCOL, VERSION};

pub(crate) struct View {
    own: Uuid,
    /// How many processes write, each its partitions.
    width: usize,
    routes: Arc<Routes>,
    known: RwLock<Known>,
}

struct Known {
    until: Instant,
    /// The database's clock and when it was seen.
    clock: Option<(i64, Instant)>,
    /// Those that write, in the order of the journal.
    preferred: Vec<Preferred>,
    /// All others that take requests from this process, so that their connections outlive a change of the order.
    peers: HashMap<Uuid, Peer>,
}

#[derive(Clone)]
enum Preferred {
    Here,
    Other(Peer),
}

impl View {
    pub(crate) fn new(own: Uuid, width: usize, routes: Arc<Routes>) -> Self {
        Self {
            own,
            width: width.max(1),
            routes,
            known: RwLock::new(Known {
                until: Instant::now(),
                clock: None,
                preferred: Vec::new(),
                peers: HashMap::new(),
            }),
        }
    }

    /// What the journal said at `asked` or later.
    pub(crate) fn learn(&self, live: Live, asked: Instant) {
        let clock = Some((live.clock, Instant::now()));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut known.peers);
        let alike = live
            .writers
            .into_iter()
            .filter(|writer| writer.protocol == PROTOCOL && writer.version == VERSION);
        known.preferred = alike
            .enumerate()
            .filter_map(|(place, writer)| {
                let preferred = if writer.id == self.own {
                    Preferred::Here
                } else {
                    let id = writer.id;
                    let peer = before
                        .remove(&id)
                        .filter(|peer| *peer.writer() == writer)
                        .unwrap_or_else(|| Peer::new(writer));
                    known.peers.insert(id, peer.clone());
                    Preferred::Other(peer)
                };
                (place < self.width).then_some(preferred)
            })
            .collect();
        known.clock = clock;
        known.until = asked + EXPIRY;
    }

    /// Nobody else takes requests any more.
    pub(crate) fn forget(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.preferred.clear();
        known.peers.clear();
    }

    /// The other process that should write this request. `None`: this one should.
    pub(crate) fn writer_of(&self, request: &Request, now: Instant) -> Option<Peer> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if now >= known.until {
            return None;
        }
        let preferred = match &known.preferred[..] {
            [] => return None,
            [only] => only,
            several => {
                // Where it is not known where the wallet lives, the first one learns it by writing.
                let place = self.partition(request).map_or(0, |partition| {
                    let several = i32::try_from(several.len()).unwrap_or(i32::MAX);
                    usize::try_from(partition.0.rem_euclid(several)).unwrap_or(0)
                });
                several.get(place)?
            }
        };
        match preferred {
            Preferred::Here => None,
            Preferred::Other(peer) => Some(peer.clone()),
        }
    }

    /// The payer's, of the first command.
    fn partition(&self, request: &Request) -> Option<Partition> {
        let first = &request.work.items().first()?.command;
        let wallet = first.wallets().next()?;
        self.routes.get(wallet).or_else(|| {
            first.creates()?;
            let key = request.key.as_deref()?;
            self.routes.for_new_wallet(&request.caller, key, 0)
        })
    }

    /// Remembers where the wallets live that another process has written to.
    pub(crate) fn learn_routes(&self, request: &Request, answer: &Answer) {
        if self.width == 1 {
            return;
        }
        let (Work::One(item), Some(positions)) = (&request.work, &answer.position) else {
            return;
        };
        let Ok(Positions(positions)) = positions.parse() else {
            return;
        };
        let wallets: Vec<_> = item.command.wallets().collect();
        // A hold's or a transaction's wallets are not those that the command names.
        if item.command.hold().is_none()
            && item.command.transaction().is_none()
            && wallets.len() == positions.len()
        {
            let partitions = positions.iter().map(|position| position.partition);
            self.routes.remember(wallets.into_iter().zip(partitions));
        }
    }

    /// The database's clock in microseconds since 1970, as far as one can tell from here.
    pub(crate) fn clock(&self, now: Instant) -> Option<i64> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (clock, seen) = known.clock?;
        let since = now.saturating_duration_since(seen);
        Some(clock.saturating_add(micros(since)))
    }

    /// Whether this process writes, and how many take requests, including this one; for the metrics.
    pub(crate) fn counts(&self) -> (bool, usize) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let is_here = |preferred: &Preferred| matches!(preferred, Preferred::Here);
        let is_fresh = Instant::now() < known.until;
        let writes = !is_fresh || known.preferred.is_empty() || known.preferred.iter().any(is_here);
        (writes, if is_fresh { known.peers.len() + 1 } else { 1 })
    }
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use wallex_domain::{Amount, Command, Hash, Movement, WalletId};
    use wallex_journal::append::Item;
    use wallex_journal::writers::LiveWriter;

    use super::*;

    const OWN: u128 = 2;

    fn view(width: usize) -> View {
        View::new(Uuid::from_u128(OWN), width, Arc::default())
    }

    fn live(ids: &[u128]) -> Live {
        let writers = ids.iter().map(|id| LiveWriter {
            id: Uuid::from_u128(*id),
            address: "127.0.0.1:9".to_owned(),
            token: [0; 32],
            protocol: PROTOCOL,
            version: VERSION.to_owned(),
        });
        Live {
            writers: writers.collect(),
            clock: 0,
        }
    }

    fn credit(wallet: u128) -> Request {
        let Ok(amount) = Amount::new(1) else {
            unreachable!()
        };
        Request {
            caller: "c".into(),
            key: Some("k".into()),
            fingerprint: Hash::GENESIS,
            work: Work::One(Item {
                command: Command::Credit(Movement {
                    wallet_id: WalletId(Uuid::from_u128(wallet)),
                    amount,
                    reference: None,
                    external_id: None,
                    personal: None,
                    expected_version: None,
                }),
                personal: None,
            }),
            traceparent: None,
        }
    }

    fn writer(view: &View, wallet: u128) -> Option<u128> {
        let peer = view.writer_of(&credit(wallet), Instant::now())?;
        Some(peer.writer().id.as_u128())
    }

    #[tokio::test]
    async fn one_writes_for_all_and_the_first_that_is_alike_is_the_one() {
        let view = view(1);
        assert_eq!(writer(&view, 7), None, "nothing is known");
        view.learn(live(&[1, OWN]), Instant::now());
        assert_eq!(writer(&view, 7), Some(1));
        view.learn(live(&[OWN, 1]), Instant::now());
        assert_eq!((writer(&view, 7), view.counts()), (None, (true, 2)));
        let mut other_builds = live(&[1, 3, 4, OWN]);
        other_builds.writers[0].protocol += 1;
        other_builds.writers[1].version = "0.0.1-other".to_owned();
        view.learn(other_builds, Instant::now());
        assert_eq!((writer(&view, 7), view.counts()), (Some(4), (false, 2)));
        view.forget();
        assert_eq!(writer(&view, 7), None);
    }

    #[tokio::test]
    async fn old_knowledge_is_not_used() {
        let view = view(1);
        view.learn(
            live(&[1, OWN]),
            Instant::now().checked_sub(EXPIRY).unwrap_or_else(Instant::now),
        );
        assert_eq!((writer(&view, 7), view.counts()), (None, (true, 1)));
    }

    #[tokio::test]
    async fn several_share_the_partitions() {
        let view = view(2);
        view.learn(live(&[1, OWN, 3]), Instant::now());
        for (wallet, partition) in [(10, 0), (11, 1), (12, 2), (13, 3)] {
            let wallet = WalletId(Uuid::from_u128(wallet));
            view.routes.remember([(wallet, Partition(partition))]);
        }
        let writers = [10, 11, 12, 13].map(|wallet| writer(&view, wallet));
        assert_eq!(writers, [Some(1), None, Some(1), None]);
        assert_eq!(writer(&view, 99), Some(1), "unknown");
        let answer = Answer {
            status: 201,
            body: Default::default(),
            etag: None,
            position: Some("5:17".to_owned()),
            location: None,
        };
        view.learn_routes(&credit(99), &answer);
        assert_eq!(writer(&view, 99), None, "it lives in partition 5");
    }
}
