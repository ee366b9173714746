//! Sends ended spans to the collector: a bounded queue, a thread that takes batches from it, OTLP over HTTP.
//! A span that finds the queue full is dropped; the SDK logs that once, and the number of dropped spans at the end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use tokio::runtime::Handle;

use crate::backoff::Outage;
use crate::metrics::{self, IntCounterVec};
use crate::settings::Settings;

/// Time limit for one batch. A slower collector affects only the queue.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long spans wait for others to be sent with them.
const DELAY: Duration = Duration::from_secs(1);
/// Maximum number of waiting spans: about 2 MB.
const QUEUE: usize = 4096;

pub(super) fn provider(settings: &Settings, endpoint: &str, role: &str) -> Result<SdkTracerProvider, String> {
    let otlp = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(TIMEOUT)
        .build()
        .map_err(|error| error.to_string())?;
    let exporter = Exporter {
        otlp: Arc::new(otlp),
        runtime: Handle::current(),
        outage: Mutex::new(Outage::of("The trace collector", endpoint, "otlp_endpoint")),
        spans: metrics::counter_vec(
            "wallex_trace_spans_total",
            "Spans by outcome. failed rising: the collector at otlp_endpoint does not accept them; the log has its \
             answer. Requests are not affected.",
            &["outcome"],
        ),
    };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_scheduled_delay(DELAY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(batches)
        .build();
    let resource = Resource::builder()
        .with_service_name(format!("wallex-{role}"))
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", settings.instance.clone()),
            KeyValue::new("k8s.namespace.name", settings.namespace.clone()),
            KeyValue::new("wallex.platform", settings.platform.clone()),
        ])
        .build();
    Ok(SdkTracerProvider::builder()
        // Sampling has been decided already.
        .with_sampler(Sampler::AlwaysOn)
        .with_span_processor(processor)
        .with_resource(resource)
        .build())
}

/// The OTLP exporter, bound to the runtime: the SDK calls it from a thread without one.
#[derive(Debug)]
struct Exporter {
    otlp: Arc<opentelemetry_otlp::SpanExporter>,
    runtime: Handle,
    outage: Mutex<Outage>,
    spans: IntCounterVec,
}

impl SpanExporter for Exporter {
    /// Never returns an error: the SDK would log each one, while the [`Outage`] logs only now and then.
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let otlp = Arc::clone(&self.otlp);
        let sent = self.runtime.spawn(async move { otlp.export(batch).await }).await;
        let sent = sent.unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match sent {
            Ok(()) => {
                outage.over();
                "sent"
            }
            Err(error) => {
                outage.failed(&error.to_string());
                "failed"
            }
        };
        self.spans.with_label_values(&[outcome]).inc_by(count);
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        if let Some(otlp) = Arc::get_mut(&mut self.otlp) {
            otlp.set_resource(resource);
        }
    }
}
