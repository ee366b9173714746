//! Identifies a span, in the form of W3C's `traceparent`. A value of the type is always valid.

use std::fmt;

use http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// W3C trace context, level 1: `00-<32 hex>-<16 hex>-<2 hex>`, in lower case, no id of zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

impl TraceContext {
    /// `None` for anything malformed: the recommendation says to ignore it.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |part: &str, len| {
            part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let mut parts = text.split('-');
        let fields = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let [version, trace, span, flags] = fields;
        if version != "00" || parts.next().is_some() {
            return None;
        }
        if !(is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2)) {
            return None;
        }
        let context = Self {
            trace: TraceId::from_hex(trace).ok()?,
            span: SpanId::from_hex(span).ok()?,
            flags: TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        };
        (context.trace != TraceId::INVALID && context.span != SpanId::INVALID).then_some(context)
    }

    /// From a request's header, if it occurs exactly once.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value.to_str().ok()?),
            (None | Some(_), _) => None,
        }
    }

    /// Whether the context's creator records its trace.
    pub fn is_sampled(&self) -> bool {
        self.flags.is_sampled()
    }

    pub fn trace_id(&self) -> TraceId {
        self.trace
    }
}

/// As the header writes it.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(f, "00-{trace}-{span}-{:02x}", flags.to_u8())
    }
}

impl From<&SpanContext> for TraceContext {
    fn from(context: &SpanContext) -> Self {
        Self {
            trace: context.trace_id(),
            span: context.span_id(),
            flags: context.trace_flags(),
        }
    }
}

impl From<&TraceContext> for SpanContext {
    fn from(context: &TraceContext) -> Self {
        let TraceContext { trace, span, flags } = *context;
        SpanContext::new(trace, span, flags, true, TraceState::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_reads_as_it_was_written() {
        for text in [SAMPLED, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02"] {
            let read = TraceContext::parse(text);
            assert_eq!(read.as_ref().map(ToString::to_string).as_deref(), Some(text));
            assert_eq!(read.is_some_and(|read| read.is_sampled()), text == SAMPLED);
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
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
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
