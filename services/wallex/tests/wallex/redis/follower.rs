//! A client that follows a wallet through one stream, which must never break.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use uuid::Uuid;
use wallex_testing::eventually;

use crate::process::DEADLINE;

pub(super) struct Follower {
    /// In order of arrival.
    versions: Arc<Mutex<Vec<i64>>>,
}

impl Follower {
    /// Follows `wallet` from its first event; it can be read at `position`.
    pub(super) async fn open(port: u16, wallet: Uuid, position: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("/v1/wallets/{wallet}/stream?after_version=0"))
            .header("host", "wallex")
            .header("wallex-min-position", position)
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let versions = Arc::default();
        tokio::spawn(follow(response.into_body(), Arc::clone(&versions)));
        Self { versions }
    }

    /// Waits for `last` and asserts that all versions up to it arrived, once each and in order.
    pub(super) async fn has_every_version_to(&self, last: i64) {
        eventually(DEADLINE, "the last event of the stream", async || {
            (self.versions.lock().unwrap().last() >= Some(&last)).then_some(())
        })
        .await;
        let versions = self.versions.lock().unwrap();
        assert_eq!(*versions, (1..=last).collect::<Vec<_>>());
    }
}

async fn follow(mut body: Incoming, versions: Arc<Mutex<Vec<i64>>>) {
    let mut rest = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        rest.extend_from_slice(&frame.into_data().unwrap());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let line = String::from_utf8(line).unwrap();
            let id: Option<i64> = line.strip_prefix("id:").map(|id| id.trim().parse().unwrap());
            versions.lock().unwrap().extend(id);
        }
    }
}
