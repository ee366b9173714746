//! The settings of each component of a platform, and of its logs.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::autoscaling::CpuAutoscalingSpec;
use super::pods::PodsSpec;
use super::spelled::spelled;

/// One component: a Deployment.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct ComponentSpec {
    /// Number of pods. 0 to 256, default 1. More publishers or projectors than partitions are idle.
    #[schemars(range(min = 0, max = 256))]
    pub replicas: i32,

    #[serde(flatten)]
    pub pods: PodsSpec,
}

impl Default for ComponentSpec {
    fn default() -> Self {
        Self {
            replicas: 1,
            pods: PodsSpec::default(),
        }
    }
}

/// The component that takes commands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(CPU_REQUEST).message(CPU_REQUEST_MESSAGE))]
pub struct CommandSpec {
    #[serde(flatten)]
    pub component: ComponentSpec,

    /// Scales the number of pods by CPU use; `replicas` is then ignored. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<CpuAutoscalingSpec>,

    /// Most commands waiting for a writer, per pod; a further one gets a 503 immediately. 1 to 1000000. Default: the services' own, 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub queue_capacity: Option<i32>,

    /// Most commands in one batch of a writer, which is one transaction. 1 to 10000. Default: the services' own, 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_batch: Option<i32>,

    /// Milliseconds after which a command that is still unanswered gets a 503. 100 to 600000. Default: the services' own, 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 600_000))]
    pub timeout_milliseconds: Option<i32>,
}

/// The component that serves reads.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(CPU_REQUEST).message(CPU_REQUEST_MESSAGE))]
pub struct QuerySpec {
    #[serde(flatten)]
    pub component: ComponentSpec,

    /// Scales the number of pods by CPU use; `replicas` is then ignored. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<CpuAutoscalingSpec>,
}

/// CPU utilization is relative to the request; without one the autoscaler fails. A limit also counts as a request.
const CPU_REQUEST: &str = "!has(self.autoscaling) || !has(self.resources) || (has(self.resources.requests) && 'cpu' in self.resources.requests) || (has(self.resources.limits) && 'cpu' in self.resources.limits)";
const CPU_REQUEST_MESSAGE: &str =
    "autoscaling by CPU needs a CPU request: set resources.requests.cpu to what a pod uses under usual load";

/// What the components log.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct LoggingSpec {
    /// The least severe level that is logged. Default info.
    pub level: LogLevel,

    /// One JSON object per line, or text for people. Default json.
    pub format: LogFormat,

    /// Which requests are logged: all, those that failed or took more than a second (errors), or none. Default errors: a line per
    /// request costs a tenth of what a write costs, and the journal has all that was written.
    pub requests: RequestLog,
}

impl LoggingSpec {
    /// The services' setting `WALLEX_LOG`.
    pub fn filter(self) -> String {
        let level = self.level.as_str();
        match self.requests {
            RequestLog::All => level.to_owned(),
            // Their lines are at warn, which is less severe than what is logged.
            RequestLog::Errors if self.level == LogLevel::Error => level.to_owned(),
            RequestLog::Errors => format!("{level},request=warn"),
            RequestLog::None => format!("{level},request=off"),
        }
    }
}

/// Requests that have a log line.
#[derive(Serialize, Deserialize, schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RequestLog {
    All,
    #[default]
    Errors,
    None,
}

spelled! {
    /// Levels of log lines.
    #[derive(Default)]
    LogLevel {
        Trace = "trace",
        Debug = "debug",
        #[default]
        Info = "info",
        Warn = "warn",
        Error = "error",
    }
}

spelled! {
    /// Shapes of log lines.
    #[derive(Default)]
    LogFormat {
        #[default]
        Json = "json",
        Text = "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_logged_as_asked_and_never_below_the_level() {
        let filter = |level, requests| {
            LoggingSpec {
                level,
                requests,
                ..LoggingSpec::default()
            }
            .filter()
        };
        assert_eq!(LoggingSpec::default().filter(), "info,request=warn");
        assert_eq!(filter(LogLevel::Info, RequestLog::All), "info");
        assert_eq!(filter(LogLevel::Debug, RequestLog::Errors), "debug,request=warn");
        assert_eq!(filter(LogLevel::Error, RequestLog::Errors), "error");
        assert_eq!(filter(LogLevel::Info, RequestLog::None), "info,request=off");
    }
}
