//! The operator's life: connect, serve health and metrics, take the lease, run the controllers, give the lease back.
//!
//! Invariant: nothing is written before the lease is held; when it is lost, the process exits, so no half-alive
//! controller remains.

use std::net::SocketAddr;
use std::sync::{Arc, atomic::AtomicBool, atomic::Ordering};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use wallex_crd::api_error;
use wallex_crd::names::MANAGER;

use crate::controller;
use crate::http::{self, Served};
use crate::kafka::Librdkafka;
use crate::lease::{Election, Fence};
use crate::metrics::Metrics;
use crate::reconcile::observe::lag::{Http, Readings};
use crate::reconcile::stages::topics::TopicChecks;
use crate::reconcile::{Context, dereference};
use crate::rivals::Rivals;
use crate::scope::scopes;
use crate::writes::Writes;

/// How long reconciles in progress may take after a request to stop.
const FINISH: Duration = Duration::from_secs(15);

/// Settings of the operator's process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespaces to watch; empty: all.
    pub watch_namespaces: Vec<String>,
    pub listen: SocketAddr,
    /// Namespace of the Lease; none: the one the process runs in, or that of the kubeconfig.
    pub lease_namespace: Option<String>,
    /// Name of this process among the candidates.
    pub identity: String,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When the listener or the client can't be made, or the lease is lost.
pub async fn operator(settings: Settings) -> anyhow::Result<()> {
    let stop = stop_on_signals()?;
    let metrics = Metrics::new()?;
    let ready = Arc::new(AtomicBool::new(false));
    let listener = tokio::net::TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("--listen {} can't be listened on", settings.listen))?;
    let served = Served {
        metrics: metrics.clone(),
        ready: ready.clone(),
    };
    let server = tokio::spawn(http::serve(listener, served, stop.clone()));

    let client = Client::try_default()
        .await
        .context("cannot reach a Kubernetes API: neither a pod's ServiceAccount nor a usable kubeconfig")?;
    let result = lead(settings, client, metrics, &ready, &stop).await;
    stop.cancel();
    server
        .await
        .context("the HTTP server failed")?
        .context("the HTTP server failed")?;
    result
}

async fn lead(
    settings: Settings,
    client: Client,
    metrics: Metrics,
    ready: &AtomicBool,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(cluster) = cluster_id(&client, stop).await else {
        return Ok(());
    };
    ready.store(true, Ordering::Relaxed);
    let fence = Fence::default();
    let election = Election {
        namespace: settings
            .lease_namespace
            .unwrap_or_else(|| client.default_namespace().to_owned()),
        name: MANAGER.to_owned(),
        identity: settings.identity.clone(),
        watches: settings.watch_namespaces.join(","),
    };
    if !election.acquire(&client, &fence, stop).await {
        return Ok(());
    }
    tracing::info!(
        identity = election.identity,
        namespace = election.namespace,
        "leading"
    );
    metrics.leading(true);

    let context = Arc::new(Context {
        writes: Writes::new(client.clone(), fence.clone(), settings.identity, metrics.clone()),
        client: client.clone(),
        metrics: metrics.clone(),
        topics: TopicChecks::new(Arc::new(Librdkafka)),
        projections: Readings::new(Arc::new(Http::default())),
        cluster,
        scopes: scopes(&settings.watch_namespaces),
        rivals: Rivals::default(),
        installation: election.namespace.clone(),
    });
    let looks = settings.watch_namespaces.is_empty().then(|| {
        let rivals = context.rivals.clone();
        tokio::spawn(rivals.watch(client.clone(), election.namespace.clone()))
    });
    let controllers = context
        .scopes
        .clone()
        .into_iter()
        .map(|scope| controller::watch(context.clone(), scope, stop.clone()));
    let controllers = tokio::spawn(join_all(controllers));

    // A separate token: the lease is renewed until the last reconcile has finished.
    let finished = CancellationToken::new();
    let renewal = election.hold(&client, &fence, &finished);
    let work = async {
        stop.cancelled().await;
        if tokio::time::timeout(FINISH, controllers).await.is_err() {
            tracing::warn!("reconciles did not finish in time");
        }
        finished.cancel();
        std::future::pending::<()>().await;
    };
    let held = tokio::select! {
        held = renewal => held,
        () = work => Ok(()),
    };
    metrics.leading(false);
    if let Some(looks) = looks {
        looks.abort();
    }
    held.context("the lease was lost; another process leads, or will")?;
    election.release(&client, &fence).await;
    Ok(())
}

/// Retries until the API server answers. None: asked to stop first.
async fn cluster_id(client: &Client, stop: &CancellationToken) -> Option<String> {
    let mut failures = 0;
    loop {
        match dereference::cluster_id(client).await {
            Ok(id) => return Some(id),
            Err(error) => {
                failures += 1;
                tracing::warn!(
                    error = api_error::short(&error),
                    "could not read namespace kube-system; trying again"
                );
            }
        }
        tokio::select! {
            () = tokio::time::sleep(crate::backoff::jittered(failures)) => {}
            () = stop.cancelled() => return None,
        }
    }
}

fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        token.cancel();
    });
    Ok(stop)
}
