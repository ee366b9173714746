//! Identifies a span, in the form of W3C's `traceparent`, which OpenTelemetry's propagator reads and writes.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;

const HEADER: &str = "traceparent";

/// Always valid, and without a `tracestate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext(pub(super) SpanContext);

impl TraceContext {
    /// `None` for anything malformed: the recommendation says to ignore it.
    pub fn parse(text: &str) -> Option<Self> {
        if !is_well_formed(text) {
            return None;
        }
        let read = TraceContextPropagator::new().extract_with_context(&Context::new(), &Carrier(text.into()));
        let context = read.span().span_context().clone();
        context.is_valid().then_some(Self(context))
    }

    /// From a request's header, if it occurs exactly once.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(HEADER).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value.to_str().ok()?),
            (None | Some(_), _) => None,
        }
    }

    /// Whether the context's creator records its trace.
    pub(crate) fn is_sampled(&self) -> bool {
        self.0.is_sampled()
    }

    pub fn trace_id(&self) -> TraceId {
        self.0.trace_id()
    }
}

/// As the header writes it, in version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut carrier = Carrier(Cow::Borrowed(""));
        let context = Context::new().with_remote_span_context(self.0.clone());
        TraceContextPropagator::new().inject_context(&context, &mut carrier);
        f.write_str(&carrier.0)
    }
}

/// The propagator also takes short fields, signs, and a dash at the end.
fn is_well_formed(text: &str) -> bool {
    let widths: Vec<usize> = text.split('-').map(str::len).collect();
    widths.starts_with(&[2, 32, 16, 2])
        && (widths.len() == 4 || !text.starts_with("00"))
        && !text.contains('+')
}

/// Holds a `traceparent` and nothing else.
struct Carrier<'a>(Cow<'a, str>);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == HEADER).then_some(&self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![HEADER]
    }
}

impl Injector for Carrier<'_> {
    fn set(&mut self, key: &str, value: String) {
        if key == HEADER {
            self.0 = value.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_reads_as_it_was_written() {
        for text in [SAMPLED, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"] {
            let read = TraceContext::parse(text);
            assert_eq!(read.as_ref().map(ToString::to_string).as_deref(), Some(text));
            assert_eq!(read.is_some_and(|read| read.is_sampled()), text == SAMPLED);
        }
    }

    #[test]
    fn a_later_version_is_written_as_version_00_with_the_sampled_flag_alone() {
        for text in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-09-more",
        ] {
            let read = TraceContext::parse(text).map(|read| read.to_string());
            assert_eq!(read.as_deref(), Some(SAMPLED), "{text}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_left_out() {
        for text in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_header_that_stands_twice_is_none() {
        let mut headers = HeaderMap::new();
        headers.append("traceparent", http::HeaderValue::from_static(SAMPLED));
        assert!(TraceContext::of(&headers).is_some());
        headers.append("traceparent", http::HeaderValue::from_static(SAMPLED));
        assert_eq!(TraceContext::of(&headers), None);
    }
}
