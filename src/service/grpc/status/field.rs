//! How the fields of a request are called that hold its entries or events.

/// Where a submission's entries stand in the request, for the names of wrong fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    /// `entry` and `idempotency_key`.
    Single,
    /// `entries[i]`.
    Entries,
    /// `keyed_entries[i].entry` and `keyed_entries[i].idempotency_key`.
    Keyed,
    /// `event` and `idempotency_key`.
    Event,
    /// `events[i]`.
    Events,
    /// `keyed_events[i].event` and `keyed_events[i].idempotency_key`.
    KeyedEvents,
}

impl Fields {
    /// Returns the name of the field that holds an entry.
    pub(super) fn entry(self, position: usize) -> String {
        match self {
            Self::Single => "entry".to_owned(),
            Self::Entries => format!("entries[{position}]"),
            Self::Keyed => format!("keyed_entries[{position}].entry"),
            Self::Event => "event".to_owned(),
            Self::Events => format!("events[{position}]"),
            Self::KeyedEvents => format!("keyed_events[{position}].event"),
        }
    }

    /// Returns the name of the field that holds its idempotency key.
    pub(super) fn key(self, position: usize) -> String {
        match self {
            Self::Single | Self::Event => "idempotency_key".to_owned(),
            Self::Entries | Self::Keyed => format!("keyed_entries[{position}].idempotency_key"),
            Self::Events | Self::KeyedEvents => {
                format!("keyed_events[{position}].idempotency_key")
            }
        }
    }

    /// Returns whether there is one entry in the request, which needs no position.
    pub(super) const fn is_one(self) -> bool {
        matches!(self, Self::Single | Self::Event)
    }

    /// Returns the name of the field that holds all of them.
    pub(super) fn all(self) -> &'static str {
        match self {
            Self::Single => "entry",
            Self::Entries => "entries",
            Self::Keyed => "keyed_entries",
            Self::Event => "event",
            Self::Events => "events",
            Self::KeyedEvents => "keyed_events",
        }
    }
}
