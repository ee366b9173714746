//! The ways a batch can take: in one trip, on what is remembered, or under locks that are taken first.

/// How a batch was written, or why it had to be written under locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    OneTrip,
    Locked(Why),
}

/// Why a batch was not written in one trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// It is switched off.
    Off,
    /// It names a hold that is not remembered, or a wallet some of whose holds may be due.
    Holds,
    /// It names a transaction, to take it back.
    Transactions,
    /// What it looks at could not be read beforehand: no clock was seen yet, or a partition moved meanwhile.
    Cold,
    /// Somebody else had written to a partition.
    Stale,
    /// A key has an answer already, or a name is taken: a repeated request.
    Answered,
    /// The batch's time was too far from the database's clock.
    Clock,
    /// The batch, or one that this is a part of, was refused before; or its outcome is unknown. The conflicts say why.
    Again,
}

impl Path {
    pub const ALL: [Self; 9] = [
        Self::OneTrip,
        Self::Locked(Why::Off),
        Self::Locked(Why::Holds),
        Self::Locked(Why::Transactions),
        Self::Locked(Why::Cold),
        Self::Locked(Why::Stale),
        Self::Locked(Why::Answered),
        Self::Locked(Why::Clock),
        Self::Locked(Why::Again),
    ];

    /// Labels of the metric: the path, and why it was not one trip.
    pub fn labels(self) -> [&'static str; 2] {
        match self {
            Self::OneTrip => ["one_trip", ""],
            Self::Locked(why) => ["locked", why.label()],
        }
    }
}

impl Why {
    fn label(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Holds => "holds",
            Self::Transactions => "transactions",
            Self::Cold => "cold",
            Self::Stale => "stale",
            Self::Answered => "answered",
            Self::Clock => "clock",
            Self::Again => "again",
        }
    }
}
