//! What is seen of a platform on the way through a reconcile. Data only: the stages and the observers fill it in, the conditions and the
//! status are made of it.

use std::time::Duration;

use wallex_crd::{Component, JournalStatus, KafkaStatus, SchemaStatus, WalletPlatform};

use super::lag::Lag;
use super::problem::Problem;
use crate::kafka::Topic;

/// One part of the line: done, on its way, failed, or not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    #[default]
    NotChecked,
    Done(String),
    Waiting(Problem),
    Failed(Problem),
}

/// One component's Deployment as observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentState {
    pub component: Component,
    /// Whether there is a Deployment at all.
    pub exists: bool,
    pub desired: i32,
    pub ready: i32,
    pub updated: i32,
    pub image: Option<String>,
    /// Whether all pods are of the template wanted now, and ready.
    pub rolled_out: bool,
    /// The Deployment says that its rollout takes too long, in its own words.
    pub stalled: Option<String>,
    /// Why its pods do not become ready, where they show it.
    pub problem: Option<Problem>,
}

/// A wish of the user's to hold still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing is changed, whatever differs.
    Paused,
    /// No component shall have pods.
    Suspended,
}

/// All that the status is made of: what the stages and the observers found out, whatever stopped.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The spec or what it refers to is wrong: nothing was built.
    pub invalid: Option<Problem>,
    pub topics: Progress,
    pub schema: Progress,
    /// The API server refused a child, or a child's name is taken.
    pub refused: Option<Problem>,
    pub components: Vec<ComponentState>,
    pub hold: Option<Hold>,
    /// How far the projections are behind. No part of Ready: a platform that catches up serves.
    pub lag: Lag,
    /// Events that the journal holds at least, as whoever measures the lag says.
    pub events: Option<i64>,
    /// Status and reason of AutoscalingActive; none when nothing is scaled. No part of Ready: the pods that there are serve on.
    pub autoscaling: Option<(&'static str, Problem)>,
    /// What is worth saying of a platform that is ready.
    pub notes: Vec<String>,
    pub remember: Remembered,
    /// When to look again, besides the usual time; none: nothing calls for it.
    pub again: Option<Duration>,
}

impl Seen {
    /// Before anything was looked at.
    pub fn of(platform: &WalletPlatform) -> Self {
        let hold = if platform.spec.paused {
            Some(Hold::Paused)
        } else {
            platform.spec.suspended.then_some(Hold::Suspended)
        };
        Self {
            hold,
            ..Self::default()
        }
    }

    /// Has the platform looked at again after this time at the latest.
    pub fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |again| again.min(after)));
    }
}

/// What the status remembers anew; what is none stays as it was.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    pub kafka: Option<KafkaStatus>,
    pub topics: Option<Vec<Topic>>,
    pub schema: Option<SchemaStatus>,
    pub journal: Option<JournalStatus>,
}
