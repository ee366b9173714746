//! What the roles say about their batches on /metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use wallex_runtime::http::client::{Connection, Target};

/// A histogram's observations.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Observed {
    pub(crate) sum: f64,
    pub(crate) count: f64,
}

/// Observations so far, by what was observed: `commands`, `events published`, `events of the ledger`, or a stage of a batch in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Metrics {
    pub(crate) batches: BTreeMap<String, Observed>,
    pub(crate) stages: BTreeMap<String, Observed>,
    /// The projections that the process projects.
    pub(crate) projections: Vec<String>,
}

/// `None` if they cannot be had.
pub(crate) async fn read(host: &str) -> Option<Metrics> {
    let body = get(host, "/metrics").await?;
    Some(parse(std::str::from_utf8(&body).ok()?))
}

/// The body of a 200 on this path; `None` for anything else.
pub(crate) async fn get(host: &str, path: &str) -> Option<Bytes> {
    let target = Target::parse(&format!("http://{host}")).ok()?;
    let mut connection = Connection::new(Arc::new(target));
    let limit = Duration::from_secs(5);
    let answer = connection.send(Method::GET, path, &[], Bytes::new(), limit);
    let answer = answer.await.ok()?;
    (answer.status == StatusCode::OK).then_some(answer.body)
}

fn parse(text: &str) -> Metrics {
    let mut metrics = Metrics::default();
    for line in text.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let label = |wanted: &str| {
            let mut pairs = labels.trim_end_matches('}').split(',');
            pairs.find_map(|pair| {
                Some(
                    pair.strip_prefix(wanted)?
                        .strip_prefix("=\"")?
                        .trim_end_matches('"'),
                )
            })
        };
        let (Some((name, part)), Ok(value)) = (name.rsplit_once('_'), value.parse::<f64>()) else {
            continue;
        };
        let observed = match name {
            "wallex_batch_commands" => metrics.batches.entry("commands".to_owned()).or_default(),
            "wallex_publisher_batch_events" => {
                metrics.batches.entry("events published".to_owned()).or_default()
            }
            "wallex_projection_batch_events" => {
                let Some(projection) = label("projection") else {
                    continue;
                };
                let projection = projection.to_owned();
                if !metrics.projections.contains(&projection) {
                    metrics.projections.push(projection.clone());
                }
                let what = format!("events of the {}", projection.replace('-', " "));
                metrics.batches.entry(what).or_default()
            }
            "wallex_batch_stage_duration_seconds" => {
                let Some(stage) = label("stage") else { continue };
                metrics.stages.entry(stage.to_owned()).or_default()
            }
            _ => continue,
        };
        match part {
            "sum" => observed.sum += value,
            "count" => observed.count += value,
            _ => {}
        }
    }
    metrics
}

/// Adds up the observations of several processes, or, with a negative sign, takes earlier ones away.
pub(crate) fn add(total: &mut BTreeMap<String, Observed>, other: &BTreeMap<String, Observed>, sign: f64) {
    for (name, observed) in other {
        let mine = total.entry(name.clone()).or_default();
        mine.sum += sign * observed.sum;
        mine.count += sign * observed.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_read_by_their_labels() {
        let metrics = parse(
            "# HELP wallex_batch_commands commands per batch\n\
             wallex_batch_commands_bucket{le=\"1\"} 4\n\
             wallex_batch_commands_sum 1240\n\
             wallex_batch_commands_count 10\n\
             wallex_publisher_batch_events_sum 96\n\
             wallex_publisher_batch_events_count 2\n\
             wallex_projection_batch_events_sum{projection=\"read-model\"} 64\n\
             wallex_projection_batch_events_count{projection=\"read-model\"} 4\n\
             wallex_batch_stage_duration_seconds_sum{stage=\"write\"} 0.5\n\
             wallex_batch_stage_duration_seconds_count{stage=\"write\"} 100\n\
             wallex_http_connections 3\n",
        );
        let observed = |sum, count| Observed { sum, count };
        assert_eq!(metrics.batches["commands"], observed(1_240.0, 10.0));
        assert_eq!(metrics.batches["events published"], observed(96.0, 2.0));
        assert_eq!(metrics.batches["events of the read model"], observed(64.0, 4.0));
        assert_eq!(metrics.stages["write"], observed(0.5, 100.0));
        assert_eq!(metrics.projections, ["read-model"]);
    }
}
