//! Around every request: answers when its handler panics, and records count, duration, how many are in flight; a log
//! line; its span, if it is sampled. Labels are the route's pattern, the method and the status, all bounded; handles are
//! resolved once per route.
//!
//! All of it is one layer: axum allocates and copies for each layer of a route, on every request.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::{Method, StatusCode};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::Problem;
use super::bodies::Exchange;
use super::health;
use crate::metrics;
use crate::trace::{self, TraceContext};

/// A slower request is logged at warn.
const SLOW: Duration = Duration::from_secs(1);

static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::counter_vec(
        "wallex_http_requests_total",
        "Requests answered. Rising 5xx: see the log and /health/ready of this role.",
        &["route", "method", "status"],
    )
});
static DURATION: LazyLock<HistogramVec> = LazyLock::new(|| {
    metrics::histogram_vec(
        "wallex_http_request_duration_seconds",
        "Time from a request's head to the head of its answer. Rising on writes: check the batch metrics first.",
        &["route", "method"],
        metrics::SECONDS,
    )
});
static IN_FLIGHT: LazyLock<IntGauge> = LazyLock::new(|| {
    metrics::gauge(
        "wallex_http_requests_in_flight",
        "Requests waiting for their answer right now.",
    )
});

/// How many requests are being served by this process.
pub(super) fn in_flight() -> i64 {
    IN_FLIGHT.get()
}

/// Put around every route by [`super::router`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Observe;

/// axum calls `layer` once per route and method, so the handles found by the first request serve all others.
impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed {
            inner,
            handles: Arc::new(OnceLock::new()),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Observed<S> {
    inner: S,
    handles: Arc<OnceLock<Handles>>,
}

/// Metrics of one route and method. The most frequent status is cached, others are looked up.
#[derive(Debug)]
struct Handles {
    route: Option<MatchedPath>,
    method: Method,
    duration: Histogram,
    usual: OnceLock<(StatusCode, IntCounter)>,
}

impl Handles {
    fn new(route: Option<MatchedPath>, method: Method) -> Self {
        let duration = DURATION.with_label_values(&[pattern(route.as_ref()), bounded(&method)]);
        Self {
            route,
            method,
            duration,
            usual: OnceLock::new(),
        }
    }

    /// A handler for several methods (GET also serves HEAD) or a fallback sees more than one pair.
    fn serve(&self, route: Option<&MatchedPath>, method: &Method) -> bool {
        self.method == *method && pattern(self.route.as_ref()) == pattern(route)
    }

    fn record(&self, status: StatusCode, started: Instant) {
        self.duration.observe(started.elapsed().as_secs_f64());
        let resolve = || {
            REQUESTS.with_label_values(&[
                pattern(self.route.as_ref()),
                bounded(&self.method),
                status.as_str(),
            ])
        };
        let (usual, counter) = self.usual.get_or_init(|| (status, resolve()));
        if *usual == status {
            counter.inc();
        } else {
            resolve().inc();
        }
    }
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let started = Instant::now();
        let route = request.extensions().get::<MatchedPath>().cloned();
        let method = request.method().clone();
        let handles = Arc::clone(&self.handles);
        let in_flight = InFlight::enter();
        let exchange = request.extensions().get::<Exchange>().cloned();
        let asked = TraceContext::of(request.headers());
        let mut span = if is_operational(route.as_ref()) {
            None
        } else {
            trace::request(asked.as_ref(), || span_name(&method, route.as_ref()))
        };
        // The context that the handler passes on to whoever comes after it.
        let context = span.as_ref().map(trace::Span::context).or(asked);
        let scope = match context {
            Some(context) => {
                // At the level that only `off` disables: everything logged during the request carries its trace id.
                let scope = tracing::error_span!("request", trace_id = %context.trace_id());
                request.extensions_mut().insert(context);
                scope
            }
            None => tracing::Span::none(),
        };
        let answer = self.inner.call(request).instrument(scope.clone());
        let answer = AssertUnwindSafe(answer).catch_unwind();
        Box::pin(async move {
            // The panic itself has already been logged ([`crate::telemetry`]).
            let panicked = |_| Ok(Problem::internal().into_response());
            let response = answer.await.unwrap_or_else(panicked)?;
            let response = match exchange {
                Some(exchange) => exchange.settle(&method, response),
                None => response,
            };
            drop(in_flight);
            let status = response.status();
            let usual = handles.get_or_init(|| Handles::new(route.clone(), method.clone()));
            if usual.serve(route.as_ref(), &method) {
                usual.record(status, started);
            } else {
                Handles::new(route.clone(), method.clone()).record(status, started);
            }
            if let Some(span) = &mut span {
                span.set("http.request.method", known(&method).unwrap_or("_OTHER"))
                    .set("http.response.status_code", i64::from(status.as_u16()));
                if known(&method).is_none() {
                    span.set("http.request.method_original", method.to_string());
                }
                if let Some(route) = &route {
                    span.set("http.route", route.as_str().to_owned());
                }
                if status.is_server_error() {
                    span.fail("");
                }
            }
            scope.in_scope(|| log(route.as_ref(), &method, status, started.elapsed()));
            Ok(response)
        })
    }
}

/// The request's log line: about 4 µs, a tenth of what a write costs this process, and more for whoever reads it. It has
/// its own target: by default (`WALLEX_LOG=info,request=warn`) only what is slow or failed is logged.
fn log(route: Option<&MatchedPath>, method: &Method, status: StatusCode, elapsed: Duration) {
    macro_rules! line {
        ($level:ident) => {
            tracing::event!(
                target: crate::telemetry::REQUEST, tracing::Level::$level,
                %method, route = pattern(route), status = status.as_u16(), elapsed_us = elapsed.as_micros() as u64,
            )
        };
    }
    if is_operational(route) {
        // Probes come every few seconds forever, and an unready replica logs the reason itself.
        line!(DEBUG);
    } else if status.is_server_error() || elapsed > SLOW {
        line!(WARN);
    } else {
        line!(INFO);
    }
}

/// Whether the route is for operators of the process, not for clients.
fn is_operational(route: Option<&MatchedPath>) -> bool {
    route.is_some_and(|route| health::is_operational(route.as_str()))
}

/// Also counts down when the client goes away and the future is dropped.
struct InFlight;

impl InFlight {
    fn enter() -> Self {
        IN_FLIGHT.inc();
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        IN_FLIGHT.dec();
    }
}

fn pattern(route: Option<&MatchedPath>) -> &str {
    route.map_or("unmatched", MatchedPath::as_str)
}

/// The name of a span: without anything that clients invent, neither a path nor a method (OpenTelemetry, semantic
/// conventions for HTTP spans, "Name").
fn span_name(method: &Method, route: Option<&MatchedPath>) -> String {
    let method = known(method).unwrap_or("HTTP");
    match route {
        Some(route) => format!("{method} {}", route.as_str()),
        None => method.to_owned(),
    }
}

/// Clients can invent methods; a label must be bounded.
fn bounded(method: &Method) -> &'static str {
    known(method).unwrap_or("OTHER")
}

/// The methods of RFC 9110 and PATCH, which OpenTelemetry also knows.
fn known(method: &Method) -> Option<&'static str> {
    let known = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE",
    ];
    known.into_iter().find(|known| *known == method.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_invent_names_neither_spans_nor_labels() -> Result<(), http::method::InvalidMethod> {
        let purge = Method::from_bytes(b"PURGE")?;
        // Methods are case-sensitive (RFC 9110, 9.1).
        let get = Method::from_bytes(b"get")?;
        assert_eq!(
            (span_name(&purge, None), bounded(&purge)),
            ("HTTP".to_owned(), "OTHER")
        );
        assert_eq!(
            (span_name(&get, None), bounded(&get)),
            ("HTTP".to_owned(), "OTHER")
        );
        assert_eq!(span_name(&Method::POST, None), "POST");
        assert_eq!(known(&purge).unwrap_or("_OTHER"), "_OTHER");
        assert_eq!(known(&Method::TRACE), Some("TRACE"));
        Ok(())
    }
}
