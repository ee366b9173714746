//! The only door to the API server's writing verbs (the Lease itself excepted).
//!
//! Invariant: every write checks the fence first, so a process that lost its lease, or was frozen past it, writes nothing more.
//! Applies are server-side, forced, by one field manager: what we state is ours. What we do not state is left alone, except for
//! manual edits of the operator's parts (`reconcile::drift`): those are reverted by a patch on the version that was read.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::runtime::events::{Event, Recorder, Reporter};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};
use wallex_crd::api_error;
use wallex_crd::children::Child;
use wallex_crd::names::{HANDOVER, MANAGER};
use wallex_crd::{WalletPlatform, WalletPlatformStatus};

use crate::lease::{Fence, NotLeader};
use crate::metrics::Metrics;

/// A write that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    #[error("{kind} {name}: {}", api_error::short(source))]
    Refused {
        kind: String,
        name: String,
        #[source]
        source: Box<kube::Error>,
    },
}

impl WriteError {
    /// Whether the API server rejects the object itself, which waiting does not fix.
    pub fn is_invalid(&self) -> bool {
        match self {
            Self::NotLeader(_) => false,
            Self::Refused { source, .. } => {
                matches!(&**source, kube::Error::Api(status) if status.is_invalid())
            }
        }
    }

    fn refused<K: Resource<DynamicType = ()>>(name: &str, source: kube::Error) -> Self {
        Self::Refused {
            kind: K::kind(&()).into_owned(),
            name: name.to_owned(),
            source: Box::new(source),
        }
    }
}

/// How often a child is restored within [`WINDOW`] before the operator stops until the window ends: two writers that keep
/// overwriting each other would otherwise start and kill pods endlessly.
const PUT_BACKS: u32 = 3;
pub const WINDOW: Duration = Duration::from_secs(60);

/// Writes to the API server while the lease is held.
#[derive(Clone)]
pub struct Writes {
    /// Since when and how often each child has been restored.
    put_backs: Arc<Mutex<HashMap<String, (Instant, u32)>>>,
    client: Client,
    fence: Fence,
    recorder: Recorder,
    metrics: Metrics,
}

impl Writes {
    /// `instance` names this process in the Events it reports.
    pub fn new(client: Client, fence: Fence, instance: String, metrics: Metrics) -> Self {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance: Some(instance),
        };
        Self {
            put_backs: Arc::default(),
            recorder: Recorder::new(client.clone(), reporter),
            client,
            fence,
            metrics,
        }
    }

    /// The API for a write to `object`, while the lease is held; name and namespace.
    fn door<K>(&self, object: &K) -> Result<(Api<K>, String, String), WriteError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.fence.check()?;
        let name = object.meta().name.clone().unwrap_or_default();
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        Ok((Api::namespaced(self.client.clone(), &namespace), name, namespace))
    }

    /// Every request passes through here: it is counted, and a refusal is classified.
    fn sent<K: Resource<DynamicType = ()>, T>(
        &self,
        part: &str,
        name: &str,
        answer: kube::Result<T>,
    ) -> Result<T, WriteError> {
        self.metrics
            .wrote(&format!("{}{part}", K::kind(&())), answer.is_ok());
        answer.map_err(|error| WriteError::refused::<K>(name, error))
    }

    /// Whether `child` may be restored once more; the call counts. False: someone keeps changing it.
    pub fn may_put_back(&self, child: &str) -> bool {
        let now = Instant::now();
        let mut put_backs = self.put_backs.lock().unwrap_or_else(PoisonError::into_inner);
        put_backs.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
        let (_, times) = put_backs.entry(child.to_owned()).or_insert((now, 0));
        *times += 1;
        *times <= PUT_BACKS
    }

    /// The fence, for writes that go elsewhere (Kafka).
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Applies `desired` and returns the resulting object.
    ///
    /// # Errors
    /// When the lease is not held, or the API server refuses.
    pub async fn apply<K: Child>(&self, desired: &K) -> Result<K, WriteError> {
        let (api, name, namespace) = self.door(desired)?;
        tracing::info!(kind = %K::kind(&()), name, namespace, "applying");
        let params = PatchParams::apply(MANAGER).force();
        let answer = api.patch(&name, &params, &Patch::Apply(desired)).await;
        self.sent::<K, _>("", &name, answer)
    }

    /// Changes `live` with a JSON patch that names the version it is for. None: the object was changed since it was read.
    ///
    /// # Errors
    /// When the lease is not held, or the API server refuses.
    pub async fn put_back<K: Child>(&self, live: &K, patch: Value) -> Result<Option<K>, WriteError> {
        let (api, name, namespace) = self.door(live)?;
        tracing::info!(kind = %K::kind(&()), name, namespace, "putting back what was changed by hand");
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = serde_json::from_value(patch).map_err(kube::Error::SerdeError);
        let answer = match patch {
            Ok(patch) => api.patch(&name, &params, &Patch::<()>::Json(patch)).await,
            Err(error) => Err(error),
        };
        let answer = match answer {
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(None),
            answer => answer.map(Some),
        };
        self.sent::<K, _>("", &name, answer)
    }

    /// States the number of pods of `live` under the field manager [`HANDOVER`], for the autoscaler that takes over. False:
    /// someone changed the number meanwhile, or the Deployment has been replaced; `force` overrides others' numbers.
    ///
    /// # Errors
    /// When the lease is not held, or the API server refuses.
    pub async fn hand_over(&self, live: &Deployment, replicas: i32, force: bool) -> Result<bool, WriteError> {
        let (api, name, namespace) = self.door(live)?;
        tracing::info!(name, namespace, replicas, "handing over the number of pods");
        let body = json!({
            "apiVersion": Deployment::api_version(&()),
            "kind": Deployment::kind(&()),
            "metadata": {"name": name, "uid": live.metadata.uid},
            "spec": {"replicas": replicas},
        });
        let params = PatchParams {
            force,
            ..PatchParams::apply(HANDOVER)
        };
        let answer = match api.patch(&name, &params, &Patch::Apply(&body)).await {
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(false),
            answer => answer.map(|_| true),
        };
        self.sent::<Deployment, _>("", &name, answer)
    }

    /// Deletes exactly this `object`: a namesake created meanwhile stays. One that is already gone is not an error.
    ///
    /// # Errors
    /// When the lease is not held, or the API server refuses.
    pub async fn delete<K: Child>(&self, object: &K) -> Result<(), WriteError> {
        let (api, name, namespace) = self.door(object)?;
        tracing::info!(kind = %K::kind(&()), name, namespace, "deleting");
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: object.meta().uid.clone(),
            resource_version: None,
        });
        let answer = match api.delete(&name, &params).await {
            // A conflict here means that the uid differs: our object is gone.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            answer => answer.map(drop),
        };
        self.sent::<K, _>("", &name, answer)
    }

    /// Replaces the finalizers of `platform`, if it has not changed since it was read.
    ///
    /// # Errors
    /// When the lease is not held, or the API server refuses.
    pub async fn finalizers(
        &self,
        platform: &WalletPlatform,
        finalizers: &[String],
    ) -> Result<(), WriteError> {
        let (api, name, namespace) = self.door(platform)?;
        tracing::info!(name, namespace, ?finalizers, "setting finalizers");
        let body = json!({"metadata": {
            "uid": platform.metadata.uid,
            "resourceVersion": platform.metadata.resource_version,
            "finalizers": finalizers,
        }});
        let answer = api
            .patch(&name, &PatchParams::default(), &Patch::Merge(&body))
            .await;
        self.sent::<WalletPlatform, _>("", &name, answer.map(drop))
    }

    /// Replaces the whole status of `platform`, only for exactly its uid.
    ///
    /// # Errors
    /// When the lease is not held, or the API server refuses.
    pub async fn status(
        &self,
        platform: &WalletPlatform,
        status: &WalletPlatformStatus,
    ) -> Result<(), WriteError> {
        let (api, name, _) = self.door(platform)?;
        let body = json!({
            "apiVersion": WalletPlatform::api_version(&()),
            "kind": WalletPlatform::kind(&()),
            "metadata": {"name": name, "uid": platform.metadata.uid},
            "status": status,
        });
        let answer = api
            .patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&body))
            .await;
        self.sent::<WalletPlatform, _>("/status", &name, answer.map(drop))
    }

    /// Reports an Event. Events are for people; a failure to write one is only logged.
    pub async fn event(&self, regarding: &ObjectReference, event: &Event) {
        if self.fence.check().is_err() {
            return;
        }
        let reported = self.recorder.publish(event, regarding).await;
        self.metrics.wrote("Event", reported.is_ok());
        if let Err(error) = reported {
            tracing::warn!(
                error = api_error::short(&error),
                reason = event.reason,
                "could not report an event"
            );
        }
    }
}
