//! The OpenTelemetry Collector, which writes what it receives into a file. It is killed with the test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokio::net::TcpStream;
use wallex_testing::{eventually, unique_name};

use crate::process::{DEADLINE, free_port};

pub(super) struct Collector {
    child: Child,
    port: u16,
    spans: PathBuf,
}

/// A span as the collector received it.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// The sender's `service.name`.
    pub(super) service: String,
    pub(super) name: String,
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Everything else: attributes, events, the resource.
    pub(super) text: String,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let (port, spans) = (
            free_port(),
            std::env::temp_dir().join(unique_name("wallex-spans")),
        );
        let configuration = format!(
            "yaml:{{receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}, \
             exporters: {{file: {{path: '{}', flush_interval: 50ms}}}}, \
             service: {{telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}, \
             pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}}}}}",
            spans.display()
        );
        let child = Command::new(wallex_testing::collector())
            .args(["--config", &configuration])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let collector = Self { child, port, spans };
        eventually(DEADLINE, "the collector", async || {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        collector
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All spans received so far. An incomplete line is left for the next call.
    pub(super) fn spans(&self) -> Vec<Span> {
        let text = std::fs::read_to_string(&self.spans).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .flat_map(|line| each(&line["resourceSpans"], of_resource))
            .collect()
    }

    pub(super) fn trace(&self, id: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.trace == id).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.spans);
    }
}

fn each(list: &Value, read: impl Fn(&Value) -> Vec<Span>) -> Vec<Span> {
    list.as_array().unwrap().iter().flat_map(read).collect()
}

fn of_resource(resource: &Value) -> Vec<Span> {
    let attributes = resource["resource"]["attributes"].as_array().unwrap();
    let service = attributes.iter().find(|it| it["key"] == "service.name").unwrap();
    let service = text(&service["value"]["stringValue"]);
    each(&resource["scopeSpans"], |scope| {
        each(&scope["spans"], |span| {
            vec![Span {
                service: service.clone(),
                name: text(&span["name"]),
                trace: text(&span["traceId"]),
                id: text(&span["spanId"]),
                parent: text(&span["parentSpanId"]),
                start: text(&span["startTimeUnixNano"]).parse().unwrap(),
                end: text(&span["endTimeUnixNano"]).parse().unwrap(),
                text: format!("{} {}", resource["resource"], span),
            }]
        })
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
