//! Spans: what a sampled request and its events went through, sent to a collector by OTLP.
//!
//! A request is sampled if its caller's `traceparent` says so, or by `trace_sample_ratio` if there is none. The
//! context of its span goes into the journal and into Kafka with each event, so that publisher and projectors can
//! attach their spans to it. The sampled flag alone decides whether a span is recorded.
//!
//! The invariant: nothing here waits or fails. Without `otlp_endpoint`, and for anything not sampled, a function
//! returns `None` before it has computed anything.

mod context;
mod export;

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

pub use opentelemetry::trace::SpanKind;
use opentelemetry::trace::{
    Span as _, SpanBuilder, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::settings::Settings;
pub use context::TraceContext;

/// How long a process that is ending waits for its last spans to be sent.
const FLUSH: Duration = Duration::from_secs(2);

struct Tracing {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    sample_ratio: f64,
}

static TRACING: OnceLock<Tracing> = OnceLock::new();

/// Starts tracing for this process as service `wallex-ROLE`, if `otlp_endpoint` is set. Call it on the runtime;
/// a second call changes nothing.
pub fn init(settings: &Settings, role: &str) {
    let Some(endpoint) = &settings.otlp_endpoint else {
        return;
    };
    match export::provider(settings, endpoint, role) {
        Ok(provider) => {
            tracing::info!(endpoint, sample_ratio = settings.trace_sample_ratio, "tracing");
            let _ = TRACING.set(Tracing {
                tracer: provider.tracer("wallex"),
                provider,
                sample_ratio: settings.trace_sample_ratio,
            });
        }
        Err(error) => tracing::error!(
            endpoint,
            error,
            setting = "otlp_endpoint",
            "no spans will be sent"
        ),
    }
}

/// Sends the waiting spans, for at most two seconds. Spans that end later are lost.
pub async fn finish() {
    let Some(tracing) = TRACING.get() else {
        return;
    };
    let provider = tracing.provider.clone();
    let finished = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH)).await;
    if let Ok(Err(error)) = finished {
        tracing::warn!(%error, "the last spans were not sent");
    }
}

/// Whether spans may be recorded at all.
pub fn is_on() -> bool {
    TRACING.get().is_some()
}

/// The span of a request that came with the context `asked`, if it is sampled.
pub(crate) fn request(asked: Option<&TraceContext>, name: impl FnOnce() -> String) -> Option<Span> {
    let tracing = TRACING.get()?;
    match asked {
        Some(parent) => parent
            .is_sampled()
            .then(|| tracing.start(Some(parent), name(), SpanKind::Server, None)),
        None => (rand::random::<f64>() < tracing.sample_ratio)
            .then(|| tracing.start(None, name(), SpanKind::Server, None)),
    }
}

/// A child of the span that `traceparent` names, if that one is sampled.
pub fn below(
    traceparent: Option<&str>,
    name: impl FnOnce() -> Cow<'static, str>,
    kind: SpanKind,
    started: Instant,
) -> Option<Span> {
    let tracing = TRACING.get()?;
    let parent = TraceContext::parse(traceparent?)?;
    parent
        .is_sampled()
        .then(|| tracing.start(Some(&parent), name(), kind, Some(started)))
}

impl Tracing {
    fn start(
        &self,
        parent: Option<&TraceContext>,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        started: Option<Instant>,
    ) -> Span {
        let above = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent.0.clone())
        });
        let builder = SpanBuilder::from_name(name).with_kind(kind);
        let builder = match started {
            Some(started) => builder.with_start_time(time_of(started)),
            None => builder,
        };
        Span(self.tracer.build_with_context(builder, &above))
    }
}

/// The time of day of a recent moment.
fn time_of(moment: Instant) -> SystemTime {
    SystemTime::now() - moment.elapsed()
}

/// A span that is being recorded. It ends when it is dropped.
#[derive(Debug)]
pub struct Span(opentelemetry_sdk::trace::Span);

impl Span {
    pub fn context(&self) -> TraceContext {
        TraceContext(self.0.span_context().clone())
    }

    /// Attributes are bounded in number, and hold no personal data.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.0.set_attribute(KeyValue::new(name, value));
        self
    }

    /// A stage that ended at `at` and took `took`.
    pub fn stage(&mut self, name: &'static str, at: Instant, took: Duration) {
        let took = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        let duration = vec![KeyValue::new("duration_us", took)];
        self.0.add_event_with_timestamp(name, time_of(at), duration);
    }

    /// Marks the span's operation as failed.
    pub fn fail(&mut self, reason: impl Into<Cow<'static, str>>) {
        self.0.set_status(Status::error(reason));
    }
}
