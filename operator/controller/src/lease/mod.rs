//! Leader election with a Lease: one of several operator processes writes, the others stand by.
//!
//! The protocol is that of Kubernetes' own components. The holder renews; a process that sees the record unchanged for the
//! lease's duration, **on its own monotonic clock**, may take it over. Clocks of different machines are never compared.
//! Every change is a PUT with the resourceVersion that was read, so when two compete, one wins and the other reads again.
//!
//! Invariant: [`Fence::holds`] is true only while this process was confirmed as holder less than [`RENEW_DEADLINE`] ago, and a
//! standby waits [`DURATION`] > [`RENEW_DEADLINE`]. So a holder that was frozen or cut off stops writing before anyone else
//! starts; at most one request is still in flight, and that is an idempotent apply.

mod decide;
mod fence;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;
use wallex_crd::names::WATCHES;

pub use decide::{Decision, Observer};
pub use fence::{Fence, NotLeader};

/// A record that has not changed for this long may be taken over. Including [`RETRY`] and the start of the controllers, another
/// process acts within 20 s.
pub const DURATION: Duration = Duration::from_secs(12);
/// A holder that could not renew for this long stops writing and exits. Shorter than [`DURATION`] by more than one request
/// timeout.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(8);
/// Pause between two attempts to renew or take over.
pub const RETRY: Duration = Duration::from_secs(2);
/// Timeout of one attempt; with [`RETRY`] between attempts, one may fail before [`RENEW_DEADLINE`] passes.
const REQUEST: Duration = Duration::from_millis(2500);

/// One participant in one election.
#[derive(Clone, Debug)]
pub struct Election {
    pub namespace: String,
    pub name: String,
    /// Unique among the participants: the pod's name, or host and process.
    pub identity: String,
    /// What the holder watches, so that other operators can see it ([`WATCHES`]).
    pub watches: String,
}

/// Why the election ended.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("the lease is held by {0}")]
    Taken(String),
    #[error("the lease could not be renewed within {} s: {last_error}", RENEW_DEADLINE.as_secs())]
    NotRenewed { last_error: String },
}

/// Failure of one attempt; the next may succeed.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("no answer within {} ms", REQUEST.as_millis())]
    TimedOut,
}

impl Election {
    /// Waits until this process holds the lease. Returns early, without it, when `stop` is cancelled.
    pub async fn acquire(&self, client: &Client, fence: &Fence, stop: &CancellationToken) -> bool {
        let mut observer = Observer::new(self.identity.clone(), DURATION);
        let mut said = String::new();
        loop {
            match self.attempt(client, &mut observer, fence).await {
                Ok(Decision::Take | Decision::Renew) => return true,
                Ok(Decision::StandBy { holder }) => {
                    if said != holder {
                        tracing::info!(holder, lease = self.name, "standing by");
                        said = holder;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, lease = self.name, "could not acquire the lease; trying again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return false,
            }
        }
    }

    /// Renews until `stop` is cancelled (`Ok`) or the lease is lost (`Err`; the caller must exit).
    ///
    /// # Errors
    /// When another process holds the lease, or the API server confirmed nothing for [`RENEW_DEADLINE`].
    pub async fn hold(&self, client: &Client, fence: &Fence, stop: &CancellationToken) -> Result<(), Lost> {
        let mut observer = Observer::new(self.identity.clone(), DURATION);
        let mut last_error = "no attempt was made in time".to_owned();
        loop {
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return Ok(()),
            }
            // Checked before the attempt: a process that was frozen must not renew a lease it may have lost meanwhile.
            if !fence.holds() {
                return Err(Lost::NotRenewed { last_error });
            }
            match self.attempt(client, &mut observer, fence).await {
                Ok(Decision::Take | Decision::Renew) => {}
                Ok(Decision::StandBy { holder }) => {
                    fence.lower();
                    return Err(Lost::Taken(holder));
                }
                Err(error) => {
                    tracing::warn!(%error, lease = self.name, "could not renew the lease; trying again");
                    last_error = error.to_string();
                }
            }
        }
    }

    /// Releases the lease so that a standby need not wait for it to expire. Only the holder may; a failure does no harm.
    pub async fn release(&self, client: &Client, fence: &Fence) {
        fence.lower();
        let api: Api<Lease> = Api::namespaced(client.clone(), &self.namespace);
        let released = tokio::time::timeout(REQUEST, async {
            let Some(mut lease) = api.get_opt(&self.name).await? else {
                return Ok(());
            };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(());
            }
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            api.replace(&self.name, &PostParams::default(), &lease)
                .await
                .map(drop)
        })
        .await;
        match released {
            Ok(Ok(())) => tracing::info!(lease = self.name, "lease released"),
            Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "could not release the lease"),
            Err(_) => tracing::warn!(lease = self.name, "could not release the lease in time"),
        }
    }

    /// Reads the lease, decides, and writes the decision. The fence is raised from the moment **before** the request.
    async fn attempt(
        &self,
        client: &Client,
        observer: &mut Observer,
        fence: &Fence,
    ) -> Result<Decision, AttemptError> {
        let api: Api<Lease> = Api::namespaced(client.clone(), &self.namespace);
        let started = Instant::now();
        tokio::time::timeout(REQUEST, async {
            let found = api.get_opt(&self.name).await?;
            let decision = observer.decide(found.as_ref(), Instant::now());
            match &decision {
                Decision::StandBy { .. } => return Ok(decision),
                Decision::Take | Decision::Renew => {}
            }
            let wanted = self.record(found.as_ref(), &decision);
            let written = match found {
                Some(_) => api.replace(&self.name, &PostParams::default(), &wanted).await?,
                None => api.create(&PostParams::default(), &wanted).await?,
            };
            observer.wrote(&written, Instant::now());
            fence.raise(started + RENEW_DEADLINE);
            Ok(decision)
        })
        .await
        .map_err(|_| AttemptError::TimedOut)?
    }

    fn record(&self, found: Option<&Lease>, decision: &Decision) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut lease = found.cloned().unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        let annotations = lease.metadata.annotations.get_or_insert_default();
        annotations.insert(WATCHES.to_owned(), self.watches.clone());
        let spec: &mut LeaseSpec = lease.spec.get_or_insert_default();
        if *decision == Decision::Take {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(
                spec.lease_transitions
                    .map_or(0, |transitions| transitions.saturating_add(1)),
            );
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.renew_time = Some(now);
        lease
    }
}
