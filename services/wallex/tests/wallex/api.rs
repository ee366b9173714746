//! The API of two replicas, as a client uses it.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

pub(crate) struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    ports: [u16; 2],
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) replayed: bool,
    pub(crate) position: Option<String>,
    pub(crate) body: Value,
}

/// A write that can be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) key: String,
    pub(crate) if_match: Option<i64>,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) fn new(ports: [u16; 2]) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            ports,
        }
    }

    pub(crate) async fn write(&self, replica: usize, write: &Write) -> Result<Reply, String> {
        let mut request = Request::builder()
            .method(&write.method)
            .uri(self.uri(replica, &write.path))
            .header("content-type", "application/json")
            .header("idempotency-key", &write.key);
        if let Some(version) = write.if_match {
            request = request.header("if-match", format!("\"{version}\""));
        }
        self.send(request.body(Full::from(write.body.to_string())).unwrap())
            .await
    }

    /// A read that includes everything written up to `position`.
    pub(crate) async fn read(&self, replica: usize, path: &str, position: &str) -> Result<Reply, String> {
        let mut request = Request::get(self.uri(replica, path));
        if !position.is_empty() {
            request = request.header("wallex-min-position", position);
        }
        self.send(request.body(Full::default()).unwrap()).await
    }

    fn uri(&self, replica: usize, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports[replica % 2])
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Reply, String> {
        let what = format!("{} {}", request.method(), request.uri().path());
        let failed = |error: &dyn std::fmt::Display| format!("{what}: {error}");
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| failed(&error))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| failed(&error))?.to_bytes();
        let header = |name: &str| head.headers.get(name)?.to_str().ok().map(str::to_owned);
        Ok(Reply {
            status: head.status.as_u16(),
            replayed: header("idempotency-replayed").is_some(),
            position: header("wallex-position"),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        })
    }
}
