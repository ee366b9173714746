//! How far a platform's projections are behind, according to the platform itself: `GET /health/projections` from its query or, if
//! that does not answer, from its command.
//!
//! Invariants: a platform is asked at most once per [`PERIOD`] and gets at most [`PATIENCE`] per role, which delays no other
//! platform; a failed reading discards the figures, so none is older than [`PERIOD`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use kube::ResourceExt as _;
use tokio::time::Instant;
use wallex_crd::report::{self, Answer, PATH, Report};
use wallex_crd::{Component, WalletPlatform, names};

use crate::reconcile::Context;
use crate::reconcile::conditions::{ComponentState, Lag, Seen};

/// Interval between two readings of a platform.
const PERIOD: Duration = Duration::from_secs(30);
/// How long a role may take to answer. It has the figures at hand.
const PATIENCE: Duration = Duration::from_secs(2);
/// Maximum bytes of a response. Two projections with 256 partitions take less than a quarter of it.
const LIMIT: usize = 256 * 1024;

/// Access to a platform's roles.
pub trait Roles: Send + Sync {
    /// The response to `GET http://{authority}{path}`, or why there was none.
    fn ask(&self, authority: String, path: &'static str) -> BoxFuture<'static, Result<Answer, String>>;
}

/// Plain HTTP, as the roles use it within the cluster. One connection per reading, so that the Service picks a pod each
/// time.
pub struct Http(legacy::Client<legacy::connect::HttpConnector, Empty<&'static [u8]>>);

impl Default for Http {
    fn default() -> Self {
        Self(
            legacy::Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build_http(),
        )
    }
}

impl Roles for Http {
    fn ask(&self, authority: String, path: &'static str) -> BoxFuture<'static, Result<Answer, String>> {
        let client = self.0.clone();
        async move {
            let request = http::Request::get(format!("http://{authority}{path}"))
                .body(Empty::new())
                .map_err(|error| error.to_string())?;
            let response = client.request(request).await.map_err(|error| chain(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LIMIT).collect().await;
            let body = body.map_err(|error| chain(&*error))?;
            Ok((status, body.to_bytes().to_vec()))
        }
        .boxed()
    }
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Access to the roles, and the last reading of each platform, by uid.
pub struct Readings {
    roles: Arc<dyn Roles>,
    last: Mutex<HashMap<String, Last>>,
}

/// What is known about a platform's projections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub lag: Lag,
    /// Lower bound of the journal's events; none: unknown.
    pub events: Option<i64>,
    /// When to read again; none: not until one of its roles is ready.
    pub again: Option<Duration>,
}

#[derive(Clone)]
struct Last {
    lag: Lag,
    events: Option<i64>,
    next: Instant,
}

impl Readings {
    pub fn new(roles: Arc<dyn Roles>) -> Self {
        Self {
            roles,
            last: Mutex::default(),
        }
    }

    /// The lag of `platform`, read now or recently.
    pub async fn of(&self, platform: &WalletPlatform, components: &[ComponentState]) -> Reading {
        let serves = |component| {
            let mut states = components.iter();
            states.any(|state| state.component == component && state.ready > 0)
        };
        let mut serving = [Component::Query, Component::Command]
            .into_iter()
            .filter(|component| serves(*component))
            .peekable();
        if serving.peek().is_none() {
            let why = "no pod of the query or the command is ready, so the lag is not measured";
            return Reading {
                lag: Lag::Unknown(why.to_owned()),
                events: None,
                again: None,
            };
        }
        let uid = platform.uid().unwrap_or_default();
        let now = Instant::now();
        if let Some(last) = self.fresh(&uid, now) {
            return Reading {
                lag: last.lag,
                events: last.events,
                again: Some(last.next - now),
            };
        }
        let mut failures = Vec::new();
        let (mut lag, mut events) = (None, None);
        for component in serving {
            match self.ask(platform, component).await {
                Ok(report) => {
                    lag = Some(Lag::Known(report.rows));
                    events = Some(report.events);
                    break;
                }
                Err(why) => failures.push(format!("{}: {why}", component.name())),
            }
        }
        let lag = lag.unwrap_or_else(|| Lag::Unknown(failures.join("; ")));
        let last = Last {
            lag: lag.clone(),
            events,
            next: now + PERIOD,
        };
        self.remember(uid, last, now);
        Reading {
            lag,
            events,
            again: Some(PERIOD),
        }
    }

    async fn ask(&self, platform: &WalletPlatform, component: Component) -> Result<Report, String> {
        let service = component.object(&platform.name_any());
        let namespace = platform.namespace().unwrap_or_default();
        let authority = format!("{service}.{namespace}.svc:{}", names::HTTP_PORT);
        report::read(&self.get(authority, PATH).await?)
    }

    /// A role's answer, or why there is none. Takes at most [`PATIENCE`].
    pub async fn get(&self, authority: String, path: &'static str) -> Result<Answer, String> {
        match tokio::time::timeout(PATIENCE, self.roles.ask(authority, path)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    fn fresh(&self, uid: &str, now: Instant) -> Option<Last> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(uid).filter(|last| last.next > now).cloned()
    }

    fn remember(&self, uid: String, read: Last, now: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Drops readings of platforms that are gone, and all that are due anyway.
        last.retain(|_, last| last.next > now);
        last.insert(uid, read);
    }
}

/// Observes how far the projections are behind, whichever stage stopped. Asks the components that were seen.
pub(in crate::reconcile) async fn see(context: &Context, platform: &WalletPlatform, seen: &mut Seen) {
    let reading = context.projections.of(platform, &seen.components).await;
    seen.lag = reading.lag;
    seen.events = reading.events;
    if let Some(again) = reading.again {
        seen.look_again(again);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::routing::get;
    use http::StatusCode;
    use serde_json::json;

    use super::*;

    async fn server(routes: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        address
    }

    #[tokio::test]
    async fn a_real_server_is_asked_by_http() {
        let report = r#"{"projections": [{"name": "ledger", "lag_events": 3, "lag_seconds": 0.2}]}"#;
        let address = server(Router::new().route(PATH, get(move || async move { report }))).await;
        let (status, body) = Http::default().ask(address, PATH).await.unwrap();
        assert_eq!((status, body.as_slice()), (StatusCode::OK, report.as_bytes()));
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut() {
        let endless = || async {
            let blocks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 65_536]));
            axum::body::Body::from_stream(blocks)
        };
        let address = server(Router::new().route(PATH, get(endless))).await;
        let error = Http::default().ask(address, PATH).await.unwrap_err();
        assert!(error.contains("length limit"), "{error}");
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_a_reason() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = Http::default().ask(address, PATH).await.unwrap_err();
        assert!(error.contains("refused"), "{error}");
    }

    /// Roles that give these answers, by the first part of their names; others never answer.
    #[derive(Default)]
    struct Scripted {
        answers: Vec<(&'static str, Result<Answer, String>)>,
        asked: AtomicUsize,
    }

    impl Roles for Scripted {
        fn ask(&self, authority: String, _: &'static str) -> BoxFuture<'static, Result<Answer, String>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let answer = self.answers.iter().find(|(role, _)| authority.starts_with(role));
            match answer.cloned() {
                Some((_, answer)) => std::future::ready(answer).boxed(),
                None => std::future::pending().boxed(),
            }
        }
    }

    const QUERY: &str = "demo-query.wallex.svc:8080";
    const COMMAND: &str = "demo-command.wallex.svc:8080";

    fn good(events: u64) -> Result<Answer, String> {
        let report = json!({"projections": [{"name": "ledger", "lag_events": events, "lag_seconds": 0.5}]});
        Ok((StatusCode::OK, report.to_string().into_bytes()))
    }

    fn platform() -> WalletPlatform {
        serde_json::from_value(json!({
            "apiVersion": "wallex.dev/v1alpha1", "kind": "WalletPlatform",
            "metadata": {"name": "demo", "namespace": "wallex", "uid": "u"},
            "spec": {"image": "x", "database": {"secretRef": {"name": "x"}}, "kafka": {"bootstrapServers": "k:9092"}},
        }))
        .unwrap()
    }

    fn ready(components: &[Component]) -> Vec<ComponentState> {
        let state = |component| ComponentState {
            component,
            exists: true,
            desired: 1,
            ready: i32::from(components.contains(&component)),
            updated: 1,
            image: None,
            rolled_out: true,
            stalled: None,
            problem: None,
        };
        Component::ROLLOUT.map(state).into()
    }

    async fn lag(roles: Scripted, components: &[Component]) -> (Lag, Option<Duration>, usize) {
        let roles = Arc::new(roles);
        let readings = Readings::new(roles.clone());
        let Reading { lag, again, .. } = readings.of(&platform(), &ready(components)).await;
        (lag, again, roles.asked.load(Ordering::Relaxed))
    }

    fn answers(answers: &[(&'static str, Result<Answer, String>)]) -> Scripted {
        Scripted {
            answers: answers.to_vec(),
            ..Scripted::default()
        }
    }

    fn events(lag: &Lag) -> Vec<i64> {
        lag.rows().iter().map(|row| row.lag_events).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_command_is_asked_when_the_query_does_not_say() {
        let both = [Component::Query, Component::Command];
        let (found, _, asked) = lag(answers(&[(QUERY, good(1)), (COMMAND, good(2))]), &both).await;
        assert_eq!((events(&found), asked), (vec![1], 1));
        // A hanging role costs only its timeout.
        let before = Instant::now();
        let (found, _, asked) = lag(answers(&[(COMMAND, good(2))]), &both).await;
        assert_eq!((events(&found), asked), (vec![2], 2));
        assert_eq!(before.elapsed(), PATIENCE);
        // A role without a ready pod is not asked.
        let (found, _, asked) = lag(answers(&[(COMMAND, good(2))]), &[Component::Command]).await;
        assert_eq!((events(&found), asked), (vec![2], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn when_none_says_each_reason_is_told() {
        let refused = (QUERY, Err("connection refused".to_owned()));
        let both = [Component::Query, Component::Command];
        let (found, again, _) = lag(answers(&[refused]), &both).await;
        let why = "query: connection refused; command: no answer within 2 s".to_owned();
        assert_eq!((found, again), (Lag::Unknown(why), Some(PERIOD)));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_ready_pod_nobody_is_asked() {
        let (found, again, asked) = lag(answers(&[]), &[Component::Publisher]).await;
        assert!(matches!(found, Lag::Unknown(why) if why.contains("is ready")));
        assert_eq!((again, asked), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_platform_is_asked_once_in_thirty_seconds_whether_it_answers_or_not() {
        for answer in [good(1), Err("refused".to_owned())] {
            let roles = Arc::new(answers(&[(QUERY, answer)]));
            let readings = Readings::new(roles.clone());
            let state = ready(&[Component::Query]);
            let first = readings.of(&platform(), &state).await;
            tokio::time::advance(Duration::from_secs(29)).await;
            let second = readings.of(&platform(), &state).await;
            assert_eq!((first.lag, first.events), (second.lag, second.events));
            assert_eq!(second.again, Some(Duration::from_secs(1)));
            assert_eq!(roles.asked.load(Ordering::Relaxed), 1);
            tokio::time::advance(Duration::from_secs(1)).await;
            readings.of(&platform(), &state).await;
            assert_eq!(roles.asked.load(Ordering::Relaxed), 2);
        }
    }
}
