//! This process among the others: it reports that it takes commands, looks who else does, and listens to them.
//!
//! The invariant: on the way out it first says so in the journal, goes on taking what others still send, and hands on what
//! its own clients still ask, until [`Member::finish`].

use std::sync::Arc;
use std::time::Instant;

use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wallex_journal::writers::{BEAT, EXPIRY, LiveWriter, Registration};

use super::listener::{Listening, listen};
use super::view::View;
use super::wire::{PROTOCOL, VERSION};
use crate::batcher::Batcher;
use crate::metrics::show_writers;

#[derive(Debug, Clone)]
pub struct MemberConfig {
    /// Host and port under which other processes reach the listener.
    pub address: String,
    /// How many processes write, each its partitions.
    pub preferred_writers: usize,
}

/// A process that takes commands from others and hands commands on to them, until [`Member::finish`].
pub struct Member {
    reporting: JoinHandle<()>,
    listening: JoinHandle<()>,
    stop_reporting: CancellationToken,
    stop_listening: CancellationToken,
}

impl Member {
    /// Call it when the process is ready to write. `shutdown`: it wants no more commands.
    pub fn start(
        batcher: &Batcher,
        journal: PgPool,
        listener: TcpListener,
        config: MemberConfig,
        shutdown: CancellationToken,
    ) -> Self {
        let own = LiveWriter {
            id: Uuid::from_u128(rand::random()),
            address: config.address,
            token: rand::random(),
            protocol: PROTOCOL,
            version: VERSION.to_owned(),
        };
        let enqueue = batcher.enqueue();
        let view = View::new(own.id, config.preferred_writers, batcher.routes());
        let view = Arc::new(view);
        show_writers(&view);
        let (stop_reporting, stop_listening) = (CancellationToken::new(), CancellationToken::new());
        let listening = Arc::new(Listening {
            token: own.token,
            enqueue: enqueue.clone(),
            view: view.clone(),
            stop: stop_listening.clone(),
        });
        // Nobody else sets it.
        let _ = enqueue.view.set(view.clone());
        let registration = Registration::new(journal, own);
        Self {
            listening: tokio::spawn(listen(listener, listening)),
            reporting: tokio::spawn(report(registration, view, shutdown, stop_reporting.clone())),
            stop_reporting,
            stop_listening,
        }
    }

    /// Ends what others ask for, once the process's own clients have been answered. What was taken is written and told.
    pub async fn finish(self, batcher: Batcher) {
        self.stop_reporting.cancel();
        self.stop_listening.cancel();
        batcher.finish().await;
        for task in [self.listening, self.reporting] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the internal listener failed");
            }
        }
    }
}

/// Reports until `shutdown`, and looks until `stop`.
async fn report(
    registration: Registration,
    view: Arc<View>,
    shutdown: CancellationToken,
    stop: CancellationToken,
) {
    let forgotten = registration.forget_dead().await;
    if let Err(error) = forgotten {
        tracing::debug!(%error, "what dead command processes left could not be removed");
    }
    let mut leaving = false;
    while !stop.is_cancelled() {
        let asked = Instant::now();
        let looked = async {
            if leaving {
                registration.look().await
            } else {
                registration.beat().await.map(Some)
            }
        };
        // Later, the answer would be too old to be used.
        match timeout(EXPIRY, looked).await {
            Ok(Ok(Some(live))) => view.learn(live, asked),
            Ok(Ok(None)) => view.forget(),
            // What is known becomes too old, and then everything is written here.
            Ok(Err(error)) => tracing::debug!(%error, "the live command processes could not be read"),
            Err(_) => tracing::debug!("the live command processes could not be read in time"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = shutdown.cancelled(), if !leaving => {
                leaving = true;
                leave(&registration).await;
            }
            () = tokio::time::sleep(BEAT) => {}
        }
    }
    if !leaving {
        leave(&registration).await;
    }
}

async fn leave(registration: &Registration) {
    // Otherwise its time runs out.
    if let Ok(Err(error)) = timeout(EXPIRY, registration.leave()).await {
        tracing::debug!(%error, "this process could not take itself out of the live command processes");
    }
}
