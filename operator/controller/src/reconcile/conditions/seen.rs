//! What a reconcile observes about a platform. Data only: stages and observers fill it in; conditions and status are derived from
//! it.

use std::time::Duration;

use wallex_crd::{Component, JournalStatus, KafkaStatus, SchemaStatus, WalletPlatform};

use super::lag::Lag;
use super::problem::Problem;
use crate::kafka::Topic;

/// State of one part: done, under way, failed, or not checked.
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
    /// Whether the Deployment exists.
    pub exists: bool,
    pub desired: i32,
    pub ready: i32,
    pub updated: i32,
    pub image: Option<String>,
    /// Whether all pods are ready and of the currently wanted template.
    pub rolled_out: bool,
    /// The Deployment's own message when its rollout takes too long.
    pub stalled: Option<String>,
    /// Why its pods do not become ready, if they show it.
    pub problem: Option<Problem>,
}

/// A user's request to pause or suspend the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Change nothing, whatever differs.
    Paused,
    /// Run no pods.
    Suspended,
}

/// Everything the status is derived from: the findings of stages and observers, whichever stage stopped.
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
    /// How far the projections are behind. Not part of Ready: a platform that is catching up still serves.
    pub lag: Lag,
    /// Lower bound of the journal's events, from the role that measures the lag.
    pub events: Option<i64>,
    /// Status and reason of AutoscalingActive; none when nothing is scaled. Not part of Ready: existing pods keep serving.
    pub autoscaling: Option<(&'static str, Problem)>,
    /// Notes about a platform that is ready.
    pub notes: Vec<String>,
    pub remember: Remembered,
    /// When to reconcile again, if earlier than usual; none: no reason to.
    pub again: Option<Duration>,
}

impl Seen {
    /// The initial state, before any observation.
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

    /// Schedules another reconcile after this time at the latest.
    pub fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |again| again.min(after)));
    }
}

/// New values for the status to remember; none keeps the previous value.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    pub kafka: Option<KafkaStatus>,
    pub topics: Option<Vec<Topic>>,
    pub schema: Option<SchemaStatus>,
    pub journal: Option<JournalStatus>,
}
