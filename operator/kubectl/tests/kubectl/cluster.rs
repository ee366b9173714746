//! A scripted API server that records its requests.
//!
//! Requests outside the script get a 404, as from a cluster without such a path. A watch outside the script never ends, as if
//! nothing changed.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wallex_kubectl::{Console, Session};

/// The namespace of the sessions.
pub(crate) const NAMESPACE: &str = "wallex";

/// The time on the plugin's clock.
pub(crate) fn now() -> Timestamp {
    "2026-11-24T21:00:00Z".parse().unwrap()
}

/// One request as received.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    body: Vec<u8>,
}

struct Rule {
    /// `GET`, `POST`, …, or `WATCH`.
    method: String,
    path: String,
    /// The last one is repeated, except for a watch.
    answers: VecDeque<Answer>,
}

#[derive(Default)]
struct Script {
    rules: Vec<Rule>,
    asked: Vec<Asked>,
    /// Cancelled when a request of this method and path comes.
    stop_at: Option<(String, String, CancellationToken)>,
}

/// The scripted server.
#[derive(Clone, Default)]
pub(crate) struct Cluster(Arc<Mutex<Script>>);

impl Cluster {
    /// Answers requests with this method and path; several answers are given one after the other.
    pub(crate) fn on(&self, method: &str, path: &str, status: u16, body: &Value) -> &Self {
        self.bytes(method, path, status, body.to_string().into_bytes())
    }

    /// Like [`on`](Self::on), with a body that is not JSON.
    pub(crate) fn bytes(&self, method: &str, path: &str, status: u16, body: Vec<u8>) -> &Self {
        let mut script = self.0.lock().unwrap();
        let answer = Answer { status, body };
        let known = script
            .rules
            .iter_mut()
            .find(|rule| rule.method == method && rule.path == path);
        match known {
            Some(rule) => rule.answers.push_back(answer),
            None => script.rules.push(Rule {
                method: method.to_owned(),
                path: path.to_owned(),
                answers: [answer].into(),
            }),
        }
        self
    }

    /// Removes the script for this method and path.
    pub(crate) fn forget(&self, method: &str, path: &str) -> &Self {
        let mut script = self.0.lock().unwrap();
        script
            .rules
            .retain(|rule| !(rule.method == method && rule.path == path));
        self
    }

    pub(crate) fn get(&self, path: &str, body: &Value) -> &Self {
        self.on("GET", path, 200, body)
    }

    /// A list of objects, as the server returns it.
    pub(crate) fn list(&self, path: &str, items: &[Value]) -> &Self {
        let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "10"}, "items": items});
        self.get(path, &list)
    }

    /// One watch on the path: these objects change, then it ends. The next watch never ends.
    pub(crate) fn watch(&self, path: &str, changed: &[Value]) -> &Self {
        let lines: String = changed
            .iter()
            .map(|object| format!("{}\n", json!({"type": "MODIFIED", "object": object})))
            .collect();
        self.bytes("WATCH", path, 200, lines.into_bytes())
    }

    /// Answers that the user lacks permission.
    pub(crate) fn forbid(&self, method: &str, path: &str) -> &Self {
        let message = "it is forbidden: User \"jane\" cannot do that";
        self.forget(method, path)
            .on(method, path, 403, &failure(403, "Forbidden", message))
    }

    /// Simulates Ctrl-C on this request, which is never answered.
    pub(crate) fn stop_at(&self, method: &str, path: &str, stop: &CancellationToken) {
        self.0.lock().unwrap().stop_at = Some((method.to_owned(), path.to_owned(), stop.clone()));
    }

    /// All requests, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().asked.clone()
    }

    /// All modifying requests, as `METHOD path`.
    pub(crate) fn writes(&self) -> Vec<String> {
        let asked = self.asked().into_iter();
        asked
            .filter(|asked| asked.method != "GET")
            .map(|asked| format!("{} {}", asked.method, asked.path))
            .collect()
    }

    /// The first request with this method.
    pub(crate) fn first(&self, method: &str) -> Asked {
        self.asked()
            .into_iter()
            .find(|asked| asked.method == method)
            .unwrap()
    }

    /// A session on this cluster and what it prints.
    pub(crate) fn session(&self) -> (Session, Printed) {
        let printed = Printed::default();
        let session = Session {
            client: self.client(),
            namespace: NAMESPACE.to_owned(),
            console: Console::new(printed.out.clone(), printed.err.clone()),
            now,
            stop: CancellationToken::new(),
        };
        (session, printed)
    }

    fn client(&self) -> Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                let asked = Asked {
                    method: head.method.to_string(),
                    path: head.uri.path().to_owned(),
                    query: head.uri.query().unwrap_or_default().to_owned(),
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                };
                let Some(answer) = cluster.answer(&asked) else {
                    return std::future::pending().await;
                };
                Ok::<_, tower::BoxError>(
                    Response::builder()
                        .status(answer.status)
                        .body(Body::from(answer.body))?,
                )
            }
        });
        Client::new(service, NAMESPACE)
    }

    /// None: it is never answered.
    fn answer(&self, asked: &Asked) -> Option<Answer> {
        let mut script = self.0.lock().unwrap();
        script.asked.push(asked.clone());
        if let Some((method, path, stop)) = &script.stop_at
            && *method == asked.method
            && *path == asked.path
        {
            stop.cancel();
            return None;
        }
        let is_watch = asked.query.contains("watch=true");
        let method = if is_watch { "WATCH" } else { asked.method.as_str() };
        let rule = script
            .rules
            .iter_mut()
            .find(|rule| rule.method == method && rule.path == asked.path);
        match rule {
            Some(rule) if is_watch || rule.answers.len() > 1 => rule.answers.pop_front(),
            Some(rule) => rule.answers.front().cloned(),
            None if is_watch => None,
            None => {
                let message = format!("{} {} is not scripted", asked.method, asked.path);
                Some(Answer {
                    status: 404,
                    body: failure(404, "NotFound", &message).to_string().into_bytes(),
                })
            }
        }
    }
}

/// A failure in the API server's format.
pub(crate) fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    })
}

/// What a session has printed.
#[derive(Clone, Default)]
pub(crate) struct Printed {
    out: Buffer,
    err: Buffer,
}

impl Printed {
    pub(crate) fn out(&self) -> String {
        self.out.text()
    }

    pub(crate) fn err(&self) -> String {
        self.err.text()
    }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
