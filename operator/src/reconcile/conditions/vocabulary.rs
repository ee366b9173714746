//! The words of conditions: their types and reasons. Depends on nothing.
//!
//! Invariant: closed sets, each word with its row in docs/operator-conditions.md (a test compares them). A word that was released keeps its
//! meaning: people write alerts on it.

/// Types of conditions, besides one `…Available` per component ([`Component::condition`]).
pub mod types {
    /// Everything asked for is there and serves.
    pub const READY: &str = "Ready";
    /// Something is on its way that ends by itself.
    pub const PROGRESSING: &str = "Progressing";
    /// Something failed; what ran before keeps running.
    pub const DEGRADED: &str = "Degraded";
    /// What failed won't get better by waiting: the object, or what it names, must be changed. There only while it is true, like
    /// Reconciling, as kstatus wants it.
    pub const STALLED: &str = "Stalled";
    /// Not Ready and not Stalled: it may become ready by waiting.
    pub const RECONCILING: &str = "Reconciling";
    /// The topics are in Kafka as asked for.
    pub const TOPICS_READY: &str = "TopicsReady";
    /// The database is migrated for the present image.
    pub const SCHEMA_READY: &str = "SchemaReady";
    /// The projections keep up with the journal.
    pub const PROJECTIONS_CURRENT: &str = "ProjectionsCurrent";
    /// Every component that is scaled has an autoscaler that can read what it goes by. There only while one is scaled.
    pub const AUTOSCALING_ACTIVE: &str = "AutoscalingActive";
}

/// Reasons of conditions: a closed set, each one explained in the documentation.
pub mod reasons {
    /// All is well.
    pub const READY: &str = "Ready";
    /// Nothing is on its way, or nothing failed.
    pub const AS_EXPECTED: &str = "AsExpected";
    /// It was not looked at, since an earlier stage stopped.
    pub const NOT_CHECKED: &str = "NotChecked";

    /// A named Secret does not exist.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// A named Secret has no such key.
    pub const SECRET_KEY_MISSING: &str = "SecretKeyMissing";
    /// A Secret's value is not a URL of the kind wanted.
    pub const SECRET_INVALID: &str = "SecretInvalid";
    /// A named ConfigMap does not exist.
    pub const CONFIG_MAP_NOT_FOUND: &str = "ConfigMapNotFound";
    /// A named ConfigMap has no such key.
    pub const CONFIG_MAP_KEY_MISSING: &str = "ConfigMapKeyMissing";
    /// A ConfigMap's value holds no certificates.
    pub const CONFIG_MAP_INVALID: &str = "ConfigMapInvalid";
    /// The spec says something impossible that the schema could not refuse.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Children of a deleted platform of the same name are still being removed.
    pub const PREDECESSOR_TERMINATING: &str = "PredecessorTerminating";
    /// An object of the name that a child needs belongs to something else.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// The API server refused a child: quota, admission.
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// The API server finds a child wrong in itself: a value of the spec that the schema let through.
    pub const MANIFEST_INVALID: &str = "ManifestInvalid";
    /// Somebody else's change of a child is in force and can't be put back.
    pub const FOREIGN_EDITS: &str = "ForeignEdits";
    /// Event only: a change of a child that somebody made by hand was put back.
    pub const HAND_EDIT_PUT_BACK: &str = "HandEditPutBack";

    /// No broker answers.
    pub const KAFKA_UNREACHABLE: &str = "KafkaUnreachable";
    /// The brokers refuse the operator: its name, its certificate or its rights.
    pub const KAFKA_NOT_AUTHORIZED: &str = "KafkaNotAuthorized";
    /// The brokers refuse a topic or its configuration.
    pub const TOPIC_REFUSED: &str = "TopicRefused";
    /// The brokers failed otherwise.
    pub const TOPICS_FAILED: &str = "TopicsFailed";
    /// A topic that was there, or a part of its partitions, is gone.
    pub const TOPIC_MISSING: &str = "TopicMissing";
    /// A topic that was gone is there again, and is about to be filled from the journal.
    pub const TOPIC_RECREATED: &str = "TopicRecreated";
    /// A topic belongs to another platform.
    pub const TOPIC_TAKEN: &str = "TopicTaken";

    /// The platform is being deleted, and its topics with it.
    pub const DELETING: &str = "Deleting";
    /// The topics of a platform that is being deleted can't be.
    pub const TOPIC_DELETION_FAILED: &str = "TopicDeletionFailed";
    /// Event only: the topics are deleted.
    pub const TOPICS_DELETED: &str = "TopicsDeleted";
    /// Event only: a deleted platform left its topics, because an annotation said so.
    pub const TOPICS_ABANDONED: &str = "TopicsAbandoned";

    /// The migration Job has not finished yet.
    pub const MIGRATION_RUNNING: &str = "MigrationRunning";
    /// An attempt of the migration failed. It is tried again for as long as it is wanted.
    pub const MIGRATION_FAILED: &str = "MigrationFailed";
    /// The database belongs to another platform.
    pub const DATABASE_TAKEN: &str = "DatabaseTaken";
    /// The database lacks what the platform has written, or what Kafka and the projections have of it.
    pub const JOURNAL_REWOUND: &str = "JournalRewound";
    /// A schema that was migrated is gone from the database.
    pub const SCHEMA_MISSING: &str = "SchemaMissing";
    /// A process can't use PostgreSQL: away, or it refuses.
    pub const DATABASE_UNREACHABLE: &str = "DatabaseUnreachable";

    /// The projections keep up.
    pub const CURRENT: &str = "Current";
    /// A projection is more than a minute behind.
    pub const LAGGING: &str = "Lagging";
    /// How far the projections are behind can't be read.
    pub const LAG_UNKNOWN: &str = "LagUnknown";

    /// All that is scaled follows its measure.
    pub const ACTIVE: &str = "Active";
    /// The same, and a projector asks for more pods than there are partitions.
    pub const CAPPED: &str = "Capped";
    /// An autoscaler is being made, removed or replaced.
    pub const HANDING_OVER: &str = "HandingOver";
    /// An autoscaler can't read what it goes by, or can't scale.
    pub const METRIC_UNAVAILABLE: &str = "MetricUnavailable";
    /// The driver that the spec names is not in the cluster.
    pub const DRIVER_MISSING: &str = "DriverMissing";
    /// Somebody else's autoscaler scales a component.
    pub const FOREIGN_AUTOSCALER: &str = "ForeignAutoscaler";
    /// Somebody switched an autoscaler off.
    pub const SCALING_DISABLED: &str = "ScalingDisabled";

    /// The kubelet can't pull an image.
    pub const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
    /// A container can't be started, for another reason than its image.
    pub const CONTAINER_CANNOT_START: &str = "ContainerCannotStart";
    /// A container ends with an error again and again.
    pub const CRASH_LOOP: &str = "CrashLoop";
    /// No node takes a pod.
    pub const PODS_UNSCHEDULABLE: &str = "PodsUnschedulable";
    /// The API server refuses pods: a quota, or an admission rule.
    pub const PODS_REFUSED: &str = "PodsRefused";

    /// `spec.paused` is true: nothing is changed.
    pub const PAUSED: &str = "Paused";
    /// `spec.suspended` is true: no component shall have pods.
    pub const SUSPENDED: &str = "Suspended";

    /// Pods are being replaced or started.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// Pods did not become ready in the time that a rollout may take.
    pub const ROLLOUT_STALLED: &str = "RolloutStalled";
    /// At least one pod serves.
    pub const AVAILABLE: &str = "Available";
    /// No pod serves.
    pub const UNAVAILABLE: &str = "Unavailable";
    /// No pod is asked for.
    pub const SCALED_TO_ZERO: &str = "ScaledToZero";
}

/// Reasons that stand until somebody changes the object or what it names. All others may pass: a Secret may still come, a broker come back.
pub const STALLING: [&str; 10] = [
    reasons::INVALID_SPEC,
    reasons::MANIFEST_INVALID,
    reasons::SECRET_INVALID,
    reasons::CONFIG_MAP_INVALID,
    reasons::NAME_TAKEN,
    reasons::TOPIC_TAKEN,
    reasons::TOPIC_REFUSED,
    reasons::DATABASE_TAKEN,
    reasons::JOURNAL_REWOUND,
    reasons::SCALED_TO_ZERO,
];
