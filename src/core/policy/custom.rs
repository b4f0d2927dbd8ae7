//! Rules that the core does not decide: what another engine says about what a record will show.

use super::statement::{Enforcement, Treatment};
use crate::core::record::Path;
use crate::core::record::json::{Object, Value};

/// Rules beside the native ones.
///
/// A verdict can be replayed, so what is said has to follow from the arguments and the policy alone.
pub trait Custom {
    /// Returns the rules that an event breaks, with what becomes of it: names as [`is_rule`] has them, none
    /// of which begins with one of the program's own.
    ///
    /// The event is as its record will show it, with its source, without the other members of the server.
    ///
    /// [`is_rule`]: crate::core::record::is_rule
    fn judge(
        &self,
        event: &Object<'_>,
        class: Option<&str>,
    ) -> Result<Vec<(Enforcement, String)>, CustomError>;

    /// Returns what is not to be shown of an event as it was submitted, before anything else is done to it:
    /// places that are dropped or masked.
    fn treat(&self, _event: &Object<'_>) -> Result<Vec<Treatment>, CustomError> {
        Ok(Vec::new())
    }

    /// Returns the rules by which somebody has to be told of an event, with names and arguments as in
    /// [`Custom::judge`].
    fn alert(&self, _event: &Object<'_>, _class: Option<&str>) -> Result<Vec<String>, CustomError> {
        Ok(Vec::new())
    }

    /// Returns the places whose values the rules see although records only commit to them. A verdict about a
    /// record that has one of them can be replayed by those alone to whom it was disclosed.
    fn needs(&self) -> &[Path] {
        &[]
    }

    /// Returns whether there are no such rules at all, so that nothing has to be made ready for them.
    fn is_empty(&self) -> bool {
        false
    }
}

/// Rules that see values which the record of an event only commits to.
pub struct Disclosed<'c> {
    custom: &'c dyn Custom,
    values: Vec<(Path, Value<'static>)>,
}

impl<'c> Disclosed<'c> {
    /// Takes the values, and where they stand.
    pub const fn new(custom: &'c dyn Custom, values: Vec<(Path, Value<'static>)>) -> Self {
        Self { custom, values }
    }
}

impl Disclosed<'_> {
    /// Returns the event with the values in their places.
    fn disclose<'e>(&'e self, event: &Object<'e>) -> Object<'e> {
        let mut seen = event.clone();
        for (path, value) in &self.values {
            if let Some(place) = path.find_mut(&mut seen) {
                *place = value.clone();
            }
        }
        seen
    }
}

impl Custom for Disclosed<'_> {
    fn judge(
        &self,
        event: &Object<'_>,
        class: Option<&str>,
    ) -> Result<Vec<(Enforcement, String)>, CustomError> {
        if self.values.is_empty() {
            return self.custom.judge(event, class);
        }
        self.custom.judge(&self.disclose(event), class)
    }

    fn alert(&self, event: &Object<'_>, class: Option<&str>) -> Result<Vec<String>, CustomError> {
        self.custom.alert(&self.disclose(event), class)
    }

    fn is_empty(&self) -> bool {
        self.custom.is_empty()
    }
}

/// No rules beside the native ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoCustom;

/// Custom rules could not decide, in their time or at all. The event is kept like a quarantined one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the custom rules could not decide: {reason}")]
pub struct CustomError {
    /// Why, in the words of their engine; of events it says nothing.
    pub reason: String,
}

impl Custom for NoCustom {
    fn judge(
        &self,
        _event: &Object<'_>,
        _class: Option<&str>,
    ) -> Result<Vec<(Enforcement, String)>, CustomError> {
        Ok(Vec::new())
    }

    fn is_empty(&self) -> bool {
        true
    }
}
