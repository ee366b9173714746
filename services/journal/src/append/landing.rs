//! What becomes of a batch that was sent in one trip.
//!
//! The invariant: after a refusal nothing was written. What is told apart here are refusals and unknown outcomes.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use sqlx::postgres::PgDatabaseError;
use wallex_domain::Partition;
use wallex_postgres::SqlState;

use super::Writer;
use super::one_trip::{LEEWAY, Sent};
use super::outcome::Staged;
use super::path::{Path, Why};
use super::setback::Setback;
use super::stages::{Stages, Wrote};
use super::state::Key;

/// SQLSTATEs of `journal.append`.
const STALE: SqlState = SqlState::new(*b"WX001");
const ANSWERED: SqlState = SqlState::new(*b"WX002");
const CLOCK: SqlState = SqlState::new(*b"WX003");

/// What became of a batch that was sent.
pub(super) enum Landed {
    Done(Vec<(usize, Staged)>, Option<Stages>),
    /// Nothing was written, and it must be decided under the locks. If keys have answers, only their requests.
    Left(Why, HashSet<Key>),
    /// With the partitions that it may hold, and when at the latest it can still be carried out: a message that is
    /// on its way holds no lock, and is refused when it has become too old.
    Failed(Setback, Vec<Partition>, Instant),
}

impl Writer {
    /// Waits for the outcome of what was sent.
    pub(super) async fn land_each(&mut self, mut sent: Sent) -> Landed {
        sent.answered().await;
        let error = match sent.answer.take() {
            None => return Landed::Done(sent.staged, None),
            Some(answer) => {
                self.flying -= 1;
                match answer {
                    Ok((db, written)) => {
                        self.connections.extend(db);
                        match written {
                            Ok(clock) => return self.landed(sent, clock),
                            Err(error) => error,
                        }
                    }
                    Err(defect) => sqlx::Error::Decode(defect.into()),
                }
            }
        };
        match SqlState::of(&error) {
            Some(STALE) => {
                let stale = detail(&error).unwrap_or_default().split(',');
                let stale: BTreeSet<Partition> =
                    stale.filter_map(|id| id.parse().ok().map(Partition)).collect();
                for id in &stale {
                    self.memory.went_stale(*id, &sent.staging.loaded);
                }
                let others = sent.before.iter().filter(|(id, _)| !stale.contains(id));
                let others = others.map(|(id, row)| (*id, row.clone())).collect();
                self.memory.take_back(&others, &sent.heads, &sent.staging.loaded);
                Landed::Left(Why::Stale, HashSet::new())
            }
            Some(ANSWERED) => {
                self.take_back(&sent);
                Landed::Left(Why::Answered, sent.answered_keys(&error))
            }
            Some(CLOCK) => {
                self.take_back(&sent);
                if let Some(clock) = detail(&error).and_then(|clock| clock.parse().ok()) {
                    self.memory.saw_clock(clock, Instant::now());
                }
                Landed::Left(Why::Clock, HashSet::new())
            }
            _ => {
                // What is refused for its content, or because of somebody's lock, is tried again under locks, which
                // find out whose fault it is.
                let setback = Setback::of_one_trip(error);
                let partitions: Vec<Partition> = sent.before.keys().copied().collect();
                match setback {
                    Setback::Refused(_) => self.take_back(&sent),
                    Setback::Trouble(_) | Setback::Clock { .. } | Setback::Unknown(_) => {
                        self.memory.forget(partitions.iter().copied());
                    }
                }
                Landed::Failed(setback, partitions, sent.since + LEEWAY)
            }
        }
    }

    fn landed(&mut self, sent: Sent, clock: Option<i64>) -> Landed {
        if let Some(clock) = clock {
            self.memory.saw_clock(clock, Instant::now());
        }
        let stages = Stages {
            route: Duration::ZERO,
            load: sent.load,
            decide: sent.decide,
            wrote: Wrote::OneTrip {
                append: sent.since.elapsed(),
            },
        };
        self.committed(stages, &sent.staging);
        self.paths.push(Path::OneTrip);
        Landed::Done(sent.staged, Some(stages))
    }

    fn take_back(&mut self, sent: &Sent) {
        self.memory
            .take_back(&sent.before, &sent.heads, &sent.staging.loaded);
    }
}

impl Sent {
    /// The keys that have answers already, as the procedure lists them: by their places, from 1.
    fn answered_keys(&self, error: &sqlx::Error) -> HashSet<Key> {
        let places = detail(error).unwrap_or_default().split(',');
        let places: HashSet<usize> = places.filter_map(|place| place.parse().ok()).collect();
        let keys = (1..).zip(self.staging.new_answers.keys());
        keys.filter(|(place, _)| places.contains(place))
            .map(|(_, key)| key.clone())
            .collect()
    }
}

fn detail(error: &sqlx::Error) -> Option<&str> {
    let error = error.as_database_error()?;
    error.try_downcast_ref::<PgDatabaseError>()?.detail()
}
