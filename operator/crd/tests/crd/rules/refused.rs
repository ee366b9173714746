//! Objects that the rules refuse.

use serde_json::{Value, json};

use super::platform;

/// Objects that break one rule each, with the beginning of its message.
pub(super) fn refused() -> Vec<(&'static str, Value, Option<Value>)> {
    fn one(message: &'static str, change: impl FnOnce(&mut Value)) -> (&'static str, Value, Option<Value>) {
        (message, platform(change), None)
    }
    let events =
        |name: &str| platform(|object| object["spec"]["kafka"]["topics"] = json!({"events": {"name": name}}));
    let mut cases = vec![
        one("the name must have at most 40 characters", |object| {
            object["metadata"]["name"] = json!("1st");
        }),
        one("the name must have at most 40 characters", |object| {
            object["metadata"]["name"] = json!("a".repeat(41));
        }),
        (
            "the events topic can't be renamed",
            events("other-events"),
            Some(events("wallet-events")),
        ),
        one("events and deadLetters must be two topics", |object| {
            object["spec"]["kafka"]["topics"] =
                json!({"events": {"name": "wallet-events"}, "deadLetters": {"name": "wallet-events"}});
        }),
        one("a name has lower case letters", |object| {
            object["spec"]["imagePullSecrets"] = json!([{"name": "My Registry"}]);
        }),
        one("a name has lower case letters", |object| {
            object["spec"]["database"]["secretRef"]["name"] = json!("Demo_Database");
        }),
        one("a key has letters", |object| {
            object["spec"]["database"]["secretRef"]["key"] = json!("url/of");
        }),
        one("a name has lower case letters", |object| {
            object["spec"]["kafka"]["tls"] = json!({"caSecretRef": {"name": "-ca"}});
        }),
        one("caSecretRef and caConfigMapRef both say", |object| {
            object["spec"]["database"]["caSecretRef"] = json!({"name": "ca"});
            object["spec"]["database"]["caConfigMapRef"] = json!({"name": "ca"});
        }),
        one("caSecretRef and caConfigMapRef both say", |object| {
            object["spec"]["kafka"]["tls"] =
                json!({"caSecretRef": {"name": "ca"}, "caConfigMapRef": {"name": "ca"}});
        }),
        one("caSecretRef and caConfigMapRef both say", |object| {
            object["spec"]["redis"] = json!({
                "secretRef": {"name": "redis"}, "caSecretRef": {"name": "ca"}, "caConfigMapRef": {"name": "ca"},
            });
        }),
        one("a name has lower case letters", |object| {
            object["spec"]["kafka"]["tls"] = json!({"caConfigMapRef": {"name": "Trust"}});
        }),
        one("a key has letters", |object| {
            object["spec"]["redis"] =
                json!({"secretRef": {"name": "redis"}, "caConfigMapRef": {"name": "ca", "key": "a/b"}});
        }),
        one("a key has letters", |object| {
            object["spec"]["kafka"]["sasl"] = json!({"secretRef": {"name": "user", "usernameKey": "a b"}});
        }),
        one("not an address of a collector", |object| {
            object["spec"]["tracing"] = json!({"endpoint": "https://collector:4318"});
        }),
        one("not an address of a collector", |object| {
            object["spec"]["tracing"] = json!({"endpoint": "http://:4318"});
        }),
        one("readSecretRef names the same value as secretRef", |object| {
            object["spec"]["database"]["readSecretRef"] = json!({"name": "demo-database", "key": "url"});
        }),
        one(
            "projectors.ledger.autoscaling.maxReplicas must be at most",
            |object| {
                object["spec"]["projectors"] = json!({"ledger": {"autoscaling": {"maxReplicas": 11}}});
            },
        ),
        one(
            "projectors.readModel.autoscaling.maxReplicas must be at most",
            |object| {
                object["spec"]["partitions"] = json!(3);
                object["spec"]["projectors"] = json!({"readModel": {"autoscaling": {"maxReplicas": 4}}});
            },
        ),
        one("autoscaling by CPU needs a CPU request", |object| {
            object["spec"]["query"] =
                json!({"autoscaling": {"maxReplicas": 4}, "resources": {"requests": {"memory": "64Mi"}}});
        }),
        one("autoscaling by CPU needs a CPU request", |object| {
            object["spec"]["command"] = json!({"autoscaling": {"maxReplicas": 4}, "resources": {}});
        }),
        one("a currency of ISO 4217 keeps its decimal digits", |object| {
            object["spec"]["currencies"] =
                json!([{"code": "POINTS", "exponent": 0}, {"code": "EUR", "exponent": 3}]);
        }),
        one("a currency of ISO 4217 keeps its decimal digits", |object| {
            object["spec"]["currencies"] = json!([{"code": "JPY", "exponent": 2}]);
        }),
        (
            "a currency's exponent can't change",
            platform(|object| object["spec"]["currencies"] = json!([{"code": "POINTS", "exponent": 2}])),
            Some(platform(|object| {
                object["spec"]["currencies"] = json!([{"code": "POINTS", "exponent": 0}]);
            })),
        ),
        one("the labels app.kubernetes.io/{name,", |object| {
            object["spec"]["monitoring"] =
                json!({"serviceMonitor": {"labels": {"app.kubernetes.io/part-of": "x"}}});
        }),
    ];
    for field in [
        "/command",
        "/query",
        "/projectors/ledger",
        "/projectors/readModel",
    ] {
        cases.push(one("maxReplicas must be at least minReplicas", |object| {
            let mut spec = &mut object["spec"];
            for part in field.split('/').skip(1) {
                spec = &mut spec[part];
            }
            *spec = json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 2}});
        }));
    }
    for image in [
        "  ",
        " wallex:1",
        "wallex: 1",
        "http://registry/wallex:1",
        "Wallex",
        "wallex:",
        "wallex@sha256:12",
        "a//b",
    ] {
        cases.push(one("not an image reference", |object| {
            object["spec"]["image"] = json!(image);
        }));
    }
    for servers in [
        "http://kafka:9092",
        "SASL_SSL://kafka:9092",
        "kafka",
        "kafka:",
        "kafka:0",
        "kafka:65536",
        "kafka:9092,",
        ",kafka:9092",
        "a:9092,,b:9092",
        "a:9092, b:9092",
        " a:9092",
        "a:9092;b:9092",
        "   ",
        ":9092",
        "u:p@kafka:9092",
        "fd00::1:9092",
    ] {
        cases.push(one("not a list of brokers", |object| {
            object["spec"]["kafka"]["bootstrapServers"] = json!(servers);
        }));
    }
    for topic in ["events", "deadLetters"] {
        for name in ["__consumer_offsets", "__x", ".", "..", "wallex-topic-owners"] {
            cases.push(one("this topic name is reserved", |object| {
                object["spec"]["kafka"]["topics"] = json!({topic: {"name": name}});
            }));
        }
        let config = |message: &'static str, key: &str, value: &str| {
            one(message, |object| {
                object["spec"]["kafka"]["topics"] = json!({topic: {"config": {key: value}}});
            })
        };
        cases.push(config(
            "cleanup.policy must be delete",
            "cleanup.policy",
            "compact",
        ));
        cases.push(config(
            "cleanup.policy must be delete",
            "cleanup.policy",
            "compact,delete",
        ));
        cases.push(config(
            "set retentionHours instead of retention.ms",
            "retention.ms",
            "5",
        ));
        cases.push(config(
            "set retentionHours instead of retention.ms",
            "compression.type",
            "lz4",
        ));
        cases.push(one("retentionHours must be at least 1", |object| {
            object["spec"]["kafka"]["topics"] = json!({topic: {"retentionHours": 0}});
        }));
    }
    for field in [
        "/command",
        "/publisher",
        "/query",
        "/projectors/ledger",
        "/projectors/readModel",
        "/jobs",
    ] {
        let pods = |message: &'static str, key: &str, value: Value| {
            one(message, |object| {
                let mut spec = &mut object["spec"];
                for part in field.split('/').skip(1) {
                    spec = &mut spec[part];
                }
                *spec = json!({key: value});
            })
        };
        cases.extend([
            pods(
                "the labels app.kubernetes.io/{name,",
                "podLabels",
                json!({"team": "payments", "app.kubernetes.io/component": "x"}),
            ),
            pods(
                "annotations that begin with wallex.dev/",
                "podAnnotations",
                json!({"wallex.dev/config-hash": "x"}),
            ),
            pods(
                "a toleration with operator Exists",
                "tolerations",
                json!([{"key": "spot"}, {"key": "dedicated", "operator": "Exists", "value": "wallex"}]),
            ),
            pods("not a key", "podLabels", json!({"bad key!": "x"})),
            pods("not a key", "podLabels", json!({"a/b/c": "x"})),
            pods("not a key", "podLabels", json!({"Example.com/a": "x"})),
            pods("not a label value", "podLabels", json!({"a": "-x"})),
            pods("not a key", "podAnnotations", json!({"": "x"})),
            pods("not a key", "podAnnotations", json!({"a".repeat(64): "x"})),
            pods("not a key", "nodeSelector", json!({"a b": "x"})),
            pods("not a label value", "nodeSelector", json!({"a": "x y"})),
            pods("not a resource", "resources", json!({"limits": {"memroy": "1Gi"}})),
            pods("not a resource", "resources", json!({"requests": {"CPU": 1}})),
            pods("an amount must not be negative", "resources", json!({"limits": {"memory": "-1Gi"}})),
            pods("an amount must not be negative", "resources", json!({"requests": {"cpu": -1}})),
            pods(
                "requests must not be above limits",
                "resources",
                json!({"requests": {"memory": "1Gi", "cpu": "100m"}, "limits": {"memory": "1000Mi", "cpu": 1}}),
            ),
            pods(
                "requests must not be above limits",
                "resources",
                json!({"requests": {"cpu": 2}, "limits": {"cpu": "1900m"}}),
            ),
            pods("a toleration without a key", "tolerations", json!([{"effect": "NoSchedule"}])),
            pods("tolerationSeconds needs effect", "tolerations", json!([{"key": "a", "tolerationSeconds": 5}])),
            pods("not a key", "tolerations", json!([{"key": "-a"}])),
            pods("not a label value", "tolerations", json!([{"key": "a", "value": "-"}])),
            pods(
                "minDomains needs",
                "topologySpreadConstraints",
                json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}]),
            ),
            pods("a name has lower case letters", "priorityClassName", json!("Very High")),
            pods("the name of a variable has letters", "extraEnv", json!([{"name": "1A", "value": "x"}])),
            pods("the name of a variable has letters", "extraEnv", json!([{"name": "A=B", "value": "x"}])),
            pods("valueFrom names one source", "extraEnv", json!([{"name": "A", "valueFrom": {}}])),
            pods(
                "valueFrom names one source",
                "extraEnv",
                json!([{"name": "A", "valueFrom": {
                    "fieldRef": {"fieldPath": "metadata.name"}, "secretKeyRef": {"name": "a", "key": "b"},
                }}]),
            ),
            pods(
                "the operator sets this variable",
                "extraEnv",
                json!([{"name": "WALLEX_DATABASE_URL", "value": "postgres://elsewhere"}]),
            ),
            pods(
                "a variable has either value or valueFrom",
                "extraEnv",
                json!([{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            ),
        ]);
    }
    cases
}
