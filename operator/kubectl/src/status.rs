//! `kubectl wallex status`: a screen or a table, once or on every change.

use std::time::Duration;

use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};

use super::args::Status;
use super::error::Error;
use super::{Outcome, Session, facts, find, screen};

/// Changes come in bursts, especially during a rollout: all that arrive within this time share one redraw.
const CALM: Duration = Duration::from_millis(400);
/// Redraw interval without changes: the lag is not an object that can be watched, and ages grow.
const REDRAW: Duration = Duration::from_secs(15);

pub(super) async fn show(session: &mut Session, args: &Status) -> Result<Outcome, Error> {
    let chosen = choose(session, args).await?;
    if !args.watch {
        let text = draw(session, chosen.as_deref(), args.all_namespaces).await?;
        session.console.print(&text)?;
        return Ok(Outcome::Fine);
    }
    let mut changes = changes(session, chosen.as_deref(), args.all_namespaces);
    let mut drawn = false;
    loop {
        // Always redrawn from fresh reads: the watch only signals that something changed.
        match draw(session, chosen.as_deref(), args.all_namespaces).await {
            Ok(text) => {
                session.console.clear()?;
                session.console.print(&text)?;
                drawn = true;
            }
            // A temporarily unreachable API server is no reason to stop watching.
            Err(error @ (Error::Unreachable { .. } | Error::Refused { .. })) if drawn => {
                session
                    .console
                    .progress(&format!("{}; trying again", error.short()));
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            _ = changes.next() => {
                let calm = tokio::time::sleep(CALM);
                tokio::pin!(calm);
                loop {
                    tokio::select! {
                        biased;
                        () = &mut calm => break,
                        next = changes.next() => if next.is_none() { break },
                    }
                }
            }
            () = tokio::time::sleep(REDRAW) => {}
        }
    }
}

/// The platform to show; none: a table.
async fn choose(session: &mut Session, args: &Status) -> Result<Option<String>, Error> {
    if args.name.is_some() || args.all_namespaces {
        return Ok(args.name.clone());
    }
    let platforms = find::platforms(session, false).await?;
    Ok(match platforms.as_slice() {
        [only] => Some(only.name_any()),
        _ => None,
    })
}

async fn draw(session: &Session, name: Option<&str>, everywhere: bool) -> Result<String, Error> {
    let (now, colour) = ((session.now)(), session.console.colour);
    if let Some(name) = name {
        let facts = facts::of(session, name).await?;
        return Ok(screen::platform(&facts, now, colour));
    }
    let platforms = find::platforms(session, everywhere).await?;
    if platforms.is_empty() {
        return Ok(if everywhere {
            "No WalletPlatforms in this cluster. dev/example/platform.yaml is one to begin with.\n".to_owned()
        } else {
            format!(
                "No WalletPlatforms in namespace {}. Name another with -n, or see all with -A.\n",
                session.namespace
            )
        });
    }
    Ok(screen::table(&platforms, everywhere, now, colour))
}

/// Yields whenever something on the screen has changed. Failed watches are retried with backoff; drawing goes on.
fn changes(session: &Session, name: Option<&str>, everywhere: bool) -> SelectAll<BoxStream<'static, ()>> {
    fn of<K>(api: Api<K>, config: watcher::Config) -> BoxStream<'static, ()>
    where
        K: kube::Resource + Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
        K::DynamicType: Clone,
    {
        watcher(api, config)
            .default_backoff()
            .filter_map(|event| async move {
                // The initial objects are already drawn.
                matches!(event, Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_))).then_some(())
            })
            .boxed()
    }
    let client = || session.client.clone();
    let config = watcher::Config::default();
    let mut changes = SelectAll::new();
    match name {
        Some(name) => {
            let labelled = config.clone().labels(&find::selector(name));
            let named = config.fields(&format!("metadata.name={name}"));
            changes.push(of(find::api(session), named));
            let namespace = &session.namespace;
            changes.push(of(
                Api::<Deployment>::namespaced(client(), namespace),
                labelled.clone(),
            ));
            changes.push(of(Api::<Pod>::namespaced(client(), namespace), labelled));
        }
        None if everywhere => {
            let all = Api::<DynamicObject>::all_with(client(), &find::resource());
            changes.push(of(all, config));
        }
        None => changes.push(of(find::api(session), config)),
    }
    changes
}
