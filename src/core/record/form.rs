//! The forms that the server puts in the place of values, and where they stand.

use super::commit::Commitment;
use super::json::{Object, Value};
use super::name::Token;
use super::path::{Path, push_step};

/// What stands in the place of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A commitment, which can be opened.
    Commitment(Commitment),
    /// A token, which is recognised.
    Token(Token),
}

impl Form {
    /// Takes what stands in a record, if it is a form.
    pub(super) fn from_value(value: &Value<'_>) -> Option<Self> {
        let token = || Token::from_value(value).map(Self::Token);
        Commitment::from_value(value).map(Self::Commitment).or_else(token)
    }

    /// Finds every form below the members; `None` if one stands where no path leads.
    pub(super) fn search(members: &Object<'_>) -> Option<Vec<(Path, Self)>> {
        let mut search = Search { path: String::new(), found: Vec::new() };
        search.object(members)?;
        Some(search.found)
    }
}

/// A walk through a record.
struct Search {
    /// The pointer of where the walk is.
    path: String,
    found: Vec<(Path, Form)>,
}

impl Search {
    fn object(&mut self, object: &Object<'_>) -> Option<()> {
        object.members().iter().try_for_each(|(name, value)| self.step(name, value))
    }

    /// Goes one step down, and back.
    fn step(&mut self, step: &str, value: &Value<'_>) -> Option<()> {
        let length = self.path.len();
        push_step(&mut self.path, step);
        match (Form::from_value(value), value) {
            (Some(form), _) => self.found.push((Path::parse(&self.path)?, form)),
            (None, Value::Object(object)) => self.object(object)?,
            (None, Value::Array(values)) => {
                let mut steps = values.iter().enumerate();
                steps.try_for_each(|(position, value)| self.step(&position.to_string(), value))?;
            }
            (None, _) => {}
        }
        self.path.truncate(length);
        Some(())
    }
}
