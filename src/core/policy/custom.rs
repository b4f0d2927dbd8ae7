//! Rules that the core does not decide: what another engine says about what a record will show.

use super::statement::Enforcement;
use crate::core::record::json::Object;

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

    /// Returns whether there are no such rules at all, so that nothing has to be made ready for them.
    fn is_empty(&self) -> bool {
        false
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
