//! One keep-alive HTTP/1.1 connection to a server, as light as possible: a load generator shares its processors with what
//! it measures. The invariant: after any error the connection is discarded, so that an answer never belongs to an earlier
//! request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server's address: host, port and a path prefix.
#[derive(Debug)]
pub struct Target {
    host: String,
    port: u16,
    authority: HeaderValue,
    /// Without a trailing slash.
    prefix: String,
}

/// Why an address is invalid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTarget {
    #[error("it is not a URL")]
    NoUrl,
    #[error("it must begin with http://: plain HTTP/1.1 is spoken")]
    Scheme,
    #[error("it names no host")]
    NoHost,
    #[error("it must be host, port and at most a path")]
    TooMuch,
}

impl Target {
    pub fn parse(url: &str) -> Result<Self, InvalidTarget> {
        let uri: Uri = url.parse().map_err(|_| InvalidTarget::NoUrl)?;
        if uri.scheme_str() != Some("http") {
            return Err(InvalidTarget::Scheme);
        }
        let authority = uri.authority().ok_or(InvalidTarget::NoHost)?;
        if uri.query().is_some() || authority.as_str().contains('@') {
            return Err(InvalidTarget::TooMuch);
        }
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| InvalidTarget::NoUrl)?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// A complete answer, final or interim.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error("cannot connect: {0}")]
    Connect(#[source] std::io::Error),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
}

pub struct Connection {
    target: Arc<Target>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub fn new(target: Arc<Target>) -> Self {
        Self { target, sender: None }
    }

    /// Sends one request and reads its answer; connects if no connection is open.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, NoAnswer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.target.prefix))
            .header(HOST, &self.target.authority);
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        // Take it out, and put it back only after a complete answer.
        let sender = self.sender.take();
        let exchange = exchange(&self.target, sender, request);
        let (sender, answer) = timeout(limit, exchange)
            .await
            .map_err(|_| NoAnswer::TimedOut(limit))??;
        self.sender = Some(sender);
        Ok(answer)
    }
}

async fn exchange(
    target: &Target,
    open: Option<SendRequest<Full<Bytes>>>,
    request: Request<Full<Bytes>>,
) -> Result<(SendRequest<Full<Bytes>>, Answer), NoAnswer> {
    let mut sender = match open {
        Some(sender) => sender,
        None => connect(target).await?,
    };
    // Servers close connections that are idle, and when they drain: that is not a failed attempt.
    if sender.ready().await.is_err() {
        sender = connect(target).await?;
    }
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((
        sender,
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        },
    ))
}

async fn connect(target: &Target) -> Result<SendRequest<Full<Bytes>>, NoAnswer> {
    let stream = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(NoAnswer::Connect)?;
    stream.set_nodelay(true).map_err(NoAnswer::Connect)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends when the sender is dropped or the server closes; errors reach the sender.
    tokio::spawn(connection);
    Ok(sender)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_address_with_a_path_is_its_prefix() {
        let target = Target::parse("http://wallex.example:8080/api/").unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.prefix.as_str()),
            ("wallex.example", 8080, "/api")
        );
        assert_eq!(Target::parse("http://[::1]").unwrap().host, "::1");
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused() {
        for api in [
            "",
            "127.0.0.1:3000",
            "https://wallex.example",
            "http://",
            "http://a/?b",
            "http://u:p@a/",
        ] {
            assert!(Target::parse(api).is_err(), "{api}");
        }
    }
}
