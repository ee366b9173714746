//! Subscribes to a Redis channel. Depends only on the parent's patience.
//!
//! The invariant: a listener knows when it may have missed messages: everything before a
//! [`Heard::Connected`], and everything between a [`Heard::Lost`] and the next one.

use futures::StreamExt as _;
use redis::aio::PubSub;
use redis::{Client, RedisResult, Value};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{PATIENCE, PING};
use crate::backoff::Backoff;

/// Messages that may wait for a slow listener before the connection itself has to wait.
const WAITING: usize = 64;

/// What a subscription tells its listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// From here on messages arrive. What was published before has been missed.
    Connected,
    Message(Vec<u8>),
    /// Messages are missed until the next [`Heard::Connected`].
    Lost,
}

/// See [`super::Accelerator::subscribe`]. Ends when dropped.
#[derive(Debug)]
pub struct Subscription(mpsc::Receiver<Heard>);

impl Subscription {
    /// Never hears anything.
    pub(super) fn silent() -> Self {
        Self(mpsc::channel(1).1)
    }

    pub(super) fn start(client: Client, channel: String) -> Self {
        let (heard, receiver) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            tokio::select! {
                () = heard.closed() => {}
                () = listen(&client, &channel, &heard) => {}
            }
        });
        Self(receiver)
    }

    /// The next thing that happens; waits forever when there is no Redis. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Heard {
        match self.0.recv().await {
            Some(heard) => heard,
            None => std::future::pending().await,
        }
    }
}

/// Listens until the listener is gone. The connection beside it ([`super::keep_connected`]) logs outages of Redis.
async fn listen(client: &Client, channel: &str, heard: &mpsc::Sender<Heard>) {
    let mut backoff = Backoff::for_server();
    loop {
        if let Ok(Ok(connection)) = timeout(PATIENCE, subscribe(client, channel)).await {
            backoff.reset();
            if heard.send(Heard::Connected).await.is_err() {
                return;
            }
            pass_on(connection, heard).await;
            if heard.send(Heard::Lost).await.is_err() {
                return;
            }
        }
        sleep(backoff.next_delay()).await;
    }
}

async fn subscribe(client: &Client, channel: &str) -> RedisResult<PubSub> {
    let mut connection = client.get_async_pubsub().await?;
    connection.subscribe(channel).await?;
    Ok(connection)
}

/// Returns when the connection is lost. A silent connection is tested, because one that was cut silently looks the same.
async fn pass_on(connection: PubSub, heard: &mpsc::Sender<Heard>) {
    let (mut sink, mut messages) = connection.split();
    loop {
        match timeout(PING, messages.next()).await {
            Ok(None) => return,
            Ok(Some(message)) => {
                let payload = message.get_payload_bytes().to_vec();
                if heard.send(Heard::Message(payload)).await.is_err() {
                    return;
                }
            }
            Err(_) => match timeout(PATIENCE, sink.ping::<Value>()).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => return,
            },
        }
    }
}
