//! `wallex-operator check`: what `helm test` runs, and `check-uninstall`: what `helm uninstall` runs first. Reads only: asks a
//! running operator whether it is ready, and the API server whether it serves WalletPlatforms to this ServiceAccount.
//!
//! Invariant: succeeds only if both gave the expected answer.

use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::api::{Api, ListParams};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::{Client, Resource as _, ResourceExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wallex_crd::WalletPlatform;
use wallex_crd::api_error;
use wallex_crd::names::TOPICS_FINALIZER;

/// From connecting to the last byte of the response.
const PATIENCE: Duration = Duration::from_secs(10);
/// The response is one line; anything longer does not come from the operator.
const MAX_ANSWER: u64 = 64 * 1024;

/// Checks the operator at `address` (`host:port`) and the WalletPlatforms in `namespaces` (empty: all). Returns one line per
/// finding.
///
/// # Errors
/// When one of them does not answer, or gives an unexpected answer.
pub async fn installation(address: &str, namespaces: &[String]) -> anyhow::Result<Vec<String>> {
    let ready = tokio::time::timeout(PATIENCE, readiness(address))
        .await
        .with_context(|| format!("{address} does not answer within {} s", PATIENCE.as_secs()))??;
    let mut seen = vec![format!("operator at {address}: {ready}")];
    let client = Client::try_default()
        .await
        .context("cannot reach a Kubernetes API: neither a pod's ServiceAccount nor a usable kubeconfig")?;
    if namespaces.is_empty() {
        platforms(Api::all(client)).await?;
        seen.push("WalletPlatforms of all namespaces: readable".to_owned());
    } else {
        for namespace in namespaces {
            platforms(Api::namespaced(client.clone(), namespace)).await?;
            seen.push(format!("WalletPlatforms of namespace {namespace}: readable"));
        }
    }
    Ok(seen)
}

/// Looks for platforms that only a running operator can release: those kept by a finalizer until their topics are
/// deleted.
///
/// # Errors
/// When there are any (the error names them), or when they can't be listed.
pub async fn uninstall(client: &Client, namespaces: &[String]) -> anyhow::Result<()> {
    let scopes = crate::scope::scopes(namespaces);
    let mut held = Vec::new();
    for scope in scopes {
        let api: Api<PartialObjectMeta<WalletPlatform>> = scope.api(client);
        let found = match api.list_metadata(&ListParams::default()).await {
            Ok(found) => found.items,
            // Without the CRD there are no platforms.
            Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => bail!("WalletPlatforms can't be listed: {}", api_error::short(&error)),
        };
        let waiting = found.iter().filter(|platform| {
            platform
                .finalizers()
                .iter()
                .any(|finalizer| finalizer == TOPICS_FINALIZER)
        });
        held.extend(waiting.map(|platform| {
            format!(
                "{}/{}",
                platform.namespace().unwrap_or_default(),
                platform.name_any()
            )
        }));
    }
    if held.is_empty() {
        return Ok(());
    }
    bail!(
        "these WalletPlatforms have deletionPolicy Delete, and without an operator their deletion never ends: {}. Delete them first, or set \
         spec.kafka.topics.deletionPolicy to Retain; or uninstall with --no-hooks, and remove their finalizers when you delete them \
         (docs/install.md)",
        held.join(", ")
    )
}

/// The body of `/health/ready`, when the status is 200.
async fn readiness(address: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("no connection to {address}"))?;
    let request = format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("{address}/health/ready answers {status:?}: {}", body.trim());
    }
    Ok(body.trim().to_owned())
}

/// One object is enough, and an object that this version can't read is not a failure of the installation.
async fn platforms(api: Api<DeserializeGuard<WalletPlatform>>) -> anyhow::Result<()> {
    api.list(&ListParams::default().limit(1)).await.map_err(|error| {
        anyhow::anyhow!(
            "{} can't be listed: {}",
            WalletPlatform::plural(&()),
            api_error::short(&error)
        )
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::sync::{Arc, atomic::AtomicBool};

    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::http::{Served, serve};
    use crate::metrics::Metrics;

    async fn served(ready: bool) -> (String, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let served = Served {
            metrics: Metrics::new().unwrap(),
            ready: Arc::new(AtomicBool::new(ready)),
        };
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, served, stop.clone()));
        (address, stop)
    }

    #[tokio::test]
    async fn a_ready_operator_passes() {
        let (address, _stop) = served(true).await;
        assert_eq!(readiness(&address).await.unwrap(), "ready");
    }

    #[tokio::test]
    async fn one_that_is_not_ready_fails_and_says_why() {
        let (address, _stop) = served(false).await;
        let error = readiness(&address).await.unwrap_err().to_string();
        assert!(
            error.contains("503") && error.contains("has not answered yet"),
            "{error}"
        );
    }

    /// An API server with these platforms, each with its finalizers.
    fn with_platforms(status: u16, platforms: &'static [(&'static str, &'static str)]) -> Client {
        let answer = move |_: ::http::Request<kube::client::Body>| async move {
            let items: Vec<serde_json::Value> = platforms
                .iter()
                .map(|(name, finalizer)| {
                    let finalizers: Vec<&str> =
                        Some(*finalizer).into_iter().filter(|of| !of.is_empty()).collect();
                    serde_json::json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                        "metadata": {"name": name, "namespace": "shop", "finalizers": finalizers}})
                })
                .collect();
            let list = serde_json::json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
                "metadata": {}, "items": items});
            let text = if status == 200 {
                list.to_string()
            } else {
                "404 page not found".to_owned()
            };
            let body = kube::client::Body::from(text.into_bytes());
            let answer = ::http::Response::builder().status(status).body(body);
            Ok::<_, std::convert::Infallible>(answer.unwrap())
        };
        Client::new(tower::service_fn(answer), "shop")
    }

    #[tokio::test]
    async fn platforms_that_would_wait_for_ever_are_named_before_the_operator_goes() {
        let platforms = &[
            ("kept", ""),
            ("theirs", "example.com/x"),
            ("held", TOPICS_FINALIZER),
        ];
        let error = uninstall(&with_platforms(200, platforms), &[])
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("shop/held"), "{error}");
        assert!(
            !error.contains("shop/kept") && !error.contains("shop/theirs"),
            "{error}"
        );
        uninstall(&with_platforms(200, &platforms[..2]), &[])
            .await
            .unwrap();
        uninstall(&with_platforms(404, &[]), &[]).await.unwrap();
    }

    #[tokio::test]
    async fn nobody_there_fails_and_names_the_address() {
        let error = readiness("127.0.0.1:1").await.unwrap_err().to_string();
        assert_eq!(error, "no connection to 127.0.0.1:1");
    }
}
