//! The condition types and reasons. Depends on nothing.
//!
//! Invariant: closed sets, each entry with its row in docs/operator-conditions.md (a test compares them). A released name keeps
//! its meaning: people write alerts on it.

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)+) => {
        /// Condition types, besides one `…Available` per component (see [`Component::row`](crate::Component::row)).
        pub mod types {
            $($(#[$doc])* pub const $name: &str = $word;)+

            pub const ALL: &[&str] = &[$($name,)+];
        }
    };
}

types! {
    /// Everything asked for is there and serves.
    READY = "Ready",
    /// Something is on its way that ends by itself.
    PROGRESSING = "Progressing",
    /// Something failed; what ran before keeps running.
    DEGRADED = "Degraded",
    /// What failed won't get better by waiting: the object, or what it names, must be changed. There only while it is true, like
    /// Reconciling, as kstatus wants it.
    STALLED = "Stalled",
    /// Not Ready and not Stalled: it may become ready by waiting.
    RECONCILING = "Reconciling",
    /// The topics are in Kafka as asked for.
    TOPICS_READY = "TopicsReady",
    /// The database is migrated for the present image.
    SCHEMA_READY = "SchemaReady",
    /// The projections keep up with the journal.
    PROJECTIONS_CURRENT = "ProjectionsCurrent",
    /// Every component that is scaled has an autoscaler that can read what it goes by. There only while one is scaled.
    AUTOSCALING_ACTIVE = "AutoscalingActive",
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)+) => {
        /// Reasons of conditions and Events, each explained in the documentation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in conditions, Events and alerts.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

reasons! {
    /// All is well.
    Ready = "Ready",
    /// Nothing is on its way, or nothing failed.
    AsExpected = "AsExpected",
    /// It was not looked at, since an earlier stage stopped.
    NotChecked = "NotChecked",

    /// A named Secret does not exist.
    SecretNotFound = "SecretNotFound",
    /// A named Secret has no such key.
    SecretKeyMissing = "SecretKeyMissing",
    /// A Secret's value is not a URL of the kind wanted.
    SecretInvalid = "SecretInvalid",
    /// A named ConfigMap does not exist.
    ConfigMapNotFound = "ConfigMapNotFound",
    /// A named ConfigMap has no such key.
    ConfigMapKeyMissing = "ConfigMapKeyMissing",
    /// A ConfigMap's value holds no certificates.
    ConfigMapInvalid = "ConfigMapInvalid",
    /// The spec says something impossible that the schema could not refuse.
    InvalidSpec = "InvalidSpec",
    /// Children of a deleted platform of the same name are still being removed.
    PredecessorTerminating = "PredecessorTerminating",
    /// An object of the name that a child needs belongs to something else.
    NameTaken = "NameTaken",
    /// The API server refused a child: quota, admission.
    ApplyFailed = "ApplyFailed",
    /// The API server finds a child wrong in itself: a value of the spec that the schema let through.
    ManifestInvalid = "ManifestInvalid",
    /// Somebody else's change of a child is in force and can't be put back.
    ForeignEdits = "ForeignEdits",
    /// Event only: a change of a child that somebody made by hand was put back.
    HandEditPutBack = "HandEditPutBack",

    /// No broker answers.
    KafkaUnreachable = "KafkaUnreachable",
    /// The brokers refuse the operator: its name, its certificate or its rights.
    KafkaNotAuthorized = "KafkaNotAuthorized",
    /// The brokers refuse a topic or its configuration.
    TopicRefused = "TopicRefused",
    /// The brokers failed otherwise.
    TopicsFailed = "TopicsFailed",
    /// A topic that was there, or a part of its partitions, is gone.
    TopicMissing = "TopicMissing",
    /// A topic that was gone is there again, and is about to be filled from the journal.
    TopicRecreated = "TopicRecreated",
    /// A topic belongs to another platform.
    TopicTaken = "TopicTaken",

    /// The platform is being deleted, and its topics with it.
    Deleting = "Deleting",
    /// The topics of a platform that is being deleted can't be.
    TopicDeletionFailed = "TopicDeletionFailed",
    /// Event only: the topics are deleted.
    TopicsDeleted = "TopicsDeleted",
    /// Event only: a deleted platform left its topics, because an annotation said so.
    TopicsAbandoned = "TopicsAbandoned",

    /// The migration Job has not finished yet.
    MigrationRunning = "MigrationRunning",
    /// An attempt of the migration failed. It is tried again for as long as it is wanted.
    MigrationFailed = "MigrationFailed",
    /// The database belongs to another platform.
    DatabaseTaken = "DatabaseTaken",
    /// The database lacks what the platform has written, or what Kafka and the projections have of it.
    JournalRewound = "JournalRewound",
    /// A schema that was migrated is gone from the database.
    SchemaMissing = "SchemaMissing",
    /// A process can't use PostgreSQL: away, or it refuses.
    DatabaseUnreachable = "DatabaseUnreachable",

    /// The projections keep up.
    Current = "Current",
    /// A projection is more than a minute behind.
    Lagging = "Lagging",
    /// How far the projections are behind can't be read.
    LagUnknown = "LagUnknown",

    /// All that is scaled follows its measure.
    Active = "Active",
    /// The same, and a projector asks for more pods than there are partitions.
    Capped = "Capped",
    /// An autoscaler is being made, removed or replaced.
    HandingOver = "HandingOver",
    /// An autoscaler can't read what it goes by, or can't scale.
    MetricUnavailable = "MetricUnavailable",
    /// The driver that the spec names is not in the cluster.
    DriverMissing = "DriverMissing",
    /// Somebody else's autoscaler scales a component.
    ForeignAutoscaler = "ForeignAutoscaler",
    /// Somebody switched an autoscaler off.
    ScalingDisabled = "ScalingDisabled",

    /// The kubelet can't pull an image.
    ImagePullFailed = "ImagePullFailed",
    /// A container can't be started, for another reason than its image.
    ContainerCannotStart = "ContainerCannotStart",
    /// A container ends with an error again and again.
    CrashLoop = "CrashLoop",
    /// No node takes a pod.
    PodsUnschedulable = "PodsUnschedulable",
    /// The API server refuses pods: a quota, or an admission rule.
    PodsRefused = "PodsRefused",

    /// `spec.paused` is true: nothing is changed.
    Paused = "Paused",
    /// `spec.suspended` is true: no component shall have pods.
    Suspended = "Suspended",

    /// Pods are being replaced or started.
    RollingOut = "RollingOut",
    /// Pods did not become ready in the time that a rollout may take.
    RolloutStalled = "RolloutStalled",
    /// At least one pod serves.
    Available = "Available",
    /// No pod serves.
    Unavailable = "Unavailable",
    /// No pod is asked for.
    ScaledToZero = "ScaledToZero",
}

impl Reason {
    /// Whether it persists until someone changes the object or something it refers to. All others may resolve themselves: a
    /// Secret may still appear, a broker come back.
    pub const fn is_stalling(self) -> bool {
        match self {
            Self::SecretInvalid
            | Self::ConfigMapInvalid
            | Self::InvalidSpec
            | Self::NameTaken
            | Self::ManifestInvalid
            | Self::TopicRefused
            | Self::TopicTaken
            | Self::DatabaseTaken
            | Self::JournalRewound
            | Self::ScaledToZero => true,
            Self::Ready
            | Self::AsExpected
            | Self::NotChecked
            | Self::SecretNotFound
            | Self::SecretKeyMissing
            | Self::ConfigMapNotFound
            | Self::ConfigMapKeyMissing
            | Self::PredecessorTerminating
            | Self::ApplyFailed
            | Self::ForeignEdits
            | Self::HandEditPutBack
            | Self::KafkaUnreachable
            | Self::KafkaNotAuthorized
            | Self::TopicsFailed
            | Self::TopicMissing
            | Self::TopicRecreated
            | Self::Deleting
            | Self::TopicDeletionFailed
            | Self::TopicsDeleted
            | Self::TopicsAbandoned
            | Self::MigrationRunning
            | Self::MigrationFailed
            | Self::SchemaMissing
            | Self::DatabaseUnreachable
            | Self::Current
            | Self::Lagging
            | Self::LagUnknown
            | Self::Active
            | Self::Capped
            | Self::HandingOver
            | Self::MetricUnavailable
            | Self::DriverMissing
            | Self::ForeignAutoscaler
            | Self::ScalingDisabled
            | Self::ImagePullFailed
            | Self::ContainerCannotStart
            | Self::CrashLoop
            | Self::PodsUnschedulable
            | Self::PodsRefused
            | Self::Paused
            | Self::Suspended
            | Self::RollingOut
            | Self::RolloutStalled
            | Self::Available
            | Self::Unavailable => false,
        }
    }
}
