//! When platforms are reconciled: when the object itself (not its status), a child, or a Secret or ConfigMap it names changes,
//! and when the last reconcile asked for it.
//!
//! Invariant: a platform is never reconciled twice at once, and none waits for another. Secrets, ConfigMaps and children are
//! watched by metadata only, so the operator holds no secret in memory between reconciles.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use futures::{Stream, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Predicate as _, WatchStreamExt as _, predicates, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use wallex_crd::children::{Child, PerKind, Served, per_kind};
use wallex_crd::names;
use wallex_crd::{WalletPlatform, WalletPlatformSpec};

use crate::backoff::{self, Failures};
use crate::metrics::{Outcome, Seen};
use crate::reconcile::conditions::types;
use crate::reconcile::{self, Context, dereference};
use crate::scope::Scope;

/// A platform as watched. One that can't be parsed must not stop the watch of the others.
type Watched = DeserializeGuard<WalletPlatform>;

struct Shared {
    context: Arc<Context>,
    failures: Failures<ObjectRef<Watched>>,
}

/// Reconciles the platforms of `scope` until `stop` is cancelled; reconciles in progress finish first.
pub async fn watch(context: Arc<Context>, scope: Scope, stop: CancellationToken) {
    let client = &context.client;
    let (platforms, writer) = reflector::store();
    // What a user may change: the spec (generation), and annotations and labels, which tools use to trigger a
    // reconcile.
    let relevant = predicates::generation
        .combine(predicates::annotations)
        .combine(predicates::labels);
    let changes = watcher(scope.api::<Watched>(client), watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .applied_objects()
        .predicate_filter(relevant, kube::runtime::PredicateConfig::default());

    let counted = platforms.clone();
    context
        .metrics
        .watch_platforms(move || counted.state().iter().map(|platform| seen(platform)).collect());
    let (by_secret, by_config_map) = (platforms.clone(), platforms.clone());
    let shared = Arc::new(Shared {
        context: context.clone(),
        failures: Failures::default(),
    });
    tracing::info!(?scope, "watching");
    let mut owned = Owned {
        controller: Some(Controller::for_stream(changes, platforms)),
        scope: &scope,
        client,
        children: watcher::Config::default().labels(&names::all_children()),
    };
    per_kind(&mut owned);
    let Some(controller) = owned.controller else {
        return;
    };
    controller
        .watches(
            meta::<Secret>(&scope, client),
            watcher::Config::default(),
            move |secret| {
                named_by(&by_secret, &secret, |spec| {
                    dereference::secret_names(spec).collect()
                })
            },
        )
        .watches(
            meta::<ConfigMap>(&scope, client),
            watcher::Config::default(),
            move |map| {
                named_by(&by_config_map, &map, |spec| {
                    dereference::config_map_names(spec).collect()
                })
            },
        )
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, failed, shared)
        .for_each(|result| async {
            if let Err(error) = result {
                // Reconcile errors are logged where they occur; these come from watches and queues.
                tracing::debug!(%error, "controller");
            }
        })
        .await;
}

/// Makes a controller watch the children of platforms, kind by kind.
struct Owned<'a> {
    controller: Option<Controller<Watched>>,
    scope: &'a Scope,
    client: &'a Client,
    children: watcher::Config,
}

impl PerKind for Owned<'_> {
    fn kind<K: Child>(&mut self) {
        let (scope, client, children) = (self.scope, self.client, self.children.clone());
        self.controller = self.controller.take().map(|controller| match K::SERVED {
            Served::Always | Served::WithOthers => controller.owns(meta::<K>(scope, client), children),
            Served::Perhaps { .. } => controller.owns_stream(where_served::<K>(scope, client, children)),
            Served::Once { .. } => controller,
        });
    }
}

fn meta<K>(scope: &Scope, client: &Client) -> Api<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    scope.api(client)
}

/// Watches children whose resource the cluster may lack, or get later. Watches set up with [`Controller::owns`] share one
/// backoff, so one that always fails would slow down all of them; this one retries on its own, at most twice a minute.
fn where_served<K: Child>(
    scope: &Scope,
    client: &Client,
    children: watcher::Config,
) -> impl Stream<Item = watcher::Result<PartialObjectMeta<K>>> + use<K> {
    watcher(meta::<K>(scope, client), children)
        .default_backoff()
        .touched_objects()
        .filter(|found| std::future::ready(found.is_ok()))
}

/// The parts of a platform that the metrics count.
fn seen(platform: &Watched) -> Seen {
    let status = platform.0.as_ref().ok().and_then(|read| read.status.as_ref());
    let holds = |type_: &str| {
        let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
        conditions.find(|condition| condition.type_ == type_ && condition.status == "True")
    };
    Seen {
        ready: holds(types::READY).is_some(),
        degraded: holds(types::DEGRADED).map(|condition| condition.reason.clone()),
    }
}

/// The platforms that refer to a Secret or ConfigMap: those in its namespace with its name among `names`.
fn named_by<K: Resource>(
    platforms: &Store<Watched>,
    named: &PartialObjectMeta<K>,
    names: impl Fn(&WalletPlatformSpec) -> Vec<&str>,
) -> Vec<ObjectRef<Watched>> {
    let (namespace, name) = (named.metadata.namespace.clone(), named.metadata.name.clone());
    platforms
        .state()
        .iter()
        .filter(|platform| platform.namespace() == namespace)
        .filter(|platform| {
            platform.0.as_ref().is_ok_and(|platform| {
                names(&platform.spec)
                    .iter()
                    .any(|it| Some(*it) == name.as_deref())
            })
        })
        .map(|platform| ObjectRef::from_obj(&**platform))
        .collect()
}

async fn reconcile(platform: Arc<Watched>, shared: Arc<Shared>) -> Result<Action, reconcile::Error> {
    let (namespace, name) = (platform.namespace().unwrap_or_default(), platform.name_any());
    let span = tracing::info_span!("reconcile", namespace, platform = name);
    let started = Instant::now();
    let result = reconcile::platform(&shared.context, &namespace, &name)
        .instrument(span)
        .await;
    let outcome = result.as_ref().map_or(Outcome::Failed, |(_, outcome)| *outcome);
    shared.context.metrics.reconciled(outcome, started.elapsed());
    let (action, _) = result?;
    shared.failures.forget(&ObjectRef::from_obj(&*platform));
    Ok(action)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the controller asks for this signature"
)]
fn failed(platform: Arc<Watched>, error: &reconcile::Error, shared: Arc<Shared>) -> Action {
    let failures = shared.failures.failed(ObjectRef::from_obj(&*platform));
    let wait = backoff::jittered(failures);
    tracing::warn!(
        namespace = platform.namespace(),
        platform = platform.name_any(),
        %error,
        failures,
        again_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        "reconcile failed"
    );
    Action::requeue(wait)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use kube::client::Body;
    use serde_json::json;

    use wallex_crd::foreign::ServiceMonitor;

    use super::*;

    #[test]
    fn a_secret_and_a_config_map_lead_to_the_platforms_of_their_namespace_that_name_them() {
        let (platforms, mut writer) = reflector::store::<Watched>();
        writer.apply_watcher_event(&watcher::Event::Init);
        for namespace in ["shop", "other"] {
            let platform = json!({
                "apiVersion": "wallex.dev/v1alpha1", "kind": "WalletPlatform",
                "metadata": {"name": "demo", "namespace": namespace},
                "spec": {
                    "image": "x", "kafka": {"bootstrapServers": "k:9092", "tls": {"caConfigMapRef": {"name": "trust"}}},
                    "database": {"secretRef": {"name": "database"}},
                },
            });
            let platform = serde_json::from_value(platform).unwrap();
            writer.apply_watcher_event(&watcher::Event::InitApply(platform));
        }
        writer.apply_watcher_event(&watcher::Event::InitDone);
        let expected = |namespace: &str| vec![ObjectRef::<Watched>::new("demo").within(namespace)];
        let metadata = |name: &str| json!({"metadata": {"name": name, "namespace": "shop"}});
        let config_map = |name: &str| {
            let found: PartialObjectMeta<ConfigMap> = serde_json::from_value(metadata(name)).unwrap();
            named_by(&platforms, &found, |spec| {
                dereference::config_map_names(spec).collect()
            })
        };
        let secret = |name: &str| {
            let found: PartialObjectMeta<Secret> = serde_json::from_value(metadata(name)).unwrap();
            named_by(&platforms, &found, |spec| {
                dereference::secret_names(spec).collect()
            })
        };
        assert_eq!(config_map("trust"), expected("shop"));
        assert_eq!(secret("database"), expected("shop"));
        assert_eq!(
            (config_map("database"), secret("trust")),
            (Vec::new(), Vec::new())
        );
    }

    /// The CRD is installed while the operator runs; until then a real API server answers 404 in plain text.
    #[tokio::test(start_paused = true)]
    async fn children_of_a_resource_that_is_served_later_are_watched_from_then_on() {
        let lists = Arc::new(AtomicUsize::new(0));
        let asked = lists.clone();
        let server = tower::service_fn(move |request: http::Request<Body>| {
            let is_watch = request
                .uri()
                .query()
                .is_some_and(|query| query.contains("watch=true"));
            let earlier = asked.fetch_add(usize::from(!is_watch), Ordering::Relaxed);
            async move {
                if is_watch {
                    std::future::pending::<()>().await;
                }
                let (status, body) = if earlier < 4 {
                    (404, "404 page not found\n".to_owned())
                } else {
                    let monitor = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                        "metadata": {"name": "demo", "namespace": "shop"}});
                    let list = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
                        "metadata": {"resourceVersion": "1"}, "items": [monitor]});
                    (200, list.to_string())
                };
                let answer = http::Response::builder()
                    .status(status)
                    .body(Body::from(body.into_bytes()));
                Ok::<_, std::convert::Infallible>(answer.unwrap())
            }
        });
        let client = Client::new(server, "shop");
        let watched = where_served::<ServiceMonitor>(&Scope::All, &client, watcher::Config::default());
        let found = tokio::time::timeout(Duration::from_secs(300), pin!(watched).next()).await;
        assert_eq!(found.unwrap().unwrap().unwrap().name_any(), "demo");
        assert_eq!(lists.load(Ordering::Relaxed), 5, "refusals are not passed on");
    }
}
